import Testing

@testable import VarveFormat

/// A golden vector with what reads it.
struct Vector: Sendable, CustomTestStringConvertible {
    /// What is or should be in the repository.
    var golden: GoldenVector
    /// Whether a reader refuses every flipped bit: all are under a checksum or must be zero.
    var isSealed = false
    /// What bytes mean; throws where they are refused.
    var read: @Sendable ([UInt8]) throws -> JSON

    var testDescription: String { golden.testDescription }

    /// The folders that `Formats/vectors/README.md` lists, without whole stores.
    static let all: [Vector] = records + lists + files + blocks + filters

    private static func of<Value>(
        _ folder: String, isSealed: Bool = false, _ vectors: [(name: String, value: Value)],
        write: (Value) -> [UInt8], read: @escaping @Sendable ([UInt8]) throws -> Value,
        json: @escaping @Sendable (Value) -> JSON
    ) -> [Vector] {
        vectors.map { name, value in
            Vector(
                golden: GoldenVector(folder: folder, name: name, bytes: write(value), json: json(value)),
                isSealed: isSealed, read: { json(try read($0)) })
        }
    }

    /// What is read front to back by a `ByteReader`.
    private static func record<Value>(
        _ folder: String, _ vectors: [(name: String, value: Value)],
        write: @escaping (Value, inout ByteWriter) -> Void,
        read: @escaping @Sendable (inout ByteReader) throws(FormatError) -> Value,
        json: @escaping @Sendable (Value) -> JSON
    ) -> [Vector] {
        of(
            folder, vectors,
            write: { value in
                var writer = ByteWriter()
                write(value, &writer)
                return writer.bytes
            }, read: { try readAll($0, read) }, json: json)
    }

    private static let records: [Vector] =
        record(
            "map",
            [
                ("empty", [:]), ("several", ["b": "", "": "empty key", "a": oddText, "ab": "x", "é": "1"]),
                (
                    "two-byte-lengths",
                    [String(repeating: "k", count: 128): String(repeating: "v", count: 300)]
                ),
            ], write: { $1.putMetadata($0) }, read: { (r) throws(FormatError) in try r.metadata() },
            json: { ["entries": .map($0)] })
        + record(
            "kind-definition",
            [
                ("smallest", Sample.kinds[1]), ("json", Sample.kinds[0]),
                ("longest-name", KindDefinition(name: String(repeating: "線", count: 85), encoding: .utf8)),
            ], write: { $0.encode(to: &$1) }, read: KindDefinition.init(from:), json: \.json)
        + record(
            "begin-record",
            [
                ("first", Sample.begin),
                (
                    "resumed",
                    SessionBegin(ordinal: 300, flags: .resumed, id: oddText, start: -1, firstIndex: 128)
                ),
                (
                    "extreme",
                    SessionBegin(
                        ordinal: .max, flags: [.imported, .continued, .used], id: "", start: .min,
                        firstIndex: .max)
                ),
            ], write: { $0.encode(to: &$1) }, read: SessionBegin.init(from:), json: \.json)
        + record(
            "end-record",
            [
                ("closed", Sample.end),
                (
                    "extreme",
                    SessionEnd(
                        ordinal: .max, reason: .interrupted, end: .min, events: .max, checkpoints: .max,
                        nextIndex: .max)
                ),
            ], write: { $0.encode(to: &$1) }, read: SessionEnd.init(from:), json: \.json)
        + record(
            "checkpoint-record",
            [
                ("labelled", Sample.checkpoint),
                (
                    "unlabelled",
                    CheckpointRecord(
                        ordinal: 1, session: 1, id: "cp-1", label: nil, timestamp: sampleTime, eventIndex: 10,
                        sequence: 12)
                ),
                (
                    "empty-label",
                    CheckpointRecord(
                        ordinal: .max, session: .max, id: "", label: "", timestamp: .max, eventIndex: .max,
                        sequence: .max)
                ),
            ], write: { $0.encode(to: &$1) }, read: CheckpointRecord.init(from:), json: \.json)
        + record(
            "ledger-record",
            zip(["gap", "drop", "limits", "pin", "interruption", "retention"], Sample.ledger).map { ($0, $1) }
                + zip(
                    ["gap", "drop", "limits", "pin", "interruption", "retention"].map { "extreme-\($0)" },
                    Sample.extremeLedger
                ).map { ($0, $1) } + [("limits-none", .limits(RetentionLimits()))],
            write: { $0.encode(to: &$1) }, read: LedgerRecord.init(from:), json: \.json)
        + record(
            "session-summary",
            [
                ("closed", Sample.summaryOfSession), ("extreme", Sample.extremeSummaryOfSession),
                ("active-without-events", SessionSummary(begin: Sample.begin, sequence: 9)),
            ], write: { $0.encode(to: &$1) }, read: SessionSummary.init(from:), json: \.json)
        + record(
            "block-index-entry",
            [
                ("events", BlockIndexEntry(Sample.eventsHeader, offset: 4096)),
                ("session-end", BlockIndexEntry(Sample.endHeader, offset: 152)),
                ("extreme", Sample.extremeEntry),
            ], write: { $0.encode(to: &$1) }, read: BlockIndexEntry.init(from:), json: \.json)
        + record(
            "time-pyramid",
            [
                ("none", TimePyramid([])), ("one-level", TimePyramid(Sample.entries(3))),
                ("two-levels", TimePyramid(Sample.entries(130))),
            ], write: { $0.encode(to: &$1) }, read: TimePyramid.init(from:), json: \.json)
        + record(
            "digest",
            [
                ("none", Digest()), ("crc32c", Digest(storedBytesChecksum: 0xE306_9283)),
                ("logical", Digest(algorithm: 1, scope: 2, bytes: [0, 1, 0xFE, 0xFF])),
            ], write: { $0.encode(to: &$1) }, read: Digest.init(from:), json: \.json)
        + record(
            "summary",
            [("sample", Sample.summary), ("empty", Sample.emptySummary), ("extreme", Sample.extremeSummary)],
            write: { $0.encode(to: &$1) }, read: SegmentSummary.init(from:), json: \.json)
        + of(
            "packed-column",
            [
                ("constant", [5, 5, 5]), ("offset", [10, 25, 15, 20]),
                ("delta", (0..<20).map { $0 * 7_000 + $0 % 3 * 1000 }),
                ("widest", [.min, .max]), ("extreme", [.max, .min, .max, .min, 0, -1]),
            ] as [(String, [Int64])], write: writeColumn, read: readColumn,
            json: { ["values": .list($0, JSON.int)] })

