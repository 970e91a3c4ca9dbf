/// Yields the events of a query one by one, lending each: `while let event = try cursor.next()`.
///
/// It holds one block in memory at a time, and a few where blocks are decoded ahead. Not `Sendable`: one task or thread uses it.
@frozen public struct EventCursor: ~Copyable {
    @usableFromInline var row = 0
    @usableFromInline var rowEnd = 0
    @usableFromInline var base: UnsafeRawPointer
    @usableFromInline var run: UnsafePointer<CursorRun>
    @usableFromInline let core: CursorCore
    /// What decodes the blocks that `core` finds; nil: it does so itself.
    @usableFromInline let ahead: ReadAhead?

    init(core: CursorCore, ahead: ReadAhead? = nil) {
        self.core = core
        self.ahead = ahead
        run = UnsafePointer(core.run)
        base = UnsafeRawPointer(core.run)
    }

    deinit { ahead?.stop() }

    /// The next event, or nil after the last. The view ends at the next call.
    ///
    /// O(1), and O(sub-block) when a sub-block has to be decompressed. Damage is no error: what it takes away is reported by
    /// `coverage`. Throws `StoreError` when the system refuses to read.
    @inlinable
    @_lifetime(&self)
    public mutating func next() throws(StoreError) -> EventView? {
        if row == rowEnd, try !advance() { return nil }
        let current = row
        let start = base
        row = current &+ 1
        base = start + Int(run.pointee.lengths[current])
        return EventView(run: run, row: current, base: start)
    }

    /// The next event with its own copy of everything, or nil after the last.
    public mutating func nextEvent() throws(StoreError) -> Event? {
        guard let view = try next() else { return nil }
        return view.event
    }

    /// Goes to the next rows that match, contiguous in a decoded sub-block, past those at hand; false at the end.
    @usableFromInline
    mutating func advance() throws(StoreError) -> Bool {
        let next = if let ahead { try ahead.advance() } else { try core.advance() }
        row = rowEnd
        guard let step = next else { return false }
        run = step.run
        row = step.row
        rowEnd = step.rowEnd
        base = step.base
        return true
    }

    /// Counts the events that are left.
    mutating func countRows() throws(StoreError) -> UInt64 {
        var count = UInt64(rowEnd - row)
        while try advance() { count += UInt64(rowEnd - row) }
        return count
    }

    /// What is missing in the answer so far: known gaps of the range asked for, and damage met on the way.
    public var coverage: Coverage { ahead?.coverage ?? core.coverage }

    /// What the query did so far.
    public var statistics: QueryStatistics { ahead?.statistics ?? core.statistics }
}
