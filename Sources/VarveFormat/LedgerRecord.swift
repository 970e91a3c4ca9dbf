/// The retention in force; nil: not limited.
public struct RetentionLimits: Hashable, Sendable {
    /// Most events to keep.
    public var events: UInt64?
    /// Most checkpoints to keep.
    public var checkpoints: UInt64?
    /// Most bytes to keep.
    public var bytes: UInt64?
    /// Most nanoseconds to keep an event.
    public var ageNanoseconds: UInt64?
    /// Bytes of the disk to leave free.
    public var freeBytes: UInt64?

    /// No limits, but those that are given.
    public init(
        events: UInt64? = nil, checkpoints: UInt64? = nil, bytes: UInt64? = nil,
        ageNanoseconds: UInt64? = nil,
        freeBytes: UInt64? = nil
    ) {
        self.events = events
        self.checkpoints = checkpoints
        self.bytes = bytes
        self.ageNanoseconds = ageNanoseconds
        self.freeBytes = freeBytes
    }

    /// Reads the limits that are set. Throws when they are not in ascending order, or one is unknown.
    public init(from reader: inout ByteReader) throws(FormatError) {
        let count = try reader.count(itemBytes: 2, max: 255)
        var previous: UInt8 = 0
        for _ in 0..<count {
            let limit = try reader.u8()
            guard limit > previous else { throw .invalid("the limits", reason: "they are not in order") }
            previous = limit
            let value = try reader.varint()
            switch limit {
            case 1: events = value
            case 2: checkpoints = value
            case 3: bytes = value
            case 4: ageNanoseconds = value
            case 5: freeBytes = value
            default: throw .invalid("the limits", reason: "limit \(limit) is unknown")
            }
        }
    }

    /// Appends a count and the limits that are set, in ascending order.
    public func encode(to writer: inout ByteWriter) {
        let all = [events, checkpoints, bytes, ageNanoseconds, freeBytes]
        writer.putVarint(UInt64(all.count { $0 != nil }))
        for (position, value) in all.enumerated() {
            if let value {
                writer.put(UInt8(position + 1))
                writer.putVarint(value)
            }
        }
    }
}

/// Which of the limits dropped something.
public enum RetentionLimit: UInt8, Hashable, Sendable, CaseIterable {
    case events = 1
    case checkpoints = 2
    case bytes = 3
    case age = 4
    case freeBytes = 5
}

/// What the limits dropped at a time. `Formats/segment.md#ledger-record`.
public struct RetentionRecord: Hashable, Sendable {
    /// Which of them.
    public var limit: RetentionLimit
    /// The first sequence number that was kept before, and that was kept after.
    public var headBefore: UInt64, head: UInt64
    /// The first checkpoint ordinal that was kept before, and that was kept after.
    public var checkpointBefore: UInt64, checkpoint: UInt64
    /// Events and checkpoints that are gone: what is pinned is not, and what was lost before is not counted.
    public var events: UInt64, checkpoints: UInt64
    /// When.
    public var time: Int64

    /// Takes the fields as given.
    public init(
        limit: RetentionLimit, headBefore: UInt64, head: UInt64, checkpointBefore: UInt64, checkpoint: UInt64,
        events: UInt64, checkpoints: UInt64, time: Int64
    ) {
        self.limit = limit
        self.headBefore = headBefore
        self.head = head
        self.checkpointBefore = checkpointBefore
        self.checkpoint = checkpoint
        self.events = events
        self.checkpoints = checkpoints
        self.time = time
    }

    init(from reader: inout ByteReader) throws(FormatError) {
        guard let limit = RetentionLimit(rawValue: try reader.u8()) else {
            throw .invalid("a retention record", reason: "its limit is unknown")
        }
        self.limit = limit
        headBefore = try reader.varint()
        head = try reader.varint()
        checkpointBefore = try reader.varint()
        checkpoint = try reader.varint()
        events = try reader.varint()
        checkpoints = try reader.varint()
        time = try reader.svarint()
        guard headBefore <= head, checkpointBefore <= checkpoint else {
            throw .invalid("a retention record", reason: "its heads go back")
        }
    }

    func encode(to writer: inout ByteWriter) {
        writer.put(limit.rawValue)
        for value in [headBefore, head, checkpointBefore, checkpoint, events, checkpoints] {
            writer.putVarint(value)
        }
        writer.putSvarint(time)
    }
}

/// A record about the store in the store. `Formats/segment.md#ledger-record`.
public enum LedgerRecord: Hashable, Sendable {
    /// Why the store does not have the events of some sequence numbers.
    public enum GapReason: UInt8, Hashable, Sendable {
        case damage = 1
        case unconfirmedTail = 2
        case lostSegment = 3
        case leftOut = 4
        case retention = 5
    }

    /// Why events were refused.
    public enum DropReason: UInt8, Hashable, Sendable {
        case queueFull = 1
        case writerFailed = 2
    }

