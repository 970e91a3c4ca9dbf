import VarveIO

/// A file that leaves to another what it does not do itself.
protocol PassThroughFile: File {
    var base: any File { get }
}

extension PassThroughFile {
    var path: String { base.path }
    func size() throws(IOFailure) -> UInt64 { try base.size() }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try base.read(at: offset, into: buffer)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try base.write(bytes, at: offset)
    }
    func sync() throws(IOFailure) { try base.sync() }
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool { try base.allocate(range) }
    func truncate(to byteCount: UInt64) throws(IOFailure) { try base.truncate(to: byteCount) }
    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map() }
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try base.mapWritable(byteCount: byteCount)
    }
    func close() { base.close() }
}
