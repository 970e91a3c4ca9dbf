import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("What a simulated disk refuses loses nothing that was acknowledged")
struct SimulatedFaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let code: Int32
        let isForGood: Bool
        /// The operations that the system may refuse so; nil: all.
        let operations: Set<IOFailure.Operation>?
        var testDescription: String { "\(name) \(isForGood ? "for good" : "once")" }
        var isOutOfSpace: Bool { code == ENOSPC || code == EDQUOT }
    }

    static let cases: [Case] = {
        let growing: Set<IOFailure.Operation> = [.makeDirectory, .create, .write, .allocate, .rename, .lock]
        let opening: Set<IOFailure.Operation> = [.list, .open, .create, .lock]
        let permitted = opening.union([.makeDirectory, .inspect, .rename, .unlink])
        let codes: [(String, Int32, Set<IOFailure.Operation>?)] = [
            ("EIO", EIO, nil), ("ENOSPC", ENOSPC, growing), ("EDQUOT", EDQUOT, growing),
            ("EACCES", EACCES, permitted), ("EMFILE", EMFILE, opening),
        ]
        return codes.flatMap { name, code, operations in
            [false, true].map { Case(name: name, code: code, isForGood: $0, operations: operations) }
        }
    }()

    private static let path = "/data/store"

    @Test("Every operation in turn fails, and then the process dies or the power goes", arguments: cases)
    func everyOperation(_ fault: Case) throws {
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        var (next, count) = (0, 0)
        while true {
            let system = SimulatedFileSystem(seed: random.next())
            try system.makeDirectory("/data")
            try system.syncDirectory("/")
            let first = system.operationCount
            system.inject(at: first + next, code: fault.code, isForGood: fault.isForGood) { operation in
                fault.operations?.contains(operation) ?? true
            }
            var scenario = FaultScenario(path: Self.path)
            scenario.run(on: system, events: 150, recovers: !fault.isForGood)
            guard let number = system.firstInjection else {
                #expect(scenario.isClosed && scenario.failures == [])
                break
            }
            next = number - first + 1
            count += 1
            system.heal()
            let state = random.next()
            let name = "\(fault.testDescription), operation \(number), seed \(seed), state \(state)"
            try check(scenario, system.afterPowerLoss(seed: state), "\(name), power cut")
            try check(scenario, system.afterKill(), "\(name), kill")
        }
        print("simulated disk, \(fault.testDescription): \(count) operations refused")
        #expect(count > 0)
    }

    private func check(_ scenario: FaultScenario, _ system: SimulatedFileSystem, _ name: String) throws {
        try #require(!scenario.isStuck, "\(name)")
        let comment = Comment(rawValue: "\(name): \(scenario.failures)")
        var options = FaultScenario.options(system)
        if EventStore.exists(at: Self.path, fileSystem: system) {
            let reader = try EventStore.openReadOnly(Self.path, options: options)
            try checkContent(of: reader, scenario, comment)
            try reader.close()
        } else {
            #expect(scenario.acknowledged == 0 && !scenario.isClosed, comment)
        }
        options.encoderThreads = 1
        let writer = try EventStore.open(Self.path, options: options)
        try checkContent(of: writer, scenario, comment)
        #expect(writer.nextSequence >= scenario.acknowledged, comment)
        let session = try writer.startSession("after the fault")
        try session.append("goes on", kind: try writer.kind("k", .utf8))
        try writer.close()
        let again = try EventStore.openReadOnly(Self.path, options: options)
        #expect(try again.verify().damage.isEmpty, comment)
        try again.close()
    }

    private func checkContent(of store: EventStore, _ scenario: FaultScenario, _ comment: Comment) throws {
        var count: UInt64 = 0
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() {
            guard event.sequence == count, event.index == count,
                event.payload == FaultScenario.payload(count),
                event.timestamp == Int64(count)
            else {
                Issue.record("event \(count) is \(event.sequence); \(comment)")
                return
            }
            count += 1
        }
        // What was refused may have been recorded, where only its sync failed.
        #expect(count >= scenario.acknowledged && count <= scenario.appended + 1, comment)
        if scenario.isClosed { #expect(count == scenario.appended, comment) }
        let checkpoints = try store.checkpoints()
        #expect(checkpoints.count >= Int(scenario.acknowledged / 20), comment)
        for (number, checkpoint) in checkpoints.enumerated() {
            #expect(checkpoint.id == "cp-\(number)", comment)
            #expect(checkpoint.eventIndex == UInt64(number + 1) * 20, comment)
            #expect(try store.state(of: checkpoint) == Array("state after \(number * 20 + 19)".utf8), comment)
        }
    }
}

@Suite("What a disk does behind the store's back is never answered with a wrong event or silence")
struct SilentFaultTests {
    private static let path = "/data/store"
    private static let events: UInt64 = 100

    /// A store that was recorded while `body`'s faults were armed; `isClosed`: as far as its writer knew, all was well.
    private func recorded(_ body: (SimulatedFileSystem) -> Void = { _ in }) throws -> (
        system: SimulatedFileSystem, isClosed: Bool
    ) {
        let system = SimulatedFileSystem(seed: 11)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        body(system)
        var scenario = FaultScenario(path: Self.path)
        scenario.run(on: system, events: Self.events, recovers: false)
        return (system, scenario.isClosed)
    }

