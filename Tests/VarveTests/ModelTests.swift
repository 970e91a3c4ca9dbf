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
