import Foundation
import Testing
import VarveIO

@Suite("Files")
struct FileTests {
    let fileSystem = POSIXFileSystem()
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    @Test("Bytes are read back where they were written, zeros in between, and fewer only at the end")
    func readingAndWriting() throws {
        let file = try fileSystem.open(directory("f"), .createExclusive)
        #expect(file.path == directory("f"))
        #expect(try file.size() == 0)
        try file.write([7, 8, 9], at: 4)
        try file.write([1], at: 0)
        try file.write([], at: 1000)
        #expect(try file.size() == 7)
        #expect(try file.read(at: 0, count: 7) == [1, 0, 0, 0, 7, 8, 9])
        #expect(try file.read(at: 5, count: 100) == [8, 9])
        #expect(try file.read(at: 7, count: 1) == [])
        #expect(try file.read(at: 1 << 40, count: 1) == [])
        #expect(try file.read(at: 0, count: 0) == [])
        try file.sync()
        #expect(try fileSystem.open(directory("f"), .read).read(at: 4, count: 3) == [7, 8, 9])
    }

    @Test(
        "Offsets that no file has are refused", arguments: [UInt64(Int64.max), UInt64(Int64.max) + 1, .max])
    func impossibleOffsets(offset: UInt64) throws {
        let file = try fileSystem.open(directory("f"), .createExclusive)
        #expect(failure { try file.read(at: offset, count: 2) }?.code == EINVAL)
        #expect(failure { try file.write([1, 2], at: offset) }?.isOutOfSpace == true)
        if offset > UInt64(Int64.max) {
            #expect(failure { try file.allocate(0..<offset) }?.isOutOfSpace == true)
            #expect(failure { try file.truncate(to: offset) }?.isOutOfSpace == true)
        }
        #expect(try file.size() == 0)
    }

    @Test("A file opened for reading can't be changed")
    func readOnly() throws {
        let file = try fileSystem.open(directory.file("f", [1, 2, 3]), .read)
        #expect(failure { try file.write([9], at: 0) } != nil)
        #expect(failure { try file.truncate(to: 0) } != nil)
        #expect(failure { try file.mapWritable(byteCount: 3) } != nil)
        #expect(try file.read(at: 0, count: 3) == [1, 2, 3])
    }

    @Test("Truncating sets the length, and what is gone stays gone")
    func truncating() throws {
        let file = try fileSystem.open(directory.file("f", [1, 2, 3, 4]), .readWrite)
        try file.truncate(to: 2)
        try file.truncate(to: 3)
        #expect(try file.read(at: 0, count: 10) == [1, 2, 0])
    }

    @Test("Setting room aside extends the file with zeros and keeps its bytes")
    func allocating() throws {
        let file = try fileSystem.open(directory.file("f", [1, 2]), .readWrite)
        #expect(try file.allocate(5..<5))
        #expect(try file.size() == 2)
        let allocated = try file.allocate(0..<5000)
        #expect(try file.size() == (allocated ? 5000 : 2))
        #expect(try file.read(at: 0, count: 2) == [1, 2])
        #expect(try file.read(at: 2, count: 5000).allSatisfy { $0 == 0 })
    }

    #if os(Linux)
    @Test(
        "A full disk is a failure, of setting room aside as of a writable mapping",
        .enabled(if: hasMemoryDisk))
    func diskFull() throws {
        let directory = try TemporaryDirectory(in: memoryDisk)
        let file = try fileSystem.open(directory("f"), .createExclusive)
        let tooMany = try fileSystem.space(at: directory.path).totalBytes * 2
        // Required: without it, the mapping below would fill the memory with zeros to find out.
        try #require(failure { try file.allocate(0..<tooMany) }?.isOutOfSpace == true)
        #expect(failure { try file.mapWritable(byteCount: Int(tooMany)) }?.isOutOfSpace == true)
        try file.write([1], at: 0)
        #expect(try file.read(at: 0, count: 10) == [1])
    }
    #endif

