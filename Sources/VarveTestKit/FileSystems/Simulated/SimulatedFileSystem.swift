public import VarveIO

/// A file system in memory, as one process sees it, on a disk whose power can be cut.
///
/// Every operation passes one gate, which numbers it, and fails it where a test wants that. Clock and randomness come
/// from a seed. Any thread may call.
///
/// Unlike the system's: no symbolic links; a read-only mapping shows the file as it was when it was mapped; a file that is
/// mapped for writing does not grow beyond its last page; no two mappings for writing of one file reach further than the first.
public final class SimulatedFileSystem: Sendable {
    /// What happens to a write that is said to have gone well.
    public enum WriteFault: Hashable, Sendable {
        /// It is not done.
        case lost
        /// It is done elsewhere in the same file.
        case misdirected(to: UInt64)
        /// It is done at the same place in another file, which is there.
        case misdirectedToFile(String)
    }

    /// Syncs that are said to have gone well and do nothing: what the crash tests must notice.
    public struct IgnoredSyncs: Hashable, Sendable {
        /// Whether files' or directories' are.
        public var ofDirectories: Bool
        /// Only on paths that end like this; empty: on all.
        public var pathSuffix: String
        /// Only the one of this number among them, from 0; nil: all.
        public var only: Int?
        var seen = 0

        /// Ignores syncs of files or of directories.
        public init(ofDirectories: Bool, onPathsEndingIn pathSuffix: String = "", only: Int? = nil) {
            self.ofDirectories = ofDirectories
            self.pathSuffix = pathSuffix
            self.only = only
        }
    }

    struct State {
        var disk: SimulatedDisk
        var journal: SimulatedJournal?
        var random: SplitMix64
        var clock: UInt64
        var operations = 0
        /// The operation after which the process is dead.
        var lastOperation = Int.max
        /// The write that came first after that.
        var underWay: SimulatedDisk.Change?
        var faults:
            [(number: Int, code: Int32, isForGood: Bool, fits: @Sendable (IOFailure.Operation) -> Bool)] = []
        var injected = 0
        var firstInjection: Int?
        var writeFaults: [(fault: WriteFault, suffix: String, successes: Int)] = []
        var ignored: [IgnoredSyncs] = []
        var byteBudget: Int?
        var readErrors: [(file: Int, range: Range<UInt64>)] = []
        var locks: [Int: ObjectIdentifier] = [:]
        /// What was last seen of each file that is mapped for writing.
        var mapped: [Int: FileContents] = [:]
    }

    let state: Locked<State>
    let boot: [UInt8]

    /// An empty disk.
    public convenience init(seed: UInt64) {
        self.init(SimulatedDisk(), seed: seed, boot: nil, clock: 1_000_000_000)
    }

    /// A process on a disk, in the same boot or a new one.
    init(_ disk: SimulatedDisk, seed: UInt64, boot: [UInt8]?, clock: UInt64) {
        var random = SplitMix64(seed: seed ^ 0x5653_494D_0000_0000)
        self.boot = boot ?? (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) | 1 }
        state = Locked(State(disk: disk, random: random, clock: clock))
    }

    // MARK: Recording

    /// Keeps all changes from now on.
    public func record() {
        state.withLock { state in
            state.sampleMappings()
            state.journal = SimulatedJournal(start: state.disk.detached(), boot: boot, clock: state.clock)
        }
    }

    /// What was kept since ``record()``.
    public var journal: SimulatedJournal? {
        state.withLock { state in
            state.sampleMappings()
            return state.journal
        }
    }

    /// Notes in the journal that the caller has got as far as `mark`.
    public func mark(_ mark: Int) {
        state.withLock { state in
            guard state.journal != nil else { return }
            // What was stored in mappings before the mark comes before it.
            state.sampleMappings()
            state.journal?.entries.append(.mark(mark))
        }
    }

    /// Operations so far.
    public var operationCount: Int { state.withLock { $0.operations } }

    /// The bytes of all files, removed ones too.
    public var byteCount: Int { state.withLock { $0.disk.byteCount } }

    /// The names in all directories with the files' lengths, for people.
    public var listing: String {
        state.withLock { state in
            state.disk.nodes.filter(\.isDirectory).flatMap { directory in
                directory.names.sorted { $0.key < $1.key }.map { name, node in
                    "\(name): \(state.disk.nodes[node].contents.count) bytes"
                }
            }.joined(separator: "\n")
        }
    }

    // MARK: Crashing

    /// Lets `count` operations in all go through: every later one fails, and nothing more reaches the disk.
    public func crash(afterOperation count: Int) {
        state.withLock { $0.lastOperation = count }
    }

    /// What the next process finds when this one is killed now. `seed` given: the write that was refused first after a
    /// crash has arrived in part.
    public func afterKill(cuttingWrite seed: UInt64? = nil) -> SimulatedFileSystem {
        state.withLock { state in
            state.sampleMappings()
            var disk = state.disk.detached()
            if let seed, let change = state.underWay { disk = disk.cutting(change, seed: seed) }
            return SimulatedFileSystem(
                disk, seed: state.random.next(), boot: boot, clock: state.clock + 1_000_000)
        }
    }

    /// What a process finds after the power was cut now, as `seed` chooses.
    public func afterPowerLoss(seed: UInt64) -> SimulatedFileSystem {
        state.withLock { state in
            state.sampleMappings()
            return SimulatedFileSystem(
                state.disk.detached().afterPowerLoss(seed: seed), seed: seed &+ state.random.next(),
                boot: nil,
                clock: state.clock + 1_000_000)
        }
    }

    // MARK: Faults

    /// Fails operation `number`, from 0, or the first after it that `fits`; also all later ones, or only that one.
    public func inject(
        at number: Int, code: Int32, isForGood: Bool = false,
        fits: @escaping @Sendable (IOFailure.Operation) -> Bool = { _ in true }
    ) {
        state.withLock { $0.faults.append((number, code, isForGood, fits)) }
    }

    /// How many operations were made to fail.
    public var injectedCount: Int { state.withLock { $0.injected } }

    /// The number of the first operation that was made to fail.
    public var firstInjection: Int? { state.withLock { $0.firstInjection } }

    /// Does something else than the write after `successes` others to paths that end like this.
    public func inject(_ fault: WriteFault, onPathsEndingIn suffix: String, after successes: Int = 0) {
        state.withLock { $0.writeFaults.append((fault, suffix, successes)) }
    }

    /// How many armed write faults were not met yet.
    public var armedWriteFaultCount: Int { state.withLock { $0.writeFaults.count } }

    /// Makes a range of a file unreadable.
    public func makeUnreadable(_ range: Range<UInt64>, of path: String) throws(IOFailure) {
        try state.withLock { state throws(IOFailure) in
            state.readErrors.append((try state.node(.inspect, path), range))
        }
    }

    /// Lets files grow by that many bytes from now on; nil: without limit.
    public func limitSpace(to byteCount: Int?) {
        state.withLock { $0.byteBudget = byteCount }
    }

    /// Ignores syncs from now on.
    public func ignore(_ syncs: IgnoredSyncs) {
        state.withLock { $0.ignored.append(syncs) }
    }

    /// Disarms every fault, and lifts every limit.
    public func heal() {
        state.withLock { state in
            state.faults = []
            state.writeFaults = []
            state.readErrors = []
            state.ignored = []
            state.byteBudget = nil
        }
    }
}
