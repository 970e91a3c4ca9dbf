import ArgumentParser
import BenchmarkWorkload
import Foundation
import Varve
import VarveTestKit

/// How the cost of appends, openings and queries grows with a store.
struct Growth: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures how cost grows with the size of a store.",
        discussion: """
            First real stores are recorded, of 100,000 events and ten times as many, and so on. Then stores are simulated: their \
            segments are copies of a real one with other numbers and times, whose blocks are there in sixteen of them and holes in \
            sparse files in all others. Headers, footers and trailers are real everywhere. Queries ask for what is there, \
            and their answers are compared with what was recorded.

            An append's cost is that of recording the store; of simulated ones, that of a million events more. Simulated \
            stores have been opened for writing once before they are measured.
            """)

    @Option(help: "Events of the largest simulated store.")
    var eventsMax: UInt64 = 1_000_000_000

    @Option(help: "Events of the largest real store.")
    var realMax: UInt64 = 100_000_000

    @Option(help: "Where the stores are made: a directory on the disk to measure.")
    var directory: String?

    @Option(help: "Writes the costs against the number of events as an SVG file.")
    var plot: String?

    func validate() throws {
        guard realMax >= 100_000, realMax <= 1_000_000_000, eventsMax <= 10_000_000_000 else {
            throw ValidationError(
                "--real-max is 100000 to 1000000000, and --events-max at most 10000000000")
        }
    }

    /// What was measured of one store: nanoseconds.
    private struct Row {
        let isSimulated: Bool
        let events: UInt64
        let segments: Int
        var append = 0.0, openForReading = 0.0, openForWriting = 0.0
        var firstQuery = 0.0, byTime = 0.0, bySequence = 0.0, ownSnapshot = 0.0, count = 0.0
    }

    /// What a query returned that was not recorded so.
    private struct WrongAnswer: Error, CustomStringConvertible {
        let description: String
    }

    /// Events of a range query.
    private static let rangeEvents: UInt64 = 1_000

    func run() throws {
        try withDirectory(in: directory) { place in
            note("making events")
            let workload = EndlessWorkload(Dataset(count: 1_000_000))
            print(Machine.lines.joined(separator: "\n"))
            print("files: \(Machine.fileSystem(of: place)); page cache warm\n")
            var rows: [Row] = []
            var isWhole = true
            // From small to large, as far as there is space, say.
            func add(_ kind: String, _ sizes: [UInt64], _ measure: (UInt64) throws -> Row) {
                for size in sizes {
                    note("a \(kind) store of \(size) events")
                    do {
                        rows.append(try measure(size))
                    } catch {
                        isWhole = false
                        return note("left out, and so are larger ones: \(error)")
                    }
                }
            }
            add("real", Self.sizes(from: 100_000, to: realMax)) {
                try measureReal($0, workload, at: "\(place)/real.varve")
            }
            var template: SegmentTemplate?
            add("simulated", Self.sizes(from: 10_000_000, to: eventsMax)) {
                let made = try template ?? makeTemplate(workload, at: "\(place)/recorded.varve")
                template = made
                return try measureSimulated($0, made, at: "\(place)/simulated.varve")
            }
            report(rows)
            guard isWhole else { throw ExitCode.failure }
            if let plot { try Self.plot(rows).write(to: plot) }
        }
    }

    private static func sizes(from first: UInt64, to last: UInt64) -> [UInt64] {
        Array(sequence(first: first) { $0 * 10 }.prefix { $0 <= last })
    }

    // MARK: Stores

    private func makeTemplate(_ workload: EndlessWorkload, at path: String) throws -> SegmentTemplate {
        note("recording what simulated stores are made of")
        _ = try record(3_000_000, workload, at: path)
        return try SegmentTemplate(of: path, workload: workload)
    }

    private func measureReal(_ size: UInt64, _ workload: EndlessWorkload, at path: String) throws -> Row {
        defer { try? FileManager.default.removeItem(atPath: path) }
        var costs: [Double] = []
        // Again and again: a small store takes too short a time.
        for _ in 0..<(size > 10_000_000 ? 1 : 5) {
            try? FileManager.default.removeItem(atPath: path)
            costs.append(try record(size, workload, at: path))
        }
        let segments = try FileManager.default.contentsOfDirectory(atPath: path).count {
            $0.hasSuffix(".seg")
        }
        let store = KnownStore(path: path, count: size, workload: workload, readable: [0..<size])
        var row = Row(isSimulated: false, events: size, segments: segments)
        row.append = costs.percentile(0.5)
        try measure(store, into: &row)
        return row
    }

    private func measureSimulated(_ size: UInt64, _ template: SegmentTemplate, at path: String) throws -> Row
    {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (store, segments) = try template.makeStore(at: path, events: size, realCount: 16)
        // Its session has no end yet.
        try EventStore.open(path, options: .recording).close()
        if store.readable.count == segments {
            // All blocks are there: it must be as good as one that was recorded.
            let reading = try EventStore.openReadOnly(path)
            let damage = try reading.verify().damage
            try reading.close()
            guard damage.isEmpty else { throw WrongAnswer(description: "\(damage)") }
        }
        var row = Row(isSimulated: true, events: store.count, segments: segments)
        try measure(store, into: &row)
        var (costs, next) = ([Double](), store.count)
        for _ in 0..<5 {
            let writing = try EventStore.open(path, options: .recording)
            guard writing.nextSequence == next else {
                throw WrongAnswer(description: "the next number is \(writing.nextSequence), not \(next)")
            }
            costs.append(try append(1_000_000, store.workload, to: writing))
            next += 1_000_000
        }
        row.append = costs.percentile(0.5)
        return row
    }

    /// Records a store; nanoseconds of an append.
    private func record(_ count: UInt64, _ workload: EndlessWorkload, at path: String) throws -> Double {
        try append(count, workload, to: try EventStore.open(path, options: .recording))
    }

    /// Nanoseconds of each of so many appends, in a session of their own, until the store is closed and all of it is on the disk.
    private func append(_ count: UInt64, _ workload: EndlessWorkload, to store: EventStore) throws -> Double {
        let kinds = try Dataset.kinds(of: store)
        let session = try store.startSession("growth", at: WorkloadA.startTimestamp)
        let data = workload.data
        let duration = try seconds {
            // No division an event: it would count here.
            var (position, passed) = (0, Int64(0))
            for _ in 0..<count {
                try session.append(
                    data.payload(position), kind: kinds[Int(data.kinds[position])],
                    at: data.timestamps[position] + passed)
                position += 1
                if position == data.count {
                    position = 0
                    passed += workload.span
                }
            }
            try store.close()
        }
        return duration * 1e9 / Double(count)
    }

    // MARK: Measuring

    private func measure(_ store: KnownStore, into row: inout Row) throws {
        row.openForReading = try median(15) {
            try opened { try EventStore.openReadOnly(store.path) }
        }
        row.openForWriting = try median(7) {
            try opened { try EventStore.open(store.path, options: .recording) }
        }
        var random = SplitMix64(seed: 99)
        // What a store has not read yet when it is opened is read once.
        row.firstQuery = try median(5) {
            let fresh = try EventStore.openReadOnly(store.path)
            defer { try? fresh.close() }
            return try readWithSnapshot(of: fresh, store, &random)
        }
        let reading = try EventStore.openReadOnly(store.path)
        defer { try? reading.close() }
        let snapshot = try reading.snapshot()
        guard snapshot.sequences == 0..<store.count else {
            throw WrongAnswer(description: "its numbers are not 0 to \(store.count - 1)")
        }
        row.byTime = try median(300) {
            try readByTime(from: place(in: store, &random), store, snapshot)
        }
        row.bySequence = try median(300) {
            let first = place(in: store, &random)
            return try read(
                Query().sequences(first...first + Self.rangeEvents - 1), from: first, store, snapshot)
        }
        row.ownSnapshot = try median(50) { try readWithSnapshot(of: reading, store, &random) }
        _ = try count(0...store.count - 1, store, snapshot)
        row.count = try median(50) {
            let places = [place(in: store, &random), place(in: store, &random)].sorted()
            return try count(places[0]...places[1], store, snapshot)
        }
    }

    private func median(_ runs: Int, _ body: () throws -> Double) rethrows -> Double {
        try (0..<runs).map { _ in try body() }.percentile(0.5)
    }

    /// Nanoseconds of an opening. Closing is left out.
    private func opened(_ open: () throws -> EventStore) throws -> Double {
        let start = nanoseconds()
        let store = try open()
        let took = nanoseconds() - start
        try store.close()
        return Double(took)
    }

    /// A random place from which the events of a range query can be read.
    private func place(in store: KnownStore, _ random: inout SplitMix64) -> UInt64 {
        let part = store.readable[Int(random.below(UInt32(store.readable.count)))]
        return part.lowerBound + UInt64(random.below(UInt32(UInt64(part.count) - Self.rangeEvents)))
    }

    /// Nanoseconds of making a snapshot and one query by time on it.
    private func readWithSnapshot(of reading: EventStore, _ store: KnownStore, _ random: inout SplitMix64)
        throws
        -> Double
    {
        let start = nanoseconds()
        let snapshot = try reading.snapshot()
        let took = nanoseconds() - start
        return try Double(took) + readByTime(from: place(in: store, &random), store, snapshot)
    }

    private func readByTime(from first: UInt64, _ store: KnownStore, _ snapshot: Snapshot) throws -> Double {
        let times = store.timestamp(first)...store.timestamp(first + Self.rangeEvents - 1)
        return try read(Query().time(times), from: first, store, snapshot)
    }

    /// Nanoseconds of a query that must return the events from `first` on.
    private func read(_ query: Query, from first: UInt64, _ store: KnownStore, _ snapshot: Snapshot) throws
        -> Double
    {
        var (next, bytes) = (first, 0)
        let start = nanoseconds()
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            guard event.sequence == next else {
                throw WrongAnswer(description: "event \(event.sequence) in place of \(next)")
            }
            next += 1
            bytes += event.withUnsafeBytes { $0.count }
        }
        let took = nanoseconds() - start
        let expected = (first..<first + Self.rangeEvents).reduce(0) { $0 + store.payloadBytes($1) }
        guard next == first + Self.rangeEvents, bytes == expected, cursor.coverage.isComplete else {
            throw WrongAnswer(
                description: "\(next - first) events of \(bytes) bytes from \(first) on, not \(expected)")
        }
        return Double(took)
    }

    /// Nanoseconds of counting one kind between the times of two events, which are included.
    private func count(_ sequences: ClosedRange<UInt64>, _ store: KnownStore, _ snapshot: Snapshot) throws
        -> Double
    {
        let times = store.timestamp(sequences.lowerBound)...store.timestamp(sequences.upperBound)
        let query = Query().kinds(EndlessWorkload.countedKindName).time(times)
        let start = nanoseconds()
        let (found, coverage) = try snapshot.countWithCoverage(query)
        let took = nanoseconds() - start
        let before = store.kinds(before: sequences.lowerBound)
        let expected = store.kinds(before: sequences.upperBound + 1) - before
        guard found == expected, coverage.isComplete else {
            throw WrongAnswer(description: "\(found) events of the kind in \(sequences), not \(expected)")
        }
        return Double(took)
    }

    // MARK: Reporting

    private func report(_ rows: [Row]) {
        let head = [
            "events", "", "segments", "append", "open to read", "open to write", "first query",
            "1,000 by time", "1,000 by sequence", "snapshot and 1,000", "count",
        ]
        let body = rows.map { row in
            [
                "\(row.events)", row.isSimulated ? "simulated" : "real", "\(row.segments)",
                SVG.duration(row.append),
            ]
                + [
                    row.openForReading, row.openForWriting, row.firstQuery, row.byTime, row.bySequence,
                    row.ownSnapshot, row.count,
                ].map(SVG.duration)
        }
        print(markdownTable([head] + body, onTheLeft: [1]))
        print(
            """

            Medians; an append: the mean until the store is closed, of five times, of one in a real store of more than 10,000,000. Queries are for 1,000 events: the first one after opening, others on one snapshot by time and \
            by sequence, and by time with a snapshot of its own. A count is that of one kind over a random time range.
            Aims: a billion events open in 100 ms, then in 20 ms; the cost of range queries and appends does not depend on the size.
            """)
    }

    private static func plot(_ rows: [Row]) -> Plot {
        let x = Axis.logarithmic(
            "events in the store", around: rows.map { Double($0.events) }, SVG.powerOfTen)
        func series(_ curves: [(name: String, value: (Row) -> Double)]) -> [Series] {
            curves.enumerated().flatMap { color, curve in
                [false, true].map { isSimulated in
                    Series(
                        name: isSimulated ? nil : curve.name,
                        points: rows.filter { $0.isSimulated == isSimulated }
                            .map { (Double($0.events), curve.value($0)) },
                        color: color, isDashed: isSimulated, hasMarks: true)
                }
            }
        }
        func panel(_ title: String, _ curves: [(name: String, value: (Row) -> Double)]) -> Panel {
            let values = rows.flatMap { row in curves.map { $0.value(row) } }
            return .curves(
                title, x: x, y: .logarithmic("time", around: values, SVG.duration), series(curves))
        }
        return Plot(
            title: "Cost against the number of events: solid in real stores, dashed in simulated ones",
            panels: [
                panel("one append", [("append", { $0.append })]),
                panel(
                    "queries",
                    [
                        ("1,000 events by time", { $0.byTime }),
                        ("1,000 events by sequence", { $0.bySequence }),
                        ("by time, with its snapshot", { $0.ownSnapshot }),
                        ("count of one kind", { $0.count }),
                    ]),
                panel(
                    "opening",
                    [
                        ("open to read", { $0.openForReading }), ("open to write", { $0.openForWriting }),
                        ("the first query after it", { $0.firstQuery }),
                    ]),
            ])
    }
}
