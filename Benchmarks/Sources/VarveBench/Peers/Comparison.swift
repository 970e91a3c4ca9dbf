import ArgumentParser
import Foundation
import VarveIO
import VarveTestKit

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

extension PeerFigure {
    /// Each measurement of one store.
    struct Samples {
        private(set) var values: [PeerFigure: [Double]] = [:]
        mutating func add(_ figure: PeerFigure, _ value: Double) { values[figure, default: []].append(value) }
        mutating func add(_ others: Samples) { values.merge(others.values, uniquingKeysWith: +) }
        func median(_ figure: PeerFigure) -> Double? { values[figure]?.percentile(0.5) }
    }
}

/// What is compared between stores. The raw value is the key in JSON.
enum PeerFigure: String, CaseIterable {
    case append
    case storedBytes = "stored-bytes"
    case durable1 = "durable-batch-1"
    case durable100 = "durable-batch-100"
    case durable1000 = "durable-batch-1000"
    case open
    case scan
    case point = "point-by-sequence-p50"
    case time1000 = "time-1000-p50"
    case time100000 = "time-100000-p50"
    case grep
    case countKind = "count-kind"

    var title: String {
        switch self {
        case .append: "append"
        case .storedBytes: "on disk"
        case .durable1: "batch 1"
        case .durable100: "batch 100"
        case .durable1000: "batch 1,000"
        case .open: "open"
        case .scan: "scan"
        case .point: "point by sequence p50"
        case .time1000: "1,000 by time p50"
        case .time100000: "100,000 by time p50"
        case .grep: "grep for a rare text"
        case .countKind: "count one kind"
        }
    }

    /// Whether more is better.
    var isRate: Bool { [.append, .durable1, .durable100, .durable1000, .scan].contains(self) }

    static let tables: [(title: String, figures: [PeerFigure])] = [
        ("append, durable at close, events/s", [.append, .storedBytes]),
        ("durable append, one caller, events/s", [.durable1, .durable100, .durable1000]),
        ("read, page cache warm", [.scan, .point, .time1000, .time100000, .grep, .countKind, .open]),
    ]

    func text(_ value: Double) -> String {
        switch self {
        case _ where isRate:
            value >= 1e6 ? String(format: "%.2f M/s", value / 1e6) : String(format: "%.0f/s", value)
        case .storedBytes: String(format: "%.0f MB", value / 1e6)
        default:
            value >= 1e6
                ? String(format: "%.2f ms", value / 1e6)
                : value >= 1e3 ? String(format: "%.1f µs", value / 1e3) : String(format: "%.0f ns", value)
        }
    }
}

