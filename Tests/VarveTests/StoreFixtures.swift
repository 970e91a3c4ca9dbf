import Foundation
import Varve
import VarveIO
import VarveTestKit

/// The system's files, with a clock that moves only when it is told to, and a gate before what is written to segments.
///
/// While the clock stands still no batch is handed over for its age: where blocks end depends on the events alone.
final class ControlledFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let condition = NSCondition()
    // Guarded by the condition.
    private var isClosed = false
    private var waiting = 0
    private var elapsed: UInt64 = 0

    /// Lets no write to a segment pass until `openGate`.
    func closeGate() { condition.withLock { isClosed = true } }

    func openGate() {
        condition.withLock {
            isClosed = false
            condition.broadcast()
        }
    }

    var isGateClosed: Bool { condition.withLock { isClosed } }

    /// Whether a write waits before it.
    var isGateAwaited: Bool { condition.withLock { isClosed && waiting > 0 } }

    func advanceClock(nanoseconds: UInt64) { condition.withLock { elapsed += nanoseconds } }

    fileprivate func passGate() {
        condition.withLock {
            waiting += 1
            while isClosed { condition.wait() }
            waiting -= 1
        }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? GatedFile(base: file, system: self) : file
    }
    func now() -> Int64 { 1_000_000_000 + Int64(monotonic()) }
    func monotonic() -> UInt64 { condition.withLock { elapsed } }
}

private final class GatedFile: PassThroughFile {
    let base: any File
    private let system: ControlledFileSystem

    init(base: any File, system: ControlledFileSystem) {
        self.base = base
        self.system = system
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        system.passGate()
        try base.write(bytes, at: offset)
    }
}

/// Blocks of 4 KiB in sub-blocks of 1 KiB, two batches, segments that are not sealed for their size.
func smallBlocks(on fileSystem: any FileSystem = POSIXFileSystem()) -> StoreOptions {
    var options = StoreOptions()
    options.fileSystem = fileSystem
    options.blockBytes = 4 << 10
    options.subBlockBytes = 1 << 10
    options.queueBatches = 2
    // What a test finds in the files is what it had written.
    options.compactsInBackground = false
    return options
}

/// Bytes that do not compress, the same for the same number.
func noise(_ number: UInt64, _ count: Int) -> [UInt8] {
    var random = SplitMix64(seed: number)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

/// Every file of a directory with its bytes.
func contents(of directory: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
        files[name] = try Data(contentsOf: URL(filePath: "\(directory)/\(name)"))
    }
    return files
}

/// The segment files of a store, in the order of the log.
func segments(of directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".seg") }.sorted()
        .map { "\(directory)/\($0)" }
}

extension EventStore {
    /// The events that match, by the cursor.
    func collect(_ query: Query = Query()) throws -> [Event] {
        var events: [Event] = []
        var cursor = try cursor(query)
        while let event = try cursor.nextEvent() { events.append(event) }
        return events
    }
}

/// A file system that can be told to let no segment's file go, and that notes what is changed from a moment on.
final class ClingingFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let state = Locked((clinging: Set<String>?.some([]), isOver: false, late: [String]()))

    /// Whether segments can't be removed.
    var clings: Bool {
        get { state.withLock { $0.clinging == nil } }
        set { state.withLock { $0.clinging = newValue ? nil : [] } }
    }
    /// These alone can't be.
    func clings(to paths: [String]) { state.withLock { $0.clinging = Set(paths) } }
    /// Nothing may be changed from now on.
    func end() { state.withLock { $0.isOver = true } }
    /// What was changed after that.
    var late: [String] { state.withLock { $0.late } }

    private func note(_ what: String, _ path: String) {
        state.withLock { if $0.isOver { $0.late.append("\(what) \(path)") } }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        if mode != .read { note("open", path) }
        return try base.open(path, mode)
    }
    func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        note("rename", from)
        try base.rename(from, to: to, replacing: replacing)
    }
    func unlink(_ path: String) throws(IOFailure) {
        note("unlink", path)
        if state.withLock({ $0.clinging?.contains(path) ?? path.hasSuffix(".seg") }) {
            throw IOFailure(.unlink, path: path, code: EPERM)
        }
        try base.unlink(path)
    }
    func syncDirectory(_ path: String) throws(IOFailure) {
        note("sync", path)
        try base.syncDirectory(path)
    }
}
