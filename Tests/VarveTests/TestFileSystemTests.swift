import Testing
import VarveIO
import VarveTestKit

@Suite("The file systems for tests")
struct TestFileSystemTests {
    private func write(_ byteCount: Int, to path: String, on system: some FileSystem) throws {
        let file = try system.open(path, .createExclusive)
        defer { file.close() }
        try file.write([UInt8](repeating: 7, count: byteCount), at: 0)
        try file.sync()
    }

    @Test("what passes is counted, by path")
    func counting() throws {
        let directory = try TemporaryDirectory()
        let system = CountingFileSystem()
        try write(100, to: directory.path("a"), on: system)
        try write(20, to: directory.path("b"), on: system)
        let file = try system.open(directory.path("a"), .read)
        #expect(try file.read(at: 90, count: 50).count == 10)
        let region = try #require(try file.map())
        if region.canPopulate { try region.populate(0..<60) }
        try system.syncDirectory(directory.path)

        let counts = system.total { $0.hasSuffix("/a") }
        #expect(counts.opens == 2)
        #expect(counts.bytesWritten == 100)
        #expect(counts.bytesRead == 10)
        #expect(counts.syncs == 1)
        #expect(counts.maps == 1)
        #expect(counts.bytesPopulated == (region.canPopulate ? 60 : 0))
        #expect(system.total().bytesWritten == 120)
        #expect(system.total().syncs == 3)
        system.reset()
        #expect(system.total() == CountingFileSystem.Counts())
    }

    @Test("the chosen operation fails, once")
    func once() throws {
        let directory = try TemporaryDirectory()
        let system = FaultInjectingFileSystem()
        system.inject(.init(.sync, after: 1, code: 5))
        try write(1, to: directory.path("a"), on: system)
        let failure = #expect(throws: IOFailure.self) { try write(1, to: directory.path("b"), on: system) }
        #expect(failure?.code == 5 && failure?.operation == .sync)
        try write(1, to: directory.path("c"), on: system)
        #expect(system.injectedCount == 1)
        #expect(system.count(of: .sync) == 3)
    }

    @Test("or for good, on the chosen paths, until the disk is well again")
    func forGood() throws {
        let directory = try TemporaryDirectory()
        let system = FaultInjectingFileSystem()
        system.inject(.init(.write, onPathsEndingIn: ".seg", code: 28, isForGood: true))
        try write(1, to: directory.path("STORE"), on: system)
        for name in ["1.seg", "2.seg"] {
            let failure = #expect(throws: IOFailure.self) {
                try write(1, to: directory.path(name), on: system)
            }
            #expect(failure?.isOutOfSpace == true)
        }
        system.heal()
        try write(1, to: directory.path("3.seg"), on: system)
        #expect(system.injectedCount == 2)
    }

    @Test("a failed operation does not reach the disk")
    func untouched() throws {
        let directory = try TemporaryDirectory()
        let system = FaultInjectingFileSystem()
        try write(3, to: directory.path("a"), on: system)
        system.inject(.init(.unlink, code: 13))
        system.inject(.init(.rename, code: 13))
        #expect(throws: IOFailure.self) { try system.unlink(directory.path("a")) }
        #expect(throws: IOFailure.self) {
            try system.rename(directory.path("a"), to: directory.path("b"), replacing: false)
        }
        #expect(try system.list(directory.path).map(\.name) == ["a"])
    }
}
