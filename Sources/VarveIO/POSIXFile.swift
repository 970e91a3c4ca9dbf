import CPOSIX

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// An open file of ``POSIXFileSystem``.
final class POSIXFile: File {
    let path: String
    private let descriptor: Descriptor

    init(path: String, descriptor: Descriptor) {
        self.path = path
        self.descriptor = descriptor
    }

    func size() throws(IOFailure) -> UInt64 {
        let size = descriptor.use { varve_posix_size($0) }
        return UInt64(try checked(size, .inspect))
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        guard let start = Int64(exactly: offset), !start.addingReportingOverflow(Int64(buffer.count)).overflow
        else {
            throw IOFailure(.read, path: path, code: EINVAL)
        }
        let result = descriptor.use { number in
            transferFully(buffer.count) { done, count in
                // SAFETY: `done + count <= buffer.count`, and `start + done` was checked above.
                varve_posix_read(number, base + done, count, start + Int64(done))
            }
        }
        return Int(try checked(result, .read))
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        guard let base = bytes.baseAddress else { return }
        guard let start = Int64(exactly: offset), !start.addingReportingOverflow(Int64(bytes.count)).overflow
        else {
            throw IOFailure(.write, path: path, code: EFBIG)
        }
        let result = descriptor.use { number in
            transferFully(bytes.count) { done, count in
                // SAFETY: `done + count <= bytes.count`, and `start + done` was checked above.
                varve_posix_write(number, base + done, count, start + Int64(done))
            }
        }
        // A write that takes nothing and gives no reason would otherwise be tried for ever.
        guard try checked(result, .write) == Int64(bytes.count) else {
            throw IOFailure(.write, path: path, code: EIO)
        }
    }

    func sync() throws(IOFailure) {
        _ = try checked(descriptor.use { varve_posix_sync($0) }, .sync)
    }

    @discardableResult
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        guard !range.isEmpty else { return true }
        guard let end = Int64(exactly: range.upperBound) else {
            throw IOFailure(.allocate, path: path, code: EFBIG)
        }
        let start = Int64(range.lowerBound)
        let result = descriptor.use { varve_posix_allocate($0, start, end - start) }
        if result == -EOPNOTSUPP { return false }
        _ = try checked(result, .allocate)
        return true
    }

    func truncate(to byteCount: UInt64) throws(IOFailure) {
        guard let count = Int64(exactly: byteCount) else {
            throw IOFailure(.truncate, path: path, code: EFBIG)
        }
        _ = try checked(descriptor.use { varve_posix_truncate($0, count) }, .truncate)
    }

    func map() throws(IOFailure) -> (any MappedRegion)? {
        guard let count = Int(exactly: try size()), count > 0 else { return nil }
        let (base, code) = mapped(count: count, writable: false)
        guard let base else {
            if code == ENODEV || code == ENOMEM || code == EAGAIN || code == EINVAL { return nil }
            throw IOFailure(.map, path: path, code: code)
        }
        return POSIXMappedRegion(path: path, mapping: Mapping(base: base, count: count))
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        guard byteCount > 0 else { throw IOFailure(.map, path: path, code: EINVAL) }
        if !(try allocate(0..<UInt64(byteCount))) { try fill(to: UInt64(byteCount)) }
        let (base, code) = mapped(count: byteCount, writable: true)
        guard let base else { throw IOFailure(.map, path: path, code: code) }
        let mapping = Mapping(base: base, count: byteCount)
        if Mapping.canPopulate, let code = mapping.populate(0..<byteCount, writable: true) {
            throw IOFailure(.populate, path: path, code: code)
        }
        return POSIXWritableRegion(mapping: mapping)
    }

    func close() {
        descriptor.close()
    }

    /// Extends the file with written zeros, where room can't be set aside in another way.
    private func fill(to end: UInt64) throws(IOFailure) {
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var offset = try size()
        while offset < end {
            let count = Int(min(end - offset, UInt64(zeros.count)))
            try write(Array(zeros[..<count]), at: offset)
            offset += UInt64(count)
        }
    }

    private func mapped(count: Int, writable: Bool) -> (base: UnsafeMutableRawPointer?, code: Int32) {
        var base: UnsafeMutableRawPointer?
        var failure: Int32 = 0
        let result = descriptor.use { number -> Int32 in
            base = varve_posix_map(number, count, writable, &failure)
            return base == nil ? failure : 0
        }
        return (base, -result)
    }

    private func checked<Result: FixedWidthInteger & SignedInteger>(
        _ result: Result, _ operation: IOFailure.Operation
    ) throws(IOFailure) -> Result {
        guard result >= 0 else {
            throw IOFailure(operation, path: path, code: Int32(truncatingIfNeeded: 0 - result))
        }
        return result
    }
}
