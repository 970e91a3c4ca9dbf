import ArgumentParser
import Foundation
import VarveTestKit

@main
struct VarveBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "varve-bench", abstract: "Measures Varve.",
        subcommands: [Measure.self, Peers.self, Growth.self, Latency.self, Soak.self, Plots.self],
        defaultSubcommand: Measure.self)
}

func note(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

/// A directory of its own for `body`, in `parent` or where temporary files are.
func withDirectory(in parent: String?, _ body: (String) throws -> Void) throws {
    let place = URL(filePath: parent ?? NSTemporaryDirectory()).appending(
        path: "varve-bench-\(ProcessInfo.processInfo.processIdentifier)"
    )
    .standardizedFileURL.path(percentEncoded: false)
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: place) }
    try body(place)
}

struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures Varve on workload A beside the limits of the machine.",
        discussion: """
            Each round measures every figure, and right before it what it is compared with, since the speed of \
            a machine drifts; medians are over the rounds, of the figures and of their ratios. A first, shorter \
            round warms up and is not counted.

            Example: varve-bench --events 500000 --rounds 3 --only append,scan,limit
            """)

    @Option(help: "Events of the workload.")
    var events = 2_000_000

    @Option(help: "Rounds that count.")
    var rounds = 5

    @Option(help: "Only figures whose key begins with one of these, separated by commas.")
    var only: String?

    @Option(help: "Where the stores are made: a directory on the disk to measure.")
    var directory: String?

    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    @Option(help: "Also write the JSON object to this file.")
    var jsonFile: String?

    /// Set in the processes whose memory is measured; `--directory` is then their store.
    @Option(help: .private)
    var probe: MemoryProbe.Work?

    func validate() throws {
        guard events >= 1_000, events <= Int(UInt32.max) else {
            throw ValidationError("--events is at least 1000")
        }
        guard rounds >= 1 else { throw ValidationError("--rounds is at least 1") }
        for prefix in prefixes ?? [] where !Figure.allCases.contains(where: { $0.rawValue.hasPrefix(prefix) })
        {
            let keys = Figure.allCases.map(\.rawValue).joined(separator: " ")
            throw ValidationError("no figure begins with \(prefix); there are: \(keys)")
        }
    }

    private var prefixes: [String]? { only?.split(separator: ",").map(String.init) }

    func run() throws {
        if let probe, let directory {
            return try MemoryProbe.run(probe, events: events, store: directory)
        }
        // What a figure is compared with is measured too.
        let named = Figure.allCases.filter { figure in
            prefixes?.contains { figure.rawValue.hasPrefix($0) } ?? true
        }
        let wanted = Set(named + named.compactMap(\.comparedWith))

        try withDirectory(in: directory) { try measure(wanted, in: $0) }
    }

    private func measure(_ wanted: Set<Figure>, in place: String) throws {
        note("making \(events) events")
        let data = Dataset(count: events)
        var samples = Samples()
        note("warming up")
        var ignored = Samples()
        measure(Dataset(count: min(events, 100_000)), wanted, in: place, into: &ignored)
        for round in 1...rounds {
            note("round \(round) of \(rounds)")
            measure(data, wanted, in: place, into: &samples)
        }
        let report = Report(
            samples: samples, data: data,
            settings: Machine.lines + [
                "files: \(Machine.fileSystem(of: place)); page cache warm",
                "workload: A, \(data.count) events, \(data.byteCount / 1_000_000) MB of payloads",
                "rounds: \(rounds); medians, also of the ratios",
            ] + samples.failures.sorted { $0.key < $1.key }.map { "failed: \($0.key): \($0.value)" })
        print(json ? try report.json() : report.table)
        if let jsonFile {
            try Data("\(report.json())\n".utf8).write(to: URL(filePath: jsonFile), options: .atomic)
        }
        guard samples.failures.isEmpty else { throw ExitCode.failure }
    }

    private func measure(
        _ data: Dataset, _ wanted: Set<Figure>, in place: String, into samples: inout Samples
    ) {
        let limits = Limits(data: data, directory: place)
        defer { limits.free() }
        limits.measure({ wanted.contains($0) }, into: &samples)
        let appending = AppendBenchmarks(data: data, directory: place, limits: limits)
        appending.measure({ wanted.contains($0) }, into: &samples)
        let reads: Set<Figure> = [
            .storedBytes, .open, .scan, .scanChecksum, .scanMemory, .point, .time1000, .time100000,
            .countKind,
        ]
        let compaction: Set<Figure> = [.compact, .compactMemory, .settledBytes]
        guard
            !wanted.isDisjoint(
                with: reads.union(compaction).union(ReplayBenchmarks.figures).union(SearchBenchmarks.figures))
        else { return }
        let path = "\(place)/read.varve"
        defer { try? FileManager.default.removeItem(atPath: path) }
        samples.attempt("reading") { samples in
            samples.add(.storedBytes, Double(try appending.makeStore(at: path)))
            try ReadBenchmarks(data: data, path: path, limits: limits).measure(
                { wanted.contains($0) }, into: &samples)
            if !wanted.isDisjoint(with: SearchBenchmarks.figures) {
                samples.attempt("searching") {
                    try SearchBenchmarks(data: data, path: path, directory: place, limits: limits).measure(
                        { wanted.contains($0) }, into: &$0)
                }
            }
            if !wanted.isDisjoint(with: ReplayBenchmarks.figures) {
                samples.attempt("replay") {
                    try ReplayBenchmarks(data: data, path: path, directory: place, limits: limits).measure(
                        { wanted.contains($0) }, into: &$0)
                }
            }
            // The last: the store is another one afterwards.
            guard !wanted.isDisjoint(with: compaction) else { return }
            if let cost = try MemoryProbe.measure(.compact, events: data.count, store: path) {
                samples.add(.compact, Double(data.count) / cost.seconds)
                samples.add(.compactMemory, cost.bytes)
                samples.add(.settledBytes, Double(try storedBytes(in: path)))
            }
        }
    }
}
