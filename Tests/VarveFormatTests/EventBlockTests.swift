import Testing

@testable import VarveFormat

/// Rows and payloads to encode, with the settings.
private struct Events {
    var rows: [EventRow] = []
    var payload: [UInt8] = []
    var explicitIndices = false
    var settings = EncodingSettings(blockBytes: 256 << 10, subBlockBytes: 16 << 10, level: 1)
    var dictionary: CompressionDictionary?

    mutating func append(_ bytes: [UInt8], timestamp: Int64, kind: UInt32, index: UInt64? = nil) {
        rows.append(
            EventRow(
                timestamp: timestamp, index: index ?? UInt64(rows.count), length: UInt32(bytes.count),
                kind: kind))
        payload += bytes
    }

    func encode(
        into block: EncodedBlock = EncodedBlock(), by encoder: EventBlockEncoder = EventBlockEncoder()
    )
        -> EncodedBlock
    {
        rows.withUnsafeBufferPointer { rows in
            payload.withUnsafeBytes { payload in
                if let start = rows.baseAddress {
                    encoder.encode(
                        rows: start, count: rows.count, payload: payload, explicitIndices: explicitIndices,
                        settings: settings, dictionary: dictionary, into: block)
                }
            }
        }
        return block
    }
}

extension EncodedBlock {
    /// The body, as it would stand in a file, cut off where it ends.
    fileprivate var body: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[Self.headerRoom..<Self.headerRoom + bodyLength])
    }

    fileprivate func load(
        into columns: EventColumns, kindCount: Int = Limits.segmentKindsMax, wanted: Range<Int>? = nil
    ) throws(FormatError) {
        try columns.load(
            small: UnsafeRawBufferPointer(rebasing: body[..<smallLength]), subBlockCount: subBlockCount,
            eventCount: eventCount, explicitIndices: hasExplicitIndices, rawBytes: rawBytes,
            bodyLength: bodyLength,
            kindCount: kindCount, wanted: wanted)
    }

    /// All payloads, decoded.
    fileprivate func payload(_ columns: EventColumns) throws -> [UInt8] {
        let buffer = SubBlockBuffer()
        var payload: [UInt8] = []
        for number in 0..<columns.subBlockCount {
            let subBlock = columns.subBlock(number)
            let stored = body[subBlock.offset..<subBlock.offset + subBlock.storedBytes]
            let bytes = try buffer.decode(
                stored: UnsafeRawBufferPointer(rebasing: stored), method: subBlock.method,
                rawBytes: subBlock.rawBytes, wanted: subBlock.rawBytes, dictionary: dictionary?.bytes,
                dictionaryIdentity: 1)
            payload += UnsafeRawBufferPointer(start: bytes, count: subBlock.rawBytes)
        }
        return payload
    }
}

