import Testing
import Varve
import VarveTestKit

@Suite("Paced replay")
struct PacedReplayTests {
    private let directory: TemporaryDirectory
    private let store: EventStore

    init() throws {
        directory = try TemporaryDirectory()
        store = try EventStore.open(directory.path("store"), options: smallBlocks())
    }

    /// Events with these timestamps, in milliseconds.
    private func record(_ milliseconds: [Int64]) throws -> Snapshot {
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("tick", .json)
        for time in milliseconds {
            try session.append(Array("\(time)".utf8), kind: kind, at: time * 1_000_000)
        }
        return try store.snapshot()
    }

    /// When each event came, by a clock that jumps to where the replay waits for.
    private func times(_ replay: PacedReplay, _ clock: ManualClock) async throws -> [Duration] {
        var times: [Duration] = []
        for try await _ in replay { times.append(clock.now.offset) }
        return times
    }

    struct Recording: CustomTestStringConvertible, Sendable {
        let name: String
        let recorded: [Int64]
        var speed = 1.0
        var gapMax: Int64?
        var isReversed = false
        let played: [Int64]
        var testDescription: String { name }
    }

    static let recordings = [
        Recording(
            name: "gaps as recorded", recorded: [1000, 1010, 1500, 61_500], played: [0, 10, 500, 60_500]),
        Recording(name: "twice as fast", recorded: [1000, 1010, 1500], speed: 2, played: [0, 5, 250]),
        Recording(name: "half as fast", recorded: [1000, 1010, 1500], speed: 0.5, played: [0, 20, 1000]),
        Recording(name: "without gaps", recorded: [0, 10_000_000], speed: .infinity, played: [0, 0]),
        Recording(
            name: "a gap that is cut short", recorded: [0, 10, 86_400_000, 86_400_020], gapMax: 1000,
            played: [0, 10, 1010, 1030]),
        Recording(
            name: "disorder of less than a second changes nothing",
            recorded: [0, 100, 40, 90, 200, 150, 300],
            played: [0, 100, 100, 100, 200, 200, 300]),
        Recording(
            name: "a clock that was set back goes on from there",
            recorded: [10_000, 10_100, 3000, 3050, 3150],
            played: [0, 100, 100, 150, 250]),
        Recording(
            name: "backwards", recorded: [0, 100, 350], isReversed: true, played: [0, 250, 350]),
        Recording(
            name: "from the earliest time to the latest", recorded: [.min / 1_000_000, .max / 1_000_000],
            speed: 1e12, played: [0, 18]),
        Recording(name: "nothing", recorded: [], played: []),
    ]

    @Test("Events come with their gaps", arguments: recordings)
    func gaps(recording: Recording) async throws {
        let clock = ManualClock(jumps: true)
        let query = recording.isReversed ? Query().reversed() : Query()
        let replay = try PacedReplay(
            try record(recording.recorded), query, speed: recording.speed,
            gapMax: recording.gapMax.map { .milliseconds($0) }, clock: clock)
        let played = try await times(replay, clock)
        let milliseconds = played.map { Int64(($0 / .milliseconds(1)).rounded()) }
        #expect(milliseconds == recording.played)
    }

    @Test("A reader that is late gets what is due at once, and the rest in its time")
    func late() async throws {
        let clock = ManualClock(jumps: true)
        let replay = try PacedReplay(try record([0, 100, 200, 900]), clock: clock)
        _ = try await replay.next()
        clock.advance(by: .milliseconds(500))
        let late = [try await replay.next(), try await replay.next()]
        #expect(late.map { $0?.sequence } == [1, 2])
        #expect(clock.now.offset == .milliseconds(500))
        _ = try await replay.next()
        #expect(clock.now.offset == .milliseconds(900))
    }

