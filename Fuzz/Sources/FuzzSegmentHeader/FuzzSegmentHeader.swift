import FuzzSupport
import VarveFormat

/// The header of a segment with its sections.
@main
struct FuzzSegmentHeader {
    static func main() {
        fuzz(
            allocating: allocationOfADecoder, mutation: structured(SegmentHeaderBytes.layout), mending: mend
        ) { bytes in
            guard let header = try? SegmentHeader(decoding: bytes) else { return }
            let encoded = header.encode()
            let again = encoded.withUnsafeBytes { try? SegmentHeader(decoding: $0) }
            require(again == header, "what was read can be written and read again")
        }
    }

    /// The input is a header and nothing else.
    static func mend(_ bytes: inout [UInt8]) {
        bytes.put(UInt32(bytes.count & ~7), at: 12)
        SegmentHeaderBytes.mend(&bytes)
    }
}
