@testable import VarveFormat

/// A whole block for a golden vector.
struct BlockVector: Sendable {
    var name: String
    var bytes: [UInt8]
    var header: BlockHeader
    /// The members that follow the header.
    var members: [JSON.Member]
    /// Of the segment; nil when it has none.
    var dictionary: [UInt8]?

    var json: JSON { meaning(header, members) }

    private func meaning(_ header: BlockHeader, _ members: [JSON.Member]) -> JSON {
        .object(
            [JSON.Member(key: "header", value: header.json(checksum: false))] + members
                + (dictionary.map { [JSON.Member(key: "uses_dictionary", value: .hex($0))] } ?? []))
    }

    /// What a block's bytes mean, all of them verified.
    func read(_ bytes: [UInt8]) throws -> JSON {
        let header = try bytes.withUnsafeBytes {
            try BlockHeader(decoding: $0, segment: self.header.segment, number: self.header.number)
        }
        guard bytes.count == header.blockLength else { throw FormatError.truncated("a block") }
        let start = BlockHeader.byteCount
        let body = Array(bytes[start..<start + Int(header.bodyLength)])
        let padding = header.type == .padding ? bytes[start...] : bytes[(start + body.count)...]
        guard padding.allSatisfy({ $0 == 0 }) else {
            throw FormatError.invalid("a block", reason: "its padding")
        }
        let small = Array(body[..<Int(header.smallLength)])
        try small.withUnsafeBytes { try ControlBlock.verifySmallPart($0, of: header) }
        if header.type == .events { return meaning(header, try readEvents(header, small, body)) }
        return meaning(header, try readControl(header, small, body))
    }

    private func readEvents(_ header: BlockHeader, _ small: [UInt8], _ body: [UInt8]) throws -> [JSON.Member]
    {
        let columns = EventColumns()
        try small.withUnsafeBytes {
            try columns.load(
                small: $0, subBlockCount: Int(header.subBlockCount), eventCount: Int(header.eventCount),
                explicitIndices: header.flags.contains(.explicitIndices), rawBytes: Int(header.rawBytes),
                bodyLength: Int(header.bodyLength), kindCount: Int(header.kindCount))
        }
        let (count, buffer) = (columns.count, SubBlockBuffer())
        var payloads: [JSON] = []
        for number in 0..<columns.subBlockCount {
            let subBlock = columns.subBlock(number)
            let raw = try body[subBlock.offset..<subBlock.offset + subBlock.storedBytes].withUnsafeBytes {
                try ControlBlock.verifySubBlock(
                    $0, number, checksum: subBlock.checksum, segment: header.segment, block: header.number)
                let raw = try buffer.decode(
                    stored: $0, method: subBlock.method, rawBytes: subBlock.rawBytes,
                    wanted: subBlock.rawBytes,
                    dictionary: dictionary, dictionaryIdentity: 1)
                return Array(UnsafeRawBufferPointer(start: raw, count: subBlock.rawBytes))
            }
            var start = 0
            for row in subBlock.firstRow..<subBlock.firstRow + subBlock.eventCount {
                payloads.append(.hex(raw[start..<start + Int(columns.lengths[row])]))
                start += Int(columns.lengths[row])
            }
        }
        let rows = UInt64(0)..<UInt64(count)
        return BlockVector.events(
            sequences: rows.map { header.firstSequence + $0 },
            timestamps: Array(UnsafeBufferPointer(start: columns.timestamps, count: count)),
            kinds: Array(UnsafeBufferPointer(start: columns.kinds, count: count)),
            indices: columns.indices.map { Array(UnsafeBufferPointer(start: $0, count: count)) }
                ?? rows.map { header.firstIndex + $0 }, payloads: payloads)
    }

    private func readControl(_ header: BlockHeader, _ small: [UInt8], _ body: [UInt8]) throws -> [JSON.Member]
    {
        var start = small.count
        func content(_ entry: SubBlockDirectoryEntry, _ position: Int) throws -> JSON {
            defer { start += Int(entry.storedBytes) }
            return try body[start..<start + Int(entry.storedBytes)].withUnsafeBytes {
                try ControlBlock.verifySubBlock(
                    $0, position, checksum: entry.checksum, segment: header.segment, block: header.number)
                return .hex(
                    try LZ4Block.decompress(
                        $0, method: entry.method, rawBytes: Int(entry.rawBytes), dictionary: dictionary))
            }
        }
        switch try small.withUnsafeBytes({ try ControlBlock.decode($0, of: header) }) {
        case .checkpoint(let record, let state):
            return [
                .init(key: "record", value: record.json), .init(key: "state", value: try content(state, 0)),
            ]
        case .sessionBegin(let record): return [.init(key: "record", value: record.json)]
        case .sessionEnd(let record): return [.init(key: "record", value: record.json)]
        case .ledger(let records): return [.init(key: "records", value: .list(records, \.json))]
        case .dictionary(let first, let copy):
            let bytes = try content(first, 0)
            guard try content(copy, 1) == bytes else {
                throw FormatError.invalid("a dictionary", reason: "its copy")
            }
            return [.init(key: "dictionary", value: bytes)]
        case .kinds(let kinds): return [.init(key: "definitions", value: .list(kinds, \.json))]
        case .padding: return []
        }
    }

