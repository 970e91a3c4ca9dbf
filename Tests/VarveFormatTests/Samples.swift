@testable import VarveFormat

// Values of golden vectors: ordinary ones, whose fields differ from each other, and extreme ones.

/// A time in the year 2033.
let sampleTime: Int64 = 2_000_000_000_123_456_789
/// Characters of one to four bytes, and what JSON must escape.
let oddText = "žluť \"\\\u{1}\n線🛰"

extension UniqueID {
    /// Bytes ascending from `first`.
    static func sample(_ first: UInt8) -> UniqueID {
        let bytes = (0..<16).map { UInt64(first &+ UInt8($0)) }
        return UniqueID(
            low: bytes[0..<8].reversed().reduce(0) { $0 << 8 | $1 },
            high: bytes[8...].reversed().reduce(0) { $0 << 8 | $1 })
    }
}

enum Sample {
    static let store = UniqueID.sample(0x10)
    static let segment = UniqueID.sample(0x40)
    static let lastSegment = UniqueID.sample(0xF8)

    static let kinds = [
        KindDefinition(name: "order.placed", encoding: .json, metadata: ["schema": "{}", "v": "2"]),
        KindDefinition(name: "k", encoding: .binary),
    ]
    static let begin = SessionBegin(ordinal: 1, id: "flight-42", start: sampleTime, metadata: ["host": "a"])
    static let end = SessionEnd(
        ordinal: 5, reason: .closed, end: sampleTime, events: 400, checkpoints: 3, nextIndex: 401)
    static let checkpoint = CheckpointRecord(
        ordinal: 130, session: 2, id: oddText, label: "before landing", timestamp: -sampleTime,
        eventIndex: 1 << 35, sequence: 1 << 36)
    static let ledger: [LedgerRecord] = [
        .gap(first: 10, last: 20, reason: .damage, time: sampleTime, note: oddText),
        .drop(
            events: 7, bytes: 70_000, session: 3, before: 1 << 40, firstTime: sampleTime - 5,
            lastTime: sampleTime, reason: .writerFailed),
        .limits(RetentionLimits(checkpoints: 5, ageNanoseconds: 86_400_000_000_000)),
        .pin(Pin(session: 4, first: 12, firstCheckpoint: 3), isPinned: true),
        .interruption(epoch: 3, session: 0, next: 500, segment: 2, unreadable: 4096, time: sampleTime),
        .retention(
            RetentionRecord(
                limit: .age, headBefore: 0, head: 128, checkpointBefore: 1, checkpoint: 3, events: 120,
                checkpoints: 2, time: -1)),
    ]
    static let extremeLedger: [LedgerRecord] = [
        .gap(first: .max, last: .max, reason: .leftOut, time: .min, note: ""),
        .drop(
            events: .max, bytes: .max, session: .max, before: .max, firstTime: .min, lastTime: .max,
            reason: .queueFull),
        .limits(
            RetentionLimits(events: .max, checkpoints: 0, bytes: 1 << 63, ageNanoseconds: 1, freeBytes: 127)),
        .pin(Pin(session: .max, first: .max, firstCheckpoint: .max), isPinned: false),
        .interruption(epoch: .max, session: .max, next: .max, segment: .max, unreadable: .max, time: .min),
        .retention(
            RetentionRecord(
                limit: .freeBytes, headBefore: .max, head: .max, checkpointBefore: 0, checkpoint: .max,
                events: .max, checkpoints: .max, time: .max)),
    ]
    static let summaryOfSession: SessionSummary = {
        var begin = Sample.begin
        begin.flags = .continued
        begin.firstIndex = 50
        var summary = SessionSummary(begin: begin, sequence: 60)
        (summary.state, summary.end) = (.closed, sampleTime)
        (summary.events, summary.checkpoints, summary.payloadBytes) = (100, 1, 12_345)
        (summary.nextSequence, summary.nextIndex) = (170, 150)
        (summary.minTimestamp, summary.maxTimestamp) = (sampleTime - 900, sampleTime - 1)
        return summary
    }()
    static let extremeSummaryOfSession: SessionSummary = {
        let begin = SessionBegin(ordinal: .max, flags: .resumed, id: oddText, start: .max, firstIndex: .max)
        var summary = SessionSummary(begin: begin, sequence: 0)
        (summary.state, summary.end) = (.interrupted, .min)
        (summary.events, summary.checkpoints, summary.payloadBytes) = (.max, .max, .max)
        (summary.nextSequence, summary.nextIndex) = (.max, .max)
        (summary.minTimestamp, summary.maxTimestamp) = (.min, .max)
        return summary
    }()

