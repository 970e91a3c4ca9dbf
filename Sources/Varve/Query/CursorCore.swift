internal import VarveFormat

/// The part of a cursor that works once a sub-block: prunes segments and blocks, unpacks columns, selects rows, decompresses.
@usableFromInline
final class CursorCore {
    struct Step {
        let run: UnsafePointer<CursorRun>
        let row: Int
        let rowEnd: Int
        let base: UnsafeRawPointer
    }

    /// Where blocks come from.
    private enum Source {
        case segment(LoadedSegment)
        case batch(Batch)
    }

    private let snapshot: Snapshot
    let query: Query
    private let sessions: Set<UInt64>?
    private let excluded: Set<UInt64>
    let retained: Retained
    /// No number below it matches: of the query's range, or the first that retention may keep.
    private let floor: UInt64
    let run: UnsafeMutablePointer<CursorRun>
    var statistics = QueryStatistics()
    private(set) var foundGaps: [Gap] = []
    private var remaining: UInt64

    // Position: the next source and block in the direction of the query.
    private let sourceCount: Int
    private var nextSource: Int
    private var source: Source?
    private var sourceNumber = 0
    private var nextBlock = 0
    /// Where the numbers go on: at this one or after it, in reverse below it. Nil before the first block.
    private var reached: UInt64?

    // The block that is loaded.
    private let memory: CursorBuffers
    private let columns: EventColumns
    /// One for the sub-block that is lent; as many as a block has of them where blocks are decoded whole.
    private var buffers: [SubBlockBuffer]
    private var header: BlockHeader?
    private var blockOffset: UInt64 = 0
    /// The stored bytes of the sub-blocks that hold the rows chosen, from this offset in the block on; read when the first is needed.
    private var payloadBytes: UnsafeRawBufferPointer?
    private var payloadOffset = 0
    private var isPayloadRefused = false
    /// What sub-blocks were read into one by one.
    private var pieces: [ScratchBuffer] = []
    private var hasDecoded = false
    /// The first and the last row chosen of the block.
    private var chosenFirst = 0
    private var chosenLast = 0
    private var batchPayload: UnsafeRawPointer?
    private var firstSequence: UInt64 = 0
    /// The rows that retention keeps, where it does not keep all; nil: it does.
    private var keptRows: [Range<Int>]?

    // The rows that match: a range, or a list. Of a list those of the sub-block that is decoded are `ready`: where there are predicates
    // on payloads, they were asked about these, and not about the rest.
    private var isRange = true
    private var rangeStart = 0
    private var rangeEnd = 0
    private var selected: UnsafeMutablePointer<UInt32>
    private var offsets: UnsafeMutablePointer<UInt32>
    private var selectedNext = 0
    private var selectedEnd = 0
    private var readyNext = 0
    private var readyEnd = 0

    // Predicates.
    private let evaluators: [any PredicateEvaluator]
    let payloadEvaluators: [any PredicateEvaluator]
    private let requirement: TextRequirement
    private var filterTest: FilterTest?
    private var filterTests: [Int: FilterTest?] = [:]
    private var wholeSegment: ((WholeSegment) -> Bool)?
    /// Whether the filters rule each sub-block of the block out; empty: none.
    private var ruledOut: [Bool] = []

    // The sub-block that is decoded.
    private var keepsBlock = false
    private var decoded = -1
    private var decodedBase: UnsafeRawPointer?

    // Kinds.
    private var kinds: [EventKind] = []
    private var kindNumbersByKey: [EventKind: UInt32] = [:]
    private lazy var pendingKinds = SourceKinds(snapshot.pendingKinds)
    private var kindMap: UnsafeMutablePointer<UInt32>
    private var allowedKinds: [Bool] = []
    private var allowedMask = UInt64.max

    init(_ snapshot: Snapshot, _ query: Query) throws(StoreError) {
        // First: deinit does not run after a throw, and what is allocated below would stay.
        sessions = try snapshot.resolve(query)
        self.snapshot = snapshot
        self.query = query
        retained = snapshot.retained
        floor = max(query.sequences?.lowerBound ?? 0, retained.floor)
        let predicates = query.predicates.map { (predicate: $0, evaluator: $0.makeEvaluator()) }
        evaluators = predicates.map(\.evaluator)
        payloadEvaluators = predicates.filter(\.predicate.needsPayload).map(\.evaluator)
        requirement = .all(query.predicates.map(\.textRequirement))
        remaining = query.limit ?? .max
        sourceCount = snapshot.entries.count + snapshot.batches.count
        nextSource = query.isReversed ? sourceCount - 1 : 0
        statistics.segments = snapshot.entries.count
        memory = snapshot.store.cursorBuffers.take()
        columns = memory.columns
        buffers = [memory.subBlock]
        (selected, offsets, kindMap) = (memory.selected, memory.offsets, memory.kindMap)
        run = .allocate(capacity: 1)
        run.initialize(
            to: CursorRun(
                columns: UnsafePointer(columns.timestamps), UnsafePointer(columns.lengths),
                UnsafePointer(columns.kinds)))
        excluded = snapshot.excluded
        run.pointee.core = Unmanaged.passUnretained(self)
    }

    deinit {
        run.deallocate()
        snapshot.store.cursorBuffers.giveBack(memory)
    }

    func kind(number: UInt32) -> EventKind { kinds[Int(number)] }
    var storeIdentifier: UniqueID { snapshot.store.identifier }
    func sessionID(_ ordinal: UInt64, ofEvent sequence: UInt64) -> String {
        snapshot.sessionID(ordinal, ofEvent: sequence)
    }

