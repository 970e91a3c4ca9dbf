/// When each event of a replay is due, from when those before it were: what `PacedReplay` waits by, and a loop of one's own can.
///
/// The first event is due at once, and each of the others when as much time has passed since as lies between their timestamps, divided
/// by the speed: delays of the reader do not add up. An event that is up to a second older than one played before it (events of
/// several threads are) is due at once and changes nothing; where timestamps go back further, a clock was set, and time goes on from
/// there.
///
/// Times are by any clock that goes up. No I/O, no clock of its own.
public struct ReplayPacing: Sendable {
    private struct Point {
        var time: Duration
        var timestamp: Int64
    }

    /// Older by more nanoseconds than this than what was played: not disorder, but a clock that was set.
    private static let disorderMax: Double = 1_000_000_000

    /// How many times as fast as recorded; `infinity`: without gaps.
    public private(set) var speed: Double
    private let gapMax: Duration?
    private let isReversed: Bool
    /// When which timestamp is due; nil: the next event is, at once.
    private var anchor: Point?
    /// The furthest timestamp that was due, and when the last event was.
    private var reached: Point?

    /// Nothing was played yet.
    ///
    /// - Parameters:
    ///   - speed: how many times as fast as recorded; over 0, `infinity` for no gaps.
    ///   - gapMax: gaps longer than this, as they would be played, are cut short to it; nil: none.
    ///   - isReversed: whether the last event comes first, and time runs backwards.
    /// - Throws: `StoreError.invalid` for a speed or a gap that is none.
    public init(speed: Double = 1, gapMax: Duration? = nil, isReversed: Bool = false) throws(StoreError) {
        try Self.check(speed)
        if let gapMax, gapMax < .zero {
            throw .invalid(what: "the longest gap \(gapMax)", reason: "it is less than nothing")
        }
        self.speed = speed
        self.gapMax = gapMax
        self.isReversed = isReversed
    }

    private static func check(_ speed: Double) throws(StoreError) {
        guard speed > 0 else { throw .invalid(what: "the speed \(speed)", reason: "it is not over 0") }
    }

    /// When the event that comes next, with this timestamp, is due. May be asked again while it is waited for.
    public mutating func due(_ timestamp: Int64, now: Duration) -> Duration {
        guard let anchor, let reached else { return go(to: timestamp, at: now) }
        if elapsed(from: reached.timestamp, to: timestamp) < -Self.disorderMax {
            return go(to: timestamp, at: reached.time)
        }
        let due = anchor.time + scaled(elapsed(from: anchor.timestamp, to: timestamp))
        guard let gapMax, due - reached.time > gapMax else { return due }
        self.anchor = Point(time: reached.time + gapMax, timestamp: timestamp)
        return reached.time + gapMax
    }

    /// That event was played.
    public mutating func play(_ timestamp: Int64, due: Duration) {
        guard let last = reached else { return }
        let isFurther = elapsed(from: last.timestamp, to: timestamp) > 0
        reached = Point(time: max(due, last.time), timestamp: isFurther ? timestamp : last.timestamp)
    }

    /// Time goes on from this timestamp at this moment.
    @discardableResult
    public mutating func go(to timestamp: Int64, at time: Duration) -> Duration {
        anchor = Point(time: time, timestamp: timestamp)
        reached = anchor
        return time
    }

    /// The next event is due at once.
    public mutating func restart() {
        anchor = nil
        reached = nil
    }

    /// So much time has passed that does not count.
    public mutating func skip(_ length: Duration) {
        anchor?.time += length
        reached?.time += length
    }

    /// Changes the speed from now on. Throws `StoreError.invalid` for one that is not over 0.
    public mutating func setSpeed(_ speed: Double, now: Duration) throws(StoreError) {
        try Self.check(speed)
        if let anchor, self.speed.isFinite {
            // The moment of the recording that is now.
            let passed = (now - anchor.time) / .nanoseconds(1) * self.speed
            let moment = Double(anchor.timestamp) + (isReversed ? -passed : passed)
            self.anchor = Point(
                time: now, timestamp: Int64(exactly: moment.rounded()) ?? (moment < 0 ? .min : .max))
        } else {
            anchor = nil
        }
        self.speed = speed
    }

    /// Nanoseconds from one timestamp to another in the direction of the replay.
    private func elapsed(from first: Int64, to second: Int64) -> Double {
        let (difference, overflow) = second.subtractingReportingOverflow(first)
        let nanoseconds = overflow ? Double(second) - Double(first) : Double(difference)
        return isReversed ? -nanoseconds : nanoseconds
    }

    /// As long as that takes at this speed, up to a century.
    private func scaled(_ nanoseconds: Double) -> Duration {
        let century = 3.2e18
        return .nanoseconds(Int64(min(max(nanoseconds / speed, -century), century)))
    }
}
