import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("No crash of process or machine loses what was acknowledged")
struct PowerLossTests {
    struct Scenario: Sendable, CustomTestStringConvertible {
        let name: String
        let durability: Durability
        let events: Int
        let payloadBytes: Int
        var usesDictionary = false
        var testDescription: String { name }
    }

    static let scenarios = [
        Scenario(name: "synced", durability: .synced, events: 60, payloadBytes: 700),
        Scenario(name: "until close", durability: .none, events: 120, payloadBytes: 400),
        Scenario(
            name: "at an interval, small events", durability: .interval(nanoseconds: 1_000_000), events: 200,
            payloadBytes: 60),
        Scenario(
            name: "until close, large events, a dictionary", durability: .none, events: 60,
            payloadBytes: 1500,
            usesDictionary: true),
    ]

    /// How many crash states are looked at in all.
    static let statesWanted = environmentNumber("VARVE_CRASH_STATES") ?? 6_000

    static func options(_ scenario: Scenario) -> StoreOptions {
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = 16 << 10
        options.queueBatches = 2
        options.encoderThreads = 1
        options.durability = scenario.durability
        options.usesDictionary = scenario.usesDictionary
        return options
    }

    /// Two lives of a store: sessions, checkpoints, flushes, full segments, an end in order, and another opening.
    static func run(_ scenario: Scenario, on system: SimulatedFileSystem) throws -> CrashHistory {
        var options = options(scenario)
        options.fileSystem = system
        var history = CrashHistory()
        for life in 0..<2 {
            let store = try EventStore.open(CrashExaminer.path, options: options)
            var recorder = CrashRecorder(
                store, on: system, isSynced: scenario.durability == .synced, after: history)
            let kinds = [try store.kind("telemetry", .binary), try store.kind("text", .utf8)]
            let count = scenario.events / (life + 1)
            for number in 0..<count {
                let time = Int64(life * 1_000_000 + number)
                if number % (count / 2 + 1) == 0 {
                    if number > 0 { try recorder.end(at: time) }
                    try recorder.begin("session \(life) \(number)", at: time)
                }
                try recorder.append(
                    payload(life * 1000 + number, scenario), kinds[number % 5 == 0 ? 1 : 0], at: time)
                if number % 17 == 13 {
                    try recorder.checkpoint(
                        "cp \(number)", state: Array("state after \(number)".utf8), at: time)
                }
                if number % 23 == 19 { try recorder.flush() }
            }
            try recorder.close()
            history = recorder.history
        }
        return history
    }

    /// The event's number, and bytes half of which do not compress.
    static func payload(_ number: Int, _ scenario: Scenario) -> [UInt8] {
        var random = SplitMix64(seed: UInt64(number))
        return Array("event \(number) ".utf8)
            + (0..<scenario.payloadBytes).map {
                $0 / 16 % 2 == 0 ? UInt8($0 % 7) : UInt8(truncatingIfNeeded: random.next())
            }
    }

    @Test("A crash at every operation, and another during recovery", arguments: scenarios)
    func everyOperation(_ scenario: Scenario) throws {
        let seed = SplitMix64.freshSeed()
        let system = SimulatedFileSystem(seed: seed)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        system.record()
        let history = try Self.run(scenario, on: system)
        let journal = try #require(system.journal)
        var examiner = CrashExaminer(options: Self.options(scenario))
        var random = SplitMix64(seed: seed)
        // Two states at each instant, one of a power cut and one of a kill, and one more after each of them.
        let rounds = max(1, Self.statesWanted / Self.scenarios.count / (journal.changeCount + 1) / 3)
        var failures = 0
        var cursor = journal.cursor()
        repeat {
            let marks = cursor.marks
            let required = CrashRecorder.count(.acknowledged, in: marks) ?? 0
            let returned = CrashRecorder.count(.returned, in: marks) ?? 0
            let possible = CrashRecorder.count(.begun, in: marks) ?? 0
            let wasOpened = CrashRecorder.count(.opened, in: marks) != nil
            for round in 0..<rounds {
                for isPowerLoss in round % 4 == 0 ? [true, false] : [true] {
                    let (state, nested) = (random.next(), random.next())
                    let found = CrashExaminer.Case(
                        system: isPowerLoss
                            ? cursor.afterPowerLoss(seed: state)
                            : cursor.afterKill(cuttingWrite: round == 0 ? nil : state),
                        history: history,
                        // A killed process loses nothing that a call returned.
                        required: isPowerLoss ? required : returned,
                        possible: possible, durable: required, wasOpened: wasOpened, isPowerLoss: isPowerLoss)
                    let before = found.system.listing
                    do {
                        try examiner.examine(found, nested: nested)
                    } catch {
                        failures += 1
                        Issue.record(
                            """
                            \(scenario.name), VARVE_SEED=\(seed): \(isPowerLoss ? "power cut" : "kill") after change \
                            \(cursor.changesMade) of \(journal.changeCount), seed \(state), nested \(nested): \
                            required \(required), possible \(possible): \(error)
                            \(before)
                            """)
                        if failures == 5 { return }
                    }
                }
            }
        } while cursor.advance()
        print(
            "power loss, \(scenario.name): \(examiner.states) crash states at \(journal.changeCount + 1) instants, 0 acknowledged events lost, \(examiner.unpromised) recovered beyond (seed \(seed))"
        )
        #expect(examiner.states > journal.changeCount)
    }
}
