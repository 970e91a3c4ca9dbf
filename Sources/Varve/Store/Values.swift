public import VarveFormat

/// What an event is: a name and an encoding. Interned by a store, once; see `EventStore.kind`.
public struct EventKind: Hashable, Sendable {
    /// The name; 1...255 bytes.
    public let name: String
    /// What the payloads of this kind are.
    public let encoding: PayloadEncoding
    /// Position in its store's registry.
    let number: UInt32
    /// The registry it belongs to; 0: none (a kind read by a cursor).
    let registry: UInt64

    init(name: String, encoding: PayloadEncoding, number: UInt32, registry: UInt64) {
        self.name = name
        self.encoding = encoding
        self.number = number
        self.registry = registry
    }

    /// A kind as it was read.
    init(_ definition: KindDefinition) {
        self.init(name: definition.name, encoding: definition.encoding, number: 0, registry: 0)
    }

    /// Whether encoding and name are the same; names are compared by their bytes of UTF-8.
    public static func == (left: EventKind, right: EventKind) -> Bool {
        left.encoding == right.encoding && left.name.utf8.elementsEqual(right.name.utf8)
    }

    /// Agrees with `==`: equal kinds have equal hashes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(encoding)
    }
}

/// An event with its own copy of everything.
public struct Event: Hashable, Sendable {
    /// Unique in the store.
    public let sequence: UInt64
    /// The session's ordinal.
    public let sessionOrdinal: UInt64
    /// The session's id.
    public let sessionID: String
    /// Position in the session.
    public let index: UInt64
    /// When it happened, in nanoseconds since the Unix epoch.
    public let timestamp: Int64
    /// What it is.
    public let kind: EventKind
    /// The bytes as they were given.
    public let payload: [UInt8]
}

/// How a session stands.
public enum SessionState: String, Hashable, Sendable {
    /// It is being recorded.
    case active
    /// It was ended.
    case closed
    /// Its writer went away; it ends at its last event.
    case interrupted
}

/// A session as the store knows it.
public struct SessionInfo: Hashable, Sendable {
    /// Its identity in the store, from 1.
    public let ordinal: UInt64
    /// The id its caller gave; ids may repeat.
    public let id: String
    /// When it was started, in nanoseconds since the Unix epoch.
    public let startedAt: Int64
    /// When it ended, likewise; nil while it is active.
    public var endedAt: Int64?
    /// How it stands.
    public var state: SessionState
    /// Whether it was imported, with the indices it came with.
    public let isImported: Bool
    /// Retained events.
    public var eventCount: UInt64
    /// Retained checkpoints.
    public var checkpointCount: UInt64
    /// The index that its next event gets, or would have got.
    public var nextIndex: UInt64
    /// Sequence number of its first retained event.
    public var firstSequence: UInt64?
    /// Sequence number of its last retained event.
    public var lastSequence: UInt64?
    /// Smallest and largest timestamp over its retained events, in nanoseconds since the Unix epoch.
    public var timeRange: ClosedRange<Int64>?
    /// Bytes of their payloads.
    public var payloadBytes: UInt64
    /// What its caller gave at its start.
    public let metadata: [String: String]
}

/// A checkpoint, without its state: see `Snapshot.state(of:)`.
public struct Checkpoint: Hashable, Sendable {
    /// Its identity in the store, from 1.
    public let ordinal: UInt64
    /// The session's ordinal.
    public let sessionOrdinal: UInt64
    /// The session's id.
    public let sessionID: String
    /// The id its caller gave; ids may repeat.
    public let id: String
    /// A label for people.
    public let label: String?
    /// When it was made, in nanoseconds since the Unix epoch.
    public let timestamp: Int64
    /// The index of the session's next event when it was made.
    public let eventIndex: UInt64
    /// The sequence number of the store's next event when it was made.
    public let sequence: UInt64
    /// Bytes of its state.
    public let stateBytes: Int
}

/// Why sequence numbers can't be read.
public enum GapReason: String, Hashable, Sendable {
    /// Stored bytes are damaged.
    case damage
    /// The end of the log was being written when its writer went away.
    case unconfirmedTail = "unconfirmed tail"
    /// The file they were in is not there, or can't be opened.
    case lostSegment = "lost segment"
    /// They were left out when the store was copied.
    case excluded
    /// The limits dropped them.
    case retention

    /// Whether somebody wanted the events to be missing: then they are no loss.
    package var isMeant: Bool { self == .excluded || self == .retention }
}

/// A range of sequence numbers that can't be read.
public struct Gap: Hashable, Sendable {
    /// The numbers.
    public let sequences: ClosedRange<UInt64>
    /// Why.
    public let reason: GapReason
    /// Where, and what was found, for people.
    public let note: String