/// `varve-bench peers`.
struct Peers: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures Varve beside other stores, in turn, on the same events.",
        discussion: """
            Each round makes every store in turn and asks all of them the same questions; what they answer is compared \
            with the workload, so that nobody is fast by answering something else. A store whose library was not installed when this \
            was built is named and left out, and so is what one of them fails at. A first, shorter round warms up.

            The events are those of workload A, of workload B (about 4 KiB each), or of a file of JSON Lines, with the time in \
            @timestamp and the kind in Channel. Those of a file are put in the order of time.

            The figure in brackets is the ratio to Varve's, by the medians: of rates more is better, of times and sizes less.
            """)

    @Option(help: ArgumentHelp("The events: a, b, or those of a file.", valueName: "a|b|file"))
    var workload = PeerWorkload.a

    @Option(help: "How many events (default: 2000000 of a, 200000 of b, all of a file).")
    var events: Int?

    @Option(help: "Rounds that count.")
    var rounds = 5

    @Option(
        help: "Only stores whose name begins with one of these, separated by commas; Varve is always there.")
    var stores: String?

    @Option(help: "Where the stores are made: a directory on the disk to measure.")
    var directory: String?

    @Option(help: "Also write the tables to this file.")
    var results: String?

    @Flag(help: "Print one JSON object instead of tables.")
    var json = false

    @Option(help: "Also write the JSON object to this file.")
    var jsonFile: String?

    func validate() throws {
        if let events {
            guard events >= 1_000, events <= Int(UInt32.max) else {
                throw ValidationError("--events is at least 1000")
            }
        }
        guard rounds >= 1 else { throw ValidationError("--rounds is at least 1") }
    }

    /// Those that this was built with, and the names of the others.
    private static func all() -> (peers: [any Peer], absent: [String]) {
        var peers: [any Peer] = [VarvePeer(isCompacted: false), VarvePeer(isCompacted: true), LinesPeer()]
        var absent: [String] = []
        #if canImport(CLMDB)
        peers.append(LMDBPeer())
        #else
        absent.append("LMDB (liblmdb-dev)")
        #endif
        #if canImport(CSQLite)
        peers.append(SQLitePeer())
        #else
        absent.append("SQLite (libsqlite3-dev)")
        #endif
        #if canImport(CRocksDB)
        peers.append(RocksDBPeer())
        #else
        absent.append("RocksDB (librocksdb-dev)")
        #endif
        #if canImport(CLevelDB)
        peers.append(LevelDBPeer())
        #else
        absent.append("LevelDB (libleveldb-dev)")
        #endif
        return (peers, absent)
    }

    /// What of the machine is measured with the same events, each round before the stores.
    private static let limits: [Figure] = [.lz4Compress, .lz4Decompress, .syncedWrite]

    func run() throws {
        var (peers, absent) = Self.all()
        if let stores {
            let prefixes = stores.lowercased().split(separator: ",")
            peers.removeAll { peer in
                !(peer is VarvePeer) && !prefixes.contains { peer.name.lowercased().hasPrefix($0) }
            }
        }
        for name in absent { note("\(name) was not installed when this was built: left out") }
        note("making the events")
        let data = try workload.events(events)
        let questions = PeerQuestions(data)
        var report = PeerReport(data: data, peers: peers, absent: absent)
        try withDirectory(in: directory) { place in
            report.settings =
                Machine.lines + [
                    "files: \(Machine.fileSystem(of: place)); page cache warm",
                    "workload: \(data.description.name), \(data.count) events, "
                        + "\(data.byteCount / 1_000_000) MB of payloads\(workload.order)",
                    questions.settings,
                    "rounds: \(rounds), each store in turn; medians",
                ]
            note("warming up")
            let first = data.prefix(50_000)
            var ignored = PeerReport(data: first, peers: peers, absent: [])
            try round(first, PeerQuestions(first), peers, in: place, into: &ignored)
            let limits = Limits(data: data, directory: place)
            defer { limits.free() }
            var samples = Samples()
            for number in 1...rounds {
                note("round \(number) of \(rounds)")
                limits.measure({ Self.limits.contains($0) }, into: &samples)
                try round(data, questions, peers, in: place, into: &report)
            }
            let texts = Self.limits.compactMap { figure in
                samples.median(figure).map {
                    "\(figure.title): \(figure.unit.text($0)), \(data.throughput($0))"
                }
            }
            report.settings.append(
                "limits of the machine with these events: \(texts.joined(separator: "; "))")
            for (what, reason) in samples.failures { report.fail(what, reason) }
        }
        let text = json ? try report.json() : report.tables
        print(text)
        if let results {
            try Data("\(report.tables)\n".utf8).write(to: URL(filePath: results), options: .atomic)
        }
        if let jsonFile {
            try Data("\(report.json())\n".utf8).write(to: URL(filePath: jsonFile), options: .atomic)
        }
        guard report.failures.isEmpty else { throw ExitCode.failure }
    }

    private func round(
        _ data: Dataset, _ questions: PeerQuestions, _ peers: [any Peer], in place: String,
        into report: inout PeerReport
    ) throws {
        for (number, peer) in peers.enumerated() {
            let directory = "\(place)/\(number)"
            defer { try? FileManager.default.removeItem(atPath: directory) }
            do {
                // RocksDB ends this program, by an assertion, where the disk is full; no other store is asked to show what it does there.
                let free = try POSIXFileSystem().space(at: place).freeBytes
                if !(peer is VarvePeer || peer is LinesPeer), free < UInt64(2 * data.byteCount) {
                    throw PeerFailure("no space left: less than twice the payloads")
                }
                // Whoever answers wrongly has no figures.
                var samples = PeerFigure.Samples()
                try measure(peer, data, questions, directory, &samples)
                report.samples[number].add(samples)
            } catch {
                // Said once, and the others go on.
                report.fail(peer.name, "\(error)")
            }
        }
    }

    private func measure(
        _ peer: any Peer, _ data: Dataset, _ questions: PeerQuestions, _ directory: String,
        _ samples: inout PeerFigure.Samples
    ) throws {
        func fresh() throws {
            try? FileManager.default.removeItem(atPath: directory)
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            // What the one before has left to be written is not this one's.
            sync()
        }
        let isCompacted = (peer as? VarvePeer)?.isCompacted == true
        if !isCompacted {
            for (figure, batch, batches) in [
                (PeerFigure.durable1, 1, 500), (.durable100, 100, 200), (.durable1000, 1_000, 100),
            ] {
                try fresh()
                let batches = min(batches, data.count / batch)
                guard batches > 0 else { continue }
                let duration = try peer.appendDurably(data, batch: batch, batches: batches, in: directory)
                samples.add(figure, Double(batch * batches) / duration)
            }
        }
        try fresh()
        let took = try seconds { try peer.append(data, in: directory) }
        if isCompacted { try (peer as? VarvePeer)?.compact(directory) }
        if !isCompacted { samples.add(.append, Double(data.count) / took) }
        samples.add(.storedBytes, Double(try storedBytes(in: directory)))
        try questions.ask(peer, directory, &samples)
    }
}