/// Encodes, decodes and compares everything that a block says.
private func expectRoundTrip(
    _ events: Events, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let block = events.encode()
    let columns = EventColumns()
    try block.load(into: columns)
    let (rows, count) = (events.rows, events.rows.count)
    func check(_ holds: Bool, _ what: Comment) {
        #expect(holds, "\(what) \(comment ?? "")", sourceLocation: sourceLocation)
    }
    check(columns.count == count && block.eventCount == count, "count")
    check(
        rows.map(\.timestamp) == Array(UnsafeBufferPointer(start: columns.timestamps, count: count)),
        "timestamps")
    check(rows.map(\.length) == Array(UnsafeBufferPointer(start: columns.lengths, count: count)), "lengths")
    check(rows.map(\.kind) == Array(UnsafeBufferPointer(start: columns.kinds, count: count)), "kinds")
    check((columns.indices != nil) == events.explicitIndices, "whether there are indices")
    if let indices = columns.indices {
        check(rows.map(\.index) == Array(UnsafeBufferPointer(start: indices, count: count)), "indices")
    }
    check(try block.payload(columns) == events.payload, "payload")
    check(block.rawBytes == events.payload.count, "raw bytes")
    check(block.firstIndex == rows[0].index, "first index")
    check(block.minTimestamp == rows.map(\.timestamp).min(), "least timestamp")
    check(block.maxTimestamp == rows.map(\.timestamp).max(), "greatest timestamp")
    let kinds = Set(rows.map(\.kind)).sorted()
    let many = (kinds.last ?? 0) > 63
    check(block.hasManyKinds == many, "many kinds")
    check(block.kindSet == (many ? .max : kinds.reduce(0) { $0 | 1 << UInt64($1) }), "kind set")
    check(block.kindTally.map(\.kind) == kinds, "tally's kinds")
    let tally = kinds.map { kind in rows.filter { $0.kind == kind } }
    check(block.kindTally.map(\.events) == tally.map { UInt64($0.count) }, "tally's events")
    check(
        block.kindTally.map(\.bytes) == tally.map { $0.reduce(0) { $0 + UInt64($1.length) } }, "tally's bytes"
    )
    check(block.bytes.count % 8 == 0 && block.bytes.count - 176 - block.bodyLength < 8, "padded length")
    check(block.bytes[(176 + block.bodyLength)...].allSatisfy { $0 == 0 }, "padding")
    // The greedy rule, and that each row is found in its sub-block.
    var (number, filled, inside) = (0, 0, 0)
    for (position, row) in rows.enumerated() {
        let length = Int(row.length)
        if inside > 0, filled + length > Int(events.settings.subBlockBytes) {
            (number, filled, inside) = (number + 1, 0, 0)
        }
        filled += length
        inside += 1
        if columns.subBlock(containingRow: position) != number {
            check(false, "row \(position) is in sub-block \(columns.subBlock(containingRow: position))")
            return
        }
    }
    check(columns.subBlockCount == number + 1 && block.subBlockCount == number + 1, "sub-blocks")
    let middle = count / 2
    for wanted in [0..<1, count - 1..<count, middle..<count, middle / 2..<middle + 1, middle..<middle] {
        let columns = EventColumns()
        let kindCount = Int(rows.map(\.kind).max() ?? 0) + 1
        try block.load(into: columns, kindCount: kindCount, wanted: wanted)
        func same<Value: Equatable>(_ values: UnsafeMutablePointer<Value>, _ field: (EventRow) -> Value)
            -> Bool
        {
            wanted.allSatisfy { values[$0] == field(rows[$0]) }
        }
        check(
            columns.count == count && same(columns.timestamps, \.timestamp) && same(columns.kinds, \.kind)
                && same(columns.lengths, \.length) && columns.indices.map { same($0, \.index) } ?? true,
            "rows \(wanted) alone")
        guard let row = wanted.first else { continue }
        // Where the first one's payload is.
        let part = columns.subBlock(columns.subBlock(containingRow: row))
        check((part.firstRow..<row).allSatisfy { columns.lengths[$0] == rows[$0].length }, "lengths before")
    }
}

/// Text that repeats itself, like events do.
private func text(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
        bytes += Array(
            "{\"user\":\(Int.random(in: 0..<999, using: &generator)),\"action\":\"open\",\"ok\":true}".utf8)
    }
    return Array(bytes.prefix(count))
}

private func noise(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
}