    var coverage: Coverage { Self.coverage(of: query, in: snapshot, foundGaps) }

    /// What was done since the last call.
    func takeStatistics() -> QueryStatistics {
        defer { statistics = QueryStatistics() }
        return statistics
    }

    /// The damage met since the last call: nothing knows of it any more but the caller.
    func takeGaps() -> [Gap] {
        defer { foundGaps = [] }
        return foundGaps
    }

    /// What is missing in an answer, with damage that was met.
    static func coverage(of query: Query, in snapshot: Snapshot, _ met: [Gap]) -> Coverage {
        // Nothing was asked for.
        if query.limit == 0 { return Coverage() }
        let range = query.sequences ?? 0...UInt64.max
        var gaps = (try? snapshot.gaps()) ?? []
        for gap in met where !gaps.contains(gap) { gaps.append(gap) }
        gaps = gaps.compactMap { $0.part(in: range, end: snapshot.position.nextSequence) }
        return Coverage(gaps: gaps.sorted { $0.sequences.lowerBound < $1.sequences.lowerBound })
    }

    // MARK: Stepping

    /// The next rows: contiguous in a decoded sub-block. Nil at the end.
    func advance() throws(StoreError) -> Step? {
        while remaining > 0 {
            if let step = nextInBlock() { return step }
            guard remaining > 0, try loadNextBlock() else { return nil }
        }
        return nil
    }

    /// The next rows of the block that is loaded; nil when it has no more.
    func nextInBlock() -> Step? {
        while remaining > 0 {
            if isRange {
                guard rangeStart < rangeEnd else { return nil }
                if let step = nextRange() { return step }
            } else {
                guard readyNext < readyEnd || makeReady() else { return nil }
                return nextReady()
            }
        }
        return nil
    }

    /// Where the next block that may match is.
    enum FoundBlock {
        case block(Int)
        /// Not in the segment looked into: to be asked again.
        case noneYet
        case end
    }

    /// Finds the next block that may match, and has `other`, a core of the same query, read from where it is. This core decodes nothing
    /// itself then, and knows the kinds of all.
    func findBlock(for other: CursorCore) throws(StoreError) -> FoundBlock {
        var number = nextInSource()
        if number == nil {
            switch try openNextSource() {
            case .opened: number = nextInSource()
            case .passedOver: break
            case .end: return .end
            }
        }
        guard let number else { return .noneYet }
        other.source = source
        other.filterTest = filterTest
        other.kinds = kinds
        other.allowedKinds = allowedKinds
        other.allowedMask = allowedMask
        other.reserveKinds(allowedKinds.count)
        other.kindMap.update(from: kindMap, count: allowedKinds.count)
        return .block(number)
    }

    /// Loads a block and decodes it whole: its rows that match, which stay until the next call. What is too large for that is left to
    /// `nextInBlock`.
    func decodeBlock(_ number: Int) throws(StoreError) -> [Step] {
        remaining = query.limit ?? .max
        keepsBlock = false
        chooseNone()
        var steps: [Step] = []
        // What is too large is not read whole either.
        var isLarge = false
        if case .segment(let segment)? = source {
            isLarge = segment.index.entries[number].rawBytes > Self.keptBytesMax
        }
        guard try load(number, payloads: !isLarge), !isLarge else { return steps }
        guard columns.subBlockCount <= Self.keptSubBlocksMax else { return steps }
        keepsBlock = true
        while let step = nextInBlock() { steps.append(step) }
        return steps
    }

    /// Bytes of what is decoded, and of what was read for it.
    var bufferBytes: Int { buffers.reduce(memory.payloadScratch.byteCount) { $0 + $1.byteCount } }

    /// Gives the memory of a large block back, of which several cores would each keep one's. Its rows are gone.
    func letGoOfLarge() {
        // What is decoded ahead, a dictionary for each part of it, and what is stored of it.
        guard bufferBytes > 3 * Int(Self.keptBytesMax) else { return }
        memory.subBlock = SubBlockBuffer()
        memory.payloadScratch = ScratchBuffer()
        buffers = [memory.subBlock]
    }

    /// What is decoded before it is asked for, at most: it takes memory.
    private static let keptSubBlocksMax = 64
    private static let keptBytesMax: UInt32 = 4 << 20

    /// A block that may match: where it is, and what the index says of it.
    struct Candidate {
        fileprivate let source: Int
        fileprivate let block: Int
        let sequences: Range<UInt64>
        let times: ClosedRange<Int64>
        /// Of its payloads.
        let bytes: UInt64
    }

    /// The blocks that may match, in the order of the query. Nothing of them is read but what `load` is asked for afterwards.
    func candidateBlocks() throws(StoreError) -> [Candidate] {
        var blocks: [Candidate] = []
        while let number = try nextCandidate() {
            switch source {
            case .segment(let segment):
                let entry = segment.index.entries[number]
                blocks.append(
                    Candidate(
                        source: sourceNumber, block: number,
                        sequences: entry.sequences,
                        times: entry.minTimestamp...entry.maxTimestamp, bytes: UInt64(entry.rawBytes)))
            case .batch(let batch):
                let first = batch.start.nextSequence
                guard let times = batch.timeRange else { continue }
                blocks.append(
                    Candidate(
                        source: sourceNumber, block: number, sequences: first..<first + UInt64(batch.count),
                        times: times, bytes: UInt64(batch.payloadBytes)))
            case nil: break
            }
        }
        return blocks
    }

