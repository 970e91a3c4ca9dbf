/// Where the rows of the sub-block that a cursor stands in are.
@usableFromInline
struct CursorRun {
    @usableFromInline var timestamps: UnsafePointer<Int64>
    @usableFromInline var lengths: UnsafePointer<UInt32>
    @usableFromInline var kinds: UnsafePointer<UInt32>
    /// Explicit indices; nil: implied.
    @usableFromInline var indices: UnsafePointer<UInt64>?
    /// Kind id to the cursor's number.
    @usableFromInline var kindNumbers: UnsafePointer<UInt32>
    @usableFromInline var firstSequence: UInt64
    @usableFromInline var firstIndex: UInt64
    @usableFromInline var session: UInt64
    @usableFromInline var epoch: UInt64
    /// The cursor's other half, which keeps the run alive.
    var core: Unmanaged<CursorCore>?

    init(
        columns timestamps: UnsafePointer<Int64>, _ lengths: UnsafePointer<UInt32>,
        _ kinds: UnsafePointer<UInt32>
    ) {
        self.timestamps = timestamps
        self.lengths = lengths
        self.kinds = kinds
        indices = nil
        kindNumbers = kinds
        firstSequence = 0
        firstIndex = 0
        session = 0
        epoch = 0
        core = nil
    }

    // SAFETY: the core holds the run, and is held by who has it.
    var cursorCore: CursorCore { core!.takeUnretainedValue() }
}

/// An event as a cursor lends it: it can't outlive the cursor's next step, and nothing was allocated for it.
@frozen public struct EventView: ~Escapable {
    @usableFromInline let run: UnsafePointer<CursorRun>
    @usableFromInline let row: Int
    @usableFromInline let base: UnsafeRawPointer

    // SAFETY: `EventCursor.next` returns it with a lifetime that ends at the cursor's next mutation, before which the run,
    // its arrays and the payload do not change.
    @_lifetime(immortal)
    @inlinable
    init(run: UnsafePointer<CursorRun>, row: Int, base: UnsafeRawPointer) {
        self.run = run
        self.row = row
        self.base = base
    }

    /// Unique in the store.
    @inlinable public var sequence: UInt64 { run.pointee.firstSequence &+ UInt64(row) }

    /// Position in the session.
    @inlinable public var index: UInt64 {
        if let indices = run.pointee.indices { indices[row] } else { run.pointee.firstIndex &+ UInt64(row) }
    }

    /// The session's ordinal.
    @inlinable public var sessionOrdinal: UInt64 { run.pointee.session }

    /// The opening of the store in which it was recorded.
    @inlinable public var epoch: UInt64 { run.pointee.epoch }

    /// When it happened, in nanoseconds since the Unix epoch.
    @inlinable public var timestamp: Int64 { run.pointee.timestamps[row] }

    /// The kind's number in this cursor: dense, from 0; a key for what a caller keeps a kind.
    @inlinable public var kindNumber: UInt32 { run.pointee.kindNumbers[Int(run.pointee.kinds[row])] }

    /// What it is.
    public var kind: EventKind { core.kind(number: kindNumber) }

    /// The session's id.
    public var sessionID: String { core.sessionID(sessionOrdinal, ofEvent: sequence) }

    /// The event with its own copy of everything.
    public var event: Event {
        Event(
            sequence: sequence, sessionOrdinal: sessionOrdinal, sessionID: sessionID, index: index,
            timestamp: timestamp, kind: kind, payload: copy())
    }

    var core: CursorCore { run.pointee.cursorCore }

    /// Bytes of the payload.
    @inlinable public var payloadByteCount: Int { Int(run.pointee.lengths[row]) }

    /// The payload.
    @inlinable public var payload: RawSpan {
        @_lifetime(copy self)
        get {
            // SAFETY: `base` points to as many decoded bytes as the row's length says.
            let span = RawSpan(_unsafeStart: base, byteCount: payloadByteCount)
            return lend(span, like: self)
        }
    }

    /// Runs `body` with the payload's bytes; they must not be kept.
    @inlinable
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: base, count: payloadByteCount))
    }

    /// The payload's own copy.
    @inlinable
    public func copy() -> [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: payloadByteCount)) }
}

/// Gives a span the lifetime of the view that it belongs to.
@_unsafeNonescapableResult @_alwaysEmitIntoClient @_transparent
@_lifetime(copy view)
func lend(_ span: RawSpan, like view: borrowing EventView) -> RawSpan { span }