    static let segmentHeader: SegmentHeader = {
        var header = SegmentHeader(
            store: store, segment: segment, ordinal: 3, epoch: 2, createdAt: sampleTime,
            settings: EncodingSettings(blockBytes: 256 << 10, subBlockBytes: 16 << 10, level: 1))
        (header.predecessor, header.predecessorLength) = (.sample(0x20), 123_456)
        (header.generation, header.digestAlgorithm, header.baseSequence) = (1, 1, 1 << 40)
        (header.sessionsBegun, header.checkpointsMade) = (8, 9)
        header.kinds = kinds
        header.session = summaryOfSession.begin
        header.limits = RetentionLimits(events: 1000, freeBytes: 1 << 30)
        header.pins = [
            Pin(session: 0, first: 5, last: 9), Pin(session: 128, first: 0), Pin(session: .max, first: .max),
        ]
        return header
    }()
    static let smallestSegmentHeader = SegmentHeader(
        store: store, segment: segment, ordinal: 1, epoch: 1, createdAt: 0,
        settings: EncodingSettings(blockBytes: 0, subBlockBytes: 0, level: 0))
    static let extremeSegmentHeader: SegmentHeader = {
        var header = SegmentHeader(
            store: .sample(0xF0), segment: lastSegment, ordinal: .max, epoch: .max, createdAt: .min,
            settings: EncodingSettings(blockBytes: .max, subBlockBytes: .max, level: .min))
        header.compatibleFeatures = .max
        (header.predecessor, header.predecessorLength) = (.sample(0xE0), .max)
        (header.generation, header.baseSequence) = (.max, .max)
        (header.sessionsBegun, header.checkpointsMade) = (.max, .max)
        (header.kinds, header.limits, header.pins) = ([], RetentionLimits(), [])
        return header
    }()

    /// For control blocks: lengths and checksums are filled in by whoever assembles the block.
    static func blockHeader(
        _ type: BlockType, number: UInt32 = 3, time: Int64 = sampleTime, segment: UniqueID = segment
    ) -> BlockHeader {
        var header = BlockHeader(type: type)
        (header.segment, header.number, header.firstSequence, header.epoch) = (segment, number, 1000, 2)
        (header.sessionOrdinal, header.firstIndex) = (5, 400)
        (header.sessionsBegun, header.checkpointsMade) = (6, 9)
        (header.minTimestamp, header.maxTimestamp) = (time, time)
        (header.writtenAt, header.headSequence, header.headCheckpoint) = (sampleTime, 100, 1)
        (header.durableSegment, header.durableOffset, header.kindCount) = (2, 65_536, 4)
        return header
    }
    static let eventsHeader: BlockHeader = {
        var header = blockHeader(.events, number: 7)
        header.flags = [.usesDictionary, .explicitIndices]
        (header.bodyLength, header.smallLength, header.subBlockCount) = (5001, 501, 3)
        (header.eventCount, header.firstSequence, header.minTimestamp) = (200, 1 << 40, -10)
        (header.kindSet, header.rawBytes, header.smallChecksum) = (0b1011, 14_000, 0x0123_4567)
        return header
    }()
    static let extremeHeader: BlockHeader = {
        var header = BlockHeader(type: .events)
        (header.segment, header.number) = (lastSegment, 16_383)
        header.flags = [.manyKinds, .usesDictionary, .explicitIndices]
        (header.bodyLength, header.smallLength) = (256 << 20, 16 << 20)
        (header.subBlockCount, header.eventCount) = (65_536, 65_536)
        (header.firstSequence, header.epoch, header.sessionOrdinal) = (.max - 65_536, .max, .max)
        (header.firstIndex, header.sessionsBegun, header.checkpointsMade) = (.max, .max, .max)
        (header.minTimestamp, header.maxTimestamp, header.kindSet) = (.min, .max, .max)
        (header.writtenAt, header.headSequence, header.headCheckpoint) = (.min, .max, .max)
        (header.durableSegment, header.durableOffset) = (.max, .max)
        (header.rawBytes, header.kindCount, header.smallChecksum) = (128 << 20, 65_535, .max)
        return header
    }()
    static let endHeader: BlockHeader = {
        var header = blockHeader(.sessionEnd)
        (header.bodyLength, header.smallLength, header.smallChecksum) = (21, 21, 77)
        return header
    }()
    static let extremeEntry: BlockIndexEntry = {
        var entry = BlockIndexEntry(extremeHeader, offset: 0)
        entry.offset = .max - 7
        return entry
    }()

    /// `count` blocks, of which those of every second group of 64 hold no events.
    static func entries(_ count: Int) -> [BlockIndexEntry] {
        var offset: UInt64 = 152
        return (0..<count).map { position in
            var header = position / 64 % 2 == 1 ? endHeader : eventsHeader
            header.minTimestamp = Int64(position) * 100 - 5
            header.maxTimestamp = Int64(position) * 100 + 105
            defer { offset += UInt64(header.blockLength) }
            return BlockIndexEntry(header, offset: offset)
        }
    }