/// The questions to every store, with the answers that the workload itself gives.
struct PeerQuestions {
    private let data: Dataset
    private let whole: Answer
    private let points: [(sequence: UInt64, answer: Answer)]
    private let ranges: [(figure: PeerFigure, ranges: [(ClosedRange<Int64>, Answer)])]
    private let kindCount: Int
    private let rareCount: Int

    init(_ data: Dataset) {
        self.data = data
        func answer(_ positions: Range<Int>) -> Answer {
            var answer = Answer()
            for position in positions {
                answer.add(UInt64(position), data.timestamps[position], data.payload(position))
            }
            return answer
        }
        whole = answer(0..<data.count)
        var random = SplitMix64(seed: 99)
        func start(_ count: Int) -> Int { Int(random.below(UInt32(data.count - count + 1))) }
        points = (0..<2_000).map { _ in
            let position = start(1)
            return (UInt64(position), answer(position..<position + 1))
        }
        // Where there are fewer events, the question is not asked.
        ranges = [(PeerFigure.time1000, 1_000, 200), (.time100000, 100_000, 20)]
            .filter { _, count, _ in count <= data.count }
            .map { figure, count, runs in
                (
                    figure,
                    (0..<runs).map { _ in
                        let first = start(count)
                        let last = first + count - 1
                        return (
                            data.timestamps[first]...data.timestamps[last],
                            answer(data.positions(fromTimeOf: first, toTimeOf: last))
                        )
                    }
                )
            }
        let description = data.description
        kindCount = (0..<data.count).count { Int(data.kinds[$0]) == description.countedKind }
        let needle = Needle(description.rareText)
        rareCount = (0..<data.count).count { needle.stands(in: data.payload($0)) }
    }

    /// What is looked for and counted.
    var settings: String {
        let description = data.description
        return "events with the rare text \(description.rareText): \(rareCount); "
            + "of the kind that is counted, \(description.kindNames[description.countedKind]): \(kindCount)"
    }

    private func check<T: Equatable>(_ found: T, _ expected: T, _ what: String) throws {
        guard found == expected else { throw PeerFailure("\(what): \(found), and it is \(expected)") }
    }

    private func time<T>(_ body: () throws -> T) rethrows -> (T, Double) {
        let start = nanoseconds()
        let result = try body()
        return (result, Double(nanoseconds() - start))
    }