@Suite("Events blocks")
struct EventBlockTests {
    @Test(
        "Random events come back, of all sizes and at all levels", arguments: [0, 1, 3, 9, 12] as [Int32],
        0..<6)
    func random(level: Int32, round: Int) throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        var events = Events()
        events.settings.level = level
        events.settings.subBlockBytes = [0, 1, 100, 1000, 16 << 10, .max][round]
        events.explicitIndices = Bool.random(using: &generator)
        if Bool.random(using: &generator) {
            events.dictionary = CompressionDictionary(text(3000, &generator), level: level)
        }
        for _ in 0..<Int.random(in: 1...300, using: &generator) {
            let size = Int.random(
                in: 0...[0, 10, 300, 2000][Int.random(in: 0...3, using: &generator)], using: &generator)
            let bytes =
                Int.random(in: 0...9, using: &generator) == 0
                ? noise(size, &generator) : text(size, &generator)
            events.append(
                bytes, timestamp: Int64.random(in: .min ... .max, using: &generator) >> 20,
                kind: UInt32.random(in: 0...(round == 3 ? 300 : 9), using: &generator),
                index: events.explicitIndices ? generator.next() : nil)
        }
        try expectRoundTrip(events, "seed \(seed)")
    }

    @Test("Events without payload make a block without stored bytes")
    func empty() throws {
        var events = Events()
        for position in 0..<10 { events.append([], timestamp: Int64(position), kind: 0) }
        try expectRoundTrip(events)
        let block = events.encode()
        #expect(block.bodyLength == block.smallLength && block.subBlockCount == 1)
    }

    @Test("A block of 65,536 tiny events comes back")
    func most() throws {
        var events = Events()
        for position in 0..<65_536 {
            events.append(
                [UInt8(position & 0xFF)], timestamp: Int64(position) * 1000, kind: UInt32(position % 3))
        }
        try expectRoundTrip(events)
    }

    @Test("A payload larger than a sub-block stands alone")
    func large() throws {
        var generator = SeededGenerator(7)
        var events = Events()
        events.append(text(10, &generator), timestamp: 3, kind: 0)
        events.append(text(5 << 20, &generator), timestamp: 1, kind: 1)
        events.append(text(10, &generator), timestamp: 2, kind: 2)
        try expectRoundTrip(events)
        #expect(events.encode().subBlockCount == 3)
    }

    @Test(
        "A payload of more than 1 MiB goes without the dictionary that the others use",
        arguments: [1, 9] as [Int32])
    func largeBesideDictionary(level: Int32) throws {
        var generator = SeededGenerator(12)
        var events = Events()
        events.settings.level = level
        events.dictionary = CompressionDictionary(text(20_000, &generator), level: level)
        for size in [400, 1 << 20, (1 << 20) + 1, 400, 600_000] {
            events.append(text(size, &generator), timestamp: 0, kind: 0)
        }
        events.settings.subBlockBytes = 1
        try expectRoundTrip(events)
        let columns = EventColumns()
        try events.encode().load(into: columns)
        #expect(
            (0..<5).map { columns.subBlock($0).method }
                == [.lz4WithDictionary, .lz4WithDictionary, .lz4, .lz4WithDictionary, .lz4WithDictionary])
    }

    @Test("What does not compress is stored as it is, and needs no dictionary")
    func incompressible() throws {
        var generator = SeededGenerator(8)
        var events = Events()
        events.dictionary = CompressionDictionary(text(3000, &generator), level: 1)
        for position in 0..<40 { events.append(noise(1000, &generator), timestamp: Int64(position), kind: 0) }
        try expectRoundTrip(events)
        let block = events.encode()
        #expect(block.bodyLength == block.smallLength + 40_000 && block.dictionary == nil)
    }

    @Test("Explicit indices reach from 0 to the greatest")
    func indices() throws {
        var events = Events()
        events.explicitIndices = true
        for index in [.max, 0, 1 << 63, .max - 1] as [UInt64] {
            events.append([1], timestamp: 0, kind: 0, index: index)
        }
        try expectRoundTrip(events)
    }

    @Test("Kinds up to the last id of a segment come back")
    func manyKinds() throws {
        var events = Events()
        for kind in [63, 64, 0, 65_534, 64] as [UInt32] { events.append([9, 9], timestamp: 0, kind: kind) }
        try expectRoundTrip(events)
    }

    @Test("One encoder and one block serve big and small blocks in turn, and give the same bytes")
    func reuse() throws {
        var generator = SeededGenerator(9)
        let (encoder, block, columns) = (EventBlockEncoder(), EncodedBlock(), EventColumns())
        var wanted: [[UInt8]: [UInt8]] = [:]
        var batches: [Events] = []
        for size in [1, 400, 3, 2000] {
            var events = Events()
            for position in 0..<size {
                events.append(text(100, &generator), timestamp: Int64(position), kind: UInt32(position % 200))
            }
            batches.append(events)
            let block = events.encode()
            wanted[events.payload] = [UInt8](block.body)
        }
        for events in batches + batches.reversed() {
            let encoded = events.encode(into: block, by: encoder)
            #expect([UInt8](encoded.body) == wanted[events.payload])
            #expect(encoded.kindTally.reduce(0) { $0 + $1.events } == UInt64(events.rows.count))
            try encoded.load(into: columns)
            #expect(try encoded.payload(columns) == events.payload)
        }
    }

    @Test("A header says what its block holds, and leaves the block's place alone", arguments: [false, true])
    func header(explicitIndices: Bool) {
        var generator = SeededGenerator(11)
        var events = Events()
        events.explicitIndices = explicitIndices
        events.dictionary = CompressionDictionary(text(5000, &generator), level: 1)
        for position in 0..<20 {
            events.append(
                text(300, &generator), timestamp: Int64(position), kind: explicitIndices ? 70 : 3,
                index: explicitIndices ? 900 : nil)
        }
        let block = events.encode()
        let header = BlockHeader(events: block)
        let flags: BlockFlags = [.usesDictionary, .explicitIndices, .manyKinds]
        #expect(header.flags == (explicitIndices ? flags : .usesDictionary))
        #expect(header.type == .events && header.eventCount == 20 && header.rawBytes == 6000)
        #expect(Int(header.bodyLength) == block.bodyLength && Int(header.smallLength) == block.smallLength)
        #expect(header.blockLength == block.bytes.count && Int(header.subBlockCount) == block.subBlockCount)
        #expect(header.minTimestamp == 0 && header.maxTimestamp == 19)
        #expect(header.kindSet == (explicitIndices ? .max : 1 << 3))
        #expect(header.firstIndex == (explicitIndices ? 900 : 0))
        // A header whose place was filled in before keeps it.
        var placed = BlockHeader(type: .events)
        (placed.number, placed.epoch, placed.firstSequence, placed.firstIndex) = (4, 5, 6, 7)
        placed.setContents(block)
        #expect(placed.number == 4 && placed.epoch == 5 && placed.firstSequence == 6)
        #expect(placed.firstIndex == (explicitIndices ? 900 : 7))
    }

    @Test("Sealing puts each part's seeded checksum where the specification says")
    func checksums() throws {
        var generator = SeededGenerator(10)
        var events = Events()
        for position in 0..<300 { events.append(text(200, &generator), timestamp: Int64(position), kind: 0) }
        let block = events.encode()
        let segment = UniqueID(low: 1, high: 2)
        // Twice: sealing again for another place must not depend on the first.
        _ = block.sealChecksums(segment: UniqueID(low: 3, high: 4), number: 1)
        let small = block.sealChecksums(segment: segment, number: 5)
        func crc(_ part: UInt32, _ range: Range<Int>) -> UInt32 {
            let seed = segment.bytes + [5, 0, 0, 0] + [UInt8(part), 0, 0, 0]
            return (seed + block.body[range]).withUnsafeBytes { Checksum.crc($0) }
        }
        #expect(small == crc(1, 0..<block.smallLength))
        let columns = EventColumns()
        try block.load(into: columns)
        #expect(columns.subBlockCount == 4)
        for number in 0..<columns.subBlockCount {
            let subBlock = columns.subBlock(number)
            let range = subBlock.offset..<subBlock.offset + subBlock.storedBytes
            #expect(subBlock.checksum == crc(2 + UInt32(number), range))
        }
    }

    @Test("Rows in memory load as one raw sub-block")
    func rows() {
        var events = Events()
        for position in 0..<5000 { events.append([1, 2], timestamp: Int64(position), kind: 4, index: .max) }
        let columns = EventColumns()
        events.rows.withUnsafeBufferPointer { rows in
            if let start = rows.baseAddress {
                columns.load(rows: start, count: rows.count, explicitIndices: true)
            }
        }
        #expect(columns.count == 5000 && columns.subBlockCount == 1 && columns.indices?[4999] == .max)
        #expect(columns.timestamps[4999] == 4999 && columns.lengths[4999] == 2 && columns.kinds[4999] == 4)
        let subBlock = columns.subBlock(columns.subBlock(containingRow: 4999))
        #expect(subBlock.rawBytes == 10_000 && subBlock.method == .raw && subBlock.offset == 0)
        events.rows.withUnsafeBufferPointer { rows in
            if let start = rows.baseAddress { columns.load(rows: start, count: 3, explicitIndices: false) }
        }
        #expect(columns.count == 3 && columns.indices == nil)
    }

    @Test("Header fields that disagree with the small part are refused, and nothing stays loaded")
    func disagreement() throws {
        var events = Events()
        events.settings.subBlockBytes = 10
        for position in 0..<9 {
            events.append([1, 2, 3], timestamp: Int64(position), kind: UInt32(position % 5))
        }
        let block = events.encode()
        let columns = EventColumns()
        let small = UnsafeRawBufferPointer(rebasing: block.body[..<block.smallLength])
        typealias Header = (subBlocks: Int, events: Int, explicit: Bool, raw: Int, body: Int, kinds: Int)
        let right: Header = (block.subBlockCount, 9, false, 27, block.bodyLength, 5)
        var wrong: [Header] = Array(repeating: right, count: 14)
        wrong[0].subBlocks += 1
        wrong[1].subBlocks -= 1
        wrong[2].events += 1
        wrong[3].events -= 1
        wrong[4].explicit = true
        wrong[5].raw += 1
        wrong[6].body += 1
        wrong[7].kinds -= 1
        wrong[8].events = 0
        wrong[9].events = .max
        wrong[10].subBlocks = .max
        wrong[11].kinds = 0
        wrong[12].raw = -1
        wrong[13].body = .min
        func load(_ header: Header) throws(FormatError) {
            try columns.load(
                small: small, subBlockCount: header.subBlocks, eventCount: header.events,
                explicitIndices: header.explicit, rawBytes: header.raw, bodyLength: header.body,
                kindCount: header.kinds)
        }
        for header in wrong {
            try load(right)
            #expect(columns.count == 9)
            #expect(throws: FormatError.self, "\(header)") { try load(header) }
            #expect(columns.count == 0 && columns.subBlockCount == 0)
        }
    }

    @Test("A small part with random damage is refused or loads events that agree with its directory")
    func hostile() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        var events = Events()
        events.settings.subBlockBytes = 500
        for position in 0..<60 {
            events.append(
                text(Int.random(in: 0...90, using: &generator), &generator), timestamp: Int64(position) * 77,
                kind: UInt32(position % 7))
        }
        let block = events.encode()
        let original = [UInt8](block.body[..<block.smallLength])
        let columns = EventColumns()
        var refused = 0
        for round in 0..<4000 {
            var small = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                small[Int.random(in: 0..<small.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0...7, using: &generator)
            }
            if round % 5 == 0 { small.removeLast(Int.random(in: 1...small.count, using: &generator)) }
            let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: small.count, alignment: 1)
            defer { exact.deallocate() }
            exact.copyBytes(from: small)
            do throws(FormatError) {
                try columns.load(
                    small: UnsafeRawBufferPointer(exact), subBlockCount: block.subBlockCount, eventCount: 60,
                    explicitIndices: false, rawBytes: block.rawBytes, bodyLength: block.bodyLength,
                    kindCount: 7)
            } catch {
                refused += 1
                continue
            }
            for number in 0..<columns.subBlockCount {
                let subBlock = columns.subBlock(number)
                let rows = subBlock.firstRow..<subBlock.firstRow + subBlock.eventCount
                #expect(rows.reduce(0) { $0 + Int(columns.lengths[$1]) } == subBlock.rawBytes, "seed \(seed)")
                #expect(rows.allSatisfy { columns.kinds[$0] < 7 }, "seed \(seed)")
                #expect(subBlock.offset + subBlock.storedBytes <= block.bodyLength, "seed \(seed)")
            }
        }
        #expect(refused > 1000 && refused < 4000, "seed \(seed)")
    }
}

