import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("What the disk refuses loses nothing that was acknowledged")
struct FaultTests {
    private static let (eio, enospc): (Int32, Int32) = (5, 28)

    struct Case: Sendable, CustomTestStringConvertible {
        var operation: IOFailure.Operation
        var code: Int32
        var isForGood: Bool
        var testDescription: String {
            "\(operation.rawValue) fails \(isForGood ? "for good" : "once") with \(code == 5 ? "EIO" : "ENOSPC")"
        }
    }

    static let cases: [Case] = {
        let operations: [IOFailure.Operation] = [
            .makeDirectory, .list, .inspect, .open, .create, .read, .write, .sync, .truncate, .rename,
            .unlink,
            .lock,
        ]
        return operations.flatMap { operation in
            [eio, enospc].flatMap { code in
                [false, true].map { Case(operation: operation, code: code, isForGood: $0) }
            }
        }
    }()

    @Test("Each operation in turn fails, and the store tells the truth afterwards", arguments: cases)
    func everyOperation(_ fault: Case) throws {
        var number = 0
        while true {
            let directory = try TemporaryDirectory()
            let system = FaultInjectingFileSystem()
            system.inject(
                .init(fault.operation, after: number, code: fault.code, isForGood: fault.isForGood))
            var scenario = FaultScenario(path: directory.path("store"))
            scenario.run(on: system, recovers: !fault.isForGood)
            // The operation is not that often asked for: all were made to fail.
            if system.injectedCount == 0 {
                #expect(scenario.isClosed && scenario.failures == [])
                break
            }
            try check(scenario, "\(fault.testDescription), number \(number)")
            number += 1
        }
        print("\(fault.testDescription): \(number) times")
        #expect(number > 0)
    }

    /// What is found by a reader, and after recovery, is what was recorded, from the first to at least the last acknowledged.
    private func check(_ scenario: FaultScenario, _ name: String) throws {
        try #require(!scenario.isStuck, "\(name)")
        let comment = Comment(rawValue: "\(name): \(scenario.failures)")
        guard EventStore.exists(at: scenario.path) else {
            // The store's own beginning was refused: nothing may have been acknowledged.
            #expect(scenario.acknowledged == 0 && !scenario.isClosed, comment)
            return
        }
        let reader = try EventStore.openReadOnly(scenario.path)
        try checkContent(of: reader, scenario, comment)
        try reader.close()
        let writer = try EventStore.open(scenario.path)
        try checkContent(of: writer, scenario, comment)
        #expect(writer.nextSequence >= scenario.acknowledged, comment)
        let session = try writer.startSession("after the fault")
        try session.append("goes on", kind: try writer.kind("k", .utf8))
        try writer.close()
        let again = try EventStore.openReadOnly(scenario.path)
        #expect(try again.verify().damage.isEmpty, comment)
        try again.close()
    }

