import CPOSIX

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Owns mapped memory: it is unmapped when the object ends.
// SAFETY: both properties are constants; the memory's contents are shared by nature, as the protocols'
// comments say.
final class Mapping: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let count: Int

    /// Whether the system brings pages in on request, and reports errors instead of raising signals. Asked
    /// once.
    static let canPopulate = varve_posix_can_populate()
    private static let pageByteCount = Int(varve_posix_page_size())

    /// Takes over memory that was mapped from `base`, which is page-aligned, for `count` bytes.
    init(base: UnsafeMutableRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    deinit {
        varve_posix_unmap(base, count)
    }

    func contains(_ range: Range<Int>) -> Bool {
        range.lowerBound >= 0 && range.upperBound <= count
    }

    /// Brings in every page that the range touches. Returns the `errno` of a failure.
    func populate(_ range: Range<Int>, writable: Bool = false) -> Int32? {
        guard contains(range) else { return EFAULT }
        guard !range.isEmpty else { return nil }
        let start = range.lowerBound / Mapping.pageByteCount * Mapping.pageByteCount
        // SAFETY: the range was checked; the system rounds the end up to a page, which is mapped if its first
        // byte is.
        let result = varve_posix_populate(base + start, range.upperBound - start, writable)
        return result < 0 ? -result : nil
    }
}

/// A read-only mapping of ``POSIXFileSystem``.
final class POSIXMappedRegion: MappedRegion {
    private let path: String
    private let mapping: Mapping

    init(path: String, mapping: Mapping) {
        self.path = path
        self.mapping = mapping
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: mapping.base, count: mapping.count) }

    var canPopulate: Bool { Mapping.canPopulate }

    func populate(_ range: Range<Int>) throws(IOFailure) {
        if let code = mapping.populate(range) { throw IOFailure(.populate, path: path, code: code) }
    }
}

/// A writable mapping of ``POSIXFileSystem``.
final class POSIXWritableRegion: WritableRegion {
    private let mapping: Mapping

    init(mapping: Mapping) {
        self.mapping = mapping
    }

    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: mapping.base, count: mapping.count)
    }
}
