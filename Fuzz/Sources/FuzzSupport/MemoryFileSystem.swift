internal import VarveFormat
public import VarveIO
internal import VarveTestKit

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// One directory in memory: for whole stores, tens of thousands of times a minute. Nothing in it ever fails.
public final class MemoryFileSystem: Sendable {
    /// The directory's path.
    public static let directory = "/store"
    /// The boot of all instances.
    public static let boot = [UInt8](repeating: 0xB0, count: 16)

    private struct State {
        var hasDirectory: Bool
        var files: [String: MemoryStorage]
        var locked: Set<String> = []
        var clock: UInt64 = 1_700_000_000_000_000_000
        var random: SplitMix64
    }

    private let state: Locked<State>

    /// A directory with these files; nil: none is there.
    public init(_ files: [String: [UInt8]]?) {
        state = Locked(
            State(
                hasDirectory: files != nil, files: (files ?? [:]).mapValues { MemoryStorage($0) },
                random: SplitMix64(seed: MemoryFileSystem.seed(of: files ?? [:]))))
    }

    /// Differs with the files, so that no identity in them is given again; the same input gets the same one.
    private static func seed(of files: [String: [UInt8]]) -> UInt64 {
        files.reduce(1) { sum, file in
            sum &+ file.value.withUnsafeBytes { UInt64(Checksum.crc($0)) << 32 | UInt64($0.count) }
        }
    }

    /// The files as they are now.
    public var files: [String: [UInt8]] { state.withLock { $0.files.mapValues { $0.bytes() } } }

    /// Whether it has these files, byte for byte, and no others.
    public func holds(_ files: [String: [UInt8]]) -> Bool {
        state.withLock { state in
            state.files.count == files.count
                && files.allSatisfy { name, bytes in state.files[name]?.holds(bytes) ?? false }
        }
    }

    private func name(_ path: String, _ operation: IOFailure.Operation) throws(IOFailure) -> String {
        let prefix = MemoryFileSystem.directory + "/"
        guard path.hasPrefix(prefix), state.withLock({ $0.hasDirectory }) else {
            throw IOFailure(operation, path: path, code: ENOENT)
        }
        return String(path.dropFirst(prefix.count))
    }

    fileprivate func unlock(_ path: String) {
        state.withLock { _ = $0.locked.remove(path) }
    }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MemoryFileSystem: FileSystem {
    public func makeDirectory(_ path: String) throws(IOFailure) {
        try state.withLock { state throws(IOFailure) in
            guard path == MemoryFileSystem.directory, !state.hasDirectory else {
                throw IOFailure(.makeDirectory, path: path, code: EEXIST)
            }
            state.hasDirectory = true
        }
    }

    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        try state.withLock { state throws(IOFailure) in
            guard state.hasDirectory, directory == MemoryFileSystem.directory else {
                throw IOFailure(.list, path: directory, code: ENOENT)
            }
            return state.files.keys.sorted().map { DirectoryEntry(name: $0, kind: .regular) }
        }
    }

    public func kind(of path: String) throws(IOFailure) -> FileKind? {
        guard path != MemoryFileSystem.directory else {
            return state.withLock { $0.hasDirectory ? .directory : nil }
        }
        let name = try name(path, .inspect)
        return state.withLock { $0.files[name] == nil ? nil : .regular }
    }

    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let name = try name(path, .open)
        return try state.withLock { state throws(IOFailure) in
            if mode == .createExclusive {
                guard state.files[name] == nil else { throw IOFailure(.create, path: path, code: EEXIST) }
                state.files[name] = MemoryStorage([])
            }
            guard let storage = state.files[name] else { throw IOFailure(.open, path: path, code: ENOENT) }
            return MemoryFile(path: path, storage)
        }
    }

    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        let (source, target) = (try name(from, .rename), try name(to, .rename))
        try state.withLock { state throws(IOFailure) in
            guard let storage = state.files[source] else {
                throw IOFailure(.rename, path: from, code: ENOENT)
            }
            guard replacing || state.files[target] == nil else {
                throw IOFailure(.rename, path: to, code: EEXIST)
            }
            state.files[source] = nil
            state.files[target] = storage
        }
    }

    public func unlink(_ path: String) throws(IOFailure) {
        let name = try name(path, .unlink)
        let removed = state.withLock { $0.files.removeValue(forKey: name) }
        guard removed != nil else { throw IOFailure(.unlink, path: path, code: ENOENT) }
    }

    public func syncDirectory(_ path: String) throws(IOFailure) {}

    public func lock(_ path: String) throws(IOFailure) -> any FileLock {
        let name = try name(path, .lock)
        try state.withLock { state throws(IOFailure) in
            guard state.locked.insert(path).inserted else {
                throw IOFailure(.lock, path: path, code: EWOULDBLOCK)
            }
            if state.files[name] == nil { state.files[name] = MemoryStorage([]) }
        }
        return MemoryLock(path: path, self)
    }

    public func isLocked(_ path: String) -> Bool { state.withLock { $0.locked.contains(path) } }
    public func isOnNetwork(_ path: String) -> Bool { false }
    public func space(at path: String) throws(IOFailure) -> DiskSpace {
        DiskSpace(freeBytes: 1 << 40, totalBytes: 1 << 40)
    }
    public func now() -> Int64 { Int64(monotonic()) }
    public func monotonic() -> UInt64 {
        state.withLock {
            $0.clock += 1_000
            return $0.clock
        }
    }
    public func randomBytes(_ count: Int) -> [UInt8] {
        state.withLock { state in
            (0..<count).map { _ in UInt8(truncatingIfNeeded: state.random.next()) }
        }
    }
    public func bootIdentity() -> [UInt8] { MemoryFileSystem.boot }
}

