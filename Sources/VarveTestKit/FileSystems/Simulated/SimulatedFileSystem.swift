public import VarveIO

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

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
        fileprivate var seen = 0

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
    private let boot: [UInt8]

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

// MARK: - The gate

extension SimulatedFileSystem.State {
    /// Numbers an operation; throws when it is to fail. `underWay` is the write that it would be.
    mutating func pass(
        _ operation: IOFailure.Operation, _ path: String, underWay change: SimulatedDisk.Change? = nil
    ) throws(IOFailure) {
        let number = operations
        operations += 1
        guard number < lastOperation else {
            if underWay == nil { underWay = change }
            throw IOFailure(operation, path: path, code: EIO)
        }
        for position in faults.indices
        where faults[position].number <= number && faults[position].fits(operation) {
            let code = faults[position].code
            if !faults[position].isForGood { faults.remove(at: position) }
            injected += 1
            firstInjection = firstInjection ?? number
            throw IOFailure(operation, path: path, code: code)
        }
        if path.utf8.contains(0) { throw IOFailure(operation, path: path, code: EINVAL) }
    }

    mutating func change(_ change: SimulatedDisk.Change) {
        if journal != nil {
            sampleMappings()
            keep(change)
        }
        disk.apply(change)
    }

    private mutating func keep(_ change: SimulatedDisk.Change) {
        journal?.entries.append(.change(change))
        journal?.changeCount += 1
    }

    /// Notes which pages of mapped files were stored to since the last time.
    mutating func sampleMappings() {
        for (file, seen) in mapped {
            let now = disk.nodes[file].contents.bytes
            let old = seen.bytes
            var start = 0
            var fresh = seen
            var pages: [(page: Int, bytes: [UInt8])] = []
            while start < now.count {
                let end = min(start + SimulatedDisk.pageBytes, now.count)
                let page = UnsafeRawBufferPointer(rebasing: now[start..<end])
                if !SimulatedDisk.equal(page, old, at: start) {
                    // One copy for both: the page may be stored to meanwhile.
                    let copy = Array(page)
                    pages.append((start / SimulatedDisk.pageBytes, copy))
                    copy.withUnsafeBytes { fresh.write($0, at: start) }
                }
                start = end
            }
            guard !pages.isEmpty else { continue }
            let change = SimulatedDisk.Change.store(file: file, pages: pages)
            if journal != nil { keep(change) }
            disk.apply(change)
            mapped[file] = fresh
        }
    }

    func node(_ operation: IOFailure.Operation, _ path: String) throws(IOFailure) -> Int {
        do {
            return try disk.node(at: path)
        } catch {
            throw IOFailure(operation, path: path, code: error.code)
        }
    }

    func place(_ operation: IOFailure.Operation, _ path: String) throws(IOFailure) -> (
        directory: Int, name: String
    ) {
        do {
            return try disk.place(of: path)
        } catch {
            throw IOFailure(operation, path: path, code: error.code)
        }
    }

    /// Takes room for a file to grow to a length.
    mutating func takeRoom(_ file: Int, upTo end: Int, _ operation: IOFailure.Operation, _ path: String)
        throws(IOFailure)
    {
        guard end > disk.nodes[file].contents.count else { return }
        guard disk.nodes[file].contents.canHold(end) else {
            throw IOFailure(operation, path: path, code: EFBIG)
        }
        guard let budget = byteBudget else { return }
        let growth = end - disk.nodes[file].contents.count
        guard growth <= budget else { throw IOFailure(operation, path: path, code: ENOSPC) }
        byteBudget = budget - growth
    }

    mutating func ignores(syncOf path: String, isDirectory: Bool) -> Bool {
        var isIgnored = false
        for position in ignored.indices
        where ignored[position].ofDirectories == isDirectory && path.hasSuffix(ignored[position].pathSuffix) {
            let number = ignored[position].seen
            ignored[position].seen += 1
            if ignored[position].only.map({ $0 == number }) ?? true { isIgnored = true }
        }
        return isIgnored
    }
}

extension SimulatedDisk.LookupFailure {
    fileprivate var code: Int32 { self == .notFound ? ENOENT : ENOTDIR }
}