    private static let lists: [Vector] =
        record(
            "kind-counts",
            [
                ("none", []),
                (
                    "several",
                    [
                        KindCount(definition: Sample.kinds[0], events: 0, bytes: 0),
                        KindCount(definition: Sample.kinds[1], events: .max, bytes: .max),
                    ]
                ),
            ], write: { KindCount.putAll($0, to: &$1) }, read: KindCount.readAll(from:),
            json: { ["kinds": .list($0, \.json)] })
        + record(
            "checkpoint-entries",
            [
                ("none", []),
                (
                    "several",
                    [
                        CheckpointEntry(record: Sample.checkpoint, block: 0, stateBytes: 0),
                        CheckpointEntry(record: Sample.checkpoint, block: 16_383, stateBytes: 64 << 20),
                    ]
                ),
            ], write: { CheckpointEntry.putAll($0, to: &$1) }, read: CheckpointEntry.readAll(from:),
            json: { ["checkpoints": .list($0, \.json)] })
        + record(
            "replaced-segments",
            [
                ("none", []),
                (
                    "several",
                    [
                        ReplacedSegment(segment: .sample(1), ordinal: 1, generation: 0),
                        ReplacedSegment(segment: Sample.lastSegment, ordinal: .max, generation: .max),
                    ]
                ),
            ], write: { ReplacedSegment.putAll($0, to: &$1) }, read: ReplacedSegment.readAll(from:),
            json: { ["segments": .list($0, \.json)] })
        + record(
            "dropped-ranges",
            [
                ("none", []),
                (
                    "several",
                    [
                        DroppedRange(first: 0, last: 0, reason: .unconfirmedTail),
                        DroppedRange(first: 5, last: .max, reason: .retention),
                        DroppedRange(first: .max, last: .max, reason: .lostSegment),
                    ]
                ),
            ], write: { DroppedRange.putAll($0, to: &$1) }, read: DroppedRange.readAll(from:),
            json: { ["ranges": .list($0, \.json)] })

