public import VarveFormat

/// What was copied of a store, and what was not.
public struct CopyReport: Hashable, Sendable {
    /// UUIDs of the store that was read and of the one that was written.
    public let source: UniqueID, store: UniqueID
    /// Events, checkpoints and sessions in the new store.
    public internal(set) var events: UInt64 = 0, checkpoints = 0, sessions = 0
    /// Checkpoints that belong to it and whose state can't be read.
    public internal(set) var lostCheckpoints = 0
    /// Sequence numbers that were left out: the source has their events, or dropped nothing that is known.
    public internal(set) var leftOut: UInt64 = 0
    /// What is missing of the numbers that were asked for: those that the source does not have, or that could
    /// not be read. The copy's ledger names the others too.
    public internal(set) var gaps: [Gap] = []
    /// Segments and bytes written.
    public internal(set) var segments = 0, bytes: UInt64 = 0

    /// Whether nothing was lost that was asked for. What retention dropped, or was left out before, is no
    /// loss.
    public var isIntact: Bool {
        lostCheckpoints == 0 && gaps.allSatisfy(\.reason.isMeant)
    }
}

extension EventStore {
    /// The key in a copy's metadata whose value is the UUID of the store it was made from.
    public static let copiedFromKey = "varve.copied-from"
}

extension Snapshot {
    /// Writes the events that match into a new store of their own.
    ///
    /// Events keep their sequence numbers, epochs, sessions, indices, timestamps, kinds and payloads;
    /// sessions that have events in the copy keep their ordinals, ids, metadata, beginnings and ends, kinds
    /// their metadata. Checkpoints of these sessions go over when they were made within the query's range of
    /// numbers (or right after its last one) and of time; its other conditions say nothing of them. With a
    /// limit the range is that of the events that go over. The order does not matter: the copy has the order
    /// of the source.
    ///
    /// Sessions without events go over, with their checkpoints, when the query has no condition, or none but
    /// on sessions. Otherwise a session of which no event matches is not in the copy, nor are its checkpoints.
    ///
    /// Every other number that the source gave is named in the copy's ledger: as left out, or by the reason
    /// for which the source does not have it. Appending to the copy goes on after the source's last number,
    /// session and checkpoint. Limits and pins are not copied.
    ///
    /// The copy is another store with a UUID of its own; its metadata are the source's, and under
    /// ``EventStore/copiedFromKey`` they say where it comes from. It is put together in `PATH.tmp` and moved
    /// to its place once all of it is durable; after a failure `PATH.tmp` is emptied. The source may be
    /// written meanwhile.
    ///
    /// A block holds events whose numbers follow each other, so that each event of a thin excerpt takes about
    /// 300 bytes besides its payload. Memory: a block, a checkpoint's state, and what the source's and the
    /// copy's indices take. O(bytes that are read).
    ///
    /// - Parameters:
    ///   - query: what to copy.
    ///   - path: where the new store goes: nothing, or an empty directory, outside of any store.
    ///   - options: how it is written.
    ///   - progress: called with the numbers of events and of payload bytes copied so far, about once a block.
    ///
    /// Errors: `invalid` when the path is taken or lies inside a store, `cannotRead`, `cannotWrite`,
    /// `outOfSpace`.
    public func copy(
        _ query: Query = Query(), to path: String, options: StoreOptions = StoreOptions(),
        progress: ((_ events: UInt64, _ bytes: UInt64) -> Void)? = nil
    ) throws(StoreError) -> CopyReport {
        let options = options.clamped
        return try StoreError.catching(at: path, StoreError.writing) {
            let temporary = try EventStore.preparedDirectory(for: path, "copy", options.fileSystem)
            return try EventStore.make(path, in: temporary, options.fileSystem) {
                var copy = try StoreCopy(self, query, into: temporary, options: options, progress: progress)
                return try copy.write()
            }
        }
    }
}
