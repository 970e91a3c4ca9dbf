import Foundation
import Testing
import Varve
import VarveRecorder
import VarveTestKit

/// The behaviours of the recorder that this one takes the place of.
@Suite("A recorder")
struct EventRecorderTests {
    private let recorder: EventRecorder

    init() throws { recorder = try EventRecorder() }

    private func console(_ number: UInt64) -> AppEvent {
        .console(Console(level: "info", message: "\(number)", timestamp: Int64(number)))
    }

    private func record(_ numbers: Range<UInt64>, in recorder: EventRecorder) throws {
        for number in numbers { try recorder.record(console(number), at: Int64(number)) }
    }

    private func json(_ text: String) throws -> RawJSON { try RawJSON(text) }

    private func session(_ indices: [UInt64], id: String = "imported", checkpoints: String = "") -> [UInt8] {
        let events = indices.map {
            "{\"index\":\($0),\"timestamp\":\"2026-05-10T12:34:56Z\",\"event\":{\"type\":\"Console\","
                + "\"level\":\"info\",\"message\":\"\($0)\",\"timestamp\":\"2026-05-10T12:34:56Z\"}}"
        }
        return Array(
            "{\"id\":\"\(id)\",\"started_at\":\"2026-05-10T12:34:56Z\",\"events\":[\(events.joined(separator: ","))],\"checkpoints\":[\(checkpoints)]}"
                .utf8)
    }

    private func text(_ session: RecordedSession) throws -> String {
        let collected = Locked<[UInt8]>([])
        try session.writeJSON { piece in collected.withLock { $0 += piece } }
        return String(decoding: collected.withLock { $0 }, as: UTF8.self)
    }

    // MARK: Sessions

    @Test("starts one session at a time, and the running one is untouched by an attempt")
    func start() throws {
        try recorder.start("first")
        try record(0..<3, in: recorder)
        #expect(throws: RecorderError.sessionAlreadyActive) { try recorder.start("second") }
        #expect("\(RecorderError.sessionAlreadyActive)" == "recording session already active")
        #expect(recorder.isRecording && recorder.eventCount == 3)
        #expect(try recorder.stop()?.id == "first")
    }

    @Test("stops with the session, and with nothing when none is active")
    func stop() throws {
        #expect(try recorder.stop() == nil)
        try recorder.start("s", at: 7)
        try record(0..<5, in: recorder)
        try recorder.checkpoint("cp", state: json("{\"n\":1}"))
        let session = try #require(try recorder.stop())
        #expect(session.id == "s" && session.startedAt == 7 && session.eventCount == 5)
        #expect(try session.events.all().map(\.index) == [0, 1, 2, 3, 4])
        #expect(try session.events.all().map(\.event) == (0..<5).map(console))
        #expect(session.checkpoints.map(\.eventIndex) == [5])
        #expect(!recorder.isRecording && recorder.eventCount == 0 && recorder.checkpointCount == 0)
        #expect(try recorder.stop() == nil)
    }

    @Test("has its sessions on disk when they are stopped", arguments: [Durability.none, .synced])
    func durable(_ durability: Durability) throws {
        let system = SimulatedFileSystem(seed: 3)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        var options = StoreOptions()
        options.fileSystem = system
        options.durability = durability
        let store = try EventStore.open("/data/s", options: options)
        let recorder = EventRecorder(store: store)
        try recorder.start("s")
        try record(0..<100, in: recorder)
        _ = try recorder.stop()
        for seed in 0..<20 as Range<UInt64> {
            options.fileSystem = system.afterPowerLoss(seed: seed)
            let found = try EventStore.open("/data/s", options: options)
            let info = try #require(try found.sessions().first)
            #expect(try found.recordedSession(ordinal: info.ordinal).events.all().count == 100)
            try found.close()
        }
        try store.close()
    }

    @Test("ignores what is recorded while no session is active")
    func ignored() throws {
        try record(0..<3, in: recorder)
        try recorder.start("s")
        try record(3..<5, in: recorder)
        _ = try recorder.stop()
        try record(5..<9, in: recorder)
        #expect(try recorder.store.count() == 2)
        try recorder.store.close()
        try record(9..<10, in: recorder)
    }

