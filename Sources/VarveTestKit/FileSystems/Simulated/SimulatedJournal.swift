/// Everything that changed a simulated disk, in order, from a known beginning: so that the disk of every instant can be
/// made without doing again what changed it.
public struct SimulatedJournal: Sendable {
    enum Entry: Sendable {
        case change(SimulatedDisk.Change)
        case mark(Int)
    }

    let start: SimulatedDisk
    var entries: [Entry] = []
    /// How many of the entries are changes.
    public internal(set) var changeCount = 0
    let boot: [UInt8]
    let clock: UInt64

    /// Goes through the instants from the first.
    public func cursor() -> Cursor { Cursor(self) }

    /// An instant: a number of changes was made, the next was not.
    public struct Cursor: Sendable {
        private let journal: SimulatedJournal
        private var position = 0
        /// How many changes were made.
        public private(set) var changesMade = 0
        /// The marks that were set by now, in order.
        public private(set) var marks: [Int] = []
        /// The disk, of which not everything is durable.
        public private(set) var disk: SimulatedDisk

        init(_ journal: SimulatedJournal) {
            self.journal = journal
            disk = journal.start
            passMarks()
        }

        /// Makes the next change; false when there is none.
        public mutating func advance() -> Bool {
            guard case .change(let change)? = next else { return false }
            disk.apply(change)
            position += 1
            changesMade += 1
            passMarks()
            return true
        }

        private var next: Entry? { position < journal.entries.count ? journal.entries[position] : nil }

        private mutating func passMarks() {
            while case .mark(let mark)? = next {
                marks.append(mark)
                position += 1
            }
        }

        /// What the next process finds when this one is killed here. `seed` given: a write that was to be next has
        /// arrived in part.
        public func afterKill(cuttingWrite seed: UInt64? = nil) -> SimulatedFileSystem {
            var found = disk
            if let seed, case .change(let change)? = next { found = disk.cutting(change, seed: seed) }
            return SimulatedFileSystem(
                found, seed: (seed ?? 0) &+ UInt64(changesMade) &+ journal.clock, boot: journal.boot,
                clock: journal.clock + UInt64(position) * 1000 + 1_000_000)
        }

        /// What a process finds after the power was cut here, as `seed` chooses.
        public func afterPowerLoss(seed: UInt64) -> SimulatedFileSystem {
            SimulatedFileSystem(
                disk.afterPowerLoss(seed: seed), seed: seed &+ UInt64(changesMade) &+ journal.clock,
                boot: nil,
                clock: journal.clock + UInt64(position) * 1000 + 1_000_000)
        }
    }
}
