internal import VarveIO

/// A file of which only the mapping is left: it takes no descriptor, and stays when the name is gone. Read-only.
final class MappedFile: File {
    let path: String
    private let region: any MappedRegion

    /// `region` can be populated, so that a bad page is an error and not a signal.
    init(path: String, _ region: any MappedRegion) {
        self.path = path
        self.region = region
    }

    func size() throws(IOFailure) -> UInt64 { UInt64(region.bytes.count) }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        guard let start = Int(exactly: offset), start < region.bytes.count, !buffer.isEmpty else { return 0 }
        let end = start + min(buffer.count, region.bytes.count - start)
        do throws(IOFailure) {
            try region.populate(start..<end)
        } catch {
            throw IOFailure(.read, path: path, code: error.code)
        }
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: region.bytes[start..<end]))
        return end - start
    }

    func map() throws(IOFailure) -> (any MappedRegion)? { region }
    func close() {}

    // Nobody has a sealed segment's file for writing.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) { throw refusal(.write) }
    func sync() throws(IOFailure) { throw refusal(.sync) }
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool { throw refusal(.allocate) }
    func truncate(to byteCount: UInt64) throws(IOFailure) { throw refusal(.truncate) }
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion { throw refusal(.map) }

    private func refusal(_ operation: IOFailure.Operation) -> IOFailure {
        IOFailure(operation, path: path, code: 9)
    }
}
