public import VarveIO

/// A file system that fails chosen operations, and passes all others on to another one.
///
/// An operation that is made to fail does not reach the other file system. Any thread may call.
public final class FaultInjectingFileSystem {
    /// Which operation fails, and how.
    public struct Fault: Hashable, Sendable {
        /// The operation.
        public var operation: IOFailure.Operation
        /// Only on paths that end like this; empty: on all.
        public var pathSuffix: String
        /// How many of the matching operations succeed first.
        public var successes: Int
        /// The `errno`.
        public var code: Int32
        /// Whether all later matching operations fail too.
        public var isForGood: Bool

        /// A fault of the operation after `successes` ones that went well.
        public init(
            _ operation: IOFailure.Operation, onPathsEndingIn pathSuffix: String = "",
            after successes: Int = 0,
            code: Int32, isForGood: Bool = false
        ) {
            self.operation = operation
            self.pathSuffix = pathSuffix
            self.successes = successes
            self.code = code
            self.isForGood = isForGood
        }
    }

    private struct State {
        var faults: [Fault] = []
        var injected = 0
        var operations: [IOFailure.Operation: Int] = [:]
    }

    private let base: any FileSystem
    private let state = Locked(State())

    /// Passes operations on to `base`; nothing fails yet.
    public init(_ base: any FileSystem = POSIXFileSystem()) {
        self.base = base
    }

    /// Arms a fault; several may be armed at once.
    public func inject(_ fault: Fault) {
        state.withLock { $0.faults.append(fault) }
    }

    /// Disarms all faults: the disk is well again.
    public func heal() {
        state.withLock { $0.faults = [] }
    }

    /// How many operations were made to fail.
    public var injectedCount: Int { state.withLock { $0.injected } }

    /// How many operations of a type were asked for so far, failed ones included: so that a test can fail
    /// each of them in turn.
    public func count(of operation: IOFailure.Operation) -> Int {
        state.withLock { $0.operations[operation] ?? 0 }
    }

    /// Throws when an armed fault is due.
    fileprivate func pass(_ operation: IOFailure.Operation, _ path: String) throws(IOFailure) {
        let code: Int32? = state.withLock { state in
            state.operations[operation, default: 0] += 1
            var due: Int32?
            for position in state.faults.indices.reversed() {
                let fault = state.faults[position]
                guard fault.operation == operation, path.hasSuffix(fault.pathSuffix) else { continue }
                if fault.successes > 0 {
                    state.faults[position].successes -= 1
                } else {
                    due = fault.code
                    if !fault.isForGood { state.faults.remove(at: position) }
                }
            }
            if due != nil { state.injected += 1 }
            return due
        }
        if let code { throw IOFailure(operation, path: path, code: code) }
    }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension FaultInjectingFileSystem: FileSystem {
    public func makeDirectory(_ path: String) throws(IOFailure) {
        try pass(.makeDirectory, path)
        try base.makeDirectory(path)
    }

    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        try pass(.list, directory)
        return try base.list(directory)
    }

    public func kind(of path: String) throws(IOFailure) -> FileKind? {
        try pass(.inspect, path)
        return try base.kind(of: path)
    }

    /// Exclusive creation counts as `create`, the other modes as `open`.
    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        try pass(mode == .createExclusive ? .create : .open, path)
        return FaultInjectingFile(try base.open(path, mode), injector: self)
    }

    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try pass(.rename, from)
        try base.rename(from, to: to, replacing: replacing)
    }

    public func unlink(_ path: String) throws(IOFailure) {
        try pass(.unlink, path)
        try base.unlink(path)
    }

    public func syncDirectory(_ path: String) throws(IOFailure) {
        try pass(.sync, path)
        try base.syncDirectory(path)
    }

    public func lock(_ path: String) throws(IOFailure) -> any FileLock {
        try pass(.lock, path)
        return try base.lock(path)
    }

    public func space(at path: String) throws(IOFailure) -> DiskSpace {
        try pass(.measureSpace, path)
        return try base.space(at: path)
    }

    public func stamp(of path: String) throws(IOFailure) -> FileStamp? { try base.stamp(of: path) }
    public func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch { try base.watch(directory) }
    public func isLocked(_ path: String) -> Bool { base.isLocked(path) }
    public func isOnNetwork(_ path: String) -> Bool { base.isOnNetwork(path) }
    public func now() -> Int64 { base.now() }
    public func monotonic() -> UInt64 { base.monotonic() }
    public func randomBytes(_ count: Int) -> [UInt8] { base.randomBytes(count) }
    public func bootIdentity() -> [UInt8] { base.bootIdentity() }
}

private final class FaultInjectingFile: File {
    private let base: any File
    private let injector: FaultInjectingFileSystem

    init(_ base: any File, injector: FaultInjectingFileSystem) {
        self.base = base
        self.injector = injector
    }

    var path: String { base.path }

    func size() throws(IOFailure) -> UInt64 {
        try injector.pass(.inspect, path)
        return try base.size()
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try injector.pass(.read, path)
        return try base.read(at: offset, into: buffer)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try injector.pass(.write, path)
        try base.write(bytes, at: offset)
    }

    func sync() throws(IOFailure) {
        try injector.pass(.sync, path)
        try base.sync()
    }

    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        try injector.pass(.allocate, path)
        return try base.allocate(range)
    }

    func truncate(to byteCount: UInt64) throws(IOFailure) {
        try injector.pass(.truncate, path)
        try base.truncate(to: byteCount)
    }

    func map() throws(IOFailure) -> (any MappedRegion)? {
        try injector.pass(.map, path)
        guard let region = try base.map() else { return nil }
        return FaultInjectingRegion(region, path: path, injector: injector)
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try injector.pass(.map, path)
        return try base.mapWritable(byteCount: byteCount)
    }

    func close() { base.close() }
}

private final class FaultInjectingRegion: MappedRegion {
    private let base: any MappedRegion
    private let path: String
    private let injector: FaultInjectingFileSystem

    init(_ base: any MappedRegion, path: String, injector: FaultInjectingFileSystem) {
        self.base = base
        self.path = path
        self.injector = injector
    }

    var bytes: UnsafeRawBufferPointer { base.bytes }
    var canPopulate: Bool { base.canPopulate }

    func populate(_ range: Range<Int>) throws(IOFailure) {
        try injector.pass(.populate, path)
        try base.populate(range)
    }

}
