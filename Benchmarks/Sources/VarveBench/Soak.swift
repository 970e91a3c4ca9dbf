import ArgumentParser
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
            let most = try maximalRate(data, in: place)
            let rate = most * load
            note(String(format: "at most %.2f M events/s; recording %.2f M", most / 1e6, rate / 1e6))
            let path = "\(place)/limited.varve"
            let course = Course(path: path)
            var free = Turns(), limited = Turns()
            // A turn without limits in front of each with them: the speed of a machine drifts.
            let store = try EventStore.open(path, options: options(isLimited: true))
            let readers = Readers(path: path, data: data)
            let writer = try Writer(store, data)
            for turn in 1...turnCount {
                note("turn \(turn) of \(turnCount)")
                free.add(try costWithoutLimits(rate))
                limited.add(try writer.record(rate, seconds: turnSeconds) { course.sample(store) })
                print(
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
        let cost = try Writer(store, data).record(rate, seconds: turnSeconds / 4) {}
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
        print(
            Machine.lines.joined(separator: "\n") + "\n"
                + String(
                    format: """
                        recorded          %llu events at %.2f M events/s, %.1f minutes
                        bytes at most     %.1f of %.1f MB
                        memory            %.1f MB in the second quarter, %.3f times that in the last
                        an append         %.1f ns without limits, %.1f ns with them; median of the ratios %.3f (%.3f to %.3f)
                        retained          %llu events, %d segments of which %d settled
                        readers           %llu events compared, %llu followed, %llu passed over; %llu wrong, %llu failures
                        """,
                    info.sequences?.upperBound ?? 0, rate / 1e6, minutes, Double(bytes) / 1e6,
                    Double(limit) / 1e6,
                    memory(0.25, 0.5) / 1e6, growth, free.costs.percentile(0.5),
                    limited.costs.percentile(0.5), slowed,
                    ratios.min() ?? 0, ratios.max() ?? 0, info.eventCount, info.segmentCount,
                    info.settledCount,
                    readers.compared, readers.followed, readers.passedOver, readers.wrong, readers.failures))
        if let plot {
            try Data(course.svg(limit: limit, title: title(rate)).utf8).write(to: URL(filePath: plot))
        }
        var missed: [String] = []
        if bytes > limit { missed.append("the limit was exceeded") }
        if slowed >= 1.1 { missed.append("appends were slowed by 10 % or more") }
        if growth >= 1.1 { missed.append("memory grew by 10 % or more") }
        if readers.wrong + readers.failures > 0 || readers.compared == 0 || readers.followed == 0 {
            missed.append("a reader met what was never recorded, failed, or saw nothing")
        }
        if damage > 0 { missed.append("\(damage) damaged places") }
        if !missed.isEmpty {
            print("missed: \(missed.joined(separator: "; "))")
            throw ExitCode(1)
        }
    }

    private func title(_ rate: Double) -> String {
        String(
            format: "%.0f minutes, %.2f M events/s, limit %.0f MB, %@", minutes, rate / 1e6,
            Double(limit) / 1e6,
            Machine.lines.first ?? "")
    }

    private func options(isLimited: Bool) -> StoreOptions {
        var options = StoreOptions()
        options.compactsInBackground = isLimited
        if isLimited { options.limits = RetentionLimits(bytes: limit) }
        return options
    }

    /// Events a second without limits or readers.
    private func maximalRate(_ data: Dataset, in place: String) throws -> Double {
        let path = "\(place)/most.varve"
        let store = try EventStore.open(path, options: options(isLimited: false))
        let writer = try Writer(store, data)
        let start = nanoseconds()
        while nanoseconds() - start < 8_000_000_000 { try writer.append(10_000) }
        try store.flush()
        let rate = Double(writer.count) * 1e9 / Double(nanoseconds() - start)
        try store.close()
        try FileManager.default.removeItem(atPath: path)
        return rate
    }

    /// What an append cost, turn by turn: nanoseconds, the mean.
    private struct Turns {
        var costs: [Double] = []
        var last: Double { costs.last ?? 0 }
        mutating func add(_ cost: Double) { costs.append(cost) }
    }

    /// Appends the workload again and again: the number of an event says which.
    private final class Writer {
        private let store: EventStore
        private let data: Dataset
        private let kinds: [EventKind]
        private let session: Session
        private(set) var count = 0

        init(_ store: EventStore, _ data: Dataset) throws {
            self.store = store
            self.data = data
            kinds = try WorkloadA.kindNames.map { try store.kind($0, .json) }
            session = try store.startSession("soak", at: WorkloadA.startTimestamp)
        }

        func append(_ events: Int) throws {
            for _ in 0..<events {
                let position = count % data.count
                try session.append(
                    data.payload(position), kind: kinds[Int(data.kinds[position])],
                    at: data.timestamps[position])
                count += 1
            }
        }

        /// Appends at a rate, in pieces of a millisecond; the mean of what an append took. Calls `eachSecond` each second.
        func record(_ rate: Double, seconds: Double, _ eachSecond: () -> Void) throws -> Double {
            let start = nanoseconds()
            let first = count
            var spent: UInt64 = 0
            var next: UInt64 = 0
            while true {
                let passed = nanoseconds() - start
                if Double(passed) >= seconds * 1e9 { break }
                if passed >= next {
                    eachSecond()
                    next += 1_000_000_000
                }
                let due = Int(rate * Double(passed) / 1e9) - (count - first)
                if due > 0 {
                    let begun = nanoseconds()
                    try append(due)
                    spent += nanoseconds() - begun
                }
                usleep(1_000)
            }
            return Double(spent) / Double(max(count - first, 1))
        }
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
        func svg(limit: UInt64, title: String) -> String {
            let (width, height, left) = (900.0, 150.0, 90.0)
            var parts: [String] = []
            func curve(_ number: Int, _ name: String, _ values: [Double], most: Double, line: Double?) {
                let top = 50 + Double(number) * (height + 40)
                let step = (width - left - 20) / Double(max(values.count - 1, 1))
                func y(_ value: Double) -> Double { top + height * (1 - value / most) }
                let points = values.enumerated().map {
                    String(format: "%.1f,%.1f", left + Double($0.offset) * step, y($0.element))
                }
                parts.append(
                    String(
                        format: """
                            <rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" fill="none" stroke="#bbb"/>
                            <text x="%.0f" y="%.0f">%@</text>
                            <text x="%.0f" y="%.0f" text-anchor="end">%.0f</text>
                            <text x="%.0f" y="%.0f" text-anchor="end">0</text>
                            """, left, top, width - left - 20, height, left, top - 6, name, left - 6,
                        top + 10, most,
                        left - 6, top + height))
                if let line {
                    parts.append(
                        String(
                            format:
                                "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#c00\" stroke-dasharray=\"4\"/>",
                            left, width - 20, y(line), y(line)))
                }
                parts.append(
                    "<polyline fill=\"none\" stroke=\"#06c\" points=\"\(points.joined(separator: " "))\"/>")
            }
            let bound = Double(limit) / 1e6
            curve(
                0, "MB on disk, and the limit", samples.map { Double($0.bytes) / 1e6 }, most: bound * 1.1,
                line: bound)
            let memory = samples.map { Double($0.memory) / 1e6 }
            curve(1, "MB of memory", memory, most: (memory.max() ?? 1) * 1.2, line: nil)
            let retained = samples.map { Double($0.retained) / 1e3 }
            curve(
                2, "thousands of events retained", retained, most: max(retained.max() ?? 1, 1) * 1.2,
                line: nil)
            return """
                <svg xmlns="http://www.w3.org/2000/svg" width="900" height="620" font-family="sans-serif" font-size="12">
                <rect width="900" height="620" fill="#fff"/>
                <text x="450" y="20" text-anchor="middle">\(title), \(samples.count) seconds</text>
                \(parts.joined(separator: "\n"))
                </svg>

                """
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
