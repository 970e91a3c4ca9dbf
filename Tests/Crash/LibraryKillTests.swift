import Foundation
import Testing
import Varve
import VarveTestKit

/// A process that uses the library is killed, again and again; every second time the next one recovers what it left, and may be
/// killed while it does.
@Suite("A killed writer loses nothing that append returned")
struct LibraryKillTests {
    /// The half of `VARVE_KILLS` that `KillTests` leaves.
    private static let kills = Machine.count("VARVE_KILLS", otherwise: 12) / 2
    private static let killsOfStore = 16

    @Test("by SIGKILL at any moment, at each durability level", .timeLimit(.minutes(60)))
    func kill() throws {
        let seed = SplitMix64.freshSeed()
        print("library kill test: VARVE_SEED=0x\(String(seed, radix: 16)), \(Self.kills) kills")
        var random = SplitMix64(seed: seed)
        let directory = try TemporaryDirectory()
        var (losses, returned) = (Losses(), 0)
        var runs: [WriterRun] = []
        for number in 0..<Self.kills {
            let store = directory.path("store-\(number / Self.killsOfStore)")
            let run = try Self.run(UInt64(number), in: store, &random)
            returned += run.returned.count
            runs.append(run)
            let isLast = number % Self.killsOfStore == Self.killsOfStore - 1 || number == Self.kills - 1
            losses += try StoreComparison.check(
                store, recover: isLast || number % 2 == 0, &runs, "kill \(number)")
            if isLast {
                runs = []
                if EventStore.exists(at: store) { try FileManager.default.removeItem(atPath: store) }
            }
        }
        tortureFigure(
            "kills of the library", asked: Self.kills, reached: Self.kills,
            [
                "returned": returned, "lost-acknowledged": losses.acknowledged,
                "lost-returned": losses.returned,
            ])
        #expect(losses == Losses())
        #expect(Self.kills < 10 || returned > 0)
        withExtendedLifetime(directory) {}
    }

    /// Runs the writer until it has said enough, or some milliseconds have passed, and kills it.
    private static func run(_ number: UInt64, in store: String, _ random: inout SplitMix64) throws
        -> WriterRun
    {
        let durability = ["synced", "none", "interval"][Int(number % 3)]
        // Events that fill several segments, and the few that wait in memory.
        let threads = random.oneIn(3) ? "3" : "1"
        let child = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(
                store, run: number, durability: durability, "--threads", threads, "--session-events",
                random.oneIn(2) ? "170" : "1000000"))
        if random.oneIn(4) {
            child.read(milliseconds: Int(random.below(20)))
        } else {
            child.read(lines: Int(random.below(durability == "synced" ? 400 : 2_500)))
        }
        child.kill()
        try child.finish()
        let run = WriterRun(run: number, isSynced: durability == "synced", lines: child.lines)
        #expect(run.failures.isEmpty, "\(run.failures)")
        return run
    }
}