    private static func events(
        sequences: [UInt64], timestamps: [Int64], kinds: [UInt32], indices: [UInt64], payloads: [JSON]
    ) -> [JSON.Member] {
        [
            .init(key: "sequences", value: .list(sequences, JSON.int)),
            .init(key: "timestamps", value: .list(timestamps, JSON.int)),
            .init(key: "kinds", value: .list(kinds, JSON.int)),
            .init(key: "indices", value: .list(indices, JSON.int)),
            .init(key: "payloads", value: .array(payloads)),
        ]
    }

    private struct Event {
        var timestamp: Int64
        var kind: UInt32 = 0
        var index: UInt64 = 0
        var payload: [UInt8] = []
    }

    private static func events(
        _ name: String, _ given: BlockHeader, _ events: [Event], explicitIndices: Bool = false,
        dictionary: [UInt8]? = nil
    ) -> BlockVector {
        let rows = events.enumerated().map { position, event in
            EventRow(
                timestamp: event.timestamp,
                index: explicitIndices ? event.index : given.firstIndex + UInt64(position),
                length: UInt32(event.payload.count), kind: event.kind)
        }
        let block = EncodedBlock()
        rows.withUnsafeBufferPointer { rows in
            events.flatMap(\.payload).withUnsafeBytes { payload in
                guard let start = rows.baseAddress else { return }
                EventBlockEncoder().encode(
                    rows: start, count: rows.count, payload: payload, explicitIndices: explicitIndices,
                    settings: EncodingSettings(blockBytes: 4096, subBlockBytes: 256, level: 1),
                    dictionary: dictionary.map { CompressionDictionary($0, level: 9) }, into: block)
            }
        }
        var header = given
        if block.hasManyKinds { header.flags.insert(.manyKinds) }
        if block.hasExplicitIndices { header.flags.insert(.explicitIndices) }
        if block.dictionary != nil { header.flags.insert(.usesDictionary) }
        header.bodyLength = UInt32(block.bodyLength)
        header.smallLength = UInt32(block.smallLength)
        header.subBlockCount = UInt32(block.subBlockCount)
        header.eventCount = UInt32(block.eventCount)
        header.firstIndex = block.firstIndex
        (header.minTimestamp, header.maxTimestamp) = (block.minTimestamp, block.maxTimestamp)
        header.kindSet = block.kindSet
        header.rawBytes = UInt32(block.rawBytes)
        header.smallChecksum = block.sealChecksums(segment: header.segment, number: header.number)
        header.encode(into: block.bytes)
        return BlockVector(
            name: name, bytes: Array(block.bytes), header: header,
            members: BlockVector.events(
                sequences: rows.indices.map { header.firstSequence + UInt64($0) },
                timestamps: rows.map(\.timestamp), kinds: rows.map(\.kind), indices: rows.map(\.index),
                payloads: events.map { .hex($0.payload) }), dictionary: dictionary)
    }

    private static func control(
        _ name: String, _ header: BlockHeader, _ members: [JSON.Member],
        subBlocks: [ControlBlock.SubBlock] = [], _ record: (inout ByteWriter) -> Void = { _ in }
    ) -> BlockVector {
        var writer = ByteWriter()
        record(&writer)
        let (stored, bytes) = ControlBlock.assemble(header, record: writer.bytes, subBlocks: subBlocks)
        return BlockVector(name: name, bytes: bytes, header: stored, members: members)
    }

    private static let dictionaryBytes = Array(
        "{\"altitude\":0.0,\"heading\":0.0,\"speed\":0.0,\"status\":\"cruise\",\"source\":\"fms\"}".utf8)

    private static func flight(_ number: Int) -> [UInt8] {
        Array(
            "{\"altitude\":\(number).0,\"heading\":90.0,\"speed\":250.0,\"status\":\"cruise\",\"source\":\"fms\"}"
                .utf8)
    }