    private func checkContent(of store: EventStore, _ scenario: FaultScenario, _ comment: Comment) throws {
        let first = try store.sessions().first { $0.id == FaultScenario.session }
        guard let first else {
            #expect(scenario.acknowledged == 0, comment)
            return
        }
        let rebuilt = try store.rebuild(session: first.ordinal)
        var count: UInt64 = 0
        var cursor = try rebuilt.cursor()
        while let event = try cursor.nextEvent() {
            guard event.index == count, event.sequence == count,
                event.payload == FaultScenario.payload(count)
            else {
                Issue.record("event \(count) is another one; \(comment)")
                return
            }
            count += 1
        }
        #expect(count >= scenario.acknowledged && count <= scenario.appended, comment)
        if scenario.isClosed { #expect(count == scenario.appended, comment) }
        // A checkpoint stands between the events before and after it.
        let before = scenario.acknowledged / 20
        #expect(rebuilt.checkpoints.count >= Int(before), comment)
        // One that was refused may be there, when a sync failed beside it.
        #expect(rebuilt.checkpoints.count <= Int(scenario.checkpointsTried), comment)
        for (number, checkpoint) in rebuilt.checkpoints.enumerated() {
            #expect(checkpoint.id == "cp-\(number)", comment)
            #expect(checkpoint.eventIndex == UInt64(number + 1) * 20, comment)
            #expect(try store.state(of: checkpoint) == Array("state after \(number * 20 + 19)".utf8), comment)
        }
    }

    // MARK: Reading

    static let readFaults: [Case] = [IOFailure.Operation.list, .inspect, .open, .read, .map, .populate]
        .flatMap {
            operation in [false, true].map { Case(operation: operation, code: eio, isForGood: $0) }
        }

    /// A store whose writer was cut off: a copy of the files of an open one.
    private func crashedStore(in directory: TemporaryDirectory) throws -> (path: String, events: UInt64) {
        let events: UInt64 = 150
        let live = directory.path("live")
        let store = try EventStore.open(live, options: FaultScenario.options(POSIXFileSystem()))
        let kind = try store.kind("telemetry", .binary)
        let session = try store.startSession(FaultScenario.session)
        for number in 0..<events {
            try session.append(FaultScenario.payload(number), kind: kind, at: Int64(number))
        }
        try store.flush()
        let copy = directory.path("crashed")
        try copyLive(live, to: copy)
        try store.close()
        return (copy, events)
    }

    @Test("A read that fails is an error or a gap, and never a shorter answer", arguments: readFaults)
    func reading(_ fault: Case) throws {
        let directory = try TemporaryDirectory()
        let (crashed, events) = try crashedStore(in: directory)
        // And one that is being written: what is not there yet is in progress there, but what was flushed is.
        let open = directory.path("open")
        try FileManager.default.copyItem(atPath: crashed, toPath: open)
        let writer = try EventStore.open(open, options: FaultScenario.options(POSIXFileSystem()))
        let session = try writer.startSession("goes on")
        let kind = try writer.kind("telemetry", .binary)
        for number in events..<events + 30 {
            try session.append(FaultScenario.payload(number), kind: kind, at: Int64(number))
        }
        try writer.flush()
        var injected = 0
        for (path, events) in [(directory.path("live"), events), (crashed, events), (open, events + 30)] {
            var number = 0
            while true {
                let system = FaultInjectingFileSystem()
                system.inject(
                    .init(fault.operation, after: number, code: fault.code, isForGood: fault.isForGood))
                try checkAnswer(path, system, events, "\(fault.testDescription), number \(number), \(path)")
                if system.injectedCount == 0 { break }
                number += 1
            }
            injected += number
        }
        #expect(injected > 0)
        try writer.close()
    }

    private func checkAnswer(
        _ path: String, _ system: FaultInjectingFileSystem, _ events: UInt64, _ name: String
    ) throws {
        var seen: Set<UInt64> = []
        let coverage: Coverage
        do throws(StoreError) {
            var options = StoreOptions()
            options.fileSystem = system
            let store = try EventStore.openReadOnly(path, options: options)
            var cursor = try store.cursor()
            while let event = try cursor.nextEvent() {
                #expect(event.payload == FaultScenario.payload(event.sequence), Comment(rawValue: name))
                seen.insert(event.sequence)
            }
            coverage = cursor.coverage
            try store.close()
        } catch {
            return
        }
        if let sequence = coverage.firstUnexplained(below: events, seen: seen) {
            Issue.record("event \(sequence) is missing without a word: \(name)")
        }
    }

    @Test(
        "A recovery whose reads or writes fail loses nothing",
        arguments: cases.filter { ![.makeDirectory, .truncate].contains($0.operation) })
    func recovery(_ fault: Case) throws {
        let directory = try TemporaryDirectory()
        let (crashed, events) = try crashedStore(in: directory)
        var number = 0
        while true {
            let path = directory.path("\(number)")
            try FileManager.default.copyItem(atPath: crashed, toPath: path)
            defer { try? FileManager.default.removeItem(atPath: path) }
            let system = FaultInjectingFileSystem()
            system.inject(
                .init(fault.operation, after: number, code: fault.code, isForGood: fault.isForGood))
            var options = FaultScenario.options(system)
            options.create = false
            if let store = try? EventStore.open(path, options: options) { try? store.close() }
            let healthy = try EventStore.open(path)
            let comment = Comment(rawValue: "\(fault.testDescription), number \(number)")
            #expect(try healthy.count() == events, comment)
            #expect(healthy.nextSequence == events, comment)
            #expect(try healthy.verify().damage.isEmpty, comment)
            try healthy.close()
            if system.injectedCount == 0 { break }
            number += 1
        }
        print("recovery: \(fault.testDescription): \(number) times")
        #expect(number > 0)
    }
}
