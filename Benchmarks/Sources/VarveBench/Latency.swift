import ArgumentParser
import BenchmarkWorkload
import Foundation
import Synchronization
import Varve
import VarveTestKit

/// How long single appends take beside sealing, dropping and compaction.
struct Latency: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures every single append at a steady rate, beside sealing, dropping and compaction.",
        discussion: """
            First the machine's rate without limits is measured; then a share of it is appended by one thread to a store within \
            a limit of bytes, each millisecond what is due. The same loop follows once more with a function that does nothing: \
            its pauses are the machine's. The clock is read twice for each call, which is in all figures. Each loop has a second row, \
            from when a call was due until it returned: with the wait for the next millisecond, and for calls before it that took long. \
            The status is 1 when an append took longer than 50 ms.
            """)

    @Option(help: "Minutes of appending.")
    var minutes = 10.0

    @Option(help: "The limit in bytes.")
    var limit: UInt64 = 2_000_000_000

    @Option(help: "Share of the measured rate that is appended.")
    var load = 0.25

    @Option(help: "Where the stores are made: a directory on the disk to measure.")
    var directory: String?

    @Option(help: "Writes the distribution, and the longest call of each second, as an SVG file.")
    var plot: String?

    func validate() throws {
        guard minutes >= 0.1, minutes < 10_000 else { throw ValidationError("--minutes is at least 0.1") }
        guard load > 0, load <= 1 else { throw ValidationError("--load is a share of 1") }
    }

    /// An append that takes longer is a failure: nanoseconds.
    private static let pauseMax: UInt64 = 50_000_000
    private static let ranks = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
    private static let pauses: [UInt64] = [1_000_000, 10_000_000, pauseMax]

    private struct Times {
        var histogram = LatencyHistogram()
        /// How many were longer than each of `pauses`.
        var paused = [0, 0, 0]

        @inline(__always)
        mutating func add(_ duration: UInt64) {
            histogram.add(duration)
            if duration > Latency.pauses[0] { addPause(duration) }
        }

        private mutating func addPause(_ duration: UInt64) {
            for (number, pause) in Latency.pauses.enumerated() where duration > pause { paused[number] += 1 }
        }
    }

    /// The calls of one loop.
    private struct Calls {
        var own = Times()
        /// From when each was due.
        var sinceDue = Times()
        /// Of each second: nanoseconds.
        var longest: [UInt64]
        init(seconds: Double) { longest = Array(repeating: 0, count: Int(seconds.rounded(.up))) }

        /// A call: nanoseconds since the loop began.
        @inline(__always)
        mutating func add(due: UInt64, begun: UInt64, done: UInt64) {
            let duration = done - begun
            own.add(duration)
            sinceDue.add(done - min(due, begun))
            let second = min(Int(begun / 1_000_000_000), longest.count - 1)
            if duration > longest[second] { longest[second] = duration }
        }
    }

    /// What went on beside the appends.
    private final class Background: Sendable {
        private let counts = Mutex((sealed: 0, dropped: 0, compacted: 0, bytes: UInt64(0)))

        func add(_ diagnostic: Diagnostic) {
            counts.withLock { counts in
                switch diagnostic {
                case .sealed: counts.sealed += 1
                case .dropped: counts.dropped += 1
                case .compacted(let segments, let before, _):
                    counts.compacted += segments.count
                    counts.bytes += before
                default: break
                }
            }
        }

        var text: String {
            let (sealed, dropped, compacted, bytes) = counts.withLock { $0 }
            return
                "segments: \(sealed) sealed, \(dropped) dropped, \(compacted) compacted, of \(bytes / 1_000_000) MB"
        }
    }

    func run() throws {
        try withDirectory(in: directory) { place in
            let data = Dataset(count: 500_000)
            let most = try RepeatedWriter.maximalRate(data, in: place, seconds: 4)
            let rate = most * load
            note(String(format: "at most %.2f M events/s; appending %.2f M", most / 1e6, rate / 1e6))
            let background = Background()
            let appends = try append(data, rate, at: "\(place)/latency.varve", background)
            note("the same loop without a store")
            let idleSeconds = max(minutes / 10, min(minutes, 1)) * 60
            let idle = paced(rate, seconds: idleSeconds, count: data.count) { position in
                doNothing(data.payload(position), data.kinds[position], data.timestamps[position])
            }
            report(appends, idle, rate, background)
            if let plot { try makePlot(appends, idle, rate).write(to: plot) }
            guard appends.own.histogram.max <= Self.pauseMax else { throw ExitCode(1) }
        }
    }

    private func append(_ data: Dataset, _ rate: Double, at path: String, _ background: Background) throws
        -> Calls
    {
        var options = StoreOptions.limited(to: limit)
        options.diagnostics = { background.add($0) }
        let store = try EventStore.open(path, options: options)
        let kinds = try Dataset.kinds(of: store)
        let session = try store.startSession("latency", at: WorkloadA.startTimestamp)
        let calls = try paced(rate, seconds: minutes * 60, count: data.count) { position in
            try session.append(
                data.payload(position), kind: kinds[Int(data.kinds[position])], at: data.timestamps[position])
        }
        try store.close()
        return calls
    }

    /// Calls `body` at a rate, each millisecond as often as is due, with positions that go round below `count`; measures each call.
    @inline(__always)
    private func paced<E: Error>(
        _ rate: Double, seconds: Double, count: Int, _ body: (Int) throws(E) -> Void
    ) throws(E) -> Calls {
        var calls = Calls(seconds: seconds)
        let interval = 1e9 / rate
        let start = nanoseconds()
        var (made, position) = (0, 0)
        while true {
            let passed = Double(nanoseconds() - start)
            if passed >= seconds * 1e9 { return calls }
            let due = Int(rate * passed / 1e9)
            while made < due {
                let begun = nanoseconds()
                try body(position)
                calls.add(
                    due: UInt64(Double(made + 1) * interval), begun: begun - start,
                    done: nanoseconds() - start)
                made += 1
                position += 1
                if position == count { position = 0 }
            }
            usleep(1_000)
        }
    }

    private func report(_ appends: Calls, _ idle: Calls, _ rate: Double, _ background: Background) {
        print(Machine.lines.joined(separator: "\n"))
        print(
            String(
                format: "rate: %.2f M events/s, %.0f %% of the most; %.1f minutes; limit %.0f MB", rate / 1e6,
                load * 100, minutes, Double(limit) / 1e6))
        print("\(background.text)\n")
        let names = Self.ranks.map { "p\(SVG.number($0 * 100, digits: 3))" }
        let head = ["", "calls"] + names + ["max"] + Self.pauses.map { "> \(SVG.duration(Double($0)))" }
        func row(_ name: String, _ times: Times) -> [String] {
            let histogram = times.histogram
            let ranks = Self.ranks.map { histogram.percentile($0) } + [histogram.max]
            return [name, "\(histogram.total)"] + ranks.map { SVG.duration(Double($0)) }
                + times.paused.map { "\($0)" }
        }
        print(
            markdownTable([
                head, row("append", appends.own), row("from when it was due", appends.sinceDue),
                row("the same loop without a store", idle.own), row("from when it was due", idle.sinceDue),
            ]))
        if appends.own.histogram.max > Self.pauseMax { print("\nmissed: an append took longer than 50 ms") }
    }

    private func makePlot(_ appends: Calls, _ idle: Calls, _ rate: Double) -> Plot {
        let both = [("append", appends), ("the same loop without a store", idle)]
        let own = both.map { ($0.0, $0.1.own) }
        let sinceDue = both.map { ("\($0.0), from when it was due", $0.1.sinceDue) }
        let distributions = (own + sinceDue).enumerated().map { color, pair in
            Series(
                name: pair.0, points: pair.1.histogram.nines.map { ($0.nines, Double($0.duration)) },
                color: color)
        }
        let most = max(distributions.flatMap(\.points).map(\.x).max() ?? 1, 1)
        let ticks: [Axis.Tick] =
            [(log10(2), "50 %"), (1, "90 %"), (2, "99 %")]
            + (3...9).map { (Double($0), "99.\(String(repeating: "9", count: $0 - 2)) %") }
        let percentiles = Axis(
            title: "calls that take no longer", range: 0...most, ticks: ticks.filter { $0.value <= most })
        let courses = both.enumerated().map { color, pair in
            Series(
                name: pair.0,
                points: pair.1.longest.enumerated().map { (Double($0.offset), Double($0.element)) },
                color: color)
        }
        func panel(_ title: String, _ x: Axis, _ series: [Series]) -> Panel {
            let bound = Double(Self.pauseMax)
            let times = series.flatMap(\.points).map(\.y) + [bound]
            let line = Series(
                name: "50 ms", points: [(x.range.lowerBound, bound), (x.range.upperBound, bound)], color: 5,
                isDashed: true)
            return .curves(
                title, x: x, y: .logarithmic("time of a call", around: times, SVG.duration), series + [line])
        }
        return Plot(
            title: String(
                format: "Each append at %.2f M events/s, %.1f minutes, limit %.0f MB", rate / 1e6, minutes,
                Double(limit) / 1e6),
            panels: [
                panel("distribution", percentiles, distributions),
                panel(
                    "longest call of each second",
                    .linear("seconds", upTo: Double(max(appends.longest.count, idle.longest.count))), courses),
            ])
    }
}

/// What the loop does in place of an append.
@inline(never)
private func doNothing(_ payload: UnsafeRawBufferPointer, _ kind: UInt8, _ timestamp: Int64) {
    keep((payload, kind, timestamp))
}
