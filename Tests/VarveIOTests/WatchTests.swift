import Foundation
import Testing
import VarveIO

@Suite("Watching a directory", .timeLimit(.minutes(60)))
struct WatchTests {
    private let fileSystem = POSIXFileSystem()
    private let directory: TemporaryDirectory
    /// For what would not end. A busy machine does not reach it.
    private static let millisecondsMax = 600_000

    init() throws { directory = try TemporaryDirectory() }

    /// How a directory can be watched.
    enum Kind: CaseIterable { case system, polling }

    private func watch(_ kind: Kind) throws -> any ChangeWatch {
        switch kind {
        case .system: try fileSystem.watch(directory.path)
        case .polling: try PollingWatch(directory.path)
        }
    }

    /// What may be done to a directory.
    enum Change: CaseIterable { case create, append, rename, unlink, close }

    @Test("A change between arming and waiting is not missed", arguments: Change.allCases, Kind.allCases)
    func change(change: Change, kind: Kind) throws {
        let file = try fileSystem.open(directory("old"), .createExclusive)
        let watch = try watch(kind)
        switch change {
        case .create: try fileSystem.open(directory("new"), .createExclusive).close()
        case .append: try file.write([1], at: 0)
        case .rename: try fileSystem.rename(directory("old"), to: directory("moved"), replacing: false)
        case .unlink: try fileSystem.unlink(directory("old"))
        case .close: file.close()
        }
        #expect(watch.wait(milliseconds: Self.millisecondsMax) == .changed)
    }

    @Test("A burst of changes is one, and then there is silence")
    func burst() throws {
        let file = try fileSystem.open(directory("f"), .createExclusive)
        let watch = try fileSystem.watch(directory.path)
        for number in 0..<1000 as Range<UInt64> { try file.write([1], at: number) }
        #expect(watch.wait(milliseconds: Self.millisecondsMax) == .changed)
        if !(watch is PollingWatch) { #expect(watch.wait(milliseconds: 0) == .timedOut) }
    }

    @Test("Reading is no change")
    func reading() throws {
        let path = try directory.file("f", [1, 2, 3])
        let watch = try fileSystem.watch(directory.path)
        #expect(try fileSystem.readWhole(path, byteCountMax: 9) == [1, 2, 3])
        #expect(!fileSystem.isLocked(path))
        #expect(try fileSystem.list(directory.path).count == 1)
        #expect(watch.wait(milliseconds: 0) == .timedOut)
    }

    @Test("Another thread ends a wait, and every later one", arguments: Kind.allCases)
    func cancel(kind: Kind) throws {
        let watch = try watch(kind)
        Thread.detachNewThread { watch.cancel() }
        // A watch that polls may look before.
        while watch.wait(milliseconds: Self.millisecondsMax) != .cancelled {}
        #expect(watch.wait(milliseconds: Self.millisecondsMax) == .cancelled)
    }

    @Test("A directory that is not there is not watched, and one that goes away tells")
    func goingAway() throws {
        #expect(failure { try fileSystem.watch(directory("nowhere")) }?.isNotFound ?? true)
        try fileSystem.makeDirectory(directory("d"))
        let watch = try fileSystem.watch(directory("d"))
        try FileManager.default.removeItem(atPath: directory("d"))
        #expect(watch.wait(milliseconds: Self.millisecondsMax) == .changed)
    }

    @Test("A stamp tells a file from what it was and from others; what is no regular file has none")
    func stamps() throws {
        let path = try directory.file("f", [1, 2, 3])
        let first = try #require(try fileSystem.stamp(of: path))
        #expect(first.byteCount == 3)
        #expect(try fileSystem.stamp(of: path) == first)
        let file = try fileSystem.open(path, .readWrite)
        try file.write([4], at: 3)
        file.close()
        let second = try #require(try fileSystem.stamp(of: path))
        #expect(second.byteCount == 4 && second.number == first.number && second != first)
        let other = try directory.file("g", [1, 2, 3, 4])
        #expect(try fileSystem.stamp(of: other)?.number != first.number)
        #expect(try fileSystem.stamp(of: directory("nowhere")) == nil)
        #expect(try fileSystem.stamp(of: directory.path) == nil)
        try #require(symlink(path, directory("link")) == 0)
        #expect(try fileSystem.stamp(of: directory("link")) == nil)
    }
}