// MARK: - The seam

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension SimulatedFileSystem: FileSystem {
    private func perform<R>(
        _ operation: IOFailure.Operation, _ path: String, _ body: (inout State) throws(IOFailure) -> R
    ) throws(IOFailure) -> R {
        try state.withLock { state throws(IOFailure) in
            try state.pass(operation, path)
            return try body(&state)
        }
    }

    public func makeDirectory(_ path: String) throws(IOFailure) {
        try perform(.makeDirectory, path) { state throws(IOFailure) in
            let (directory, name) = try state.place(.makeDirectory, path)
            guard !name.isEmpty, state.disk.nodes[directory].names[name] == nil else {
                throw IOFailure(.makeDirectory, path: path, code: EEXIST)
            }
            state.change(.create(isDirectory: true, in: directory, name: name))
        }
    }

    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        try perform(.list, directory) { state throws(IOFailure) in
            let node = state.disk.nodes[try state.node(.list, directory)]
            guard node.isDirectory else { throw IOFailure(.list, path: directory, code: ENOTDIR) }
            return node.names.map { name, number in
                DirectoryEntry(name: name, kind: state.disk.nodes[number].isDirectory ? .directory : .regular)
            }
        }
    }

    public func kind(of path: String) throws(IOFailure) -> FileKind? {
        try perform(.inspect, path) { state throws(IOFailure) in
            do throws(IOFailure) {
                return state.disk.nodes[try state.node(.inspect, path)].isDirectory ? .directory : .regular
            } catch {
                if error.isNotFound { return nil }
                throw error
            }
        }
    }

    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let operation: IOFailure.Operation = mode == .createExclusive ? .create : .open
        return try perform(operation, path) { state throws(IOFailure) in
            if mode == .createExclusive {
                let (directory, name) = try state.place(operation, path)
                guard !name.isEmpty, state.disk.nodes[directory].names[name] == nil else {
                    throw IOFailure(operation, path: path, code: EEXIST)
                }
                state.change(.create(isDirectory: false, in: directory, name: name))
                return SimulatedFile(path, node: state.disk.nodes.count - 1, isWritable: true, in: self)
            }
            let node = try state.node(operation, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(operation, path: path, code: IOFailure.notRegularFileCode)
            }
            return SimulatedFile(path, node: node, isWritable: mode == .readWrite, in: self)
        }
    }

    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try perform(.rename, from) { state throws(IOFailure) in
            guard !to.utf8.contains(0) else { throw IOFailure(.rename, path: to, code: EINVAL) }
            let node = try state.node(.rename, from)
            let (directory, name) = try state.place(.rename, from)
            let (target, newName) = try state.place(.rename, to)
            if let old = state.disk.nodes[target].names[newName] {
                guard replacing else { throw IOFailure(.rename, path: from, code: EEXIST) }
                guard state.disk.nodes[old].isDirectory == state.disk.nodes[node].isDirectory else {
                    throw IOFailure(.rename, path: from, code: EISDIR)
                }
                if old == node { return }
            }
            state.change(.rename(node: node, from: directory, name: name, to: target, newName: newName))
        }
    }

    public func unlink(_ path: String) throws(IOFailure) {
        try perform(.unlink, path) { state throws(IOFailure) in
            let node = try state.node(.unlink, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(.unlink, path: path, code: EISDIR)
            }
            let (directory, name) = try state.place(.unlink, path)
            state.change(.unlink(node: node, in: directory, name: name))
        }
    }

    public func syncDirectory(_ path: String) throws(IOFailure) {
        try perform(.sync, path) { state throws(IOFailure) in
            let node = try state.node(.sync, path)
            guard state.disk.nodes[node].isDirectory else {
                throw IOFailure(.sync, path: path, code: ENOTDIR)
            }
            if !state.ignores(syncOf: path, isDirectory: true) { state.change(.syncDirectory(node)) }
        }
    }

    public func lock(_ path: String) throws(IOFailure) -> any FileLock {
        try perform(.lock, path) { state throws(IOFailure) in
            let (directory, name) = try state.place(.lock, path)
            if !name.isEmpty, state.disk.nodes[directory].names[name] == nil {
                state.change(.create(isDirectory: false, in: directory, name: name))
            }
            let node = try state.node(.lock, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(.lock, path: path, code: IOFailure.notRegularFileCode)
            }
            guard state.locks[node] == nil else { throw IOFailure(.lock, path: path, code: EWOULDBLOCK) }
            let lock = SimulatedLock(path, node: node, in: self)
            state.locks[node] = ObjectIdentifier(lock)
            return lock
        }
    }

    public func isLocked(_ path: String) -> Bool {
        state.withLock { state in
            guard let node = try? state.disk.node(at: path) else { return false }
            return state.locks[node] != nil
        }
    }

    public func isOnNetwork(_ path: String) -> Bool { false }

    public func space(at path: String) throws(IOFailure) -> DiskSpace {
        try perform(.measureSpace, path) { state throws(IOFailure) in
            _ = try state.node(.measureSpace, path)
            let total: UInt64 = 1 << 40
            return DiskSpace(freeBytes: state.byteBudget.map { UInt64($0) } ?? total / 2, totalBytes: total)
        }
    }

    public func now() -> Int64 { 1_700_000_000_000_000_000 + Int64(monotonic()) }

    public func monotonic() -> UInt64 {
        state.withLock { state in
            state.clock += 1000
            return state.clock
        }
    }

    public func randomBytes(_ count: Int) -> [UInt8] {
        state.withLock { state in
            (0..<count).map { _ in UInt8(truncatingIfNeeded: state.random.next() >> 32) }
        }
    }

    public func bootIdentity() -> [UInt8] { boot }
}
