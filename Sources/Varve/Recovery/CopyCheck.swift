internal import VarveFormat
internal import VarveIO

extension RecoveryWorker {
    /// Throws where a counter in what is kept or copied can't go on: it is none of ours. What is kept or copied is not all that a
    /// reader reads.
    func checkCounters(kept: [Catalog.Entry]) throws(StoreError) {
        var counters = kept.flatMap {
            [$0.summary.sessionsBegun, $0.summary.checkpointsMade, $0.summary.nextSequence]
        }
        for header in plan.copy.map(\.block.header) {
            counters += [
                header.sessionsBegun, header.sessionOrdinal, header.checkpointsMade, header.nextSequence,
            ]
        }
        guard counters.allSatisfy({ $0 < .max >> 2 }) else {
            throw .damaged(file: directory.path, offset: 0, reason: "a segment's counters are out of range")
        }
    }

    /// Throws where numbers go back in what is to be copied behind the number `next`: a writer's never do. Of somebody else's blocks
    /// whose checksums are good the copy would be found no more, while readers and repair find them where they are.
    func checkOrder(after next: UInt64) throws(StoreError) {
        var next = next
        for copy in plan.copy {
            let header = copy.block.header
            guard header.firstSequence >= next else {
                throw .damaged(
                    file: directory.path + "/" + directory.segments[copy.segment].fileName,
                    offset: copy.block.offset, reason: "its sequence numbers go back")
            }
            next = header.nextSequence
        }
    }

    /// Throws unless the blocks that are to be copied mean the same in one segment as in those that they stand in.
    ///
    /// They keep the ids of their kinds, and what was compressed with a dictionary needs that one. A writer only adds to its kinds
    /// and has one dictionary, and what an earlier opening left is no longer copied: only segments that were put together by
    /// somebody else differ, which good checksums don't tell. Those stay as they are, for readers and for repair.
    func checkCopies() throws(StoreError) {
        var kindCounts: [Int: Int] = [:]
        for copy in plan.copy {
            kindCounts[copy.segment] = max(kindCounts[copy.segment] ?? 0, Int(copy.block.header.kindCount))
        }
        var dictionary: [UInt8]?
        for (number, kindCount) in kindCounts.sorted(by: { $0.key < $1.key }) {
            guard case .unsealed(let scan) = directory.segments[number] else { continue }
            let index = scan.index()
            func refuse(_ reason: String) -> StoreError {
                .damaged(file: directory.path + "/" + scan.fileName, offset: 0, reason: reason)
            }
            // Where a definition is damaged, the segment itself knows fewer.
            guard kindCount <= tail.kinds.count, kindCount <= index.kinds.count || !scan.unreadable.isEmpty,
                zip(index.kinds, tail.kinds).prefix(kindCount).allSatisfy({ $0.definition == $1 })
            else { throw refuse("its kinds contradict those of a segment after it") }
            guard index.dictionaryEntry != nil else { continue }
            let own = LoadedSegment(index: index, file: scan.file, region: nil).dictionary
            guard let own, own == dictionary ?? own else {
                throw refuse("its dictionary is not that of the segment before it")
            }
            dictionary = own
        }
    }
}