    @Test("Paused, nothing comes; resumed, the rest of the gap passes")
    func pause() async throws {
        let clock = ManualClock()
        let replay = try PacedReplay(try record([0, 100]), clock: clock)
        _ = try await replay.next()
        let second = Task { try await replay.next() }
        #expect(await clock.nextDeadline().offset == .milliseconds(100))
        clock.advance(by: .milliseconds(60))
        await replay.pause()
        #expect(await replay.isPaused)
        clock.advance(by: .seconds(3600))
        await replay.pause()
        await replay.resume()
        #expect(await !replay.isPaused)
        #expect(await clock.nextDeadline().offset == .milliseconds(3_600_100))
        clock.advance(by: .milliseconds(40))
        #expect(try await second.value?.sequence == 1)
    }

    @Test("A change of speed is for what is left of a gap")
    func speed() async throws {
        let clock = ManualClock()
        let replay = try PacedReplay(try record([0, 100, 200]), clock: clock)
        _ = try await replay.next()
        let second = Task { try await replay.next() }
        #expect(await clock.nextDeadline().offset == .milliseconds(100))
        clock.advance(by: .milliseconds(50))
        try await replay.setSpeed(10)
        #expect(await replay.speed == 10)
        clock.advance(by: .milliseconds(5))
        #expect(try await second.value?.sequence == 1)
        let third = Task { try await replay.next() }
        #expect(await clock.nextDeadline().offset == .milliseconds(65))
        try await replay.setSpeed(.infinity)
        #expect(try await third.value?.sequence == 2)
    }

    // A change of speed within a gap that was cut short made it longer than it may be.
    @Test("A gap is cut to its measure whatever the speed becomes within it", arguments: [0.1, 1, 3, 1000])
    func speedInCutGap(speed: Double) throws {
        var pacing = try ReplayPacing(gapMax: .seconds(10))
        pacing.play(0, due: pacing.due(0, now: .zero))
        let far: Int64 = 100_000_000_000
        #expect(pacing.due(far, now: .zero) == .seconds(10))
        try pacing.setSpeed(speed, now: .seconds(5))
        let due = pacing.due(far, now: .seconds(5))
        // To the nanosecond.
        #expect(abs((due - min(.seconds(10), .seconds(5) + .seconds(5 / speed))) / .nanoseconds(1)) <= 1)
        pacing.play(far, due: due)
        let next = pacing.due(far * 10, now: due) - due
        #expect(abs((next - min(.seconds(10), .seconds(900 / speed))) / .nanoseconds(1)) <= 1)
    }

    @Test("A longest gap that is less than nothing is refused")
    func noGap() {
        #expect(throws: StoreError.self) { try ReplayPacing(gapMax: .seconds(-1)) }
        #expect(throws: Never.self) { try ReplayPacing(gapMax: .zero) }
    }

    @Test("A speed that is none is refused", arguments: [0, -1, Double.nan])
    func noSpeed(speed: Double) async throws {
        let snapshot = try record([0])
        #expect(throws: StoreError.self) { try PacedReplay(snapshot, speed: speed) }
        let replay = try PacedReplay(snapshot)
        await #expect(throws: StoreError.self) { try await replay.setSpeed(speed) }
    }

