import Foundation
import Testing
import Varve
import VarveTestKit

/// A store lies on a file system of its own, which is shut down without a flush while it is written.
@Suite("A power cut loses nothing that was acknowledged", .serialized)
struct PowerCutTests {
    private static let cuts = Machine.count("VARVE_POWER_CUTS", otherwise: 10)
    private static let cutsOfImage = 20

    @Test("on ext4, at any moment", .needs(Machine.ext4), .timeLimit(.minutes(60)))
    func ext4() throws {
        let seed = SplitMix64.freshSeed()
        print("power cut test: VARVE_SEED=0x\(String(seed, radix: 16)), \(Self.cuts) cuts")
        var random = SplitMix64(seed: seed)
        var losses = Losses()
        var acknowledged = 0
        var runs: [WriterRun] = []
        var image = try DiskImage(megabytes: 64)
        for number in 0..<Self.cuts {
            if number > 0, number % Self.cutsOfImage == 0 {
                image = try DiskImage(megabytes: 64)
                runs = []
            }
            let before = try image.mount()
            // The last level shows that the power is really cut: what it did not acknowledge goes.
            let durability = ["synced", "interval", "synced", "none"][number % 4]
            let child = try ChildProcess(
                BuiltProducts.url("crash-writer"),
                WriterRun.arguments(
                    before.path + "/store", run: UInt64(number), durability: durability, "--threads",
                    random.oneIn(3) ? "3" : "1", "--session-events", random.oneIn(2) ? "170" : "1000000"))
            if random.oneIn(4) {
                child.read(milliseconds: Int(random.below(20)))
            } else {
                child.read(lines: Int(random.below(durability == "synced" ? 400 : 2_500)))
            }
            // No machine says anything after its power was cut: what arrived before counts.
            child.drain()
            let lines = child.lines
            try before.cutPower()
            child.kill()
            try child.finish()
            try before.unmount()
            let run = WriterRun(run: UInt64(number), isSynced: durability == "synced", lines: lines)
            acknowledged += run.returned.count { run.isAcknowledged($0.sequence) }
            runs.append(run)
            let after = try image.mount()
            losses += try StoreComparison.check(
                after.path + "/store", recover: number % 3 != 0, &runs, "power cut \(number)")
            try after.unmount()
        }
        tortureFigure(
            "ext4 power cuts", asked: Self.cuts, reached: Self.cuts,
            [
                "acknowledged": acknowledged, "lost-acknowledged": losses.acknowledged,
                "lost-others": losses.returned - losses.acknowledged,
            ])
        #expect(losses.acknowledged == 0)
        // Otherwise nothing was cut.
        #expect(Self.cuts < 8 || losses.returned > 0)
    }

    @Test("A failing sync ends all acknowledging", .needs(Machine.ext4))
    func failingSync() throws {
        // An image that has holes, on memory that is full: what the disk accepted into its cache, it then can't keep. (Without a
        // journal Linux itself says yes to the first sync that fails, and no to the next.)
        let seed = SplitMix64.freshSeed()
        print("failing sync test: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let memory = try Mount.tmpfs(megabytes: 24)
        let image = try DiskImage(megabytes: 64, in: memory.path)
        let disk = try image.mount()
        let store = disk.path + "/store"
        let child = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(store, run: 0, durability: "synced", "--insist", "20"))
        child.read(lines: 100 + Int(random.below(2_500)))
        let filled = try ChildProcess.shell("cat /dev/zero >\"$1\"/filler", memory.path)
        #expect(filled.outcome == .exited(1))
        let outcome = try child.finish()
        let run = WriterRun(run: 0, isSynced: true, lines: child.lines)
        #expect(outcome == .exited(1))
        #expect(run.returned.count >= 90 && run.returnedAfterFailure == 0 && !run.isClosed)
        #expect(run.failures.count > 20, "\(run.failures)")
        #expect(run.failures.last?.contains("an earlier sync failed") == true, "\(run.failures)")
        try disk.unmount()
        _ = try ChildProcess.shell("rm \"$1\"/filler", memory.path)
        let again = try image.mount()
        var runs = [run]
        let losses = try StoreComparison.check(
            again.path + "/store", recover: true, &runs, "after a failed sync")
        #expect(losses.acknowledged == 0)
        tortureFigure(
            "failing syncs", asked: 1, reached: 1,
            ["acknowledged": run.returned.count, "lost-acknowledged": losses.acknowledged])
        try again.unmount()
        try memory.unmount()
    }
}
