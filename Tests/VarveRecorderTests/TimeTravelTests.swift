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

    @Test("A fold decodes no block before its checkpoint")
    func decodesLittle() throws {
        try record(20_000, checkpointEach: 1000, EventRecorder(store: store))
        let session = try store.recordedSession(ordinal: 1)
        let checkpoint = try #require(session.checkpoint(before: .index(19_500)))
        #expect(checkpoint.eventIndex == 19_000)
        var cursor = try session.snapshot.cursor(
            session.events(after: checkpoint, upTo: .index(19_500)).query)
        var count = 0
        while let event = try cursor.next(), event.index < 19_500 { count += 1 }
        #expect(count == 500)
        let whole = try session.snapshot.replayStatistics()
        #expect(cursor.statistics.subBlocksDecoded < whole / 20)
    }

    @Test("A ring of events has a known state at its start: a checkpoint before it is kept as its base")
    func base() throws {
        let recorder = EventRecorder(store: store, maxEvents: 150, maxCheckpoints: 1)
        try record(1000, checkpointEach: 100, recorder)
        let session = try recorder.export()
        #expect(session.eventCount == 150)
        #expect(session.checkpoints.map(\.eventIndex) == [900])
        #expect(session.baseCheckpoint?.eventIndex == 800)
        let first = try #require(try session.events.all().first)
        #expect(first.index == 850)
        let fold = try sum(session, at: .index(850))
        #expect(fold.state == 850 * 849 / 2 && fold.checkpoint?.eventIndex == 800 && fold.isComplete)
    }

    @Test("Without eviction the base is the checkpoint at the beginning, where there is one")
    func baseAtBeginning() throws {
        let recorder = EventRecorder(store: store)
        try record(30, checkpointEach: 10, recorder)
        #expect(try recorder.stop()?.baseCheckpoint?.eventIndex == 0)
        try recorder.start("t")
        try recorder.record(change(1))
        try recorder.checkpoint("late", state: RawJSON("1"))
        #expect(try recorder.export().baseCheckpoint == nil)
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

extension Snapshot {
    /// Sub-blocks that a scan of everything decodes.
    func replayStatistics() throws -> Int {
        var cursor = try cursor()
        while try cursor.next() != nil {}
        return cursor.statistics.subBlocksDecoded
    }
}