    /// Loads a block of `candidateBlocks`, and lends its events that match, in the order of the query.
    func load(_ candidate: Candidate, _ body: (borrowing EventView) -> Void) throws(StoreError) {
        if candidate.source != sourceNumber || source == nil {
            guard try openSource(candidate.source) else { return }
        }
        guard try load(candidate.block) else { return }
        while let step = nextInBlock() {
            var base = step.base
            for row in step.row..<step.rowEnd {
                body(EventView(run: UnsafePointer(run), row: row, base: base))
                base += Int(run.pointee.lengths[row])
            }
        }
    }

    // MARK: Comparing

    /// A sub-block that is lent next, whole, and not decoded yet.
    struct Part {
        let segment: LoadedSegment
        let header: BlockHeader
        let number: Int
        let part: EventColumns.SubBlock
        /// Its stored bytes, whose checksum was not verified.
        let stored: UnsafeRawBufferPointer

        /// Whether the stored bytes are what was written.
        var isIntact: Bool {
            do throws(FormatError) {
                try ControlBlock.verifySubBlock(
                    stored, number, checksum: part.checksum, segment: header.segment, block: header.number)
                return true
            } catch {
                return false
            }
        }
    }

    /// Loads the next block when there is none with more rows; false at the end.
    func hasMore() throws(StoreError) -> Bool {
        while remaining > 0 {
            if isRange ? rangeStart < rangeEnd : readyNext < readyEnd || makeReady() { return true }
            guard try loadNextBlock() else { return false }
        }
        return false
    }

    /// What the next rows are, where they are a whole sub-block in a file.
    var nextPart: Part? {
        guard isRange, rangeStart < rangeEnd, let header, case .segment(let segment)? = source else {
            return nil
        }
        let number = columns.subBlock(containingRow: rangeStart)
        let part = columns.subBlock(number)
        guard rangeStart == part.firstRow, part.eventCount <= rangeEnd - rangeStart,
            part.eventCount <= remaining, let stored = try? stored(part, of: segment)
        else { return nil }
        return Part(segment: segment, header: header, number: number, part: part, stored: stored)
    }

    /// Passes over the rows of `nextPart`.
    func skip(_ part: Part) {
        rangeStart += part.part.eventCount
        remaining -= UInt64(part.part.eventCount)
        statistics.rowsMatched += UInt64(part.part.eventCount)
    }

    private func nextRange() -> Step? {
        let number = columns.subBlock(containingRow: rangeStart)
        let part = columns.subBlock(number)
        var end = min(rangeEnd, part.firstRow + part.eventCount)
        if UInt64(end - rangeStart) > remaining { end = rangeStart + Int(remaining) }
        let lengths = columns.lengths
        var offset = 0
        for row in part.firstRow..<rangeStart { offset += Int(lengths[row]) }
        var wanted = part.rawBytes
        if end < part.firstRow + part.eventCount {
            wanted = offset
            for row in rangeStart..<end { wanted += Int(lengths[row]) }
        }
        let start = rangeStart
        rangeStart = end
        guard let base = decode(number, part, wanted) else {
            rangeStart = min(rangeEnd, part.firstRow + part.eventCount)
            return nil
        }
        remaining -= UInt64(end - start)
        statistics.rowsMatched += UInt64(end - start)
        return Step(run: UnsafePointer(run), row: start, rowEnd: end, base: base + offset)
    }

    /// Makes the chosen rows of the next sub-block ready that has some which match; false when there is none left in the block.
    private func makeReady() -> Bool {
        while selectedNext < selectedEnd {
            let row = Int(selected[query.isReversed ? selectedEnd - 1 : selectedNext])
            let number = columns.subBlock(containingRow: row)
            let part = columns.subBlock(number)
            // The rows of the list that stand in the sub-block.
            var (low, high) = (selectedNext, selectedEnd)
            if query.isReversed {
                low = high - 1
                while low > selectedNext, Int(selected[low - 1]) >= part.firstRow { low -= 1 }
                selectedEnd = low
            } else {
                high = low + 1
                let bound = part.firstRow + part.eventCount
                while high < selectedEnd, Int(selected[high]) < bound { high += 1 }
                selectedNext = high
            }
            let lengths = columns.lengths
            var offset: UInt32 = 0
            for position in part.firstRow..<part.firstRow + part.eventCount {
                offsets[position] = offset
                offset &+= lengths[position]
            }
            // Only as much as the last row that will be asked for.
            let last = Int(selected[high - 1])
            guard let base = decode(number, part, Int(offsets[last] &+ lengths[last])) else { continue }
            (readyNext, readyEnd) = (low, high)
            if !payloadEvaluators.isEmpty {
                let rows = CandidateRows(
                    run: UnsafePointer(run), core: self, base: base, offsets: UnsafePointer(offsets),
                    readableAfter: readableAfter(part))
                readyEnd = keepMatching(payloadEvaluators, low, high) { evaluator, list in
                    evaluator.filter(list, of: rows)
                }
            }
            if readyNext < readyEnd { return true }
        }
        return false
    }

    /// Has each evaluator look at the listed rows that the one before kept; the end of those that are left.
    private func keepMatching(
        _ evaluators: [any PredicateEvaluator], _ low: Int, _ high: Int,
        _ ask: (any PredicateEvaluator, UnsafeMutableBufferPointer<UInt32>) -> Int
    ) -> Int {
        var end = high
        for evaluator in evaluators where end > low {
            let list = UnsafeMutableBufferPointer(start: selected + low, count: end - low)
            end = low + min(max(ask(evaluator, list), 0), list.count)
        }
        return end
    }

