internal import VarveFormat

extension Snapshot {
    /// The number of the first event that is kept and counts; nil: none does.
    func firstKeptSequence() -> UInt64? {
        let excluded = excluded
        for entry in entries where entry.summary.eventCount > 0 {
            let range = entry.summary.sequences
            if retained.hidesAll(range) { continue }
            if excluded.isEmpty {
                if retained.keepsAll(range) { return range.lowerBound }
                if entry.summary.isFull, retained.pins.isEmpty { return retained.headSequence }
            }
            guard let index = try? entry.load().index else {
                if let part = retained.parts(of: range, session: nil).first { return part.lowerBound }
                continue
            }
            for block in index.entries
            where block.type == .events && !excluded.contains(block.sessionOrdinal) {
                let parts = retained.parts(of: block.sequences, session: block.sessionOrdinal)
                if let first = parts.first { return first.lowerBound }
            }
        }
        for batch in batches where !excluded.contains(batch.start.sessionOrdinal) {
            if let rows = batch.keptRows(by: retained).first {
                return batch.start.nextSequence + UInt64(rows.lowerBound)
            }
        }
        return nil
    }
}

extension Catalog.Entry {
    /// The segment's index and bytes; nil where they are damaged and retention keeps nothing of them: that is no loss.
    func loadKept(by retained: Retained) throws(StoreError) -> LoadedSegment? {
        do throws(StoreError) {
            return try load()
        } catch {
            guard case .damaged = error, retained.hidesAll(summary) else { throw error }
            return nil
        }
    }
}

extension Retained {
    /// Whether no event and no checkpoint of a segment is kept, as far as its summary tells.
    fileprivate func hidesAll(_ summary: SegmentSummary) -> Bool {
        pins.isEmpty && summary.nextSequence <= headSequence
            && (summary.checkpointCount == 0 || summary.checkpointsMade < headCheckpoint)
    }
}

extension SegmentSummary {
    /// Whether it has an event for each of its numbers.
    var isFull: Bool { eventCount == nextSequence - baseSequence }
}

extension Gap {
    /// For people.
    static let droppedNote = "dropped by the limits"
}
