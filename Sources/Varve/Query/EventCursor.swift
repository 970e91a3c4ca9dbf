/// Yields the events of a query one by one, lending each: `while let event = try cursor.next()`.
///
/// It holds one block in memory at a time. Not `Sendable`: one task or thread uses it.
@frozen public struct EventCursor: ~Copyable {
    @usableFromInline var row = 0
    @usableFromInline var rowEnd = 0
    @usableFromInline var base: UnsafeRawPointer
    @usableFromInline let run: UnsafePointer<CursorRun>
    @usableFromInline let core: CursorCore

    init(core: CursorCore) {
        self.core = core
        run = UnsafePointer(core.run)
        base = UnsafeRawPointer(core.run)
    }

    /// The next event, or nil after the last. The view ends at the next call.
    ///
    /// O(1), and O(sub-block) when a sub-block has to be decompressed. Damage is no error: what it takes away is reported by
    /// `coverage`. Throws `StoreError` when the system refuses to read.
    @inlinable
    @_lifetime(&self)
    public mutating func next() throws(StoreError) -> EventView? {
        if row == rowEnd {
            guard let step = try core.advance() else { return nil }
            row = step.row
            rowEnd = step.rowEnd
            base = step.base
        }
        let current = row
        let start = base
        row = current &+ 1
        base = start + Int(run.pointee.lengths[current])
        return EventView(run: run, row: current, base: start)
    }

    /// What the event is.
    public func kind(of view: borrowing EventView) -> EventKind { core.kind(number: view.kindNumber) }

    /// The id of the event's session.
    public func sessionID(of view: borrowing EventView) -> String { core.sessionID(view.sessionOrdinal) }

    /// The next event with its own copy of everything, or nil after the last.
    public mutating func nextEvent() throws(StoreError) -> Event? {
        let core = core
        guard let view = try next() else { return nil }
        return Event(
            sequence: view.sequence, sessionOrdinal: view.sessionOrdinal, sessionID: core.sessionID(view.sessionOrdinal),
            index: view.index, timestamp: view.timestamp, kind: core.kind(number: view.kindNumber), payload: view.copy())
    }

    /// What is missing in the answer so far: known gaps of the range asked for, and damage met on the way.
    public var coverage: Coverage { core.coverage }

    /// What the query did so far.
    public var statistics: QueryStatistics { core.statistics }
}