    func ask(_ peer: any Peer, _ directory: String, _ samples: inout PeerFigure.Samples) throws {
        var openings: [Double] = []
        for _ in 0..<10 {
            let (reader, took) = try time { try peer.open(directory) }
            openings.append(took)
            try reader.close()
        }
        samples.add(.open, openings.percentile(0.5))
        let reader = try peer.open(directory)
        defer { try? reader.close() }
        let (found, took) = try time { try reader.scan() }
        try check(found, whole, "the scan")
        samples.add(.scan, Double(data.count) / (took / 1e9))
        var durations: [Double] = []
        for (sequence, expected) in points {
            let (found, took) = try time { try reader.event(sequence) }
            try check(found, expected, "event \(sequence)")
            durations.append(took)
        }
        samples.add(.point, durations.percentile(0.5))
        for (figure, ranges) in ranges {
            durations = []
            for (range, expected) in ranges {
                let (found, took) = try time { try reader.events(in: range) }
                try check(found, expected, "events from \(range.lowerBound) to \(range.upperBound)")
                durations.append(took)
            }
            samples.add(figure, durations.percentile(0.5))
        }
        let description = data.description
        let kind = description.countedKind
        durations = []
        for _ in 0..<3 {
            let (found, took) = try time { try reader.count(text: description.rareText) }
            try check(found, rareCount, "events with the rare text")
            durations.append(took)
        }
        samples.add(.grep, durations.percentile(0.5))
        durations = []
        for _ in 0..<3 {
            let (found, took) = try time { try reader.count(kind: kind, named: description.kindNames[kind]) }
            try check(found, kindCount, "events of one kind")
            durations.append(took)
        }
        samples.add(.countKind, durations.percentile(0.5))
    }
}

extension Dataset {
    /// All events from the time of one to the time of another: also those beside the two that have the same times.
    fileprivate func positions(fromTimeOf first: Int, toTimeOf last: Int) -> Range<Int> {
        var (start, end) = (first, last + 1)
        while start > 0, timestamps[start - 1] == timestamps[first] { start -= 1 }
        while end < count, timestamps[end] == timestamps[last] { end += 1 }
        return start..<end
    }
}

/// The figures of all stores, for people and for programs.
struct PeerReport {
    private let data: Dataset
    let peers: [any Peer]
    let absent: [String]
    var settings: [String] = []
    var samples: [PeerFigure.Samples]
    private(set) var failures: [String] = []

    init(data: Dataset, peers: [any Peer], absent: [String]) {
        self.data = data
        self.peers = peers
        self.absent = absent
        samples = peers.map { _ in PeerFigure.Samples() }
    }

    mutating func fail(_ name: String, _ reason: String) {
        note("\(name) failed: \(reason)")
        failures.append("\(name): \(reason)")
    }

    private func cell(_ number: Int, _ figure: PeerFigure) -> String {
        guard let median = samples[number].median(figure) else { return "-" }
        guard number > 0, let varve = samples[0].median(figure), varve > 0 else { return figure.text(median) }
        return figure.text(median) + String(format: " (%.2f)", median / varve)
    }

    /// Markdown.
    var tables: String {
        var lines = settings.map { "- \($0)" }
        for peer in peers { lines.append("- \(peer.name): \(peer.settings)") }
        for name in absent { lines.append("- not installed, and left out: \(name)") }
        for failure in failures { lines.append("- failed: \(failure)") }
        for (title, all) in PeerFigure.tables {
            let figures = all.filter { figure in samples.contains { $0.median(figure) != nil } }
            if figures.isEmpty { continue }
            lines += ["", "| \(title) | " + figures.map(\.title).joined(separator: " | ") + " |"]
            lines.append("|---|" + figures.map { _ in "---:|" }.joined())
            for (number, peer) in peers.enumerated()
            where figures.contains(where: { samples[number].median($0) != nil }) {
                lines.append(
                    "| \(peer.name) | " + figures.map { cell(number, $0) }.joined(separator: " | ") + " |")
            }
        }
        return lines.joined(separator: "\n")
    }

    /// One object: `workload`, `events`, `bytes`, `settings`, `failures`, and by store and figure the samples.
    func json() throws -> String {
        var stores: [String: Any] = [:]
        for (number, peer) in peers.enumerated() {
            stores[peer.name] = Dictionary(
                uniqueKeysWithValues: samples[number].values.map { ($0.key.rawValue, $0.value) })
        }
        let object: [String: Any] = [
            "workload": data.description.name, "events": data.count, "bytes": data.byteCount,
            "settings": settings, "failures": failures, "stores": stores,
        ]
        let bytes = try JSONSerialization.data(
            withJSONObject: object, options: [.prettyPrinted, .sortedKeys])
        return String(decoding: bytes, as: UTF8.self)
    }
}
