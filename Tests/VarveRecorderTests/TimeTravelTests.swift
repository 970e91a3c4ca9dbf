import Foundation
import Testing
import Varve
import VarveJSON
import VarveTestKit

@testable import VarveRecorder

@Suite("Time travel")
struct TimeTravelTests {
    private let directory: TemporaryDirectory
    private let store: EventStore

    init() throws {
        directory = try TemporaryDirectory()
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        store = try EventStore.open(directory.path("store"), options: options)
    }

    private func change(_ number: Int) -> AppEvent {
        .stateChange(StateChange(key: "\(number)", timestamp: 0, causedBy: nil))
    }

    // A sum whose checkpoints say what it was: a fold of any moment must give the sum of all before it.
    private func record(_ count: Int, checkpointEach step: Int, _ recorder: EventRecorder) throws {
        try recorder.start("s", at: 0)
        var sum = 0
        for number in 0..<count {
            if number % step == 0 {
                try recorder.checkpoint("cp\(number)", state: RawJSON("\(sum)"), at: Int64(number) * 10)
            }
            try recorder.record(change(number), at: Int64(number) * 10)
            sum += number
        }
    }

    private func sum(_ session: RecordedSession, at moment: RecordedSession.Moment) throws
        -> RecordedSession.Fold<Int>
    {
        try session.fold(at: moment, from: 0) {
            try #require(Int($0.state.description))
        } apply: { sum, event in
            if case .stateChange(let change) = event.event { sum += try #require(Int(change.key)) }
        }
    }

    private func payloadSum(_ session: RecordedSession, at moment: RecordedSession.Moment) throws
        -> RecordedSession.Fold<Int>
    {
        struct Change: Decodable { var key: String }
        return try session.foldPayloads(at: moment, from: 0) {
            try #require(Int(String(decoding: $1, as: UTF8.self)))
        } apply: { sum, event in
            sum += try #require(Int(try event.decode(Change.self).key))
        }
    }

    @Test("A fold at any index or time gives the state there, over events as they are lent or typed")
    func folds() throws {
        try record(1000, checkpointEach: 100, EventRecorder(store: store))
        let session = try store.recordedSession(ordinal: 1)
        for index in [0, 1, 99, 100, 101, 555, 999, 1000, 5000] {
            let moment = RecordedSession.Moment.index(UInt64(index))
            let end = min(index, 1000)
            for fold in [try sum(session, at: moment), try payloadSum(session, at: moment)] {
                #expect(fold.state == end * (end - 1) / 2)
                #expect(fold.checkpoint?.eventIndex == UInt64(min(end, 999) / 100 * 100))
                #expect(fold.eventsApplied == UInt64(end - min(end, 999) / 100 * 100))
                #expect(fold.isComplete)
            }
        }
        for time in [-1, 0, 5, 999, 1000, 5555, 9990, 100_000] {
            let count = time < 0 ? 0 : min(time / 10, 999) + 1
            let fold = try payloadSum(session, at: .time(Int64(time)))
            #expect(fold.state == count * (count - 1) / 2)
            #expect(try sum(session, at: .time(Int64(time))).state == fold.state)
        }
    }

    @Test("A fold over 2,000,000 events from the nearest of 1,000 checkpoints decodes no block before it")
    func decodesLittle() throws {
        // Without optimisation a tenth of it.
        let count = _isDebugAssertConfiguration() ? 200_000 : 2_000_000
        let store = try EventStore.open(directory.path("large"))
        let session = try store.startSession("s")
        let kind = try store.kind("n", .utf8)
        let step = count / 1000
        for number in 0..<count {
            if number % step == 0 { try session.checkpoint("cp", state: Array("\(number)".utf8)) }
            try session.append("event \(number)", kind: kind, at: Int64(number))
        }
        try session.end()
        let recorded = try store.recordedSession(ordinal: session.ordinal)
        for index in [0, 1, step, count / 2 + step / 2, count - 1] {
            let fold = try recorded.foldPayloads(at: .index(UInt64(index)), from: 0) { _, state in
                try #require(Int(String(decoding: state, as: UTF8.self)))
            } apply: { sum, _ in
                sum += 1
            }
            #expect(fold.state == index && fold.isComplete)
            #expect(fold.eventsApplied == UInt64(index % step))
            // A checkpoint ends a block: what is decoded are the events after it, and no more than a block beyond.
            #expect(fold.statistics.rowsDecoded <= UInt64(2 * step))
        }
    }

    @Test("A ring of events has a known state at its start: a checkpoint before it is kept as its base")
    func base() throws {
        let recorder = EventRecorder(store: store, maxEvents: 150, maxCheckpoints: 1)
        try record(1000, checkpointEach: 100, recorder)
        let session = try recorder.export()
        #expect(session.eventCount == 150)
        #expect(session.checkpoints.map(\.eventIndex) == [900])
        #expect(try session.baseCheckpoint()?.eventIndex == 800)
        let first = try #require(try session.events.all().first)
        #expect(first.index == 850)
        let fold = try sum(session, at: .index(850))
        #expect(fold.state == 850 * 849 / 2 && fold.checkpoint?.eventIndex == 800 && fold.isComplete)
    }

    @Test("The state of the session that is recorded can be asked for, too")
    func stateWhileRecording() throws {
        let recorder = EventRecorder(store: store)
        #expect(throws: RecorderError.noActiveSession) { try recorder.state(at: .index(1)) }
        try record(250, checkpointEach: 100, recorder)
        let known = try recorder.state(at: .time(2300))
        #expect(known.checkpoint?.id == "cp200" && known.checkpoint?.eventIndex == 200)
        #expect(try known.events.all().map(\.index) == Array(200...230))
    }

    @Test("Without eviction the base is the checkpoint at the beginning, where there is one")
    func baseAtBeginning() throws {
        let recorder = EventRecorder(store: store)
        try record(30, checkpointEach: 10, recorder)
        #expect(try recorder.stop()?.baseCheckpoint()?.eventIndex == 0)
        try recorder.start("t")
        try recorder.record(change(1))
        try recorder.checkpoint("late", state: RawJSON("1"))
        #expect(try recorder.export().baseCheckpoint() == nil)
    }

    @Test("The base of an imported ring is the checkpoint before its first index")
    func baseOfImport() throws {
        let events = (1000..<1010).map {
            #"{"index":\#($0),"timestamp":"2026-05-10T12:00:00Z","event":{"type":"X"}}"#
        }
        let checkpoints = [800, 1005].map {
            #"{"id":"cp\#($0)","label":null,"timestamp":"2026-05-10T12:00:00Z","state":1,"event_index":\#($0)}"#
        }
        let document =
            #"{"id":"ring","started_at":"2026-05-10T11:00:00Z","events":["# + events.joined(separator: ",")
            + #"],"checkpoints":["# + checkpoints.joined(separator: ",") + "]}"
        let recorder = EventRecorder(store: store)
        try recorder.importSession(Array(document.utf8))
        #expect(try recorder.export().baseCheckpoint()?.id == "cp800")
    }

    // MARK: Losses

    /// Three sessions of 400 events with a checkpoint each 100, a segment or more each; the files of one are removed.
    private func losing(_ lost: Int) throws -> Snapshot {
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.segmentBytes = 64 << 10
        // The files that are removed are those of one session.
        options.compactsInBackground = false
        let path = directory.path("losing")
        let losing = try EventStore.open(path, options: options)
        var ends: [Int] = []
        for number in 0..<3 {
            let session = try losing.startSession("s\(number)", at: 0)
            let kind = try losing.kind("noise", .binary)
            var random = SplitMix64(seed: UInt64(number))
            for event in 0..<400 {
                let payload = (0..<400).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                if event % 100 == 0 { try session.checkpoint("cp", state: payload, at: Int64(event)) }
                try session.append(payload, kind: kind, at: Int64(event))
            }
            try session.end()
            ends.append(
                try FileManager.default.contentsOfDirectory(atPath: path).count { $0.hasSuffix(".seg") })
        }
        try losing.close()
        let files = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".seg") }
            .sorted()
        // Whole segments of that session alone.
        let first = lost == 0 ? 0 : ends[lost - 1]
        for file in files[first..<ends[lost] - 1] {
            try FileManager.default.removeItem(atPath: "\(path)/\(file)")
        }
        return try EventStore.openReadOnly(path).snapshot()
    }

    private func count(
        _ snapshot: Snapshot, _ session: Int, at moment: RecordedSession.Moment
    ) throws -> RecordedSession.Fold<UInt64> {
        let ordinal = try #require(try snapshot.sessions().first { $0.id == "s\(session)" }?.ordinal)
        return try snapshot.recordedSession(ordinal: ordinal)
            .foldPayloads(at: moment, from: 0) { checkpoint, _ in
                checkpoint.eventIndex
            } apply: { count, _ in
                count += 1
            }
    }

    // By time a fold over what was left called itself complete, and exactly at a checkpoint one was not for what others had lost.
    @Test(
        "What other sessions have lost does not count, at a checkpoint neither",
        arguments: [
            RecordedSession.Moment.index(0), .index(100), .index(150), .index(400), .time(-1), .time(100),
            .time(150), .time(.max),
        ])
    func lostOfOthers(moment: RecordedSession.Moment) throws {
        let snapshot = try losing(1)
        #expect(try !snapshot.gaps().isEmpty)
        for session in [0, 2] {
            let fold = try count(snapshot, session, at: moment)
            #expect(fold.isComplete && fold.coverage.isComplete, "session \(session)")
        }
    }

    @Test("What a session has lost between its events makes a fold over it incomplete, by index and by time")
    func lostOfItsOwn() throws {
        let snapshot = try losing(1)
        let info = try #require(try snapshot.sessions().first { $0.id == "s1" })
        let session = try snapshot.recordedSession(ordinal: info.ordinal)
        var left: Set<UInt64> = []
        try snapshot.replay(session.query) { left.insert($0.index) }
        try #require(left.count < 400 && !left.isEmpty)
        for index in stride(from: 0 as UInt64, through: 400, by: 7) {
            let fold = try count(snapshot, 1, at: .index(index))
            let start = fold.checkpoint?.eventIndex ?? 0
            #expect(fold.isComplete == (start..<index).allSatisfy(left.contains), "index \(index)")
            #expect(fold.isComplete == fold.coverage.isComplete)
            let timed = try count(snapshot, 1, at: .time(Int64(index)))
            let timedStart = timed.checkpoint?.eventIndex ?? 0
            // Of what is lost nobody knows the time: it may have been before.
            if !(timedStart..<min(index + 1, 400)).allSatisfy(left.contains) {
                #expect(!timed.isComplete && !timed.coverage.isComplete, "time \(index)")
            }
        }
    }

    // The nearest checkpoint's damage ended every question about the time after it.
    @Test("A damaged checkpoint is passed over: an earlier one gives the same state")
    func damagedCheckpoint() throws {
        let recorder = EventRecorder(store: store)
        try recorder.start("s", at: 0)
        var random = SplitMix64(seed: 5)
        for number in 0..<300 {
            if number % 100 == 0 {
                let noise = (0..<8).map { _ in String(random.next(), radix: 36) }.joined()
                try recorder.checkpoint(
                    "cp\(number)", state: RawJSON(#"{"n":\#(number),"noise":"\#(noise)"}"#))
            }
            try recorder.record(change(1), at: Int64(number))
        }
        let last = try #require(try recorder.checkpoints().last)
        let state = try recorder.export().state(of: last).state.bytes
        _ = try recorder.stop()
        try store.close()
        let path = directory.path("store")
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasSuffix(".seg") {
            var bytes = try Data(contentsOf: URL(filePath: "\(path)/\(name)"))
            guard let found = bytes.range(of: Data(state.suffix(40))) else { continue }
            bytes[found.lowerBound + 5] ^= 1
            try bytes.write(to: URL(filePath: "\(path)/\(name)"))
        }
        let session = try EventStore.openReadOnly(path).recordedSession(ordinal: 1)
        let known = try session.state(at: .index(250))
        #expect(known.checkpoint?.id == "cp100")
        #expect(known.damagedCheckpoints.map(\.id) == ["cp200"])
        #expect(try known.events.all().map(\.index) == Array(100..<250))
        let fold = try session.fold(at: .index(250), from: 0) {
            Int($0.eventIndex)
        } apply: { sum, _ in
            sum += 1
        }
        #expect(fold.state == 250 && fold.checkpoint?.id == "cp100" && fold.isComplete)
        // Only those that are at the moment or before it.
        #expect(try session.state(at: .index(200)).damagedCheckpoints.map(\.id) == ["cp200"])
        #expect(try session.state(at: .index(199)).damagedCheckpoints.isEmpty)
        #expect(try session.state(at: .time(-1)).checkpoint == nil)
    }

    @Test("Recorded events are an asynchronous sequence")
    func asynchronous() async throws {
        try record(500, checkpointEach: 100, EventRecorder(store: store))
        let session = try store.recordedSession(ordinal: 1)
        var indices: [UInt64] = []
        for try await event in session.events(since: 490) { indices.append(event.index) }
        #expect(indices == Array(490..<500))
    }

    @Test("What a fold's closures throw comes out as it is")
    func throwing() throws {
        struct Enough: Error {}
        try record(50, checkpointEach: 10, EventRecorder(store: store))
        let session = try store.recordedSession(ordinal: 1)
        #expect(throws: Enough.self) {
            try session.foldPayloads(at: .index(45), from: 0) { _, _ in
                0
            } apply: { _, _ in
                throw Enough()
            }
        }
        #expect(throws: Enough.self) {
            try session.fold(at: .index(45), from: 0) { _ in
                throw Enough()
            } apply: { _, _ in
            }
        }
    }
}