    static let all: [BlockVector] = {
        var extreme = Sample.blockHeader(.events, number: 16_383, segment: Sample.lastSegment)
        (extreme.firstSequence, extreme.sessionOrdinal, extreme.kindCount) = (.max - 4, .max, 65_535)
        var record = Sample.checkpoint
        record.timestamp = sampleTime
        let state = Array(repeating: UInt8(0x61), count: 200) + [0]
        let compressed = state.withUnsafeBytes { LZ4Block.compress($0, level: 9) } ?? []
        return [
            // Two sub-blocks: the second payload does not fit the first one; empty payloads.
            events(
                "events", Sample.blockHeader(.events),
                [
                    Event(timestamp: sampleTime, kind: 2, payload: (0..<200).map { $0 }),
                    Event(timestamp: sampleTime + 1000, kind: 0, payload: (0..<99).map { 255 - $0 }),
                    Event(timestamp: sampleTime + 500, kind: 3),
                ]),
            // Sub-blocks that compress, and a payload larger than the target.
            events(
                "events-lz4", Sample.blockHeader(.events),
                (0..<8).map { Event(timestamp: sampleTime + Int64($0), payload: flight($0)) }
                    + [Event(timestamp: sampleTime, kind: 1, payload: [UInt8](repeating: 0x20, count: 1000))]),
            events(
                "events-explicit-indices", extreme,
                [
                    Event(timestamp: .max, kind: 63, index: .max, payload: [0xFF]),
                    Event(timestamp: .min, kind: 0, index: 0),
                    Event(timestamp: 0, kind: 5, index: 1 << 63, payload: [1]),
                    Event(timestamp: -1, kind: 5, index: 1 << 63, payload: [2]),
                ], explicitIndices: true),
            events(
                "events-many-kinds", extreme,
                [0, 63, 64, 65_534].map { Event(timestamp: 5, kind: $0, payload: [UInt8($0 % 256)]) }),
            events(
                "events-dictionary", Sample.blockHeader(.events),
                (0..<5).map { Event(timestamp: sampleTime + Int64($0), payload: flight($0)) },
                dictionary: dictionaryBytes),
            control(
                "checkpoint", Sample.blockHeader(.checkpoint),
                [.init(key: "record", value: record.json), .init(key: "state", value: .hex([0, 1, 0xFF]))],
                subBlocks: [.init(method: .raw, rawBytes: 3, stored: [0, 1, 0xFF])]
            ) { record.encode(to: &$0) },
            control(
                "checkpoint-lz4", Sample.blockHeader(.checkpoint),
                [.init(key: "record", value: record.json), .init(key: "state", value: .hex(state))],
                subBlocks: [.init(method: .lz4, rawBytes: state.count, stored: compressed)]
            ) { record.encode(to: &$0) },
            control(
                "checkpoint-empty", Sample.blockHeader(.checkpoint),
                [.init(key: "record", value: record.json), .init(key: "state", value: .hex([]))],
                subBlocks: [.init(method: .raw, rawBytes: 0, stored: [])]
            ) { record.encode(to: &$0) },
            control(
                "session-begin", Sample.blockHeader(.sessionBegin),
                [.init(key: "record", value: Sample.begin.json)]
            ) { Sample.begin.encode(to: &$0) },
            control(
                "session-end", Sample.blockHeader(.sessionEnd), [.init(key: "record", value: Sample.end.json)]
            ) { Sample.end.encode(to: &$0) },
            control(
                "ledger", Sample.blockHeader(.ledger),
                [.init(key: "records", value: .list(Sample.ledger + Sample.extremeLedger, \.json))]
            ) { $0.put(Sample.ledger + Sample.extremeLedger) },
            control("ledger-empty", Sample.blockHeader(.ledger), [.init(key: "records", value: .array([]))]) {
                $0.put([LedgerRecord]())
            },
            control(
                "dictionary", Sample.blockHeader(.dictionary),
                [.init(key: "dictionary", value: .hex(dictionaryBytes))],
                subBlocks: (0..<2).map { _ in
                    .init(method: .raw, rawBytes: dictionaryBytes.count, stored: dictionaryBytes)
                }),
            control(
                "kinds", Sample.blockHeader(.kinds, number: 16_383, segment: Sample.lastSegment),
                [.init(key: "definitions", value: .list(Sample.kinds, \.json))]
            ) { $0.put(Sample.kinds) },
            padding("padding", 40), padding("padding-empty", 0),
        ]
    }()

    private static func padding(_ name: String, _ count: Int) -> BlockVector {
        let (header, bytes) = ControlBlock.padding(
            Sample.blockHeader(.padding), length: BlockHeader.byteCount + count)
        return BlockVector(name: name, bytes: bytes, header: header, members: [])
    }
}
