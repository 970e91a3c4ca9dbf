import FuzzSupport
import VarveFormat

/// The small part of an events block: directory and columns.
///
/// An input looks like a block, and no checksum of it counts. What the library reads is compared with what the
/// specification says, worked out bit by bit, and then encoded and read again.
@main
struct FuzzSmallColumn {
    /// The fields of a header that loading needs.
    struct Fields {
        var small: Range<Int>
        var bodyLength: Int
        var subBlocks: Int
        var events: Int
        var rawBytes: Int
        var kinds: Int
        var explicitIndices: Bool

        init?(_ bytes: [UInt8]) {
            guard bytes.count >= BlockBytes.headerBytes else { return nil }
            func field(_ offset: Int) -> Int { Int(bytes.u32(at: offset) ?? 0) }
            let start = BlockBytes.headerBytes
            small = start..<start + min(field(36), bytes.count - start)
            bodyLength = field(32)
            subBlocks = field(40)
            events = field(44)
            rawBytes = field(160)
            kinds = field(164)
            explicitIndices = bytes[29] & 4 != 0
        }
    }

    static func main() {
        let mutation = structured { BlockBytes.layout(of: $0) }
        // The encoder counts events by kind, of which there may be 65,535.
        fuzz(allocating: { 256 * $0 + (4 << 20) }, mutation: mutation, mending: mend) { bytes in
            let bytes = Array(bytes)
            guard let fields = Fields(bytes) else { return }
            let columns = EventColumns()
            let isLoaded = load(columns, bytes[fields.small], fields)
            let expected = read(bytes[fields.small], fields)
            require(isLoaded == (expected != nil), "the library takes what the specification does")
            guard isLoaded, let expected else { return }
            compare(columns, expected, fields)
            encodeAgain(columns, expected, fields)
        }
    }

    static func load(_ columns: EventColumns, _ small: ArraySlice<UInt8>, _ fields: Fields) -> Bool {
        // A buffer of exactly this size, so that AddressSanitizer sees the first byte beyond it.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: small.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: small)
        do throws(FormatError) {
            try columns.load(
                small: UnsafeRawBufferPointer(copy), subBlockCount: fields.subBlocks,
                eventCount: fields.events, explicitIndices: fields.explicitIndices,
                rawBytes: fields.rawBytes, bodyLength: fields.bodyLength, kindCount: fields.kinds)
            return true
        } catch {
            require(columns.count == 0 && columns.subBlockCount == 0, "nothing is held of what is refused")
            return false
        }
    }

    // MARK: By the specification

    struct Expected {
        var timestamps: [Int64] = []
        var lengths: [Int64] = []
        var kinds: [Int64] = []
        var indices: [Int64] = []
        var subBlockEvents: [Int] = []
    }

    static func read(_ small: ArraySlice<UInt8>, _ fields: Fields) -> Expected? {
        guard (1...65_536).contains(fields.events), (1...65_535).contains(fields.kinds),
            fields.subBlocks <= 65_536, fields.rawBytes <= 128 << 20, fields.bodyLength <= 256 << 20,
            fields.subBlocks * BlockBytes.entryBytes <= small.count
        else { return nil }
        let bytes = Array(small)
        var expected = Expected()
        var (rawBytes, stored) = (0, bytes.count)
        var subBlocks: [Int] = []
        for entry in stride(from: 0, to: fields.subBlocks * BlockBytes.entryBytes, by: BlockBytes.entryBytes)
        {
            guard let events = bytes.u32(at: entry).map(Int.init), events <= 65_536,
                let raw = bytes.u32(at: entry + 4).map(Int.init), raw <= 128 << 20,
                let length = bytes.u32(at: entry + 8).map(Int.init), bytes[entry + 12] <= 2,
                bytes[entry + 13..<entry + 16].allSatisfy({ $0 == 0 }),
                bytes[entry + 12] != 0 || raw == length
            else { return nil }
            expected.subBlockEvents.append(events)
            subBlocks.append(raw)
            rawBytes += raw
            stored += length
        }
        guard expected.subBlockEvents.reduce(0, +) == fields.events, rawBytes == fields.rawBytes,
            stored == fields.bodyLength
        else { return nil }
        var position = fields.subBlocks * BlockBytes.entryBytes
        func column(_ range: ClosedRange<Int64>) -> [Int64]? {
            let values = ReferenceColumn.decode(bytes[...], at: &position, count: fields.events)
            return values.flatMap { $0.allSatisfy(range.contains) ? $0 : nil }
        }
        guard let timestamps = column(.min ... .max), let lengths = column(0...64 << 20),
            let kinds = column(0...Int64(fields.kinds - 1))
        else { return nil }
        (expected.timestamps, expected.lengths, expected.kinds) = (timestamps, lengths, kinds)
        if fields.explicitIndices {
            guard let indices = column(.min ... .max) else { return nil }
            expected.indices = indices
        }
        guard position == bytes.count else { return nil }
        var row = 0
        for (events, raw) in zip(expected.subBlockEvents, subBlocks) {
            guard lengths[row..<row + events].reduce(0, +) == raw else { return nil }
            row += events
        }
        return expected
    }

