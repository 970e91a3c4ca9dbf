import FuzzSupport
import VarveFormat

/// A whole block: its header, its small part, its sub-blocks.
@main
struct FuzzBlock {
    static let headerBytes = 176

    static func main() {
        fuzz(mending: mend) { bytes in
            _ = try? decode(bytes)
        }
    }

    /// Whatever the segment is that the header names: the block belongs to it.
    static func mend(_ bytes: inout [UInt8]) {
        guard let segment = bytes.uniqueID(at: 8), let number = bytes.u32(at: 24),
            let small = bytes.u32(at: 36).map(Int.init), let subBlocks = bytes.u32(at: 40)
        else { return }
        bytes.put("VARVEBLK", at: 0)
        var stored = headerBytes + small
        for position in 0..<min(subBlocks, 1_000) {
            let entry = headerBytes + 20 * Int(position)
            guard let length = bytes.u32(at: entry + 8).map(Int.init) else { break }
            bytes.mendChecksum(
                of: stored..<stored + length, at: entry + 16,
                after: Checksum.seed(segment: segment, block: number, part: 2 + position))
            stored += length
        }
        bytes.mendChecksum(
            of: headerBytes..<headerBytes + small, at: 168,
            after: Checksum.seed(segment: segment, block: number, part: 1))
        bytes.mendChecksum(
            of: 0..<172, at: 172, after: Checksum.seed(segment: segment, block: number, part: 0))
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard let segment = Array(bytes.prefix(24)).uniqueID(at: 8) else { return }
        let header = try BlockHeader(decoding: bytes, segment: segment, number: nil)
        guard header.blockLength <= bytes.count else { return }
        let body = UnsafeRawBufferPointer(rebasing: bytes[headerBytes..<headerBytes + Int(header.bodyLength)])
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

    /// The whole of a sub-block, and a part: both must agree.
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
        let dictionary = [UInt8]("{\"a dictionary\":\"of no great length\"}".utf8)
        let (whole, part) = (SubBlockBuffer(), SubBlockBuffer())
        func decoded(_ buffer: SubBlockBuffer, _ wanted: Int) -> UnsafeRawPointer? {
            try? buffer.decode(
                stored: stored, method: subBlock.method, rawBytes: subBlock.rawBytes, wanted: wanted,
                dictionary: dictionary, dictionaryIdentity: 1)
        }
        let wanted = subBlock.rawBytes / 2
        guard let all = decoded(whole, subBlock.rawBytes) else { return }
        let some = decoded(part, wanted)
        require(some != nil, "a part of a good sub-block can be decoded")
        // LZ4 takes a match at distance 0 for good, and then gives whatever its output held before.
        guard let some, subBlock.method == .raw || !hasMatchAtDistanceZero(stored) else { return }
        require(
            UnsafeRawBufferPointer(start: all, count: wanted)
                .elementsEqual(UnsafeRawBufferPointer(start: some, count: wanted)),
            "a part of a sub-block is its beginning")
    }

    /// Whether an LZ4 block, good otherwise, has a match at distance 0.
    static func hasMatchAtDistanceZero(_ block: UnsafeRawBufferPointer) -> Bool {
        var position = 0
        func length(_ nibble: UInt8) -> Int {
            guard nibble == 15 else { return Int(nibble) }
            var sum = 15
            while position < block.count {
                let byte = block[position]
                position += 1
                sum += Int(byte)
                if byte < 255 { break }
            }
            return sum
        }
        while position < block.count {
            let token = block[position]
            position += 1
            position += length(token >> 4)
            guard position + 2 <= block.count else { return false }
            if block[position] == 0, block[position + 1] == 0 { return true }
            position += 2
            _ = length(token & 15)
        }
        return false
    }
}