    /// The next of the rows that are ready, of which there is one: with those that follow it directly.
    private func nextReady() -> Step? {
        guard let base = decodedBase else { return nil }
        if query.isReversed {
            readyEnd -= 1
            return step(Int(selected[readyEnd]), 1, base)
        }
        let row = Int(selected[readyNext])
        var count = 1
        readyNext += 1
        while readyNext < readyEnd, Int(selected[readyNext]) == row + count, UInt64(count) < remaining {
            count += 1
            readyNext += 1
        }
        return step(row, count, base)
    }

    private func step(_ row: Int, _ count: Int, _ base: UnsafeRawPointer) -> Step {
        remaining -= UInt64(count)
        statistics.rowsMatched += UInt64(count)
        return Step(run: UnsafePointer(run), row: row, rowEnd: row + count, base: base + Int(offsets[row]))
    }

    /// The stored bytes of a sub-block: read with those of all that the chosen rows stand in.
    private func stored(_ part: EventColumns.SubBlock, of segment: LoadedSegment) throws(StoreError)
        -> UnsafeRawBufferPointer
    {
        let start = BlockHeader.byteCount + part.offset
        if payloadBytes == nil, !isPayloadRefused {
            let first = columns.subBlock(columns.subBlock(containingRow: chosenFirst))
            let last = columns.subBlock(columns.subBlock(containingRow: chosenLast))
            payloadOffset = BlockHeader.byteCount + first.offset
            let count = BlockHeader.byteCount + last.offset + last.storedBytes - payloadOffset
            do throws(StoreError) {
                payloadBytes = try segment.bytes(
                    at: blockOffset + UInt64(payloadOffset), count: count, memory.payloadScratch)
                statistics.bytesRead += UInt64(count)
            } catch {
                // A sector that can't be read takes the sub-blocks in it, and no others.
                isPayloadRefused = true
            }
        }
        if let bytes = payloadBytes, start >= payloadOffset,
            start - payloadOffset + part.storedBytes <= bytes.count
        {
            let first = start - payloadOffset
            return UnsafeRawBufferPointer(rebasing: bytes[first..<first + part.storedBytes])
        }
        statistics.bytesRead += UInt64(part.storedBytes)
        // Each into memory of its own: of a block that is decoded whole all of them are looked at afterwards.
        let piece = ScratchBuffer()
        pieces.append(piece)
        return try segment.bytes(at: blockOffset + UInt64(start), count: part.storedBytes, piece)
    }

    /// What can be read behind a sub-block's payloads.
    private func readableAfter(_ part: EventColumns.SubBlock) -> Int {
        part.method == .raw ? 0 : SubBlockBuffer.paddingBytes
    }

    /// Decompresses the first `wanted` bytes of a sub-block; nil, and a gap, when it is damaged.
    private func decode(_ number: Int, _ part: EventColumns.SubBlock, _ wanted: Int) -> UnsafeRawPointer? {
        if let batchPayload {
            decoded = number
            decodedBase = batchPayload
            return batchPayload
        }
        guard let header, case .segment(let segment)? = source else { return nil }
        func damaged(_ note: String) -> UnsafeRawPointer? {
            let first = firstSequence + UInt64(part.firstRow)
            addGap(first..<first + UInt64(part.eventCount), session: run.pointee.session, note)
            decoded = -1
            return nil
        }
        let stored: UnsafeRawBufferPointer
        do throws(StoreError) {
            stored = try self.stored(part, of: segment)
        } catch {
            return damaged(error.description)
        }
        do throws(FormatError) {
            try ControlBlock.verifySubBlock(
                stored, number, checksum: part.checksum, segment: header.segment, block: header.number)
            let room = keepsBlock ? number : 0
            while buffers.count <= room { buffers.append(SubBlockBuffer()) }
            let base = try buffers[room].decode(
                stored: stored, method: part.method, rawBytes: part.rawBytes, wanted: wanted,
                dictionary: segment.dictionary, dictionaryIdentity: segment.identity)
            statistics.subBlocksDecoded += 1
            if !hasDecoded { statistics.blocksDecoded += 1 }
            hasDecoded = true
            statistics.bytesDecoded += UInt64(wanted)
            decoded = number
            decodedBase = base
            return base
        } catch {
            return damaged("\(segment.fileName): \(error)")
        }
    }

    /// What is damaged of what retention keeps: the rest is missing anyway. `session` nil: of any.
    private func addGap(_ sequences: Range<UInt64>, session: UInt64?, _ note: String) {
        for part in retained.parts(of: sequences, session: session) {
            let gap = Gap(sequences: part.lowerBound...part.upperBound - 1, reason: .damage, note: note)
            if !foundGaps.contains(gap) { foundGaps.append(gap) }
        }
    }

    /// The block's events can't be read.
    private func addGap(of entry: BlockIndexEntry, _ note: String) {
        addGap(entry.sequences, session: entry.sessionOrdinal, note)
    }

    // MARK: Blocks

    /// Loads the next block with rows that match, or some that may; false at the end.
    private func loadNextBlock() throws(StoreError) -> Bool {
        while true {
            guard let number = try nextCandidate() else { return false }
            if try load(number) { return true }
        }
    }

    /// The next block that the index can't rule out: its number in the current source.
    func nextCandidate() throws(StoreError) -> Int? {
        while true {
            if let number = nextInSource() { return number }
            if case .end = try openNextSource() { return nil }
        }
    }