    /// What of it lies in a range; nil: nothing. `end`: the number after the log's last one.
    func part(in range: ClosedRange<UInt64>, end: UInt64) -> Gap? {
        // What an end that can't be read held has no known numbers: any from there on.
        let isOpen = reason == .unconfirmedTail && sequences.lowerBound >= end
        if isOpen, sequences.lowerBound < range.lowerBound { return self }
        guard sequences.overlaps(range) else { return nil }
        return Gap(sequences: sequences.clamped(to: range), reason: reason, note: note)
    }
}

/// Events that were refused because the queue was full. They had no sequence numbers.
public struct Drop: Hashable, Sendable {
    /// How many.
    public let events: UInt64
    /// Their payload bytes.
    public let bytes: UInt64
    /// The session that was active.
    public let sessionOrdinal: UInt64
    /// The sequence number of the event recorded next.
    public let before: UInt64
    /// When the first and the last were refused, in nanoseconds since the Unix epoch.
    public let time: ClosedRange<Int64>
}

/// Whether an answer is complete.
public struct Coverage: Hashable, Sendable {
    /// What is missing in the range that was asked for.
    public internal(set) var gaps: [Gap] = []

    package init(gaps: [Gap] = []) { self.gaps = gaps }

    /// Nothing is missing.
    public var isComplete: Bool { gaps.isEmpty }
}

/// A place in the log: everything before it is on stable storage.
public struct Watermark: Hashable, Comparable, Sendable {
    /// Ordinal of the segment.
    public let segment: UInt64
    /// Byte offset in its file.
    public let offset: UInt64

    /// Whether `left` comes earlier in the log: by segment, then by offset.
    public static func < (left: Watermark, right: Watermark) -> Bool {
        (left.segment, left.offset) < (right.segment, right.offset)
    }
}

/// A kind with what there is of it.
public struct KindInfo: Hashable, Sendable {
    /// The kind.
    public let kind: EventKind
    /// Its metadata, as given when it was interned.
    public let metadata: [String: String]
    /// Retained events.
    public let events: UInt64
    /// Bytes of their payloads.
    public let bytes: UInt64
}

/// What the limits dropped at a time, as the ledger tells it.
public struct Dropped: Hashable, Sendable {
    /// Which of them.
    public let limit: RetentionLimit
    /// From the first number that was kept before up to the first one that was kept after: of those, all that was not pinned.
    public let sequences: Range<UInt64>
    /// How many events and checkpoints.
    public let events: UInt64, checkpoints: UInt64
    /// When, in nanoseconds since the Unix epoch.
    public let time: Int64

    init(_ record: RetentionRecord) {
        limit = record.limit
        sequences = record.headBefore..<record.head
        events = record.events
        checkpoints = record.checkpoints
        time = record.time
    }
}

/// A store in figures, from its footers.
public struct StoreInfo: Sendable {
    /// The store's UUID.
    public let identifier: UniqueID
    /// Time of creation, in nanoseconds since the Unix epoch; nil when the file that says so is lost.
    public let createdAt: Int64?
    /// User metadata.
    public let metadata: [String: String]
    /// Version of the format.
    public let formatVersion: Int
    /// Segments, those of them with a footer, and of those the ones that compaction has written.
    public let segmentCount: Int, sealedCount: Int, settledCount: Int
    /// Retained events, sessions and checkpoints.
    public let eventCount: UInt64, sessionCount: Int, checkpointCount: Int
    /// Bytes of the retained events' payloads, and of the segment files.
    public let rawBytes: UInt64, storedBytes: UInt64
    /// Retained sequence numbers; nil when there is no event.
    public let sequences: Range<UInt64>?
    /// Smallest and largest timestamp of retained events, in nanoseconds since the Unix epoch.
    public let timeRange: ClosedRange<Int64>?
    /// The kinds.
    public let kinds: [KindInfo]
    /// What is known to be durable.
    public let watermark: Watermark?
    /// What is missing.
    public let gaps: [Gap]
    /// What was refused.
    public let drops: [Drop]
    /// The limits in force.
    public let limits: RetentionLimits
    /// What they dropped, as far as the segments that are left tell; the latest last.
    public let droppings: [Dropped]
    /// Ordinals of pinned sessions.
    public let pins: [UInt64]
    /// Pinned sequence numbers, of whatever sessions.
    public let pinnedRanges: [ClosedRange<UInt64>]
    /// The logical heads: the first sequence number and the first checkpoint ordinal that the limits keep.
    public let headSequence: UInt64, headCheckpoint: UInt64
    /// The last epoch.
    public let epoch: UInt64
    /// Ordinal of the active session.
    public let activeSession: UInt64?
    /// Whether a writer holds the store.
    public let isBeingWritten: Bool
}

/// What opening a store that was not closed in order found and did.
public struct RecoveryReport: Hashable, Sendable {
    /// Segments without a footer.
    public var unsealedSegments: Int
    /// Events after the watermark, copied into a new segment.
    public var recoveredEvents: UInt64
    /// The session that was cut off.
    public var interruptedSession: UInt64?
    /// Bytes after the last readable block.
    public var unreadableBytes: UInt64
    /// What could not be read before the watermark.
    public var gaps: [Gap]
}