    private func segments(_ system: SimulatedFileSystem) throws -> [String] {
        try system.list(Self.path).map(\.name).filter { $0.hasSuffix(".seg") }.sorted()
    }

    /// Whether something was missing, and said to be.
    private func checkAnswer(_ system: SimulatedFileSystem, isForWriting: Bool, _ name: String) throws -> Bool
    {
        let comment = Comment(rawValue: name)
        var options = FaultScenario.options(system)
        options.create = false
        var seen: Set<UInt64> = []
        let coverage: Coverage
        do throws(StoreError) {
            let store =
                isForWriting
                ? try EventStore.open(Self.path, options: options)
                : try EventStore.openReadOnly(Self.path, options: options)
            var cursor = try store.cursor()
            while let event = try cursor.nextEvent() {
                let isRight =
                    event.payload == FaultScenario.payload(event.sequence) && event.index == event.sequence
                    && event.timestamp == Int64(event.sequence) && event.kind.name == "telemetry"
                #expect(isRight && seen.insert(event.sequence).inserted, comment)
            }
            coverage = cursor.coverage
            try store.close()
        } catch {
            return true
        }
        if let sequence = coverage.firstUnexplained(below: Self.events, seen: seen) {
            Issue.record("event \(sequence) is missing without a word: \(name), gaps \(coverage.gaps)")
            return true
        }
        return seen.count < Int(Self.events)
    }

    @Test("A sector that can't be read is an error or a gap", arguments: [false, true])
    func latentErrors(isForWriting: Bool) throws {
        let (system, isClosed) = try recorded()
        try #require(isClosed)
        var (count, noticed) = (0, 0)
        for name in try segments(system) {
            let size = try system.open("\(Self.path)/\(name)", .read).size()
            for start in stride(from: 0, to: size, by: 512) {
                let copy = system.afterKill()
                try copy.makeUnreadable(start..<start + 512, of: "\(Self.path)/\(name)")
                if try checkAnswer(copy, isForWriting: isForWriting, "\(name) at \(start)") { noticed += 1 }
                count += 1
            }
        }
        print("unreadable sectors: \(count), of which \(noticed) took something from the answer")
        #expect(count > 50 && noticed > 20)
    }

    static let writeFaults: [(name: String, fault: SimulatedFileSystem.WriteFault)] = [
        ("lost", .lost), ("misdirected to the start", .misdirected(to: 0)),
        ("misdirected into the middle", .misdirected(to: 4096)),
        ("misdirected past the end", .misdirected(to: 40_960)),
        ("misdirected into the first segment", .misdirectedToFile("")),
    ]

    @Test(
        "A write that is lost or goes astray is damage, and never a wrong event",
        arguments: writeFaults.indices)
    func writesAstray(_ number: Int) throws {
        var (name, fault) = Self.writeFaults[number]
        if case .misdirectedToFile = fault {
            let first = try #require(try segments(recorded().system).first)
            fault = .misdirectedToFile("\(Self.path)/\(first)")
        }
        var (count, noticed) = (0, 0)
        while true {
            let (system, isClosed) = try recorded {
                $0.inject(fault, onPathsEndingIn: ".seg", after: count)
            }
            if system.armedWriteFaultCount > 0 { break }
            for isForWriting in [false, true] where isClosed {
                let isNoticed = try checkAnswer(
                    system.afterKill(), isForWriting: isForWriting, "\(name), write \(count)")
                if isNoticed { noticed += 1 }
            }
            count += 1
        }
        print("writes \(name): \(count), noticed in \(noticed) of twice as many answers")
        #expect(count > 20 && noticed > 0)
    }

    @Test("A hole followed by valid data ends the log, and is said")
    func hole() throws {
        let system = SimulatedFileSystem(seed: 5)
        try system.makeDirectory("/data")
        var options = FaultScenario.options(system)
        options.durability = .none
        let store = try EventStore.open(Self.path, options: options)
        let kind = try store.kind("telemetry", .binary)
        let session = try store.startSession(FaultScenario.session)
        for number in 0..<UInt64(40) {
            try session.append(FaultScenario.payload(number), kind: kind, at: Int64(number))
        }
        // Nothing in the file says that it is durable: the next block would.
        try store.flush()
        let crashed = system.afterKill()
        try store.close()
        let segment = try #require(try segments(crashed).first)
        let file = try crashed.open("\(Self.path)/\(segment)", .readWrite)
        let size = try file.size()
        // In the second of four blocks.
        try file.write([UInt8](repeating: 0, count: 512), at: size / 2)
        try file.sync()
        try crashed.syncDirectory(Self.path)
        // Another boot: TAIL means nothing.
        let found = crashed.afterPowerLoss(seed: 1)
        var readOptions = options
        readOptions.fileSystem = found
        let reader = try EventStore.openReadOnly(Self.path, options: readOptions)
        var count: UInt64 = 0
        var cursor = try reader.cursor()
        while let event = try cursor.nextEvent() {
            #expect(event.sequence == count && event.payload == FaultScenario.payload(count))
            count += 1
        }
        #expect(count > 0 && count < 30)
        #expect(cursor.coverage.gaps.map(\.reason) == [.unconfirmedTail])
        try reader.close()
        let writer = try EventStore.open(Self.path, options: readOptions)
        #expect(writer.recovery.map { $0.unreadableBytes > 0 } == true)
        #expect(try writer.count() == count && writer.nextSequence == count)
        try writer.close()
    }
}
