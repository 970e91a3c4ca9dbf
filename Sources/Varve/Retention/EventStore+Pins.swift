internal import VarveFormat

extension EventStore {
    /// Keeps a session, with its events and checkpoints, whatever the limits say: what of it is retained now, and what it gets
    /// later. Pinned events count towards the limits. Returns when that is durable; a second time changes nothing.
    ///
    /// Errors: `noSuchSession`, `readOnly`, `closed`, `poisoned`, `outOfSpace`. O(segments).
    public func pin(session ordinal: UInt64) throws(StoreError) {
        _ = try snapshot().session(ordinal: ordinal)
        try pin(isPinned: true) {
            Pin(session: ordinal, first: $0.headSequence, firstCheckpoint: $0.headCheckpoint)
        }
    }

    /// Leaves a session to the limits again: what they would have dropped meanwhile goes at once. Errors: as `pin`, without
    /// `noSuchSession`: one that is not pinned stays so.
    public func unpin(session ordinal: UInt64) throws(StoreError) {
        try pin(isPinned: false) { _ in Pin(session: ordinal, first: 0) }
    }

    /// Keeps the events with these sequence numbers that are retained now, or are recorded later, and the checkpoints made among them.
    ///
    /// Errors: `invalid` when all of them were dropped before; else as `pin(session:)`.
    public func pin(sequences: ClosedRange<UInt64>) throws(StoreError) {
        // Others may append until the pin has its turn, and the limits drop for that.
        var head: UInt64 = 0
        try pin(isPinned: true) {
            head = $0.headSequence
            guard sequences.upperBound >= head else { return nil }
            return Pin(
                session: 0, first: max(sequences.lowerBound, head), last: sequences.upperBound,
                firstCheckpoint: $0.headCheckpoint)
        }
        guard sequences.upperBound >= head else {
            throw .invalid(
                what: "the range \(sequences.lowerBound) to \(sequences.upperBound)",
                reason: "was dropped before: the first number that is kept is \(head)")
        }
    }

    /// Leaves these sequence numbers to the limits again. Pinned sessions stay pinned. Errors: as `unpin(session:)`.
    public func unpin(sequences: ClosedRange<UInt64>) throws(StoreError) {
        try pin(isPinned: false) { _ in
            Pin(session: 0, first: sequences.lowerBound, last: sequences.upperBound)
        }
    }
}