    /// The next block in the current source that the index can't rule out; nil: no more of them are there.
    private func nextInSource() -> Int? {
        switch source {
        case .segment(let segment)?:
            let entries = segment.index.entries
            while query.isReversed ? nextBlock >= 0 : nextBlock < entries.count {
                if !query.isReversed, let time = query.time, let pyramid = segment.index.pyramid {
                    let next = pyramid.nextCandidate(from: nextBlock, count: entries.count, time)
                    statistics.blocksPruned[.time] += next - nextBlock
                    nextBlock = next
                    if next >= entries.count { break }
                }
                let number = nextBlock
                nextBlock += query.isReversed ? -1 : 1
                let entry = entries[number]
                guard entry.type == .events else { continue }
                // Blocks ascend: what is beyond the far end is not looked at.
                if query.isReversed {
                    if entry.nextSequence <= floor {
                        nextBlock = -1
                        break
                    }
                } else if let sequences = query.sequences, entry.firstSequence > sequences.upperBound {
                    nextBlock = entries.count
                    break
                }
                if let reason = reasonToPrune(entry) {
                    statistics.blocksPruned[reason] += 1
                } else if !isInOrder(entry, in: segment.index) {
                    addGap(
                        of: entry, "\(segment.fileName) at \(entry.offset): its numbers are out of order")
                } else if let filterTest, filterTest.rulesOut(block: number) {
                    statistics.blocksPruned[.filter] += 1
                } else {
                    return number
                }
            }
            source = nil
        case .batch(let batch)? where nextBlock == 0:
            nextBlock = 1
            if !batch.keptRows(by: retained).isEmpty { return 0 }
        case .batch, nil: break
        }
        return nil
    }

    private func allows(session: UInt64) -> Bool {
        (sessions?.contains(session) ?? true) && !excluded.contains(session)
    }

    private func reasonToPrune(_ entry: BlockIndexEntry) -> PruneReason? {
        if let reason = QueryPlan.reasonToPrune(
            query, entry.firstSequence, entry.nextSequence, entry.minTimestamp, entry.maxTimestamp)
        {
            return reason
        }
        guard allows(session: entry.sessionOrdinal) else { return .session }
        if entry.firstSequence < retained.headSequence, retained.hidesAll(entry) { return .retention }
        let mayHaveKind =
            query.kindNames == nil || entry.flags.contains(.manyKinds) || entry.kindSet & allowedMask != 0
        return mayHaveKind ? nil : .kind
    }

    /// Whether the block comes after those before it, which good checksums don't say. What is given out has
    /// ascending numbers, so that going on after the last one never goes back.
    private func isInOrder(_ entry: BlockIndexEntry, in index: SegmentIndex) -> Bool {
        // What the summary says is what segments are left out by.
        guard entry.firstSequence >= index.header.baseSequence, entry.nextSequence <= index.nextSequence
        else { return false }
        if let reached, query.isReversed ? entry.nextSequence > reached : entry.firstSequence < reached {
            return false
        }
        reached = query.isReversed ? entry.firstSequence : entry.nextSequence
        return true
    }

    /// Whether every row of the block matches.
    private func matchesWhole(_ entry: BlockIndexEntry) -> Bool {
        guard rangesHoldAll(entry) else { return false }
        if query.kindNames != nil {
            return !entry.flags.contains(.manyKinds) && entry.kindSet & ~allowedMask == 0
        }
        return true
    }

    /// The same but for kinds.
    private func rangesHoldAll(_ entry: BlockIndexEntry) -> Bool {
        guard evaluators.isEmpty, !retained.hidesPart(of: entry) else { return false }
        if let sequences = query.sequences,
            entry.firstSequence < sequences.lowerBound || entry.nextSequence &- 1 > sequences.upperBound
        {
            return false
        }
        if let time = query.time,
            entry.minTimestamp < time.lowerBound || entry.maxTimestamp > time.upperBound
        {
            return false
        }
        return true
    }

    private enum NextSource {
        case opened
        /// One was looked into that has nothing to read.
        case passedOver
        case end
    }

    /// Opens the next source that the summaries can't rule out.
    private func openNextSource() throws(StoreError) -> NextSource {
        while query.isReversed ? nextSource >= 0 : nextSource < sourceCount {
            let number = nextSource
            nextSource += query.isReversed ? -1 : 1
            if number < snapshot.entries.count, case .sealed(let handle) = snapshot.entries[number],
                let reason = QueryPlan.reasonToPrune(handle.summary, query, retained)
            {
                statistics.segmentsPruned[reason] += 1
                continue
            }
            guard try openSource(number) else { return .passedOver }
            nextBlock = 0
            if case .segment(let segment)? = source {
                if query.kindNames != nil, !allowedKinds.contains(true) {
                    source = nil
                    statistics.segmentsPruned[.kind] += 1
                    return .passedOver
                }
                if let wholeSegment, let whole = whole(segment), wholeSegment(whole) {
                    source = nil
                    statistics.segmentsCounted += 1
                    return .passedOver
                }
                statistics.blocks += Int(segment.index.eventBlockCount)
                start(in: segment.index.entries)
            }
            return .opened
        }
        return .end
    }

    /// What a segment's filters are asked. Kept for some: in the order of time segments are gone back to.
    private func filterTest(of segment: LoadedSegment, _ number: Int) -> FilterTest? {
        guard !payloadEvaluators.isEmpty else { return nil }
        if let known = filterTests[number] { return known }
        if filterTests.count >= 16 { filterTests.removeAll() }
        let test = segment.filters().flatMap { FilterTest(requirement, $0) }
        filterTests[number] = .some(test)
        return test
    }