    static func compare(_ columns: EventColumns, _ expected: Expected, _ fields: Fields) {
        require(columns.count == fields.events, "all events are there")
        require(columns.subBlockCount == fields.subBlocks, "all sub-blocks are there")
        require(
            (columns.indices != nil) == fields.explicitIndices, "indices are there when they are explicit")
        for row in 0..<columns.count {
            require(columns.timestamps[row] == expected.timestamps[row], "a timestamp is as specified")
            require(Int64(columns.lengths[row]) == expected.lengths[row], "a length is as specified")
            require(Int64(columns.kinds[row]) == expected.kinds[row], "a kind is as specified")
            if let indices = columns.indices {
                require(
                    indices[row] == UInt64(bitPattern: expected.indices[row]) ^ 1 << 63,
                    "an index is as specified")
            }
        }
        var row = 0
        for (number, events) in expected.subBlockEvents.enumerated() {
            require(columns.subBlock(number).firstRow == row, "a sub-block starts where the one before ends")
            if events > 0 {
                require(columns.subBlock(containingRow: row) == number, "a row is found in its sub-block")
                require(
                    columns.subBlock(containingRow: row + events - 1) == number,
                    "a row is found in its sub-block")
            }
            row += events
        }
    }

    /// What was read is encoded, and read again: equal, whatever the sub-blocks are then.
    static func encodeAgain(_ columns: EventColumns, _ expected: Expected, _ fields: Fields) {
        guard fields.rawBytes <= 64 << 10 else { return }
        let rows = (0..<columns.count).map { row in
            EventRow(
                timestamp: columns.timestamps[row], index: columns.indices?[row] ?? 0,
                length: columns.lengths[row], kind: columns.kinds[row])
        }
        let block = EncodedBlock()
        let payload = [UInt8](repeating: 0x61, count: fields.rawBytes)
        payload.withUnsafeBytes { payload in
            rows.withUnsafeBufferPointer { rows in
                guard let start = rows.baseAddress else { return }
                EventBlockEncoder().encode(
                    rows: start, count: rows.count, payload: payload, explicitIndices: fields.explicitIndices,
                    settings: EncodingSettings(blockBytes: 1 << 20, subBlockBytes: 1 << 10, level: 0),
                    dictionary: nil, into: block)
            }
        }
        let small = block.bytes[EncodedBlock.headerRoom..<EncodedBlock.headerRoom + block.smallLength]
        let again = EventColumns()
        do throws(FormatError) {
            try again.load(
                small: UnsafeRawBufferPointer(rebasing: small), subBlockCount: block.subBlockCount,
                eventCount: block.eventCount, explicitIndices: block.hasExplicitIndices,
                rawBytes: block.rawBytes, bodyLength: block.bodyLength, kindCount: fields.kinds)
        } catch {
            require(false, "what was read and encoded again can be read")
        }
        require(again.count == rows.count, "as many events come back")
        for (row, event) in rows.enumerated() {
            require(
                again.timestamps[row] == event.timestamp && again.lengths[row] == event.length
                    && again.kinds[row] == event.kind && again.indices?[row] ?? 0 == event.index,
                "an event comes back as it was")
        }
    }

    // MARK: Mending

    /// The sums of directory and header are made to agree with the columns, as far as those can be read.
    static func mend(_ bytes: inout [UInt8]) {
        guard let fields = Fields(bytes), (1...65_536).contains(fields.events),
            fields.subBlocks * BlockBytes.entryBytes <= fields.small.count
        else { return }
        var position = fields.small.lowerBound + fields.subBlocks * BlockBytes.entryBytes
        let small = bytes[fields.small]
        guard ReferenceColumn.decode(small, at: &position, count: fields.events) != nil,
            let lengths = ReferenceColumn.decode(small, at: &position, count: fields.events),
            lengths.allSatisfy({ (0...64 << 20).contains($0) }),
            ReferenceColumn.decode(small, at: &position, count: fields.events) != nil
        else { return }
        if bytes[29] & 4 != 0 {
            _ = ReferenceColumn.decode(small, at: &position, count: fields.events)
        }
        bytes.put(UInt32(position - fields.small.lowerBound), at: 36)
        var (row, rawBytes, body) = (0, 0, position - fields.small.lowerBound)
        for number in 0..<fields.subBlocks {
            let entry = fields.small.lowerBound + BlockBytes.entryBytes * number
            let left = fields.events - row
            let events =
                number == fields.subBlocks - 1 ? left : min(Int(bytes.u32(at: entry) ?? 0), left)
            let raw = lengths[row..<row + events].reduce(0, +)
            bytes.put(UInt32(events), at: entry)
            bytes.put(UInt32(clamping: raw), at: entry + 4)
            if bytes[entry + 12] == 0 { bytes.put(UInt32(clamping: raw), at: entry + 8) }
            row += events
            rawBytes += Int(raw)
            body += Int(bytes.u32(at: entry + 8) ?? 0)
        }
        bytes.put(UInt32(clamping: rawBytes), at: 160)
        bytes.put(UInt32(clamping: body), at: 32)
    }
}