    @Test("After closing, every call is refused")
    func closed() throws {
        let file = try fileSystem.open(directory.file("f", [1]), .readWrite)
        file.close()
        file.close()
        let failures = [
            failure { try file.size() }, failure { try file.read(at: 0, count: 1) },
            failure { try file.write([1], at: 0) }, failure { try file.sync() },
            failure { try file.allocate(0..<1) },
            failure { try file.truncate(to: 0) }, failure { try file.map() },
            failure { try file.mapWritable(byteCount: 1) },
        ]
        #expect(failures.map { $0?.code } == Array(repeating: EBADF, count: failures.count))
    }

    @Test("A descriptor that is closed during a call stays open until the call returns, and is closed once")
    func closingDuringACall() throws {
        let path = try directory.file("f")
        let number = open(path, O_RDONLY)
        try #require(number >= 0)
        let descriptor = Descriptor(number)
        let underWay: Int32 = descriptor.use { number in
            descriptor.close()
            #expect(descriptor.use { _ in Int32(0) } == -EBADF)
            return names(number, path) ? 1 : 0
        }
        #expect(underWay == 1)
        #expect(!names(number, path))
        // If the number is closed a second time, this file, which probably gets it, loses it.
        let other = try fileSystem.open(path, .read)
        descriptor.close()
        #expect(try other.size() == 0)
    }

    @Test("A file's descriptor is closed with the object")
    func lifetime() throws {
        let path = try directory.file("f")
        var file: (any File)? = try fileSystem.open(path, .read)
        #expect(file != nil && (0..<1024).contains { names($0, path) })
        file = nil
        #expect(!(0..<1024).contains { names($0, path) })
    }

    @Test("Short and interrupted transfers go on to the end, errors and ends stop them")
    func fullTransfers() {
        /// Feeds scripted results; returns the outcome and what was asked for.
        func run(_ count: Int, _ script: [Int64]) -> (result: Int64, asked: [[Int]]) {
            var asked: [[Int]] = []
            let result = transferFully(count) { done, count in
                asked.append([done, count])
                return asked.count <= script.count ? script[asked.count - 1] : -Int64(ENOTRECOVERABLE)
            }
            return (result, asked)
        }
        let short = run(10, [4, -Int64(EINTR), -Int64(EINTR), 5, 1])
        #expect(short.result == 10)
        #expect(short.asked == [[0, 10], [4, 6], [4, 6], [4, 6], [9, 1]])
        #expect(run(10, [4, -Int64(EIO)]).result == -Int64(EIO))
        #expect(run(10, [4, 0]).result == 4)
        #expect(run(0, []).asked.isEmpty)
        let large = run(3 << 30, [1 << 30, 1 << 30, 1 << 30])
        #expect(large.result == 3 << 30)
        #expect(large.asked == [[0, 1 << 30], [1 << 30, 1 << 30], [2 << 30, 1 << 30]])
    }

    @Test("Threads that write their own ranges don't disturb each other")
    func concurrentWrites() async throws {
        let file = try fileSystem.open(directory("f"), .createExclusive)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for part in 0..<8 {
                group.addTask {
                    for step in 0..<64 {
                        try file.write(
                            [UInt8](repeating: UInt8(part), count: 100), at: UInt64((step * 8 + part) * 100))
                    }
                }
            }
            try await group.waitForAll()
        }
        let bytes = try file.read(at: 0, count: 100_000)
        #expect(bytes == (0..<51_200).map { UInt8($0 / 100 % 8) })
    }
}

/// Whether a descriptor of this process is open on the file of that path.
private func names(_ number: Int32, _ path: String) -> Bool {
    var (opened, named) = (stat(), stat())
    return fstat(number, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev
        && opened.st_ino == named.st_ino
}

#if os(Linux)
private let memoryDisk = "/dev/shm"

/// Whether there is a file system in memory, of a limited size: it compares what is asked for with that
/// before it starts.
private let hasMemoryDisk: Bool = {
    let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
    let isMounted = mounts.split(separator: "\n").contains { line in
        line.split(separator: " ").dropFirst().prefix(2).elementsEqual([memoryDisk[...], "tmpfs"])
    }
    let space = try? POSIXFileSystem().space(at: memoryDisk)
    return isMounted && (1..<(1 << 60)).contains(space?.totalBytes ?? 0)
}()
#endif
