import FuzzSupport
import VarveFormat

/// A whole block: its header, its small part, its sub-blocks.
@main
struct FuzzBlock {
    static func main() {
        let mutation = structured { BlockBytes.layout(of: $0) }
        fuzz(
            allocating: allocationOfADecoder, mutation: mutation, mending: { BlockBytes.mend(&$0) }
        ) { bytes in
            _ = try? decode(bytes)
        }
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard let segment = Array(bytes.prefix(24)).uniqueID(at: 8) else { return }
        let header = try BlockHeader(decoding: bytes, segment: segment, number: nil)
        guard header.blockLength <= bytes.count else { return }
        let body = UnsafeRawBufferPointer(
            rebasing: bytes[BlockBytes.headerBytes..<BlockBytes.headerBytes + Int(header.bodyLength)])
        let small = UnsafeRawBufferPointer(rebasing: body[..<Int(header.smallLength)])
        try ControlBlock.verifySmallPart(small, of: header)
        guard header.type == .events else {
            _ = try ControlBlock.decode(small, of: header)
            return
        }
        let columns = EventColumns()
        try columns.load(
            small: small, subBlockCount: Int(header.subBlockCount), eventCount: Int(header.eventCount),
            explicitIndices: header.flags.contains(.explicitIndices), rawBytes: Int(header.rawBytes),
            bodyLength: Int(header.bodyLength), kindCount: Int(header.kindCount))
        var events = 0
        for number in 0..<columns.subBlockCount {
            let subBlock = columns.subBlock(number)
            require(columns.subBlock(containingRow: subBlock.firstRow) >= number, "rows belong to sub-blocks")
            events += subBlock.eventCount
            decode(subBlock, number, in: body, of: header)
        }
        require(events == columns.count, "the sub-blocks hold all events")
    }

    static func decode(
        _ subBlock: EventColumns.SubBlock, _ number: Int, in body: UnsafeRawBufferPointer,
        of header: BlockHeader
    ) {
        let stored = UnsafeRawBufferPointer(
            rebasing: body[subBlock.offset..<subBlock.offset + subBlock.storedBytes])
        guard
            (try? ControlBlock.verifySubBlock(
                stored, number, checksum: subBlock.checksum, segment: header.segment, block: header.number))
                != nil
        else { return }
        compareDecodings(
            of: stored, method: subBlock.method, rawBytes: subBlock.rawBytes, wanted: subBlock.rawBytes / 2,
            dictionary: [UInt8]("{\"a dictionary\":\"of no great length\"}".utf8))
    }
}