@Suite("Directory entries of sub-blocks")
struct SubBlockDirectoryEntryTests {
    private static let valid: [UInt8] = [1, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 4, 3, 2, 1]

    @Test("An entry has the 20 bytes that the specification gives it")
    func bytes() throws {
        let entry = SubBlockDirectoryEntry(
            eventCount: 1, rawBytes: 9, storedBytes: 7, method: .lz4, checksum: 0x0102_0304)
        var bytes = [UInt8](repeating: 0xFF, count: SubBlockDirectoryEntry.byteCount)
        bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { entry.encode(into: start) } }
        #expect(bytes == Self.valid)
        #expect(try decoded(bytes) == entry)
    }

    @Test(
        "Damaged entries are refused",
        arguments: [(12, 3), (12, 0), (13, 1), (14, 1), (15, 1), (7, 9), (3, 1)] as [(Int, UInt8)])
    func damage(offset: Int, value: UInt8) {
        var bytes = Self.valid
        bytes[offset] = value
        #expect(throws: FormatError.self) { try decoded(bytes) }
        #expect(throws: FormatError.self) { try decoded(Array(Self.valid.prefix(offset))) }
    }

    private func decoded(_ bytes: [UInt8]) throws(FormatError) -> SubBlockDirectoryEntry {
        let result: Result<SubBlockDirectoryEntry, FormatError> = bytes.withUnsafeBytes { raw in
            do throws(FormatError) { return .success(try SubBlockDirectoryEntry(decoding: raw)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
