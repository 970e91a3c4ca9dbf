import Varve

/// A store before it is opened for writing, which may drop something at once.
struct StoreBefore {
    /// `nil`: there is none yet.
    let info: StoreInfo?
    /// The number that its next event gets, once it is open: opening may leave out some.
    var nextSequence: UInt64 = 0

    init(_ path: String) throws {
        info = EventStore.exists(at: path) ? try EventStore.openReadOnly(path).info() : nil
    }

    /// What is gone since.
    ///
    /// - Parameters:
    ///   - now: the store, closed for writing.
    ///   - next: the number that its next event gets.
    ///   - checkpoints: made since.
    func dropped(_ now: StoreInfo, next: UInt64, checkpoints: UInt64) -> (events: UInt64, checkpoints: UInt64)
    {
        func difference(_ before: UInt64, _ after: UInt64) -> UInt64 { before > after ? before - after : 0 }
        let events = (info?.eventCount ?? 0) + difference(next, nextSequence)
        let checkpoints = UInt64(info?.checkpointCount ?? 0) + checkpoints
        return (difference(events, now.eventCount), difference(checkpoints, UInt64(now.checkpointCount)))
    }
}
