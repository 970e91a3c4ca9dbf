/// What is kept whatever the limits say: a session, or a range of sequence numbers. `Formats/segment.md#pin`.
public struct Pin: Hashable, Sendable {
    /// Ordinal of the session that is kept; 0: the events and checkpoints of any session.
    public var session: UInt64
    /// The first and the last sequence number that are kept: of a session those that were still there when it was pinned, and all later.
    public var first: UInt64, last: UInt64
    /// Checkpoints with a lower ordinal were dropped before.
    public var firstCheckpoint: UInt64

    /// Takes the fields as given: a range that is reversed is refused when it is read.
    public init(session: UInt64, first: UInt64, last: UInt64 = .max, firstCheckpoint: UInt64 = 0) {
        self.session = session
        self.first = first
        self.last = last
        self.firstCheckpoint = firstCheckpoint
    }

    /// Whether an event is kept by it.
    public func keeps(sequence: UInt64, session ordinal: UInt64) -> Bool {
        (session == 0 || session == ordinal) && first <= sequence && sequence <= last
    }

    /// Whether a checkpoint is kept by it.
    public func keeps(_ checkpoint: CheckpointRecord) -> Bool {
        guard checkpoint.ordinal >= firstCheckpoint else { return false }
        return session == 0
            ? first <= checkpoint.sequence && checkpoint.sequence <= last : session == checkpoint.session
    }

    init(from reader: inout ByteReader) throws(FormatError) {
        session = try reader.varint()
        first = try reader.varint()
        last = try reader.varint()
        firstCheckpoint = try reader.varint()
        guard first <= last else { throw .invalid("a pin", reason: "its range is reversed") }
        guard session == 0 || last == .max else {
            throw .invalid("a pin", reason: "it is one of a session, and ends")
        }
    }

    func encode(to writer: inout ByteWriter) {
        for value in [session, first, last, firstCheckpoint] { writer.putVarint(value) }
    }

    /// The order of a list of them: no two with the same session and first number.
    static func isAscending(_ left: Pin, _ right: Pin) -> Bool {
        (left.session, left.first) < (right.session, right.first)
    }

    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [Pin] {
        let count = try reader.count(itemBytes: 4)
        var pins: [Pin] = []
        for _ in 0..<count {
            let pin = try Pin(from: &reader)
            guard pins.last.map({ isAscending($0, pin) }) ?? true else {
                throw .invalid("the pins", reason: "they are not in ascending order")
            }
            pins.append(pin)
        }
        return pins
    }
}

extension [Pin] {
    /// Applies a ledger record: what it pins is kept from then on, what it unpins no more.
    public mutating func apply(_ pin: Pin, isPinned: Bool) {
        if pin.session > 0 {
            // A session that is pinned already stays so from where it was.
            if isPinned, contains(where: { $0.session == pin.session }) { return }
            removeAll { $0.session == pin.session }
            if isPinned { append(pin) }
        } else if isPinned {
            // What is pinned already stays so from where it was.
            self += filter { $0.session == 0 }.reduce([pin]) { rest, old in
                rest.flatMap { $0.parts(outside: old) }
            }
        } else {
            self = flatMap { $0.session == 0 ? $0.parts(outside: pin) : [$0] }
        }
        sort(by: Pin.isAscending)
    }
}

extension Pin {
    /// What of its range lies outside that of another one.
    fileprivate func parts(outside other: Pin) -> [Pin] {
        guard other.first <= last, first <= other.last else { return [self] }
        var parts: [Pin] = []
        if first < other.first {
            parts.append(
                Pin(session: session, first: first, last: other.first - 1, firstCheckpoint: firstCheckpoint))
        }
        if last > other.last {
            parts.append(
                Pin(session: session, first: other.last + 1, last: last, firstCheckpoint: firstCheckpoint))
        }
        return parts
    }
}
