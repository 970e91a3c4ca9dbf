internal import VarveFormat

extension LedgerRecord {
    /// One record for both, where they tell of the same limit and the second goes on where the first ended.
    func joined(with next: LedgerRecord) -> LedgerRecord? {
        guard case .retention(var first) = self, case .retention(let second) = next,
            first.limit == second.limit, first.head == second.headBefore,
            first.checkpoint == second.checkpointBefore
        else { return nil }
        let events = first.events.addingReportingOverflow(second.events)
        let checkpoints = first.checkpoints.addingReportingOverflow(second.checkpoints)
        guard !events.overflow, !checkpoints.overflow else { return nil }
        first.head = second.head
        first.checkpoint = second.checkpoint
        first.events = events.partialValue
        first.checkpoints = checkpoints.partialValue
        first.time = second.time
        return .retention(first)
    }
}
