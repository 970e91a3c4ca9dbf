import FuzzSupport
import VarveFormat

/// The header of a block alone: what is accepted is written again byte for byte.
@main
struct FuzzBlockHeader {
    static func main() {
        let mutation = structured { BlockBytes.layout(of: Array($0.prefix(BlockBytes.headerBytes))) }
        fuzz(
            allocating: { _ in 64 << 10 }, mutation: mutation, mending: { BlockBytes.mendHeader(&$0) }
        ) { bytes in
            guard let segment = Array(bytes.prefix(24)).uniqueID(at: 8),
                let header = try? BlockHeader(decoding: bytes, segment: segment, number: nil)
            else { return }
            require(
                (try? BlockHeader(decoding: bytes, segment: segment, number: header.number)) == header,
                "a block is found by its number")
            require(
                (try? BlockHeader(decoding: bytes, segment: segment, number: header.number ^ 1)) == nil,
                "a block with another number is refused")
            require(header.nextSequence >= header.firstSequence, "sequence numbers don't overflow")
            var encoded = [UInt8](repeating: 0xFF, count: BlockHeader.byteCount)
            encoded.withUnsafeMutableBytes { header.encode(into: $0) }
            require(bytes.starts(with: encoded), "what was read is written again byte for byte")
        }
    }
}
