#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The system's text for an error number, without a capital since it stands after a colon.
func errorText(_ code: Int32) -> String {
    guard let pointer = strerror(code) else { return "error \(code)" }
    // SAFETY: strerror returns a terminated string that lives until this thread's next call of it.
    let text = String(cString: pointer)
    guard let first = text.first else { return "error \(code)" }
    return first.lowercased() + text.dropFirst()
}

/// Reads once, at most what fits; 0 at the end.
///
/// - Parameter name: what is read, for the message.
func readSome(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, name: String) throws -> Int {
    while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count >= 0 { return count }
        if errno != EINTR { throw CommandFailure("cannot read \(name): \(errorText(errno))") }
    }
}

/// The same from a place in a file.
func readSome(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, name: String
) throws -> Int {
    while true {
        let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
        if count >= 0 { return count }
        if errno != EINTR { throw CommandFailure("cannot read \(name): \(errorText(errno))") }
    }
}

/// Writes everything, waiting where the descriptor makes it wait.
///
/// - Throws: ``ClosedPipe`` when nobody reads the pipe any more.
func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, name: String) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            continue
        }
        switch errno {
        case EINTR: continue
        case EPIPE: throw ClosedPipe()
        case EAGAIN:
            // Somebody else made the shared open file non-blocking.
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = poll(&entry, 1, -1)
        default: throw CommandFailure("cannot write \(name): \(errorText(errno))")
        }
    }
}

/// Waits until one of the descriptors can be read (or is at its end), or the time has passed.
///
/// - Parameters:
///   - descriptors: negative ones are left out.
///   - milliseconds: how long at most; `nil`: for ever.
/// - Returns: for each descriptor whether a read of it will not block; all `false` after the time has passed
///   or a signal came.
func waitUntilReadable(_ descriptors: [Int32], milliseconds: Int32?) throws -> [Bool] {
    var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let count = poll(&entries, nfds_t(entries.count), milliseconds ?? -1)
    if count < 0 {
        guard errno == EINTR else { throw CommandFailure("cannot wait for input: \(errorText(errno))") }
        return descriptors.map { _ in false }
    }
    return entries.map { $0.revents != 0 }
}

/// An open file descriptor that is closed with its owner.
final class OwnedDescriptor {
    private(set) var number: Int32

    /// Takes over an open descriptor.
    init(_ number: Int32) { self.number = number }

    /// Opens an existing file for reading, close-on-exec.
    convenience init(reading path: String) throws {
        let number = open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw CommandFailure("cannot read \(path): \(errorText(errno))") }
        self.init(number)
    }

    /// A nameless file, gone with its descriptor, in the directory for temporary files.
    static func temporary() throws -> OwnedDescriptor {
        let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array((directory + "/varve-import-XXXXXX").utf8CString)
        let number = mkstemp(&template)
        guard number >= 0 else {
            throw CommandFailure("cannot make a temporary file in \(directory): \(errorText(errno))")
        }
        unlink(template)
        return OwnedDescriptor(number)
    }

    /// Both ends of a new pipe, close-on-exec.
    static func pipe() throws -> (readEnd: OwnedDescriptor, writeEnd: OwnedDescriptor) {
        var ends: [Int32] = [-1, -1]
        // pipe2 is not to be had on Darwin; nothing else of this process starts programs meanwhile.
        guard makePipe(&ends) == 0 else { throw CommandFailure("cannot make a pipe: \(errorText(errno))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    func close() {
        guard number >= 0 else { return }
        closeNumber(number)
        number = -1
    }

    deinit { close() }
}

/// `close(2)`, which the method of the same name hides.
private func closeNumber(_ number: Int32) { _ = close(number) }

/// `pipe(2)`, which the method of the same name hides.
private func makePipe(_ ends: UnsafeMutablePointer<Int32>) -> Int32 { pipe(ends) }

/// What `fstat` says about an open file.
struct FileStatus {
    var isRegular: Bool
    var isDirectory: Bool
    var bytes: UInt64
    /// Nanoseconds since the epoch.
    var modifiedAt: Int64

    init(_ descriptor: Int32, name: String) throws {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CommandFailure("cannot inspect \(name): \(errorText(errno))")
        }
        isRegular = status.st_mode & S_IFMT == S_IFREG
        isDirectory = status.st_mode & S_IFMT == S_IFDIR
        bytes = UInt64(max(0, status.st_size))
        #if canImport(Darwin)
        let modified = status.st_mtimespec
        #else
        let modified = status.st_mtim
        #endif
        let (seconds, tooLarge) = Int64(modified.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        modifiedAt = tooLarge ? 0 : seconds &+ Int64(modified.tv_nsec)
    }
}

/// The wall clock: nanoseconds since the epoch.
func wallClock() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}

/// A clock that never goes backwards, in nanoseconds.
func steadyClock() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}

/// The machine's name.
func hostName() -> String {
    var bytes = [CChar](repeating: 0, count: 256)
    guard gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
    let name = bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: name, as: UTF8.self)
}

/// The working directory, or "." where it can't be told.
func workingDirectory() -> String {
    guard let pointer = getcwd(nil, 0) else { return "." }
    defer { free(pointer) }
    return String(cString: pointer)
}

/// The path from the root.
func absolutePath(_ path: String) -> String {
    guard let pointer = realpath(path, nil) else { return path }
    defer { free(pointer) }
    return String(cString: pointer)
}
