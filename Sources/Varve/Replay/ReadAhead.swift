/// Decodes a query's blocks before they are asked for, on a thread of its own and on its caller's while that would wait.
///
/// One thread calls `next` and `stop`; what `next` gives is read there, until the next call.
@usableFromInline
final class ReadAhead: @unchecked Sendable {
    /// A block: its rows, and the core that they are in and that has the rest of a large one.
    @usableFromInline
    struct Block {
        @usableFromInline let core: CursorCore
        let steps: [CursorCore.Step]
        /// What could not be read before it.
        let gapsBefore: [Gap]

        /// The rows after the first `count` ones; nil: there are no more. To be asked in order.
        @usableFromInline
        func step(after count: Int) -> CursorCore.Step? {
            count < steps.count ? steps[count] : core.nextInBlock()
        }
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

    private let monitor = Monitor()
    /// Finds the blocks. Guarded by `monitor`, like all below.
    private let finder: CursorCore
    private let cores: [CursorCore]
    private var slots: [Slot]
    /// Blocks claimed, and blocks that were read.
    private var claimed = 0
    private var read = 0
    /// Nothing more is claimed.
    private var isAtEnd = false
    private var lent: Block?
    /// What could not be read of the blocks that were.
    private var gaps: [Gap] = []
    private var worker: WorkerThread?

    /// Nil when the system gives no thread.
    @usableFromInline
    init?(_ snapshot: Snapshot, _ query: Query) throws(StoreError) {
        finder = try CursorCore(snapshot, query)
        var cores: [CursorCore] = []
        for _ in 0..<Self.slotCount { cores.append(try CursorCore(snapshot, query)) }
        self.cores = cores
        slots = Array(repeating: .free, count: cores.count)
        guard let worker = WorkerThread({ [self] in work() }) else { return nil }
        self.worker = worker
    }

    private func work() {
        monitor.lock()
        while !isAtEnd {
            if !decodeNext() { monitor.wait() }
        }
        monitor.unlock()
    }

    /// Claims the next block and decodes it; false when there is no room for one. Call with the lock, which is given up meanwhile.
    private func decodeNext() -> Bool {
        guard !isAtEnd, claimed - read < cores.count else { return false }
        let slot = claimed % cores.count
        let core = cores[slot]
        claimed += 1
        slots[slot] = .claimed
        do throws(StoreError) {
            guard let number = try finder.findBlock(for: core) else {
                isAtEnd = true
                slots[slot] = .ready(nil)
                monitor.wakeAll()
                return true
            }
            let gaps = finder.takeGaps()
            monitor.unlock()
            let decoded = Result { () throws(StoreError) in try core.decodeBlock(number) }
            monitor.lock()
            slots[slot] = .ready(Block(core: core, steps: try decoded.get(), gapsBefore: gaps))
        } catch {
            isAtEnd = true
            slots[slot] = .failed(error)
        }
        monitor.wakeAll()
        return true
    }

    /// The next block in order; nil after the last. The one before is given back.
    @usableFromInline
    func next() throws(StoreError) -> Block? {
        monitor.lock()
        defer { monitor.unlock() }
        if let lent {
            gaps += lent.core.takeGaps()
            slots[read % cores.count] = .free
            read += 1
            self.lent = nil
            monitor.wakeAll()
        }
        while true {
            switch slots[read % cores.count] {
            case .ready(let block):
                lent = block
                // Behind the last block nobody looks any more.
                gaps += block?.gapsBefore ?? finder.takeGaps()
                return block
            case .failed(let error): throw error
            case .free, .claimed:
                if !decodeNext() { monitor.wait() }
            }
        }
    }

    /// Ends the thread. Call once, and read nothing afterwards.
    @usableFromInline
    func stop() {
        monitor.withLock {
            isAtEnd = true
            monitor.wakeAll()
        }
        worker?.join()
        worker = nil
    }

    /// What is missing in what was read, as far as the event `last` (nil: all of it). Nothing is to be read afterwards.
    @usableFromInline
    func coverage(upTo last: UInt64?) -> Coverage {
        monitor.withLock {
            if let lent {
                gaps += lent.core.takeGaps().filter { gap in
                    guard let last else { return true }
                    return finder.isReversed
                        ? gap.sequences.upperBound > last : gap.sequences.lowerBound < last
                }
            }
            return finder.coverage(adding: gaps)
        }
    }
}