    private static let files: [Vector] =
        [
            ("empty", Sample.segment, 24, false, []),
            ("padded", Sample.segment, 26, true, Array("body of 13 b.".utf8)),
            ("extreme", Sample.lastSegment, .max, true, [UInt8](repeating: 0xFF, count: 64)),
        ].map { section($0, owner: $1, type: $2, isRequired: $3, body: $4) }
        + of(
            "segment-header", isSealed: true,
            [
                ("all-sections", Sample.segmentHeader), ("smallest", Sample.smallestSegmentHeader),
                ("extreme", Sample.extremeSegmentHeader),
            ], write: { $0.encode() },
            read: { bytes in
                let header = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
                let length = try bytes.withUnsafeBytes { try SegmentHeader.byteCount(ofPrefix: $0) }
                guard length == bytes.count else { throw FormatError.invalid("vector", reason: "its length") }
                return header
            }, json: \.json)
        + of(
            "block-header", isSealed: true,
            [
                ("events", Sample.eventsHeader), ("session-end", Sample.endHeader),
                ("extreme", Sample.extremeHeader),
            ],
            write: { header in
                var bytes = [UInt8](repeating: 0xAA, count: BlockHeader.byteCount)
                bytes.withUnsafeMutableBytes { header.encode(into: $0) }
                return bytes
            },
            read: { bytes in
                let segment = try readPart(of: bytes, 8) { (r) throws(FormatError) in try r.uniqueID() }
                return try bytes.withUnsafeBytes {
                    try BlockHeader(decoding: $0, segment: segment, number: nil)
                }
            }, json: { $0.json(checksum: true) })
        + of(
            "trailer", isSealed: true, [("sample", Sample.trailer), ("extreme", Sample.extremeTrailer)],
            write: { trailer in
                var writer = ByteWriter()
                trailer.encode(to: &writer)
                return writer.bytes
            },
            read: { bytes in
                // In place of the file's length, which is known apart from the trailer.
                let length = try readPart(of: bytes, 56) { (r) throws(FormatError) in try r.u64() }
                return try bytes.withUnsafeBytes { try Trailer(decodingEndOf: $0, fileLength: length) }
            }, json: \.json)
        + of(
            "store-identity", isSealed: true,
            [
                ("smallest", StoreIdentity(store: Sample.store, createdAt: 0, metadata: nil)),
                (
                    "metadata",
                    StoreIdentity(
                        store: Sample.store, createdAt: sampleTime, metadata: ["": oddText, "host": "a"])
                ),
                (
                    "extreme",
                    {
                        var store = StoreIdentity(store: .sample(0xF0), createdAt: .min, metadata: [:])
                        store.compatibleFeatures = .max
                        return store
                    }()
                ),
            ], write: { $0.encode() },
            read: { bytes in try bytes.withUnsafeBytes { try StoreIdentity(decoding: $0) } }, json: \.json)
        + of(
            "state",
            [
                ("both", [Sample.state, Sample.extremeState]), ("first", [Sample.state, nil]),
                ("never", [nil, nil]),
            ] as [(String, [StateSlot?])],
            write: { $0.flatMap { $0?.encode() ?? [UInt8](repeating: 0, count: StateSlot.stride) } },
            read: { bytes in
                guard bytes.count == StateFile.byteCount else { throw FormatError.truncated("STATE") }
                return [0, StateSlot.stride].map { start in
                    Array(bytes[start..<start + StateSlot.stride]).withUnsafeBytes {
                        try? StateSlot.decode($0)
                    }
                }
            }, json: { ["slots": .list($0) { .optional($0, \.json) }] })
        + of(
            "tail",
            [
                ("sample", Tail(header: Sample.tailHeader, kinds: Sample.kinds, slots: Sample.tailSlots)),
                (
                    "unused",
                    Tail(
                        header: TailHeader(
                            slotCount: 1, store: Sample.lastSegment, boot: UniqueID.zero.bytes, epoch: .max,
                            slotBytes: 4096, slotRows: 168, slotPayloadBytes: 0, kindsBytes: 4096,
                            createdAt: .min), kinds: [], slots: [nil])
                ),
            ], write: { $0.encode() }, read: { try Tail(decoding: $0) }, json: \.json)

    private static func section(
        _ name: String, owner: UniqueID, type: UInt32, isRequired: Bool, body: [UInt8]
    ) -> Vector {
        let json = { @Sendable (type: UInt32, isRequired: Bool, body: JSON) -> JSON in
            ["owner": owner.json, "type": .int(type), "flags": .int(isRequired ? 1 : 0), "body": body]
        }
        var writer = ByteWriter()
        writer.putSection(type, isRequired: isRequired, owner: owner) { $0.putRaw(body) }
        return Vector(
            golden: GoldenVector(
                folder: "section", name: name, bytes: writer.bytes, json: json(type, isRequired, .hex(body))),
            isSealed: true,
            read: { bytes in
                try readAll(bytes) { (r) throws(FormatError) in
                    let section = try Section(from: &r, owner: owner)
                    return json(section.type, section.isRequired, .hex(section.body))
                }
            })
    }

