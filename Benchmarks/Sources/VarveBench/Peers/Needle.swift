import Foundation

/// The C library's, which Swift's view of it leaves out on Linux.
@_silgen_name("memmem")
private func memmem(
    _ haystack: UnsafeRawPointer?, _ length: Int, _ needle: UnsafeRawPointer?, _ needleLength: Int
) -> UnsafeMutableRawPointer?

/// A text that is looked for in bytes, at the speed of the C library.
struct Needle {
    private let bytes: [UInt8]

    init(_ text: String) { bytes = Array(text.utf8) }

    var count: Int { bytes.count }

    @inline(__always)
    func stands(in haystack: UnsafeRawBufferPointer) -> Bool { place(in: haystack) != nil }

    /// Where it first stands.
    @inline(__always)
    func place(in haystack: UnsafeRawBufferPointer) -> Int? {
        bytes.withUnsafeBufferPointer { needle in
            guard let start = haystack.baseAddress,
                let found = memmem(start, haystack.count, needle.baseAddress, needle.count)
            else { return nil }
            return UnsafeRawPointer(found) - start
        }
    }
}