    /// Makes a source the current one; false, and a gap, when its index can't be read.
    private func openSource(_ number: Int) throws(StoreError) -> Bool {
        sourceNumber = number
        if number >= snapshot.entries.count {
            source = .batch(snapshot.batches[number - snapshot.entries.count])
            filterTest = nil
            mapKinds(pendingKinds)
            return true
        }
        let entry = snapshot.entries[number]
        do throws(StoreError) {
            let segment = try entry.load()
            source = .segment(segment)
            mapKinds(segment.kinds)
            filterTest = filterTest(of: segment, number)
            return true
        } catch {
            source = nil
            // An index that can't be read takes its segment's events with it.
            let summary = entry.summary
            addGap(summary.sequences, session: nil, error.description)
            return false
        }
    }

    /// Finds the block to start at by binary search where the query or retention says where that is.
    private func start(in entries: [BlockIndexEntry]) {
        nextBlock = query.isReversed ? entries.count - 1 : 0
        guard query.sequences != nil || floor > 0 else { return }
        let last = query.sequences?.upperBound ?? .max
        nextBlock =
            query.isReversed
            ? entries.partitioningIndex { $0.firstSequence > last } - 1
            : entries.partitioningIndex { $0.nextSequence > floor }
    }

    /// Maps the source's kind ids to the cursor's numbers, and finds which the query allows. Most sources have the same kinds.
    private func mapKinds(_ found: SourceKinds) {
        reserveKinds(found.kinds.count)
        if kinds.isEmpty, found.areDistinct { kinds = found.kinds }
        if kinds == found.kinds {
            for id in kinds.indices { kindMap[id] = UInt32(id) }
        } else {
            if kindNumbersByKey.isEmpty {
                for (number, kind) in kinds.enumerated() { kindNumbersByKey[kind] = UInt32(number) }
            }
            for (id, kind) in found.kinds.enumerated() {
                let number = kindNumbersByKey[kind] ?? UInt32(kinds.count)
                if number == kinds.count {
                    kinds.append(kind)
                    kindNumbersByKey[kind] = number
                }
                kindMap[id] = number
            }
        }
        allowedKinds.removeAll(keepingCapacity: true)
        allowedMask = 0
        for (id, kind) in found.kinds.enumerated() {
            let isAllowed = query.kindNames?.contains(kind.name) ?? true
            allowedKinds.append(isAllowed)
            if id < 64, isAllowed { allowedMask |= 1 << UInt64(id) }
        }
    }

    /// Room in the map for the numbers of so many kinds; what was in it is gone.
    private func reserveKinds(_ count: Int) {
        memory.reserveKinds(count)
        kindMap = memory.kindMap
        run.pointee.kindNumbers = UnsafePointer(kindMap)
    }

    /// Unpacks a block and selects its rows; false when none match, or it is damaged.
    func load(_ number: Int, payloads: Bool = true) throws(StoreError) -> Bool {
        decoded = -1
        decodedBase = nil
        batchPayload = nil
        header = nil
        payloadBytes = nil
        isPayloadRefused = false
        keptRows = nil
        pieces.removeAll()
        hasDecoded = false
        ruledOut = []
        chooseNone()
        let isWhole: Bool
        switch source {
        case .batch(let batch):
            guard allows(session: batch.start.sessionOrdinal) else { return false }
            columns.load(rows: batch.rows, count: batch.count, explicitIndices: batch.hasExplicitIndices)
            batchPayload = UnsafeRawPointer(batch.payload)
            setRun(
                batch.start.nextSequence, batch.start.nextIndex, batch.start.sessionOrdinal, batch.start.epoch
            )
            isWhole = query.time == nil && query.sequences == nil && query.kindNames == nil
            statistics.blocksRead += 1
            statistics.rowsDecoded += UInt64(columns.count)
        case .segment(let segment):
            let entry = segment.index.entries[number]
            isWhole = matchesWhole(entry)
            blockOffset = entry.offset
            // Where all of its rows match, one read for everything.
            let length =
                isWhole && payloads
                ? Int(entry.length)
                : min(Int(entry.length), BlockHeader.byteCount + Int(entry.smallLength))
            var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            do throws(StoreError) {
                bytes = try smallBytes(of: entry, length, in: segment)
            } catch {
                addGap(of: entry, error.description)
                return false
            }
            if bytes.count == Int(entry.length) {
                payloadBytes = bytes
                payloadOffset = 0
            }
            do throws(FormatError) {
                let (header, small) = try segment.verified(bytes, entry)
                let wanted = rows(of: entry)
                try columns.load(small, of: header, wanted: wanted)
                statistics.rowsDecoded += UInt64(wanted?.count ?? columns.count)
                self.header = header
            } catch {
                addGap(of: entry, "\(segment.fileName) at \(entry.offset): \(error)")
                return false
            }
            statistics.blocksRead += 1
            statistics.bytesRead += UInt64(bytes.count)
            if let filterTest {
                let found = filterTest.ruledOut(inBlock: number)
                if found.count == columns.subBlockCount {
                    ruledOut = found
                    statistics.subBlocksPruned += found.count { $0 }
                }
            }
            setRun(entry.firstSequence, entry.firstIndex, entry.sessionOrdinal, header?.epoch ?? 0)
        case nil: return false
        }
        if firstSequence < retained.headSequence {
            keptRows = retained.rows(
                from: firstSequence, count: columns.count, session: run.pointee.session)
        }
        return select(isWhole: isWhole)
    }