    /// Numbers that can't be read.
    case gap(first: UInt64, last: UInt64, reason: GapReason, time: Int64, note: String)
    /// Events that were refused; they had no numbers.
    case drop(
        events: UInt64, bytes: UInt64, session: UInt64, before: UInt64, firstTime: Int64, lastTime: Int64,
        reason: DropReason)
    case limits(RetentionLimits)
    /// Keeps something from now on, or no more.
    case pin(Pin, isPinned: Bool)
    /// An opening found that the one before was not closed.
    case interruption(
        epoch: UInt64, session: UInt64, next: UInt64, segment: UInt64, unreadable: UInt64, time: Int64)
    case retention(RetentionRecord)
    /// Of a type that this library does not know; kept as it is.
    case unknown(type: UInt8, body: [UInt8])

    /// Reads a record of any type. Throws where it is cut short, or the body of a known type is invalid.
    public init(from reader: inout ByteReader) throws(FormatError) {
        let type = try reader.u8()
        let raw = try reader.bytes(max: Limits.smallPartBytesMax)
        var body = ByteReader(raw, "a ledger record")
        switch type {
        case 1:
            let first = try body.varint()
            let last = try body.varint()
            guard Safeguard.ledgerRange.isLeftOut || first <= last else {
                throw .invalid("a ledger record", reason: "its range is reversed")
            }
            guard let reason = GapReason(rawValue: try body.u8()) else {
                throw .invalid("a gap", reason: "its reason is unknown")
            }
            let time = try body.svarint()
            self = .gap(
                first: first, last: last, reason: reason, time: time,
                note: try body.string(max: Limits.idBytesMax))
        case 2:
            let events = try body.varint()
            let bytes = try body.varint()
            let session = try body.varint()
            let before = try body.varint()
            let firstTime = try body.svarint()
            let lastTime = try body.svarint()
            guard let reason = DropReason(rawValue: try body.u8()) else {
                throw .invalid("a drop", reason: "its reason is unknown")
            }
            self = .drop(
                events: events, bytes: bytes, session: session, before: before, firstTime: firstTime,
                lastTime: lastTime, reason: reason)
        case 3: self = .limits(try RetentionLimits(from: &body))
        case 4:
            let mark = try body.u8()
            guard mark <= 1 else { throw .invalid("a pin", reason: "its mark is neither 0 nor 1") }
            self = .pin(try Pin(from: &body), isPinned: mark == 1)
        case 5:
            let epoch = try body.varint()
            let session = try body.varint()
            let next = try body.varint()
            let segment = try body.varint()
            let unreadable = try body.varint()
            self = .interruption(
                epoch: epoch, session: session, next: next, segment: segment, unreadable: unreadable,
                time: try body.svarint())
        case 6: self = .retention(try RetentionRecord(from: &body))
        default:
            self = .unknown(type: type, body: Array(raw))
            return
        }
        try body.finish()
    }

    /// Appends type, length and body; an unknown record as it was read.
    public func encode(to writer: inout ByteWriter) {
        var body = ByteWriter()
        let type: UInt8
        switch self {
        case .gap(let first, let last, let reason, let time, let note):
            type = 1
            body.putVarint(first)
            body.putVarint(last)
            body.put(reason.rawValue)
            body.putSvarint(time)
            body.putString(note)
        case .drop(let events, let bytes, let session, let before, let firstTime, let lastTime, let reason):
            type = 2
            for value in [events, bytes, session, before] { body.putVarint(value) }
            body.putSvarint(firstTime)
            body.putSvarint(lastTime)
            body.put(reason.rawValue)
        case .limits(let limits):
            type = 3
            limits.encode(to: &body)
        case .pin(let pin, let isPinned):
            type = 4
            body.put(UInt8(isPinned ? 1 : 0))
            pin.encode(to: &body)
        case .interruption(let epoch, let session, let next, let segment, let unreadable, let time):
            type = 5
            for value in [epoch, session, next, segment, unreadable] { body.putVarint(value) }
            body.putSvarint(time)
        case .retention(let record):
            type = 6
            record.encode(to: &body)
        case .unknown(let unknown, let raw):
            type = unknown
            body.putRaw(raw)
        }
        writer.put(type)
        writer.putBytes(body.bytes)
    }
}

extension ByteReader {
    /// A counted list of ledger records.
    public mutating func ledgerRecords() throws(FormatError) -> [LedgerRecord] {
        let count = try count(itemBytes: 2)
        var records: [LedgerRecord] = []
        for _ in 0..<count { records.append(try LedgerRecord(from: &self)) }
        return records
    }
}

extension ByteWriter {
    /// A counted list of ledger records.
    public mutating func put(_ records: [LedgerRecord]) {
        putVarint(UInt64(records.count))
        for record in records { record.encode(to: &self) }
    }
}