    static let summary: SegmentSummary = {
        var summary = SegmentSummary()
        (summary.ordinal, summary.generation, summary.hasLosses) = (3, 1, true)
        (summary.baseSequence, summary.nextSequence, summary.eventCount) = (60, 170, 100)
        (summary.minTimestamp, summary.maxTimestamp) = (-5, sampleTime)
        (summary.rawBytes, summary.dataBytes, summary.firstEpoch, summary.lastEpoch) = (12_345, 1 << 20, 2, 4)
        (summary.sessionsBegun, summary.checkpointsMade) = (8, 9)
        (summary.headSequence, summary.headCheckpoint) = (10, 11)
        (summary.createdAt, summary.sealedAt) = (sampleTime - 7, sampleTime + 7)
        (summary.blockCount, summary.eventBlockCount, summary.kindCount) = (15, 12, 13)
        (summary.sessionCount, summary.checkpointCount, summary.ledgerCount) = (14, 1, 16)
        (summary.lastSession, summary.predecessor, summary.predecessorLength) = (7, .sample(0x20), 4096)
        (summary.store, summary.segment) = (store, segment)
        return summary
    }()
    static let emptySummary: SegmentSummary = {
        var summary = SegmentSummary()
        (summary.ordinal, summary.store, summary.segment) = (1, store, segment)
        (summary.dataBytes, summary.firstEpoch, summary.lastEpoch) = (184, 1, 1)
        return summary
    }()
    static let extremeSummary: SegmentSummary = {
        var summary = SegmentSummary()
        (summary.ordinal, summary.generation) = (.max, .max)
        (summary.isSessionActive, summary.hasLosses) = (true, true)
        (summary.nextSequence, summary.eventCount) = (.max, .max)
        (summary.minTimestamp, summary.maxTimestamp) = (.min, .max)
        (summary.rawBytes, summary.dataBytes, summary.firstEpoch, summary.lastEpoch) = (
            .max, .max - 7, .max, .max
        )
        (summary.sessionsBegun, summary.checkpointsMade) = (.max, .max)
        (summary.headSequence, summary.headCheckpoint) = (.max, .max)
        (summary.createdAt, summary.sealedAt) = (.min, .max)
        (summary.blockCount, summary.eventBlockCount, summary.kindCount) = (16_384, 16_384, 65_535)
        (summary.sessionCount, summary.checkpointCount, summary.ledgerCount) = (.max, .max, .max)
        (summary.lastSession, summary.predecessor, summary.predecessorLength) = (.max, .sample(0xE0), .max)
        (summary.store, summary.segment, summary.compatibleFeatures) = (.sample(0xF0), lastSegment, .max)
        return summary
    }()
    static let trailer = Trailer(
        footerOffset: 1 << 20, footerLength: 808, store: store, segment: segment, ordinal: 3,
        fileLength: 1 << 20 + 904, sectionCount: 8, summaryOffset: 1 << 20 + 560)
    static let extremeTrailer = Trailer(
        footerOffset: .max - 7 - 904, footerLength: 808, store: .sample(0xF0), segment: lastSegment,
        ordinal: .max, fileLength: .max - 7, sectionCount: 10, summaryOffset: .max - 7 - 344)

    static let state: StateSlot = {
        var slot = StateSlot(store: store, counter: 7)
        (slot.headSequence, slot.headCheckpoint) = (10, 11)
        (slot.watermarkSegment, slot.watermarkOffset) = (3, 65_536)
        (slot.nextSequence, slot.epoch, slot.writtenAt, slot.sessionsBegun) = (170, 4, sampleTime, 8)
        (slot.watermarkUUID, slot.isClosed) = (segment, true)
        return slot
    }()
    static let extremeState: StateSlot = {
        var slot = StateSlot(store: .sample(0xF0), counter: .max)
        (slot.headSequence, slot.headCheckpoint) = (.max, .max)
        (slot.watermarkSegment, slot.watermarkOffset) = (.max, .max)
        (slot.nextSequence, slot.epoch, slot.writtenAt, slot.sessionsBegun) = (.max, .max, .min, .max)
        slot.watermarkUUID = lastSegment
        return slot
    }()
    static let tailHeader = TailHeader(
        slotCount: 3, store: store, boot: UniqueID.sample(0x80).bytes, epoch: 4, slotBytes: 4096,
        slotRows: 4, slotPayloadBytes: 64, kindsBytes: 4096, createdAt: sampleTime)
    static let tailSlots: [TailSlot?] = [
        TailSlot(
            number: 9, firstSequence: 1000, session: 5, firstIndex: 400, hasExplicitIndices: false,
            rows: [
                TailSlot.Row(timestamp: sampleTime, index: 400, kind: 0, payload: Array("{\"a\":1}".utf8)),
                TailSlot.Row(timestamp: -1, index: 401, kind: 1, payload: []),
            ]), nil,
        TailSlot(
            number: .max, firstSequence: .max - 4, session: .max, firstIndex: .max, hasExplicitIndices: true,
            rows: [
                TailSlot.Row(timestamp: .min, index: .max, kind: .max, payload: [0, 255]),
                TailSlot.Row(timestamp: .max, index: 0, kind: 0, payload: []),
                TailSlot.Row(timestamp: 0, index: 1, kind: 1, payload: [UInt8](repeating: 7, count: 62)),
                TailSlot.Row(timestamp: 0, index: 1, kind: 1, payload: []),
            ]),
    ]
}