/// Bytes that do not move while they are mapped. A file that grows beyond them gets new ones.
private final class MemoryBlock: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) {
        bytes = .allocate(byteCount: count, alignment: 16)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }
}

private final class MemoryStorage: Sendable {
    private struct State {
        var block: MemoryBlock
        var count: Int
    }
    private let state: Locked<State>

    init(_ bytes: [UInt8]) {
        let block = MemoryBlock(count: bytes.count)
        block.bytes.copyBytes(from: bytes)
        state = Locked(State(block: block, count: bytes.count))
    }

    func bytes() -> [UInt8] { state.withLock { Array($0.block.bytes[..<$0.count]) } }

    func holds(_ bytes: [UInt8]) -> Bool {
        state.withLock { state in
            guard state.count == bytes.count, let start = state.block.bytes.baseAddress else {
                return state.count == bytes.count
            }
            return bytes.withUnsafeBytes { $0.isEmpty || memcmp($0.baseAddress!, start, $0.count) == 0 }
        }
    }

    var count: Int { state.withLock { $0.count } }

    private static func grow(_ state: inout State, to count: Int) {
        if count > state.block.bytes.count {
            let larger = MemoryBlock(count: max(count, 2 * state.block.bytes.count))
            larger.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: state.block.bytes[..<state.count]))
            state.block = larger
        }
        state.count = max(state.count, count)
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        state.withLock { state in
            guard let offset = Int(exactly: offset), offset < state.count else { return 0 }
            let count = min(buffer.count, state.count - offset)
            buffer.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: state.block.bytes[offset..<offset + count]))
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        state.withLock { state in
            MemoryStorage.grow(&state, to: offset + bytes.count)
            UnsafeMutableRawBufferPointer(rebasing: state.block.bytes[offset..<offset + bytes.count])
                .copyMemory(from: bytes)
        }
    }

    func truncate(to count: Int) {
        state.withLock { state in
            if count < state.count {
                UnsafeMutableRawBufferPointer(rebasing: state.block.bytes[count..<state.count])
                    .initializeMemory(as: UInt8.self, repeating: 0)
                state.count = count
            } else {
                MemoryStorage.grow(&state, to: count)
            }
        }
    }

    func mapped(byteCount: Int) -> MemoryBlock {
        state.withLock { state in
            MemoryStorage.grow(&state, to: byteCount)
            return state.block
        }
    }
}

private final class MemoryFile: File {
    let path: String
    private let storage: MemoryStorage
    private let isClosed = Locked(false)

    init(path: String, _ storage: MemoryStorage) {
        self.path = path
        self.storage = storage
    }

    private func check(_ operation: IOFailure.Operation) throws(IOFailure) {
        if isClosed.withLock({ $0 }) { throw IOFailure(operation, path: path, code: EBADF) }
    }

    /// Files of a fuzzed store are small: a large one means that its length was believed.
    private func place(_ end: UInt64, _ operation: IOFailure.Operation) throws(IOFailure) -> Int {
        try check(operation)
        guard end <= 64 << 20 else { throw IOFailure(operation, path: path, code: EFBIG) }
        return Int(end)
    }

    func size() throws(IOFailure) -> UInt64 {
        try check(.inspect)
        return UInt64(storage.count)
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try check(.read)
        // A file offset is an off_t.
        guard offset <= UInt64(Int64.max) else { throw IOFailure(.read, path: path, code: EINVAL) }
        return storage.read(at: offset, into: buffer)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        let end = offset.addingReportingOverflow(UInt64(bytes.count))
        guard !end.overflow else { throw IOFailure(.write, path: path, code: EFBIG) }
        storage.write(bytes, at: try place(end.partialValue, .write) - bytes.count)
    }

    func sync() throws(IOFailure) { try check(.sync) }

    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        try check(.allocate)
        return false
    }

    func truncate(to byteCount: UInt64) throws(IOFailure) {
        storage.truncate(to: try place(byteCount, .truncate))
    }

    func map() throws(IOFailure) -> (any MappedRegion)? {
        try check(.map)
        let bytes = storage.bytes()
        return bytes.isEmpty ? nil : MemoryMapping(path: path, bytes)
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        MemoryRegion(storage.mapped(byteCount: try place(UInt64(byteCount), .map)), count: byteCount)
    }

    func close() { isClosed.withLock { $0 = true } }
}

/// A copy of exactly the file's size, so that AddressSanitizer sees the first byte beyond it.
private final class MemoryMapping: MappedRegion, @unchecked Sendable {
    private let path: String
    let bytes: UnsafeRawBufferPointer
    let canPopulate = true

    init(path: String, _ bytes: [UInt8]) {
        self.path = path
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyBytes(from: bytes)
        self.bytes = UnsafeRawBufferPointer(copy)
    }

    deinit { bytes.deallocate() }

    func populate(_ range: Range<Int>) throws(IOFailure) {
        guard range.lowerBound >= 0, range.upperBound <= bytes.count else {
            throw IOFailure(.populate, path: path, code: EFAULT)
        }
    }
}

private final class MemoryRegion: WritableRegion {
    private let block: MemoryBlock
    private let count: Int

    init(_ block: MemoryBlock, count: Int) {
        self.block = block
        self.count = count
    }

    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: block.bytes[..<count])
    }
}

private final class MemoryLock: FileLock {
    let path: String
    private let fileSystem: MemoryFileSystem
    private let isReleased = Locked(false)

    init(path: String, _ fileSystem: MemoryFileSystem) {
        self.path = path
        self.fileSystem = fileSystem
    }

    deinit { release() }

    func release() {
        let isFirst = isReleased.withLock { released in
            defer { released = true }
            return !released
        }
        if isFirst { fileSystem.unlock(path) }
    }
}
