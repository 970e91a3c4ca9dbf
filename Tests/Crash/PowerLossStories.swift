import Testing
import Varve
import VarveIO
import VarveTestKit

/// What the crash states have found, one story each.
@Suite("Stories of crashes")
struct PowerLossStories {
    private func options(_ system: SimulatedFileSystem) -> StoreOptions {
        var options = PowerLossTests.options(PowerLossTests.scenarios[1])
        options.fileSystem = system
        return options
    }

    // The first writer was killed after it had made the store's directory. The second found it, and did not sync the parent: a
    // power cut took the store, with all that was acknowledged.
    @Test("A store in a directory that another writer has made outlives a power cut")
    func directoryOfAKilledWriter() throws {
        let first = SimulatedFileSystem(seed: 1)
        try first.makeDirectory("/data")
        try first.syncDirectory("/")
        try first.makeDirectory("/data/store")
        let system = first.afterKill()
        let store = try EventStore.open("/data/store", options: options(system))
        let session = try store.startSession("s")
        try session.append("e", kind: try store.kind("k", .utf8))
        try store.flush()
        for seed in UInt64(0)..<100 {
            let found = system.afterPowerLoss(seed: seed)
            #expect(
                try EventStore.openReadOnly("/data/store", options: options(found)).count() == 1,
                "seed \(seed)")
        }
        try store.close()
    }

    // What a killed writer had written and not synced was shown by the next one as durable, and a power cut took it.
    @Test("What opening after a kill has shown is durable")
    func recoveredIsDurable() throws {
        let system = SimulatedFileSystem(seed: 2)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        system.record()
        let history = try PowerLossTests.run(PowerLossTests.scenarios[1], on: system)
        let journal = try #require(system.journal)
        var cursor = journal.cursor()
        repeat {
            let killed = cursor.afterKill(cuttingWrite: UInt64(cursor.changesMade))
            let store = try EventStore.open(CrashExaminer.path, options: options(killed))
            let shown = try history.match(store).lowerBound
            for seed in UInt64(0)..<4 {
                let found = killed.afterPowerLoss(seed: seed)
                let reader = try EventStore.openReadOnly(CrashExaminer.path, options: options(found))
                let kept = try history.match(reader).upperBound
                #expect(kept >= shown, "killed after change \(cursor.changesMade), then power cut \(seed)")
                try reader.close()
            }
            try store.close()
        } while cursor.advance()
    }

    // A power cut in the middle of writing a footer left its end without its start: the segment was read from its blocks, and
    // verification spoke of damage ever after.
    @Test("A torn footer is written anew by the next writer")
    func tornFooter() throws {
        let system = SimulatedFileSystem(seed: 3)
        try system.makeDirectory("/data")
        let history = try PowerLossTests.run(PowerLossTests.scenarios[1], on: system)
        try system.unlink(CrashExaminer.path + "/STATE")
        let names = try system.list(CrashExaminer.path).map(\.name).filter { $0.hasSuffix(".seg") }
        let last = try #require(names.max())
        let file = try system.open("\(CrashExaminer.path)/\(last)", .readWrite)
        // The trailer's first field: where the footer starts.
        let start = try file.read(at: try file.size() - 96, count: 8).enumerated().reduce(UInt64(0)) {
            $0 | UInt64($1.element) << (8 * UInt64($1.offset))
        }
        try file.write([UInt8](repeating: 0, count: 64), at: start)
        let torn = try EventStore.openReadOnly(CrashExaminer.path, options: options(system))
        #expect(try !torn.verify().damage.isEmpty)
        #expect(try history.match(torn).upperBound == history.items.count)
        try torn.close()
        try EventStore.open(CrashExaminer.path, options: options(system)).close()
        let mended = try EventStore.openReadOnly(CrashExaminer.path, options: options(system))
        #expect(try mended.verify().isIntact)
        #expect(try history.match(mended).upperBound == history.items.count)
        try mended.close()
    }
}
