public import VarveIO

/// A file system that measures, after everything that may change it, how many bytes the files of a directory take. Any thread may call.
public final class DirectoryMeter {
    /// What does the work.
    public let base: any FileSystem
    /// By directory.
    private let peaks = Locked([String: UInt64]())

    /// Passes operations on to `base`.
    public init(_ base: any FileSystem = POSIXFileSystem()) { self.base = base }

    /// Most bytes that the directory's files took at a time since this was asked last.
    public func takePeak(of directory: String) -> UInt64 {
        measure(directory + "/x")
        return peaks.withLock { $0.removeValue(forKey: directory) ?? 0 }
    }

    /// Measures the directory that a path is in.
    fileprivate func measure(_ path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let directory = String(path[..<slash])
        var total: UInt64 = 0
        for entry in (try? base.list(directory)) ?? [] where entry.kind == .regular {
            total += ((try? base.stamp(of: directory + "/" + entry.name)) ?? nil)?.byteCount ?? 0
        }
        peaks.withLock { $0[directory] = max($0[directory] ?? 0, total) }
    }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension DirectoryMeter: ForwardingFileSystem {
    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return mode == .read ? file : MeteredFile(file, self)
    }
}

private final class MeteredFile: File {
    private let base: any File
    private let meter: DirectoryMeter

    init(_ base: any File, _ meter: DirectoryMeter) {
        self.base = base
        self.meter = meter
    }

    var path: String { base.path }
    func size() throws(IOFailure) -> UInt64 { try base.size() }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try base.read(at: offset, into: buffer)
    }
    func sync() throws(IOFailure) { try base.sync() }
    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map() }
    func close() { base.close() }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        defer { meter.measure(path) }
        try base.write(bytes, at: offset)
    }
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        defer { meter.measure(path) }
        return try base.allocate(range)
    }
    func truncate(to byteCount: UInt64) throws(IOFailure) {
        defer { meter.measure(path) }
        try base.truncate(to: byteCount)
    }
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        defer { meter.measure(path) }
        return try base.mapWritable(byteCount: byteCount)
    }
}