    @Test("Steps give one event each, also while it is paused, and time goes on from there")
    func step() async throws {
        let clock = ManualClock(jumps: true)
        let replay = try PacedReplay(try record([0, 100, 5000, 5010]), clock: clock)
        await replay.pause()
        for sequence in UInt64(0)..<3 { #expect(try await replay.step()?.sequence == sequence) }
        #expect(clock.now.offset == .zero)
        await replay.resume()
        #expect(try await replay.next()?.sequence == 3)
        #expect(clock.now.offset == .milliseconds(10))
        #expect(try await replay.step() == nil)
    }

    @Test("A step goes past a reader that waits, who gets the event after it")
    func stepBesideReader() async throws {
        let clock = ManualClock()
        let replay = try PacedReplay(try record([0, 100, 150]), clock: clock)
        _ = try await replay.next()
        let waiting = Task { try await replay.next() }
        #expect(await clock.nextDeadline().offset == .milliseconds(100))
        #expect(try await replay.step()?.sequence == 1)
        #expect(await clock.nextDeadline().offset == .milliseconds(50))
        clock.advance(by: .milliseconds(50))
        #expect(try await waiting.value?.sequence == 2)
    }

    struct Seek: CustomTestStringConvertible, Sendable {
        let target: PacedReplay.Target
        var isReversed = false
        /// The sequence number that comes next.
        let next: UInt64?
        var testDescription: String { "\(target)\(isReversed ? ", reversed" : "")" }
    }

    static let seeks = [
        Seek(target: .start, next: 0), Seek(target: .start, isReversed: true, next: 4),
        Seek(target: .sequence(3), next: 3), Seek(target: .sequence(3), isReversed: true, next: 3),
        Seek(target: .sequence(5), next: nil), Seek(target: .sequence(.max), next: nil),
        Seek(target: .sequence(.max), isReversed: true, next: 4),
        // 100 ms, and the disorder: 0, 100, 50, 200, 300.
        Seek(target: .time(60_000_000), next: 1), Seek(target: .time(100_000_001), next: 3),
        Seek(target: .time(100_000_001), isReversed: true, next: 2), Seek(target: .time(.min), next: 0),
        Seek(target: .time(.max), next: nil), Seek(target: .time(-1), isReversed: true, next: nil),
    ]

    @Test("Seeking goes on where it was asked to, at once", arguments: seeks)
    func seek(seek: Seek) async throws {
        let clock = ManualClock()
        let query = seek.isReversed ? Query().reversed() : Query()
        let replay = try PacedReplay(try record([0, 100, 50, 200, 300]), query, clock: clock)
        _ = try await replay.next()
        try await replay.seek(to: seek.target)
        #expect(try await replay.next()?.sequence == seek.next)
        #expect(clock.now.offset == .zero)
    }

    @Test("A seek reaches a reader that waits")
    func seekBesideReader() async throws {
        let clock = ManualClock()
        let replay = try PacedReplay(try record([0, 100_000, 200_000]), clock: clock)
        _ = try await replay.next()
        let waiting = Task { try await replay.next() }
        _ = await clock.nextDeadline()
        try await replay.seek(to: .sequence(2))
        #expect(try await waiting.value?.sequence == 2)
    }

    @Test("Seeking stays within the query")
    func seekWithin() async throws {
        let snapshot = try record([0, 1, 2, 3, 4, 5, 6, 7])
        let replay = try PacedReplay(snapshot, Query().sequences(2...5).time(0...4_000_000), speed: .infinity)
        try await replay.seek(to: .sequence(0))
        #expect(try await replay.next()?.sequence == 2)
        try await replay.seek(to: .time(0))
        #expect(try await replay.next()?.sequence == 2)
        try await replay.seek(to: .time(5_000_000))
        #expect(try await replay.next() == nil)
        try await replay.seek(to: .sequence(4))
        #expect(try await replay.next()?.sequence == 4)
        #expect(try await replay.next() == nil)
    }

    @Test("A position goes on behind the event that was played last")
    func position() async throws {
        let snapshot = try record([0, 1, 2])
        let replay = try PacedReplay(snapshot, speed: .infinity)
        #expect(await replay.position == nil)
        _ = try await replay.next()
        _ = try await replay.next()
        let position = try #require(await replay.position)
        let other = try PacedReplay(snapshot, speed: .infinity)
        try await other.seek(to: .after(position))
        #expect(try await other.next()?.sequence == 2)
    }

    @Test("A task that is cancelled waits no longer, and the replay goes on for others")
    func cancellation() async throws {
        let clock = ManualClock()
        let replay = try PacedReplay(try record([0, 100]), clock: clock)
        _ = try await replay.next()
        for isPaused in [false, true] {
            if isPaused { await replay.pause() }
            let waiting = Task { try await replay.next() }
            if !isPaused { _ = await clock.nextDeadline() }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
        }
        #expect(try await replay.step()?.sequence == 1)
    }
}