    /// The rows of a block that the query's numbers leave; nil: all.
    private func rows(of entry: BlockIndexEntry) -> Range<Int>? {
        guard let sequences = query.sequences else { return nil }
        let asked = Range(from: sequences.lowerBound, upTo: sequences.upperBound.addingClamped(1))
            .clamped(to: entry.sequences)
        return Int(
            clamping: asked.lowerBound - entry.firstSequence)..<Int(
                clamping: asked.upperBound - entry.firstSequence)
    }

    /// At least the small part of a block, with its header: of `length` bytes no more than that where there are no more to be had.
    private func smallBytes(
        of entry: BlockIndexEntry, _ length: Int, in segment: LoadedSegment
    ) throws(StoreError) -> UnsafeRawBufferPointer {
        do throws(StoreError) {
            return try segment.bytes(at: entry.offset, count: length, memory.scratch)
        } catch {
            let small = min(length, BlockHeader.byteCount + Int(entry.smallLength))
            guard small < length else { throw error }
            return try segment.bytes(at: entry.offset, count: small, memory.scratch)
        }
    }

    private func setRun(_ firstSequence: UInt64, _ firstIndex: UInt64, _ session: UInt64, _ epoch: UInt64) {
        self.firstSequence = firstSequence
        run.pointee.timestamps = UnsafePointer(columns.timestamps)
        run.pointee.lengths = UnsafePointer(columns.lengths)
        run.pointee.kinds = UnsafePointer(columns.kinds)
        run.pointee.indices = columns.indices.map { UnsafePointer($0) }
        run.pointee.firstSequence = firstSequence
        run.pointee.firstIndex = firstIndex
        run.pointee.session = session
        run.pointee.epoch = epoch
    }

    /// Chooses the rows of the loaded block that match; false when none do.
    private func select(isWhole: Bool) -> Bool {
        let count = columns.count
        memory.reserveRows(count)
        (selected, offsets) = (memory.selected, memory.offsets)
        var low = 0
        var high = count
        if let sequences = query.sequences {
            if sequences.lowerBound > firstSequence {
                low = Int(min(UInt64(count), sequences.lowerBound - firstSequence))
            }
            if sequences.upperBound < firstSequence { return false }
            high = Int(min(UInt64(count - 1), sequences.upperBound - firstSequence)) + 1
        }
        guard low < high else { return false }
        var parts: [Range<Int>] = []
        if let keptRows {
            parts = keptRows.map { $0.clamped(to: low..<high) }.filter { !$0.isEmpty }
            guard let first = parts.first, let last = parts.last else { return false }
            (low, high) = (first.lowerBound, last.upperBound)
        }
        let isSplit = parts.count > 1
        let needsRows = !isWhole && (query.time != nil || query.kindNames != nil)
        if !query.isReversed, !needsRows, evaluators.isEmpty, ruledOut.isEmpty, !isSplit {
            choose(low..<high)
            return true
        }
        var found = 0
        if isSplit {
            for part in parts { found = list(part, after: found, needsRows: needsRows) }
        } else {
            found = list(low..<high, after: 0, needsRows: needsRows)
        }
        if !ruledOut.isEmpty { found = keepPossible(found) }
        if !evaluators.isEmpty, found > 0 {
            // SAFETY: without a base no payload is looked at, and no offset.
            let rows = CandidateRows(
                run: UnsafePointer(run), core: self, base: nil, offsets: UnsafePointer(offsets),
                readableAfter: 0)
            found = keepMatching(evaluators, 0, found) { evaluator, list in
                evaluator.prefilter(list, of: rows)
            }
        }
        guard found > 0 else { return false }
        chosenFirst = Int(selected[0])
        chosenLast = Int(selected[found - 1])
        if !query.isReversed, payloadEvaluators.isEmpty, chosenLast - chosenFirst == found - 1 {
            choose(chosenFirst..<chosenLast + 1)
        } else {
            isRange = false
            selectedNext = 0
            selectedEnd = found
        }
        return true
    }

    /// Puts rows on the list behind the first `found` of it: all, or where `needsRows` those of the times and kinds asked for.
    private func list(_ rows: Range<Int>, after found: Int, needsRows: Bool) -> Int {
        let selected = selected
        guard needsRows else {
            for row in rows { selected[found + row - rows.lowerBound] = UInt32(row) }
            return found + rows.count
        }
        let time = query.time ?? Int64.min...Int64.max
        let (from, to) = (time.lowerBound, time.upperBound)
        let timestamps = columns.timestamps
        let kinds = columns.kinds
        let filtersKinds = query.kindNames != nil
        return allowedKinds.withUnsafeBufferPointer { allowed in
            var found = found
            for row in rows {
                let timestamp = timestamps[row]
                if timestamp < from || timestamp > to { continue }
                if filtersKinds, !allowed[Int(kinds[row])] { continue }
                selected[found] = UInt32(truncatingIfNeeded: row)
                found &+= 1
            }
            return found
        }
    }

    private func choose(_ rows: Range<Int>) {
        isRange = true
        (rangeStart, rangeEnd) = (rows.lowerBound, rows.upperBound)
        (chosenFirst, chosenLast) = (rows.lowerBound, rows.upperBound - 1)
    }

    private func chooseNone() {
        isRange = true
        (rangeStart, rangeEnd) = (0, 0)
        (selectedNext, selectedEnd) = (0, 0)
        (readyNext, readyEnd) = (0, 0)
    }

    /// Of the first `count` chosen rows those that stand in sub-blocks which the filters do not rule out.
    private func keepPossible(_ count: Int) -> Int {
        var found = 0
        var part = -1
        var end = 0
        for position in 0..<count {
            let row = selected[position]
            if part < 0 || Int(row) >= end {
                part = columns.subBlock(containingRow: Int(row))
                let found = columns.subBlock(part)
                end = found.firstRow + found.eventCount
            }
            if part < ruledOut.count, ruledOut[part] { continue }
            selected[found] = row
            found += 1
        }
        return found
    }

