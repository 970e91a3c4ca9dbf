import Testing
import VarveTestKit

@Suite("The recorder and an in-memory model agree")
struct RecorderModelTests {
    /// With how many seeds each of the limits is tried.
    private static let seeds = environmentNumber("VARVE_MODEL_SEEDS") ?? 1

    @Test(
        "600 random operations with each of the limits give the same answers",
        arguments: [(0, 0), (1, 1), (3, 10), (10, 3), (50_000, 1_000)])
    func agreement(maxEvents: Int, maxCheckpoints: Int) throws {
        let first = SplitMix64.freshSeed()
        print(
            "recorder's model test, \(maxEvents) events and \(maxCheckpoints) checkpoints: VARVE_SEED=0x\(String(first, radix: 16))"
        )
        let directory = try TemporaryDirectory()
        for seed in (0..<UInt64(Self.seeds)).map({ first &+ $0 }) {
            var operations = try RecorderOperations(
                seed: seed, maxEvents: maxEvents, maxCheckpoints: maxCheckpoints, directory: directory.path)
            let summary = try operations.run(600)
            // The run must have been worth its name.
            #expect(summary.events > 100 && summary.comparisons > 50, "\(summary)")
            #expect((summary.evicted > 0) == (maxEvents < 50), "\(summary)")
            #expect(summary.imports > 0 && summary.openings > 0, "\(summary)")
        }
        withExtendedLifetime(directory) {}
    }
}
