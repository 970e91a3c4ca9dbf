public import VarveIO

/// A file system that counts what passes through it to another one.
///
/// For tests that say how much of a store an operation may read or sync. Any thread may call.
public final class CountingFileSystem {
    /// What was done to one path.
    public struct Counts: Hashable, Sendable {
        /// Successful opens.
        public var opens = 0
        /// Calls of `read`.
        public var reads = 0
        /// Bytes that `read` returned.
        public var bytesRead: UInt64 = 0
        /// Calls of `write`.
        public var writes = 0
        /// Bytes given to `write`.
        public var bytesWritten: UInt64 = 0
        /// Syncs of the file, or of the directory.
        public var syncs = 0
        /// Mappings made, writable ones too.
        public var maps = 0
        /// Bytes of the ranges brought in by `populate`.
        public var bytesPopulated: UInt64 = 0

        /// Nothing yet.
        public init() {}

        fileprivate static func + (left: Counts, right: Counts) -> Counts {
            var sum = left
            sum.opens += right.opens
            sum.reads += right.reads
            sum.bytesRead += right.bytesRead
            sum.writes += right.writes
            sum.bytesWritten += right.bytesWritten
            sum.syncs += right.syncs
            sum.maps += right.maps
            sum.bytesPopulated += right.bytesPopulated
            return sum
        }
    }

    /// What does the work.
    public let base: any FileSystem
    private let counts = Locked<[String: Counts]>([:])

    /// Counts what passes to `base`.
    public init(_ base: any FileSystem = POSIXFileSystem()) {
        self.base = base
    }

    /// What was done to paths that `matches` accepts (all, unless given), added up.
    public func total(where matches: (String) -> Bool = { _ in true }) -> Counts {
        counts.withLock { $0.filter { matches($0.key) }.values.reduce(Counts(), +) }
    }

    /// What was done, by path.
    public var countsByPath: [String: Counts] { counts.withLock { $0 } }

    /// Starts again from nothing.
    public func reset() {
        counts.withLock { $0 = [:] }
    }

    fileprivate func count(_ path: String, _ change: (inout Counts) -> Void) {
        counts.withLock { change(&$0[path, default: Counts()]) }
    }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension CountingFileSystem: ForwardingFileSystem {
    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        count(path) { $0.opens += 1 }
        return CountingFile(file, counter: self)
    }

    public func syncDirectory(_ path: String) throws(IOFailure) {
        count(path) { $0.syncs += 1 }
        try base.syncDirectory(path)
    }
}

private final class CountingFile: File {
    private let base: any File
    private let counter: CountingFileSystem

    init(_ base: any File, counter: CountingFileSystem) {
        self.base = base
        self.counter = counter
    }

    var path: String { base.path }

    func size() throws(IOFailure) -> UInt64 { try base.size() }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let byteCount = try base.read(at: offset, into: buffer)
        counter.count(path) {
            $0.reads += 1
            $0.bytesRead += UInt64(byteCount)
        }
        return byteCount
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        counter.count(path) {
            $0.writes += 1
            $0.bytesWritten += UInt64(bytes.count)
        }
        try base.write(bytes, at: offset)
    }

    func sync() throws(IOFailure) {
        counter.count(path) { $0.syncs += 1 }
        try base.sync()
    }

    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool { try base.allocate(range) }

    func truncate(to byteCount: UInt64) throws(IOFailure) { try base.truncate(to: byteCount) }

    func map() throws(IOFailure) -> (any MappedRegion)? {
        guard let region = try base.map() else { return nil }
        counter.count(path) { $0.maps += 1 }
        return CountingRegion(region, path: path, counter: counter)
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        let region = try base.mapWritable(byteCount: byteCount)
        counter.count(path) { $0.maps += 1 }
        return region
    }

    func close() { base.close() }
}

private final class CountingRegion: MappedRegion {
    private let base: any MappedRegion
    private let path: String
    private let counter: CountingFileSystem

    init(_ base: any MappedRegion, path: String, counter: CountingFileSystem) {
        self.base = base
        self.path = path
        self.counter = counter
    }

    var bytes: UnsafeRawBufferPointer { base.bytes }
    var canPopulate: Bool { base.canPopulate }

    func populate(_ range: Range<Int>) throws(IOFailure) {
        counter.count(path) { $0.bytesPopulated += UInt64(range.count) }
        try base.populate(range)
    }

}