    @Test("has no checkpoint, count or query without a session")
    func nothingActive() throws {
        let none = RecorderError.noActiveSession
        #expect(throws: none) { try recorder.checkpoint("cp", state: try json("1")) }
        #expect(throws: none) { try recorder.export() }
        #expect(throws: none) { try recorder.events(since: 0) }
        #expect(throws: none) { try recorder.events(betweenCheckpoint: "a", and: "b") }
        #expect("\(none)" == "no active recording session")
        #expect(recorder.eventCount == 0 && recorder.checkpointCount == 0)
    }

    @Test("gives handles that belong to one session, not to an id")
    func handles() throws {
        try recorder.start("same")
        let old = try #require(recorder.store.activeSession)
        _ = try recorder.stop()
        try recorder.start("same")
        let kind = try recorder.store.kind("Console", .json)
        #expect(throws: StoreError.sessionEnded(id: "same")) { try old.append("{}", kind: kind) }
        #expect(throws: StoreError.sessionEnded(id: "same")) { try old.end() }
        #expect(recorder.isRecording && recorder.eventCount == 0)
    }

    @Test("goes on with its session where a full disk refuses to stop it")
    func fullDisk() throws {
        let system = SimulatedFileSystem(seed: 4)
        try system.makeDirectory("/data")
        var options = StoreOptions()
        options.fileSystem = system
        options.blockBytes = 4 << 10
        let store = try EventStore.open("/data/s", options: options)
        let recorder = EventRecorder(store: store)
        try recorder.start("s")
        system.limitSpace(to: 0)
        #expect(throws: RecorderError.self) {
            for number in 0..<100_000 as Range<UInt64> { try recorder.record(console(number)) }
            _ = try recorder.stop()
        }
        #expect(throws: RecorderError.self) { try recorder.stop() }
        #expect(recorder.isRecording)
        system.limitSpace(to: nil)
        let count = recorder.eventCount
        var session: RecordedSession?
        let isStopped = comesTrue {
            session = try? recorder.stop()
            return session != nil
        }
        #expect(isStopped && session?.eventCount == count)
        try store.close()
    }

    @Test("returns its session also when somebody has closed the store")
    func closedStore() throws {
        try recorder.start("s")
        try record(0..<3, in: recorder)
        try recorder.store.close()
        #expect(!recorder.isRecording)
        #expect(try recorder.stop()?.eventCount == 3)
    }

    // After somebody had closed the store, events were ignored and queries said that no session was active, but a checkpoint spoke
    // of a closed store.
    @Test("has no active session for a checkpoint when somebody has closed the store")
    func checkpointInClosedStore() throws {
        try recorder.start("s")
        try recorder.store.close()
        #expect(throws: RecorderError.noActiveSession) {
            try recorder.checkpoint("cp", state: try json("1"))
        }
    }

    // MARK: Limits

    @Test(
        "keeps the last events, one for one, and their indices",
        arguments: [(0, 1), (1, 1), (5, 5), (12, 12), (50, 20)])
    func evicts(limit: Int, kept: Int) throws {
        let recorder = try EventRecorder(maxEvents: limit)
        try recorder.start("s")
        try record(0..<20, in: recorder)
        let indices = Array(UInt64(20 - kept)..<20)
        #expect(recorder.eventCount == UInt64(kept) && recorder.evictedEventCount == UInt64(20 - kept))
        #expect(try recorder.events(since: 0).all().map(\.index) == indices)
        #expect(try recorder.export().events.all().map(\.index) == indices)
        #expect(try recorder.events(from: 0, to: 99).all().map(\.index) == indices)
        let session = try #require(try recorder.stop())
        #expect(try session.events.all().map(\.index) == indices)
        #expect(session.evictedEvents == UInt64(20 - kept))
        // The store has all of them.
        #expect(try recorder.store.count() == 20)
    }

    @Test("keeps the last checkpoints")
    func evictsCheckpoints() throws {
        let recorder = try EventRecorder(maxCheckpoints: 3)
        try recorder.start("s")
        for number in 0..<5 as Range<UInt64> {
            try record(number..<number + 1, in: recorder)
            try recorder.checkpoint("cp \(number)", state: json("\(number)"))
        }
        #expect(recorder.checkpointCount == 3)
        #expect(try recorder.checkpoints().map(\.id) == ["cp 2", "cp 3", "cp 4"])
        #expect(throws: RecorderError.checkpointNotFound(id: "cp 1")) {
            try recorder.events(betweenCheckpoint: "cp 1", and: "cp 3")
        }
    }

    @Test("says that an answer is partial when what was asked for was evicted")
    func partial() throws {
        let recorder = try EventRecorder(maxEvents: 10)
        try recorder.start("s")
        try recorder.checkpoint("a", state: json("0"))
        try record(0..<20, in: recorder)
        try recorder.checkpoint("b", state: json("1"))
        #expect(try recorder.events(since: 9).isPartial)
        #expect(try !recorder.events(since: 10).isPartial)
        let between = try recorder.events(betweenCheckpoint: "a", and: "b")
        #expect(between.isPartial)
        #expect(try between.all().map(\.index) == Array(10..<20))
    }

    // MARK: Queries

    @Test(
        "answers by index",
        arguments: [(0, 0..<10), (4, 4..<10), (9, 9..<10), (10, 10..<10), (.max, 10..<10)])
    func since(index: UInt64, expected: Range<UInt64>) throws {
        try recorder.start("s")
        try record(0..<10, in: recorder)
        #expect(try recorder.events(since: index).all().map(\.index) == Array(expected))
    }

    @Test(
        "answers by the recorded time, with both ends, and nothing for reversed bounds",
        arguments: [(3, 5, 3..<6), (-4, 0, 0..<1), (9, 99, 9..<10), (5, 3, 0..<0), (.min, .max, 0..<10)])
    func time(from start: Int64, to end: Int64, expected: Range<UInt64>) throws {
        try recorder.start("s")
        // The time within the event is another one.
        for number in 0..<10 as Range<UInt64> {
            try recorder.record(console(number + 1000), at: Int64(number))
        }
        #expect(try recorder.events(from: start, to: end).all().map(\.index) == Array(expected))
    }

    @Test("answers between checkpoints, half-open, in either order")
    func between() throws {
        try recorder.start("s")
        try recorder.checkpoint("a", state: json("0"))
        try record(0..<4, in: recorder)
        try recorder.checkpoint("b", state: json("1"))
        try recorder.checkpoint("adjacent", state: json("1"))
        try record(4..<6, in: recorder)
        // The first one of an id counts.
        try recorder.checkpoint("a", state: json("2"))
        for (first, second, expected) in [
            ("a", "b", 0..<4), ("b", "a", 0..<4), ("a", "a", 0..<0), ("b", "adjacent", 0..<0),
        ] as [(String, String, Range<UInt64>)] {
            let found = try recorder.events(betweenCheckpoint: first, and: second)
            #expect(try found.all().map(\.index) == Array(expected), "\(first) \(second)")
        }
        for (first, second, missing) in [("x", "y", "x"), ("a", "y", "y"), ("x", "a", "x")] {
            #expect(throws: RecorderError.checkpointNotFound(id: missing)) {
                try recorder.events(betweenCheckpoint: first, and: second)
            }
        }
        #expect("\(RecorderError.checkpointNotFound(id: "x"))" == "checkpoint not found: x")
    }

    // Ids were compared as Swift compares texts: "á" in one code point was found for "á" in two, and the events after another
    // checkpoint than the one asked for were given.
    @Test("tells checkpoint ids apart by their bytes")
    func spellings() throws {
        try recorder.start("s")
        try recorder.checkpoint("\u{E1}", state: json("0"))
        try record(0..<4, in: recorder)
        try recorder.checkpoint("a\u{301}", state: json("1"))
        try record(4..<6, in: recorder)
        try recorder.checkpoint("end", state: json("2"))
        let found = try recorder.events(betweenCheckpoint: "a\u{301}", and: "end")
        #expect(try found.all().map(\.index) == [4, 5])
    }

    @Test("exports the session so far, again and again, and what it gave stays as it was")
    func export() throws {
        try recorder.start("s")
        try record(0..<3, in: recorder)
        let first = try recorder.export()
        try record(3..<5, in: recorder)
        let second = try recorder.export()
        _ = try recorder.stop()
        #expect(try first.events.all().count == 3 && second.events.all().count == 5)
        #expect(try first.events.all().count == 3)
    }

    @Test("replays the calls in order, and nothing else")
    func calls() throws {
        try recorder.start("s")
        for number in 0..<6 as Range<UInt64> {
            try record(number..<number + 1, in: recorder)
            let call = IpcCall(
                id: "c\(number)", command: "get", timestamp: 1, durationMilliseconds: nil, result: .pending,
                argumentBytes: 0, webviewLabel: "main")
            try recorder.record(.ipc(call))
        }
        #expect(try recorder.ipcReplaySequence().map(\.id) == (0..<6).map { "c\($0)" })
    }

    // MARK: JSON

    @Test("imports what another has exported, byte for byte the same")
    func roundTrip() throws {
        try recorder.start("s \"1\"", at: 5)
        try record(0..<4, in: recorder)
        try recorder.checkpoint("cp", label: "a label", state: json("{\"a\":1.0,\"b\":[1]}"), at: 9)
        let exported = try text(try #require(try recorder.stop()))
        let other = try EventRecorder()
        try other.importSession(Array(exported.utf8))
        #expect(try text(other.export()) == exported)
        #expect(other.eventCount == 4 && other.checkpointCount == 1)
    }

    @Test(
        "goes on after the last index of an import, whatever the others are",
        arguments: [
            ([5, 9, 2], 3), ([], 0), ([0, 0, 0], 1), ([.max, 7], 8),
        ] as [([UInt64], UInt64)])
    func importedIndices(indices: [UInt64], next: UInt64) throws {
        try recorder.importSession(session(indices))
        #expect(recorder.isRecording && recorder.eventCount == UInt64(indices.count))
        try record(100..<102, in: recorder)
        #expect(try recorder.export().events.all().map(\.index) == indices + [next, next + 1])
        #expect(
            try recorder.events(since: 5).all().map(\.index)
                == (indices + [next, next + 1]).filter { $0 >= 5 })
    }

    @Test("refuses an import whose last index nothing can follow, and keeps what it has")
    func highestIndex() throws {
        try recorder.start("s")
        #expect(throws: RecorderError.indicesUsedUp) { try recorder.importSession(session([1, .max])) }
        #expect(recorder.isRecording)
        #expect(try recorder.store.sessions().map(\.id) == ["s"])
    }

    @Test("trims nothing of an import, and keeps its size from then on")
    func importedSize() throws {
        let recorder = try EventRecorder(maxEvents: 3)
        try recorder.importSession(session(Array(0..<8)))
        #expect(recorder.eventCount == 8)
        try record(8..<10, in: recorder)
        #expect(try recorder.export().events.all().map(\.index) == Array(2..<10))
    }

    @Test("keeps the session that an import replaces")
    func replaced() throws {
        try recorder.start("before")
        try record(0..<3, in: recorder)
        try recorder.importSession(session([1]))
        #expect(try recorder.store.sessions().map(\.id) == ["before", "imported"])
        #expect(try recorder.store.sessions().map(\.eventCount) == [3, 1])
    }

    @Test(
        "keeps nothing of an import that fails, and its session goes on",
        arguments: [
            "", "{}", "[",
            "{\"id\":\"x\",\"started_at\":\"2026-05-10T12:34:56Z\",\"events\":[{}],\"checkpoints\":[]}",
        ])
    func failedImport(text: String) throws {
        try recorder.start("s")
        try record(0..<2, in: recorder)
        #expect(throws: SessionJSONError.self) { try recorder.importSession(Array(text.utf8)) }
        #expect(recorder.isRecording && recorder.eventCount == 2)
        #expect(try recorder.store.sessions().map(\.id) == ["s"])
    }

    @Test("keeps nothing of an import that changes between its two readings")
    func changedImport() throws {
        var readings = 0
        #expect(throws: SessionJSONError.self) {
            try recorder.importSession {
                readings += 1
                return source(session(readings == 1 ? [1, 2] : [1, 2, 3]))
            }
        }
        #expect(readings == 2 && !recorder.isRecording)
        #expect(try recorder.store.sessions().isEmpty && recorder.store.count() == 0)
        try recorder.start("next")
        try record(0..<2, in: recorder)
        #expect(try recorder.export().events.all().map(\.index) == [0, 1])
        try recorder.store.close()
    }

    @Test("keeps nothing of an import during which somebody closes the store")
    func closedMeanwhile() throws {
        let directory = try TemporaryDirectory()
        let store = try EventStore.open(directory.path("store"))
        let recorder = EventRecorder(store: store)
        var readings = 0
        #expect(throws: (any Error).self) {
            try recorder.importSession {
                readings += 1
                let json = session(Array(0..<1000))
                var position = 0
                return { room in
                    if readings == 2, position > json.count / 2 { try store.close() }
                    let count = min(room.count, json.count - position)
                    room.copyBytes(from: json[position..<position + count])
                    position += count
                    return count
                }
            }
        }
        #expect(try EventStore.openReadOnly(directory.path("store")).sessions().isEmpty)
    }

    @Test("takes and gives back states as deep as a session may have them", arguments: [121, 124])
    func deepStates(depth: Int) throws {
        let state = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let checkpoint =
            "{\"id\":\"cp\",\"label\":null,\"timestamp\":\"2026-05-10T12:34:57Z\",\"state\":\(state),\"event_index\":0}"
        let json = session([], checkpoints: checkpoint)
        try recorder.importSession(json)
        #expect(try text(recorder.export()) == String(decoding: json, as: UTF8.self))
    }

    @Test(
        "refuses before it begins what a store does not take, and says where",
        arguments: [
            ("id", String(repeating: "x", count: (64 << 10) + 1), ""),
            ("checkpoints[0].id", "s", String(repeating: "x", count: (64 << 10) + 1)),
        ])
    func beyondLimits(path: String, id: String, checkpointID: String) throws {
        try recorder.start("before")
        let checkpoint =
            "{\"id\":\"\(checkpointID)\",\"label\":null,\"timestamp\":\"2026-05-10T12:34:57Z\",\"state\":1,\"event_index\":0}"
        #expect {
            try recorder.importSession(session([1], id: id, checkpoints: checkpoint))
        } throws: {
            ($0 as? SessionJSONError)?.path == path
        }
        #expect(recorder.isRecording)
    }

    @Test("has kinds for the events that it knows, however many others come")
    func manyTypes() throws {
        try recorder.start("s")
        for number in 0..<3_000 {
            try recorder.record(AppEvent(json: Array("{\"type\":\"T\(number)\"}".utf8)))
        }
        try record(0..<1, in: recorder)
        #expect(try recorder.events(since: 2_999).all().map(\.event.type) == ["T2999", "Console"])
        #expect(try recorder.store.info().kinds.count < 1_100)
    }

    @Test("keeps events of types that it does not know, as they came")
    func unknown() throws {
        let event = "{\"new\":[1, 2.0],\"type\":\"Later\"}"
        let text =
            "{\"id\":\"s\",\"started_at\":\"2026-05-10T12:34:56Z\",\"events\":[{\"index\":0,\"timestamp\":\"2026-05-10T12:34:56Z\",\"event\":\(event)}],\"checkpoints\":[]}"
        try recorder.importSession(Array(text.utf8))
        #expect(try self.text(recorder.export()) == text)
        #expect(try recorder.store.info().kinds.filter { $0.events > 0 }.map(\.kind.name) == ["Later"])
    }

    @Test(
        "takes types that can't be the name of a kind", arguments: ["", String(repeating: "x", count: 256)])
    func strangeTypes(type: String) throws {
        try recorder.start("s")
        let event = try AppEvent(json: Array("{\"type\":\"\(type)\"}".utf8))
        try recorder.record(event)
        #expect(try recorder.export().events.all().map(\.event) == [event])
    }

    // MARK: After the process

    @Test("leaves its sessions to be asked after a restart")
    func restart() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let store = try EventStore.open(path)
        let recorder = EventRecorder(store: store)
        try recorder.start("s")
        try record(0..<10, in: recorder)
        try recorder.checkpoint("cp", state: json("[1]"))
        _ = try recorder.stop()
        try store.close()
        let again = try EventStore.openReadOnly(path)
        let session = try again.recordedSession(ordinal: 1)
        #expect(try session.events.all().map(\.event) == (0..<10).map(console))
        #expect(try session.state(of: try #require(session.checkpoints.first)).state == json("[1]"))
    }

    @Test("leaves an import that goes on to a killed process's successor, whole")
    func killedAfterImport() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let store = try EventStore.open(path)
        let recorder = EventRecorder(store: store)
        try recorder.importSession(session([5, 9, 2]))
        try record(0..<2, in: recorder)
        try store.flush()
        try copyLive(path, to: directory.path("killed"))
        try store.close()
        let found = try EventStore.open(directory.path("killed"))
        #expect(try found.recordedSession(ordinal: 1).events.all().map(\.index) == [5, 9, 2, 3, 4])
        #expect(try found.sessions().map(\.state) == [.interrupted])
        try found.close()
    }

    // MARK: Time travel

    private func sum(
        _ session: RecordedSession, at moment: RecordedSession.Moment
    ) throws -> (value: UInt64, from: String?, applied: UInt64) {
        let fold = try session.fold(
            at: moment, from: 0 as UInt64, restore: { UInt64($0.state.description)! },
            apply: { sum, recorded in
                guard case .console(let console) = recorded.event else { return }
                sum += UInt64(console.message)!
            })
        #expect(fold.isComplete && fold.coverage.isComplete)
        return (fold.state, fold.checkpoint?.id, fold.eventsApplied)
    }

    @Test("gives the state at any index and time, from the nearest checkpoint")
    func fold() throws {
        let recorder = try EventRecorder(maxEvents: 4, maxCheckpoints: 1)
        try recorder.start("s")
        var sums: [UInt64] = [0]
        for number in 0..<50 as Range<UInt64> {
            if number % 10 == 5 {
                try recorder.checkpoint(
                    "cp \(number)", state: json("\(sums[Int(number)])"), at: Int64(number) - 1)
            }
            try record(number..<number + 1, in: recorder)
            sums.append(sums[Int(number)] + number)
        }
        // Also what is retained no more has its state.
        let session = try recorder.export()
        for index in 0...50 as ClosedRange<UInt64> {
            let checkpoint = index < 5 ? nil : index - (index - 5) % 10
            let from = checkpoint.map { "cp \($0)" }
            let expected = (sums[Int(index)], from, index - (checkpoint ?? 0))
            #expect(try sum(session, at: .index(index)) == expected, "before \(index)")
            if index > 0 {
                #expect(try sum(session, at: .time(Int64(index) - 1)) == expected, "after \(index - 1)")
            }
        }
        #expect(try sum(session, at: .index(.max)).value == sums[50])
        #expect(try sum(session, at: .time(-5)).applied == 0)
    }

    @Test("travels in an import by the checkpoints' own indices")
    func foldImport() throws {
        let checkpoint =
            "{\"id\":\"cp\",\"label\":null,\"timestamp\":\"2026-05-10T12:34:57Z\",\"state\":3,\"event_index\":3}"
        try recorder.importSession(session(Array(0..<6), checkpoints: checkpoint))
        let session = try recorder.export()
        #expect(try sum(session, at: .index(5)) == (3 + 3 + 4, "cp", 2))
        #expect(try sum(session, at: .index(2)) == (1, nil, 2))
    }

    // MARK: Threads

    @Test("loses nothing of ten threads, and its checkpoints stand exactly between events")
    func threads() throws {
        let recorder = try EventRecorder(maxEvents: 1_000_000, maxCheckpoints: 5_000)
        try recorder.start("s")
        let (writers, each, checkpointers, checkpointsEach) =
            (10, 100_000, 5, 1_000) as (Int, UInt64, Int, Int)
        DispatchQueue.concurrentPerform(iterations: writers + checkpointers) { thread in
            if thread < writers {
                for number in 0..<each {
                    try? recorder.record(
                        .console(Console(level: "\(thread)", message: "\(number)", timestamp: 0)),
                        at: Int64(number))
                }
            } else {
                for number in 0..<checkpointsEach {
                    _ = try? recorder.checkpoint("\(thread).\(number)", state: RawJSON("null"))
                }
            }
        }
        #expect(recorder.eventCount == UInt64(writers) * each)
        let session = try #require(try recorder.stop())
        var next: UInt64 = 0
        var positions = [UInt64](repeating: 0, count: writers)
        try session.events.forEach { recorded in
            guard case .console(let console) = recorded.event, let thread = Int(console.level) else {
                Issue.record("another event")
                return
            }
            // Dense, and each thread's in its own order.
            if recorded.index != next || console.message != "\(positions[thread])" {
                Issue.record("event \(recorded.index)")
            }
            positions[thread] += 1
            next += 1
        }
        #expect(next == UInt64(writers) * each)
        #expect(session.checkpoints.count == checkpointers * checkpointsEach)
        let indices = session.checkpoints.map(\.eventIndex)
        #expect(
            indices == indices.sorted() && session.checkpoints.allSatisfy { $0.sequence == $0.eventIndex })
    }

    @Test("stops while others record, and takes no late event")
    func stopMeanwhile() throws {
        let recorder = try EventRecorder(maxEvents: 1_000_000)
        try recorder.start("s")
        let stopped = Locked<RecordedSession?>(nil)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            if thread < 3 {
                for number in 0..<20_000 as Range<UInt64> { try? recorder.record(console(number)) }
            } else {
                #expect(comesTrue { recorder.eventCount >= 1_000 })
                let session = try? recorder.stop()
                stopped.withLock { $0 = session }
            }
        }
        let session = try #require(stopped.withLock { $0 })
        #expect(try session.events.all().count == Int(session.info.eventCount))
        #expect(try recorder.store.count() == session.info.eventCount)
    }
}