    // MARK: Counting

    /// What a block's statistics say of it. All of its events match that are of the kinds asked for.
    struct WholeBlock {
        /// Those that match.
        let events: UInt64
        let times: ClosedRange<Int64>
        let session: UInt64
        /// Those that match by their kind; nil where that is not known.
        let kinds: [(kind: EventKind, events: UInt64)]?
    }

    /// What a segment's index says of it. All of its events match that are of these kinds.
    struct WholeSegment {
        let times: ClosedRange<Int64>
        let kinds: [(kind: EventKind, events: UInt64)]
    }

    var knownKinds: [EventKind] { kinds }

    func countWholeBlock() { statistics.blocksCounted += 1 }

    /// Has segments all of whose events match counted by `body`, and passed over where it returns true.
    func countsWholeSegments(_ body: ((WholeSegment) -> Bool)?) { wholeSegment = body }

    /// The block in the current source, when its statistics say how many of its events match.
    func wholeBlock(_ number: Int) -> WholeBlock? {
        guard case .segment(let segment)? = source else { return nil }
        let entry = segment.index.entries[number]
        guard rangesHoldAll(entry) else { return nil }
        var kinds: [(kind: EventKind, events: UInt64)]?
        if let counts = segment.index.blockKinds?[block: number], !counts.isEmpty,
            counts.count == entry.kindSet.nonzeroBitCount
        {
            var counted: [(kind: EventKind, events: UInt64)] = []
            var set = entry.kindSet
            for count in counts {
                let id = set.trailingZeroBitCount
                set &= set - 1
                guard id < allowedKinds.count else { return nil }
                if allowedKinds[id] { counted.append((self.kinds[Int(kindMap[id])], UInt64(count))) }
            }
            kinds = counted
        }
        guard kinds != nil || matchesWhole(entry) else { return nil }
        return WholeBlock(
            events: kinds?.reduce(0) { $0 + $1.events } ?? UInt64(entry.eventCount),
            times: entry.minTimestamp...entry.maxTimestamp, session: entry.sessionOrdinal, kinds: kinds)
    }

    private func whole(_ segment: LoadedSegment) -> WholeSegment? {
        let index = segment.index
        guard evaluators.isEmpty, sessions == nil, excluded.isEmpty, index.eventCount > 0,
            index.header.baseSequence >= retained.headSequence
        else { return nil }
        if let sequences = query.sequences {
            guard sequences.lowerBound <= index.header.baseSequence,
                sequences.upperBound >= index.nextSequence - 1
            else { return nil }
        }
        if let time = query.time {
            guard time.lowerBound <= index.minTimestamp, time.upperBound >= index.maxTimestamp else {
                return nil
            }
        }
        // What the kinds add up to is not more than what the blocks do where a footer is good; where it is not they are counted.
        guard index.kinds.reduce(UInt64(0), { $0 &+ $1.events }) == index.eventCount else { return nil }
        var counted: [(kind: EventKind, events: UInt64)] = []
        for (id, kind) in index.kinds.enumerated() where allowedKinds[id] {
            counted.append((kinds[Int(kindMap[id])], kind.events))
        }
        return WholeSegment(times: index.minTimestamp...index.maxTimestamp, kinds: counted)
    }

    /// From the smallest to the largest timestamp of a block that may match; where retention hides some of it, of what is left.
    func candidateTimes(_ number: Int) throws(StoreError) -> ClosedRange<Int64>? {
        if hidesPart(ofBlock: number) {
            guard try load(number, payloads: false) else { return nil }
            var times: ClosedRange<Int64>?
            forEachChosenRows { rows in
                for row in rows {
                    let time = columns.timestamps[row]
                    times.widen(to: time...time)
                }
            }
            return times
        }
        switch source {
        case .segment(let segment)?:
            let entry = segment.index.entries[number]
            return entry.minTimestamp...entry.maxTimestamp
        case .batch(let batch)?: return batch.timeRange
        case nil: return nil
        }
    }

    private func hidesPart(ofBlock number: Int) -> Bool {
        switch source {
        case .segment(let segment)?: retained.hidesPart(of: segment.index.entries[number])
        case .batch(let batch)?: batch.keptRows(by: retained) != [0..<batch.count]
        case nil: false
        }
    }

    /// The rows of the loaded block that were chosen, where no predicate has to see its payloads.
    func forEachChosenRows(_ body: (Range<Int>) -> Void) {
        if isRange {
            if rangeStart < rangeEnd { body(rangeStart..<rangeEnd) }
        } else {
            for place in selectedNext..<selectedEnd { body(Int(selected[place])..<Int(selected[place]) + 1) }
        }
    }

    /// How many events match, where no predicate has to see payloads: none is decompressed, and what matches whole is not read.
    func count() throws(StoreError) -> UInt64 {
        var total: UInt64 = 0
        countsWholeSegments { segment in
            for (_, events) in segment.kinds { total &+= events }
            return true
        }
        defer { countsWholeSegments(nil) }
        while total < query.limit ?? .max, let number = try nextCandidate() {
            if let block = wholeBlock(number) {
                total &+= block.events
                countWholeBlock()
            } else if try load(number, payloads: false) {
                total &+= UInt64(isRange ? rangeEnd - rangeStart : selectedEnd - selectedNext)
            }
        }
        return min(total, query.limit ?? .max)
    }
}
