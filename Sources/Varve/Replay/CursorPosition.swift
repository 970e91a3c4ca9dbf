public import VarveFormat

/// Where a reader got to: the last event that it has seen. What `Snapshot.query(_:after:)` makes a query go on from.
///
/// It names the store and the opening in which the event was recorded: anywhere else it is refused, also where a store was put back
/// to an older state and has given the number to another event since.
public struct CursorPosition: Hashable, Sendable {
    /// The store's UUID.
    public let store: UniqueID
    /// The opening of the store in which the event was recorded.
    public let epoch: UInt64
    /// The event's sequence number.
    public let sequence: UInt64

    /// A position that was kept in a form of one's own.
    public init(store: UniqueID, epoch: UInt64, sequence: UInt64) {
        self.store = store
        self.epoch = epoch
        self.sequence = sequence
    }
}

/// As one string, so that a position fits into a header, a file name or a column.
extension CursorPosition: Codable, LosslessStringConvertible {
    /// `store/epoch/sequence`.
    public var description: String { "\(store)/\(epoch)/\(sequence)" }

    /// Reads what `description` gives; nil for anything else.
    public init?(_ description: String) {
        let parts = description.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, let store = UniqueID(String(parts[0])),
            let epoch = UInt64(parts[1]), let sequence = UInt64(parts[2])
        else { return nil }
        self.init(store: store, epoch: epoch, sequence: sequence)
    }

    /// Reads what `encode` writes. Throws `DecodingError`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let position = CursorPosition(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not a position: STORE/EPOCH/SEQUENCE")
        }
        self = position
    }

    /// Writes the string that `description` is.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension EventView {
    /// Where a reader is that has seen this event.
    public var position: CursorPosition {
        CursorPosition(store: core.storeIdentifier, epoch: epoch, sequence: sequence)
    }
}

extension Snapshot {
    /// The query from behind a position on: later events, or earlier ones in a reversed query.
    ///
    /// Throws `StoreError.invalid` when the position is another store's, or one that this store has lost.
    public func query(_ query: Query = Query(), after position: CursorPosition) throws(StoreError) -> Query {
        func refuse(_ reason: String) -> StoreError { .invalid(what: "position \(position)", reason: reason) }
        guard position.store == store.identifier else {
            throw refuse("it is one of another store; this one is \(store.identifier)")
        }
        guard position.epoch <= self.position.epoch, position.sequence < self.position.nextSequence else {
            throw refuse("the store has not come so far: it was put back to an older state")
        }
        // Where the event can't be read any more there is nothing to compare with.
        var cursor = try cursor(Query().sequences(position.sequence...position.sequence))
        if let found = try cursor.next()?.position, found.epoch != position.epoch {
            throw refuse(
                "the store has given this number to another event since: it was put back to an older state")
        }
        let (next, isOver) =
            query.isReversed
            ? position.sequence.subtractingReportingOverflow(1) : position.sequence.addingReportingOverflow(1)
        return isOver ? query.limit(0) : query.from(next)
    }
}

extension Snapshot {
    /// The opening in which an event was recorded; nil where that can't be read. Reads a block's header where a segment holds events
    /// of several.
    func epoch(of sequence: UInt64) throws(StoreError) -> UInt64? {
        for batch in batches.reversed() where batch.start.nextSequence <= sequence {
            guard sequence - batch.start.nextSequence < UInt64(batch.count) else { break }
            return batch.start.epoch
        }
        for entry in entries.reversed() {
            let summary = entry.summary
            guard summary.eventCount > 0, summary.baseSequence <= sequence, sequence < summary.nextSequence
            else { continue }
            if summary.firstEpoch == summary.lastEpoch { return summary.firstEpoch }
            let segment: LoadedSegment
            do throws(StoreError) {
                segment = try entry.load()
            } catch {
                guard case .damaged = error else { throw error }
                return nil
            }
            let blocks = segment.index.entries
            guard
                let found = blocks.last(where: { block in
                    block.type == .events && block.firstSequence <= sequence
                        && sequence < block.nextSequence
                })
            else { return nil }
            let scratch = ScratchBuffer()
            defer { withExtendedLifetime(scratch) {} }
            do {
                let bytes = try segment.bytes(at: found.offset, count: BlockHeader.byteCount, scratch)
                return try BlockHeader(decoding: bytes, segment: segment.index.header.segment, number: nil)
                    .epoch
            } catch {
                return nil
            }
        }
        return nil
    }
}

extension Query {
    /// The query from this sequence number on, in its own direction.
    func from(_ sequence: UInt64) -> Query {
        let range = sequences ?? 0...UInt64.max
        if isReversed {
            guard sequence >= range.lowerBound else { return limit(0) }
            return sequences(range.lowerBound...min(sequence, range.upperBound))
        }
        guard sequence <= range.upperBound else { return limit(0) }
        return sequences(max(sequence, range.lowerBound)...range.upperBound)
    }
}
