import Testing
import VarveFormat
import VarveJSON
import VarveTestKit

@testable import Varve
@testable import VarveRecorder

// Sessions of sums whose checkpoints say what they were: a fold that is complete must give the sum of all before it.
@Suite("A session of which the store's limits dropped a part")
struct RetainedSessionTests {
    private let directory: TemporaryDirectory
    private let store: EventStore

    /// Session 1: events 0...99, a checkpoint at each tenth. Session 2: 100...199 with none.
    init() throws {
        directory = try TemporaryDirectory()
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        store = try EventStore.open(directory.path("store"), options: options)
        let recorder = EventRecorder(store: store)
        for id in ["one", "two"] {
            try recorder.start(id, at: 0)
            var sum = 0
            for number in 0..<100 {
                if id == "one", number % 10 == 0 {
                    try recorder.checkpoint("cp\(number)", state: RawJSON("\(sum)"), at: Int64(number) * 10)
                }
                try recorder.record(
                    .stateChange(StateChange(key: "\(number)", timestamp: 0, causedBy: nil)),
                    at: Int64(number) * 10)
                sum += number
            }
            _ = try recorder.stop()
        }
    }

    private func session(_ ordinal: UInt64, _ retained: Retained) throws -> RecordedSession {
        try store.snapshot().keeping(retained).recordedSession(ordinal: ordinal)
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

    @Test("Its queries give what is left, and say that they are partial where what is gone belongs to them")
    func queries() throws {
        let session = try session(1, Retained(headSequence: 50))
        #expect(session.isPartial && session.eventCount == 50 && session.evictedEvents == 0)
        #expect(try session.events.all().map(\.index) == Array(50..<100))
        #expect(session.events.isPartial)
        for (index, isPartial) in [(UInt64(0), true), (49, true), (50, false), (80, false), (200, false)] {
            let events = session.events(since: index)
            #expect(events.isPartial == isPartial, "\(index)")
            #expect(try events.all().map(\.index) == Array(max(50, index)..<max(100, index)))
        }
        #expect(try session.events(betweenCheckpoint: "cp40", and: "cp60").isPartial)
        #expect(try session.events(betweenCheckpoint: "cp40", and: "cp60").all().count == 10)
        #expect(try !session.events(betweenCheckpoint: "cp50", and: "cp60").isPartial)
        #expect(session.events(from: 0, to: 990).isPartial)
    }

    @Test("A fold from what was dropped does not pretend to be complete", arguments: [false, true])
    func folds(byTime: Bool) throws {
        // Checkpoints 1...6 are gone: the first one left is that at 60.
        let session = try session(1, Retained(headSequence: 50, headCheckpoint: 7))
        for index in 0...100 {
            let moment = byTime ? RecordedSession.Moment.time(Int64(index) * 10 - 1) : .index(UInt64(index))
            let fold = try sum(session, at: moment)
            // By time its checkpoint counts from 600 on.
            if index >= (byTime ? 61 : 60) {
                #expect(fold.isComplete && fold.coverage.isComplete, "\(index)")
                #expect(fold.state == index * (index - 1) / 2)
            } else if index > 0 {
                #expect(!fold.isComplete && fold.coverage.gaps.map(\.reason) == [.retention], "\(index)")
                #expect(try session.state(at: moment).events.isPartial)
            }
        }
    }

    @Test("A checkpoint outlives the events behind it: a fold to where they are gone is not complete")
    func checkpointsAlone() throws {
        let session = try session(1, Retained(headSequence: 150))
        #expect(session.eventCount == 0 && session.isPartial && session.checkpoints.count == 10)
        for index in 0...100 {
            for moment in [RecordedSession.Moment.index(UInt64(index)), .time(Int64(index) * 10 - 1)] {
                let fold = try sum(session, at: moment)
                if case .index = moment, index % 10 == 0, index < 100 {
                    #expect(fold.isComplete && fold.state == index * (index - 1) / 2)
                } else if index > 0 {
                    #expect(!fold.isComplete, "\(moment)")
                }
            }
        }
        #expect(try session.events(betweenCheckpoint: "cp40", and: "cp60").isPartial)
        #expect(session.events(after: session.checkpoints[4], upTo: .time(10_000)).isPartial)
    }

    @Test("A session that is pinned whole is complete, whatever was dropped beside it")
    func pinned() throws {
        let session = try session(1, Retained(headSequence: 150, pins: [Pin(session: 1, first: 0)]))
        #expect(!session.isPartial && !session.events.isPartial && session.eventCount == 100)
        for index in 0...100 {
            #expect(try sum(session, at: .index(UInt64(index))).isComplete)
            let fold = try sum(session, at: .time(Int64(index) * 10 - 1))
            #expect(fold.isComplete && fold.state == index * (index - 1) / 2)
        }
        #expect(try session.writeJSON { _ in }.isComplete)
        let other = try self.session(2, Retained(headSequence: 150, pins: [Pin(session: 1, first: 0)]))
        #expect(try other.isPartial && !other.writeJSON { _ in }.isComplete)
    }

    @Test("Pinned ranges leave holes: what reaches into one is partial, and nothing else")
    func pinnedRanges() throws {
        let pins = [Pin(session: 0, first: 10, last: 29), Pin(session: 0, first: 40, last: 59)]
        let session = try session(1, Retained(headSequence: 150, pins: pins))
        #expect(session.dropped.indices == [0..<10, 30..<40, 60..<100])
        #expect(try session.events.all().map(\.index) == Array(10..<30) + Array(40..<60))
        for (one, other, isPartial) in [(10, 30, false), (20, 40, true), (40, 60, false), (50, 70, true)] {
            let events = try session.events(betweenCheckpoint: "cp\(one)", and: "cp\(other)")
            #expect(events.isPartial == isPartial, "\(one) \(other)")
        }
        for index in 0...100 {
            let fold = try sum(session, at: .index(UInt64(index)))
            let isWhole = (10...30).contains(index) || (40...60).contains(index) || index % 10 == 0
            #expect(fold.isComplete == (isWhole && index < 100), "\(index)")
        }
    }

    @Test("A recorder's own limit counts what the store kept")
    func ownLimit() throws {
        let pins = [Pin(session: 0, first: 10, last: 29)]
        let snapshot = try store.snapshot().keeping(Retained(headSequence: 80, pins: pins))
        for limit in [UInt64(1), 19, 20, 21, 30, 40, 50] {
            let session = try RecordedSession(
                snapshot, ordinal: 1,
                retaining: VarveRecorder.RetentionLimits(events: limit, checkpoints: 100))
            let kept = (Array(10..<30) + Array(80..<100)).map { UInt64($0) }
            #expect(session.eventCount == min(limit, 40))
            #expect(try session.events.all().map(\.index) == Array(kept.suffix(Int(limit))))
            #expect(session.events(since: 95).isPartial == (limit < 5))
            #expect(session.events(since: 85).isPartial == (limit < 15))
            #expect(session.events(since: 25).isPartial)
        }
    }
}
