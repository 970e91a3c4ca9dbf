import FuzzSupport
import VarveFormat

/// The header of a segment with its sections.
@main
struct FuzzSegmentHeader {
    static func main() {
        fuzz(mending: mend) { bytes in
            guard let header = try? SegmentHeader(decoding: bytes) else { return }
            let encoded = header.encode()
            let again = encoded.withUnsafeBytes { try? SegmentHeader(decoding: $0) }
            require(again == header, "what was read can be written and read again")
        }
    }

    static func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 152, let segment = bytes.uniqueID(at: 48) else { return }
        bytes.put("VARVESEG", at: 0)
        bytes.put(UInt32(bytes.count & ~7), at: 12)
        bytes.mendSections(from: 152, owner: segment)
        bytes.mendChecksum(of: 0..<148, at: 148)
    }
}
