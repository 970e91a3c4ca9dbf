import ArgumentParser
import BenchmarkWorkload
import Foundation
import Synchronization
import Varve
import VarveTestKit

/// Records for minutes within a limit of bytes, beside readers and compaction.
struct Soak: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Records for minutes within a limit of bytes, beside readers and compaction.",
        discussion: """
            First the machine's rate without limits is measured; then a quarter of it is recorded, in turns without and \
            with limits: what an append costs is compared between neighbours in time. Payloads are compared with what was \
            recorded. The status is 1 when the limit was exceeded, when appends were slowed by 10 % or more, when memory \
            grew by 10 % or more from the second quarter of the time to the last, or when a reader met what was never \
            recorded.
            """)

    @Option(help: "Minutes with limits.")
    var minutes = 10.0

    @Option(help: "The limit in bytes.")
    var limit: UInt64 = 256_000_000

    @Option(help: "Share of the measured rate that is recorded.")
    var load = 0.25

    @Option(help: "Where the stores are made: a directory on the disk to measure.")
    var directory: String?

    @Option(help: "Writes the course of bytes, memory and cost as an SVG file.")
    var plot: String?

    func validate() throws {
        guard minutes >= 0.2, minutes < 10_000 else { throw ValidationError("--minutes is at least 0.2") }
        guard load > 0, load <= 1 else { throw ValidationError("--load is a share of 1") }
    }

    /// Set in the process that records without limits: at this rate, for a quarter of a turn. What it allocates would count here.
    @Option(help: .private)
    var freeRate: Double?

    private var turnCount: Int { max(2, Int(minutes / 2)) }
    private var turnSeconds: Double { minutes * 60 / Double(turnCount) }

    func run() throws {
        try withDirectory(in: directory) { place in
            if let freeRate { return print(try recordFreely(freeRate, in: place)) }
            let data = Dataset(count: 500_000)
            let most = try RepeatedWriter.maximalRate(data, in: place)
            let rate = most * load
            note(String(format: "at most %.2f M events/s; recording %.2f M", most / 1e6, rate / 1e6))
            let path = "\(place)/limited.varve"
            let course = Course(path: path)
            var free = Turns(), limited = Turns()
            // A turn without limits in front of each with them: the speed of a machine drifts.
            let store = try EventStore.open(path, options: options(isLimited: true))
            let readers = Readers(path: path, data: data)
            let writer = try RepeatedWriter(store, data)
            for turn in 1...turnCount {
                note("turn \(turn) of \(turnCount)")
                free.add(try costWithoutLimits(rate))
                limited.add(try writer.record(rate, seconds: turnSeconds) { course.sample(store) })
                note(
                    String(
                        format: "turn %d: %.1f ns without limits, %.1f ns with them", turn,
                        free.last, limited.last))
            }
            readers.stop()
            let info = try store.info()
            try store.close()
            let damage = try EventStore.openReadOnly(path).verify().damage
            try finish(course, free, limited, readers, rate, info, damage: damage.count)
        }
    }

    /// What an append costs without limits, in a process of its own.
    private func costWithoutLimits(_ rate: Double) throws -> Double {
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["soak", "--minutes", "\(minutes)", "--free-rate", "\(rate)"]
        if let directory { process.arguments? += ["--directory", directory] }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard let cost = Double(text.filter { !$0.isWhitespace }) else { throw ExitCode(2) }
        return cost
    }

    private func recordFreely(_ rate: Double, in place: String) throws -> Double {
        let data = Dataset(count: 500_000)
        let path = "\(place)/free.varve"
        let store = try EventStore.open(path, options: options(isLimited: false))
        let readers = Readers(path: path, data: data)
        let cost = try RepeatedWriter(store, data).record(rate, seconds: turnSeconds / 4) {}
        readers.stop()
        try store.close()
        return cost
    }

    private func finish(
        _ course: Course, _ free: Turns, _ limited: Turns, _ readers: Readers, _ rate: Double,
        _ info: StoreInfo,
        damage: Int
    ) throws {
        let samples = course.samples
        let bytes = samples.map(\.bytes).max() ?? 0
        func memory(_ from: Double, _ to: Double) -> Double {
            let count = Double(samples.count)
            let part = samples[Int(count * from)..<max(Int(count * to), Int(count * from) + 1)].map(\.memory)
            return Double(part.reduce(0, +)) / Double(part.count)
        }
        let growth = memory(0.75, 1) / memory(0.25, 0.5)
        let ratios = zip(limited.costs, free.costs).map { $0 / $1 }
        let slowed = ratios.percentile(0.5)
        func text(_ format: String, _ values: any CVarArg...) -> String {
            String(format: format, arguments: values)
        }
        let rows = [
            ["what", "figures"],
            [
                "recorded",
                text(
                    "%llu events at %.2f M events/s, %.1f minutes with limits",
                    info.sequences?.upperBound ?? 0, rate / 1e6, minutes),
            ],
            [
                "bytes at most",
                text("%.1f MB, of %.1f that the limit allows", Double(bytes) / 1e6, Double(limit) / 1e6),
            ],
            [
                "memory",
                text(
                    "%.1f MB in the second quarter, %.3f times that in the last", memory(0.25, 0.5) / 1e6,
                    growth),
            ],
            [
                "an append",
                text(
                    "%.1f ns without limits, %.1f ns with them; median of the ratios %.3f (%.3f to %.3f)",
                    free.costs.percentile(0.5), limited.costs.percentile(0.5), slowed, ratios.min() ?? 0,
                    ratios.max() ?? 0),
            ],
            [
                "retained",
                text(
                    "%llu events, %d segments of which %d compacted", info.eventCount, info.segmentCount,
                    info.settledCount),
            ],
            [
                "readers",
                text(
                    "%llu events compared, %llu followed, %llu passed over; %llu wrong, %llu failures",
                    readers.compared, readers.followed, readers.passedOver, readers.wrong, readers.failures),
            ],
        ]
        print("\(Machine.lines.joined(separator: "\n"))\n\n\(markdownTable(rows, onTheLeft: [0, 1]))")
        if let plot { try course.plot(limit: limit, title: title(rate)).write(to: plot) }
        var missed: [String] = []
        if bytes > limit { missed.append("the limit was exceeded") }
        if slowed >= 1.1 { missed.append("appends were slowed by 10 % or more") }
        if growth >= 1.1 { missed.append("memory grew by 10 % or more") }
        if readers.wrong + readers.failures > 0 || readers.compared == 0 || readers.followed == 0 {
            missed.append("a reader met what was never recorded, failed, or saw nothing")
        }
        if damage > 0 { missed.append("\(damage) damaged places") }
        if !missed.isEmpty {
            print("\nmissed: \(missed.joined(separator: "; "))")
            throw ExitCode(1)
        }
    }

    private func title(_ rate: Double) -> String {
        String(
            format: "%.0f minutes, %.2f M events/s, limit %.0f MB, %@", minutes, rate / 1e6,
            Double(limit) / 1e6,
            Machine.lines.first ?? "")
    }

    private func options(isLimited: Bool) -> StoreOptions { isLimited ? .limited(to: limit) : .recording }

    /// What an append cost, turn by turn: nanoseconds, the mean.
    private struct Turns {
        var costs: [Double] = []
        var last: Double { costs.last ?? 0 }
        mutating func add(_ cost: Double) { costs.append(cost) }
    }

    /// What the directory and the process take, second by second.
    private final class Course {
        struct Sample {
            var bytes: UInt64
            var memory: UInt64
            var retained: UInt64
        }

        private let path: String
        private(set) var samples: [Sample] = []

        init(path: String) { self.path = path }

        func sample(_ store: EventStore) {
            var bytes: UInt64 = 0
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
                let size = (try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)"))?[.size]
                bytes += (size as? NSNumber)?.uint64Value ?? 0
            }
            samples.append(
                Sample(
                    bytes: bytes, memory: MemoryProbe.ownBytes() ?? 0,
                    retained: (try? store.info().eventCount) ?? 0))
        }

        /// Three curves over the seconds, each on its own scale.
        func plot(limit: UInt64, title: String) -> Plot {
            func panel(_ name: String, _ unit: String, _ values: [Double], bound: Double? = nil) -> Panel {
                let seconds = Double(max(values.count - 1, 1))
                let y = Axis.linear(unit, upTo: max(values.max() ?? 1, bound ?? 0, 1))
                var series = [
                    Series(name: name, points: values.enumerated().map { (Double($0.offset), $0.element) })
                ]
                if let bound {
                    series.append(
                        Series(
                            name: "the limit", points: [(0, bound), (seconds, bound)], color: 5,
                            isDashed: true))
                }
                return .curves(name, x: .linear("seconds", upTo: seconds), y: y, series, height: 150)
            }
            return Plot(
                title: "\(title), \(samples.count) seconds",
                panels: [
                    panel(
                        "on disk", "MB", samples.map { Double($0.bytes) / 1e6 }, bound: Double(limit) / 1e6),
                    panel("memory", "MB", samples.map { Double($0.memory) / 1e6 }),
                    panel("events retained", "thousands", samples.map { Double($0.retained) / 1e3 }),
                ])
        }
    }

    /// One that asks for ranges again and again, and one that follows.
    private final class Readers: Sendable {
        private struct Counts {
            var compared: UInt64 = 0, followed: UInt64 = 0, passedOver: UInt64 = 0, wrong: UInt64 = 0
            var failures: UInt64 = 0
            var running = 0
        }

        private let path: String
        private let data: Dataset
        private let counts = Mutex(Counts())
        private let isStopping = Atomic(false)

        var compared: UInt64 { counts.withLock { $0.compared } }
        var followed: UInt64 { counts.withLock { $0.followed } }
        var passedOver: UInt64 { counts.withLock { $0.passedOver } }
        var wrong: UInt64 { counts.withLock { $0.wrong } }
        var failures: UInt64 { counts.withLock { $0.failures } }

        init(path: String, data: Dataset) {
            self.path = path
            self.data = data
            counts.withLock { $0.running = 2 }
            start { try self.ask() }
            start { try self.follow() }
        }

        private func start(_ body: @escaping @Sendable () throws -> Void) {
            let thread = Thread {
                do {
                    try body()
                } catch {
                    note("a reader failed: \(error)")
                    self.counts.withLock { $0.failures += 1 }
                }
                self.counts.withLock { $0.running -= 1 }
            }
            thread.start()
        }

        func stop() {
            isStopping.store(true, ordering: .relaxed)
            while counts.withLock({ $0.running }) > 0 { usleep(10_000) }
        }

        private func isRight(_ event: borrowing EventView) -> Bool {
            let expected = data.payload(Int(event.sequence % UInt64(data.count)))
            return event.payload.withUnsafeBytes {
                $0.count == expected.count && $0.elementsEqual(expected)
            }
        }

        private func ask() throws {
            let store = try EventStore.openReadOnly(path)
            var random = SplitMix64(seed: 1)
            while !isStopping.load(ordering: .relaxed) {
                let snapshot = try store.snapshot()
                if let range = try snapshot.info().sequences {
                    let first =
                        range.lowerBound
                        + UInt64(random.below(UInt32(clamping: range.upperBound - range.lowerBound)))
                    var cursor = try snapshot.cursor(Query().sequences(first...first + 999))
                    var (next, wrong) = (first, UInt64(0))
                    while let event = try cursor.next() {
                        if event.sequence != next || !isRight(event) { wrong += 1 }
                        next = event.sequence + 1
                    }
                    if next != min(first + 1_000, range.upperBound) { wrong += 1 }
                    counts.withLock {
                        $0.compared += next - first
                        $0.wrong += wrong
                    }
                }
                usleep(20_000)
            }
            try store.close()
        }

        private func follow() throws {
            let store = try EventStore.openReadOnly(path)
            let follower = try store.follower(from: .now)
            let canceller = Thread {
                while !self.isStopping.load(ordering: .relaxed) { usleep(10_000) }
                follower.cancel()
            }
            canceller.start()
            var next: UInt64?
            while !isStopping.load(ordering: .relaxed) {
                var (followed, passed, wrong) = (UInt64(0), UInt64(0), UInt64(0))
                let goesOn = try follower.next { event in
                    if let next, event.sequence > next { passed += event.sequence - next }
                    if let next, event.sequence < next { wrong += 1 }
                    // One in a hundred: comparing takes what following does not.
                    if event.sequence % 100 == 0, !isRight(event) { wrong += 1 }
                    next = event.sequence + 1
                    followed += 1
                }
                let seen = (followed, passed, wrong)
                counts.withLock {
                    $0.followed += seen.0
                    $0.passedOver += seen.1
                    $0.wrong += seen.2
                }
                if !goesOn { break }
            }
            try store.close()
        }
    }
}
