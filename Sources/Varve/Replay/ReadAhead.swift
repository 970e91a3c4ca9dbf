/// Decodes a query's blocks before they are asked for, on a thread of its own and on its caller's while that would wait.
///
/// One thread asks it; the rows that `advance` gives are read there, until the next call.
@usableFromInline
final class ReadAhead: @unchecked Sendable {
    /// A block: its rows, and the core that they are in and that has the rest of a large one.
    private struct Block {
        let core: CursorCore
        let steps: [CursorCore.Step]
    }

    private enum Slot {
        case free
        /// A thread is at it.
        case claimed
        case ready(Block?)
        case failed(StoreError)
    }

    /// Blocks that are decoded or read at the same time.
    private static let slotCount = 4

    private let snapshot: Snapshot
    private let query: Query
    /// Finds the blocks: used by who has set `isFinding`.
    private let finder: CursorCore
    private let cores: [CursorCore]
    private let monitor = Monitor()
    // Guarded by `monitor`.
    private var isFinding = false
    private var slots: [Slot]
    /// What the finder did to find each block, and could not read before it.
    private var found: [(statistics: QueryStatistics, gaps: [Gap])]
    /// Blocks claimed, and blocks that were read.
    private var claimed = 0
    private var read = 0
    /// Nothing more is claimed.
    private var isAtEnd = false
    private var worker: WorkerThread?
    // The asking thread's own.
    private var lent: Block?
    /// What could not be read of the blocks that were, and what was done for them.
    private var gaps: [Gap] = []
    private var done = QueryStatistics()
    private var remaining: UInt64
    private var rowsLent: UInt64 = 0
    /// How often the block lent was asked for rows, and the last number of those it gave.
    private var stepsLent = 0
    private var last: UInt64 = 0

    /// Nil when the system gives no thread. `finder`: a new core of the query, which is this one's from now on.
    init?(_ snapshot: Snapshot, _ query: Query, finder: CursorCore) throws(StoreError) {
        self.snapshot = snapshot
        self.query = query
        self.finder = finder
        remaining = query.limit ?? .max
        done = finder.takeStatistics()
        var cores: [CursorCore] = []
        for _ in 0..<Self.slotCount {
            let core = try CursorCore(snapshot, query)
            // The segments are the finder's.
            _ = core.takeStatistics()
            cores.append(core)
        }
        self.cores = cores
        slots = Array(repeating: .free, count: cores.count)
        found = Array(repeating: (QueryStatistics(), []), count: cores.count)
        guard let worker = WorkerThread({ [self] in work() }) else {
            finder.statistics += done
            return nil
        }
        self.worker = worker
    }

    private func work() {
        monitor.lock()
        while !isAtEnd {
            if !decodeNext() { monitor.wait() }
        }
        monitor.unlock()
    }

    /// Looks for the next block, in one segment at most, and decodes it; false when somebody else looks for it, or there is no room. Call
    /// with the lock, which is given up meanwhile.
    private func decodeNext() -> Bool {
        guard !isAtEnd, !isFinding, claimed - read < cores.count else { return false }
        let slot = claimed % cores.count
        let core = cores[slot]
        claimed += 1
        slots[slot] = .claimed
        isFinding = true
        monitor.unlock()
        let next = Result { () throws(StoreError) in try finder.findBlock(for: core) }
        let (statistics, gaps) = (finder.takeStatistics(), finder.takeGaps())
        monitor.lock()
        isFinding = false
        found[slot].statistics += statistics
        found[slot].gaps += gaps
        do throws(StoreError) {
            switch try next.get() {
            case .block(let number):
                monitor.wakeAll()
                monitor.unlock()
                let decoded = Result { () throws(StoreError) in try core.decodeBlock(number) }
                monitor.lock()
                slots[slot] = .ready(Block(core: core, steps: try decoded.get()))
            case .noneYet:
                // Nobody has claimed another one since.
                claimed -= 1
                slots[slot] = .free
            case .end:
                isAtEnd = true
                slots[slot] = .ready(nil)
            }
        } catch {
            isAtEnd = true
            slots[slot] = .failed(error)
        }
        monitor.wakeAll()
        return true
    }

    /// The next rows that match, in the order of the query; nil at the end.
    func advance() throws(StoreError) -> CursorCore.Step? {
        while remaining > 0 {
            if let lent,
                let step = stepsLent < lent.steps.count ? lent.steps[stepsLent] : lent.core.nextInBlock()
            {
                stepsLent += 1
                let rows = min(UInt64(step.rowEnd - step.row), remaining)
                remaining -= rows
                rowsLent += rows
                last = step.run.pointee.firstSequence &+ UInt64(step.row) &+ rows &- 1
                return CursorCore.Step(
                    run: step.run, row: step.row, rowEnd: step.row + Int(rows), base: step.base)
            }
            guard try lendNext() else { return nil }
        }
        return nil
    }

    /// Gives the block back that is lent, and takes the next in order; false after the last.
    private func lendNext() throws(StoreError) -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        if let lent {
            gaps += lent.core.takeGaps()
            done += lent.core.takeStatistics()
            lent.core.letGoOfLarge()
            slots[read % cores.count] = .free
            read += 1
            stepsLent = 0
            self.lent = nil
            monitor.wakeAll()
        }
        let slot = read % cores.count
        while true {
            switch slots[slot] {
            case .free, .claimed:
                if !decodeNext() { monitor.wait() }
            case .ready(let block):
                takeFound(slot)
                lent = block
                return block != nil
            case .failed(let error):
                takeFound(slot)
                throw error
            }
        }
    }

    private func takeFound(_ slot: Int) {
        done += found[slot].statistics
        gaps += found[slot].gaps
        found[slot] = (QueryStatistics(), [])
    }

    /// Ends the thread. Call once, and ask for no more rows.
    func stop() {
        monitor.withLock {
            isAtEnd = true
            monitor.wakeAll()
        }
        worker?.join()
        worker = nil
    }

    /// What is missing in what was read.
    var coverage: Coverage {
        var met = gaps
        if let lent {
            // The block is decoded whole, and the rest of it was not lent yet.
            met += lent.core.foundGaps.filter { gap in
                query.isReversed ? gap.sequences.upperBound > last : gap.sequences.lowerBound < last
            }
        }
        return CursorCore.coverage(of: query, in: snapshot, met)
    }

    /// What was done for what was read. Of the last block, which was decoded whole, all.
    var statistics: QueryStatistics {
        var sum = done
        if let lent { sum += lent.core.statistics }
        sum.rowsMatched = rowsLent
        return sum
    }
}