    private static let blocks: [Vector] = BlockVector.all.map { block in
        Vector(
            golden: GoldenVector(folder: "block", name: block.name, bytes: block.bytes, json: block.json),
            isSealed: true, read: { try block.read($0) })
    }
}

/// Reads `bytes` with a reader, all of them.
func readAll<R>(_ bytes: [UInt8], _ body: (inout ByteReader) throws(FormatError) -> R) throws -> R {
    try bytes.withReader("a test") { (reader) throws(FormatError) in
        let value = try body(&reader)
        try reader.finish()
        return value
    }
}

/// Reads something that starts at `offset`.
func readPart<R>(
    of bytes: [UInt8], _ offset: Int, _ body: (inout ByteReader) throws(FormatError) -> R
) throws -> R {
    try bytes.withReader("a test") { (reader) throws(FormatError) in
        _ = try reader.take(offset)
        return try body(&reader)
    }
}

private func writeColumn(_ values: [Int64]) -> [UInt8] {
    var writer = ByteWriter()
    writer.put(UInt32(values.count))
    let packed = [UInt8](unsafeUninitializedCapacity: PackedColumn.bytesMax(values.count)) { target, count in
        values.withUnsafeBufferPointer { source in
            guard let from = source.baseAddress, let to = target.baseAddress else { return }
            count = PackedColumn.encode(from, count: values.count, into: to)
        }
    }
    return writer.bytes + packed
}

private func readColumn(_ bytes: [UInt8]) throws -> [Int64] {
    try readAll(bytes) { (reader) throws(FormatError) in
        let count = Int(try reader.u32())
        guard (1...Limits.blockEventsMax).contains(count) else {
            throw .invalid("a column", reason: "its count")
        }
        let values = UnsafeMutablePointer<Int64>.allocate(capacity: count)
        defer { values.deallocate() }
        try PackedColumn.decode(&reader, count: count, range: .min ... .max, into: values)
        return Array(UnsafeBufferPointer(start: values, count: count))
    }
}

/// A whole `TAIL`.
struct Tail {
    var header: TailHeader
    var kinds: [KindDefinition]
    var slots: [TailSlot?]

    init(header: TailHeader, kinds: [KindDefinition], slots: [TailSlot?]) {
        self.header = header
        self.kinds = kinds
        self.slots = slots
    }

    func encode() -> [UInt8] {
        var region = ByteWriter()
        for (id, kind) in kinds.enumerated() {
            region.putRaw(header.encode(kind, id: UInt32(id)))
        }
        var writer = ByteWriter()
        writer.putRaw(header.encode())
        writer.put(UInt32(region.count))
        writer.put(UInt32(0))
        writer.putRaw(region.bytes)
        writer.putZeros(header.slotOffset(0) - writer.count)
        for slot in slots {
            writer.putRaw(slot?.encode(header: header) ?? [UInt8](repeating: 0, count: Int(header.slotBytes)))
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws {
        let header = try bytes.withUnsafeBytes { try TailHeader(decoding: $0) }
        guard bytes.count == header.slotOffset(Int(header.slotCount)) else {
            throw FormatError.invalid("TAIL", reason: "its length")
        }
        let kinds = bytes.withUnsafeBytes { header.kinds(in: $0) }
        guard kinds.map(\.id) == (0..<UInt32(kinds.count)).map(\.self) else {
            throw FormatError.invalid("TAIL", reason: "its kinds")
        }
        self.header = header
        self.kinds = kinds.map(\.definition)
        slots = (0..<Int(header.slotCount)).map { number in
            let start = header.slotOffset(number)
            return bytes[start..<start + Int(header.slotBytes)].withUnsafeBytes {
                try? TailSlot.decode($0, header: header)
            }
        }
    }

    var json: JSON {
        [
            "store": header.store.json, "boot": bootText(header.boot), "epoch": .int(header.epoch),
            "created": .int(header.createdAt),
            "kinds": .list(kinds.enumerated()) { ["id": .int($0.offset), "definition": $0.element.json] },
            "slots": .list(slots) { .optional($0, \.json) },
        ]
    }
}

/// The boot id as the pages name it: a UUID.
private func bootText(_ bytes: [UInt8]) -> JSON {
    bytes.withUnsafeBytes { raw in
        var reader = ByteReader(raw, "a boot id")
        return (try? reader.uniqueID()).map { .string($0.description) } ?? .null
    }
}
