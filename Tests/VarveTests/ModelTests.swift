import Testing
import Varve
import VarveTestKit

@Suite("The engine and an in-memory model agree")
struct ModelTests {
    struct Settings: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var options: StoreOptions

        init(_ description: String, _ change: (inout StoreOptions) -> Void) {
            testDescription = description
            options = StoreOptions()
            // Small, so that blocks and segments change every few dozen operations.
            options.blockBytes = 4 << 10
            options.subBlockBytes = 1 << 10
            options.segmentBytes = 64 << 10
            options.queueBatches = 3
            change(&options)
        }
    }

    static let settings = [
        Settings("tiny blocks and segments") { $0.segmentBytes = 16 << 10 },
        Settings("one encoder") { $0.encoderThreads = 1 },
        Settings("a dictionary") { $0.usesDictionary = true },
        Settings("a dictionary, level 9") {
            $0.usesDictionary = true
            $0.compressionLevel = 9
        },
        Settings("few blocks a segment") { $0.segmentBlocksMax = 4 },
        Settings("everything synced") { $0.durability = .synced },
        Settings("nothing synced before the close") { $0.durability = .none },
        Settings("the default sizes") {
            let usual = StoreOptions()
            $0.blockBytes = usual.blockBytes
            $0.subBlockBytes = usual.subBlockBytes
            $0.segmentBytes = usual.segmentBytes
        },
    ]

    /// For each of `limited`. Fewer under a sanitizer: `VARVE_MODEL_OPERATIONS`.
    static let operationCounts =
        environmentNumber("VARVE_MODEL_OPERATIONS").map { Array(repeating: $0, count: 4) }
        ?? [10_000, 2_500, 2_500, 2_500]

    static let limited = [
        Settings("tiny blocks and segments") {
            $0.segmentBytes = 16 << 10
            $0.compactsInBackground = false
        },
        Settings("compaction in the background") {
            $0.segmentBytes = 16 << 10
            $0.compactsInBackground = true
        },
        Settings("segments of an eighth of the limit") {
            $0.segmentBytes = 64 << 20
            $0.durability = .none
        },
        Settings("everything synced") {
            $0.durability = .synced
            $0.segmentBytes = 32 << 10
        },
    ]

    @Test(
        "Random operations under random limits, with pins and compaction, keep exactly what the model keeps, and no more bytes",
        arguments: zip(limited, operationCounts))
    func limits(_ settings: Settings, operationCount: Int) throws {
        let seed = SplitMix64.freshSeed()
        print("model test with limits, \(settings.testDescription): VARVE_SEED=0x\(String(seed, radix: 16))")
        let directory = try TemporaryDirectory()
        let operations = try RandomOperations(
            seed: seed, operations: operationCount, options: settings.options, directory: directory.path,
            changesLimits: true)
        let summary = try operations.run()
        // Of a limit of bytes; an eighth is kept free.
        #expect(summary.filled > 0.8)
        // A short run may meet few limits.
        guard operationCount >= 2_500 else { return }
        #expect(summary.events > operationCount * 2 / 5)
        #expect(summary.dropped > operationCount / 25)
        #expect(summary.pins > operationCount / 500)
        #expect(summary.compactions > operationCount / 500)
        #expect(summary.openings > operationCount / 500)
        // How full random operations make it depends on their seed: 0.746 with 0xcb96d4353e078050.
        if operationCount >= 10_000 { #expect(summary.fullest > 0.5) }
        withExtendedLifetime(directory) {}
    }

    @Test("2,500 random operations with each of the settings give the same answers", arguments: settings)
    func agreement(_ settings: Settings) throws {
        let seed = SplitMix64.freshSeed()
        print("model test, \(settings.testDescription): VARVE_SEED=0x\(String(seed, radix: 16))")
        let directory = try TemporaryDirectory()
        let operations = try RandomOperations(
            seed: seed, operations: 2_500, options: settings.options, directory: directory.path)
        let summary = try operations.run()
        // The run must have been worth its name.
        #expect(summary.events > 1_000)
        #expect(summary.comparisons > 500)
        #expect(summary.openings > 5)
        withExtendedLifetime(directory) {}
    }
}
