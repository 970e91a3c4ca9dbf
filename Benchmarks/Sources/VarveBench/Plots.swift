import ArgumentParser
import Foundation

/// Plots of what was measured before.
struct Plots: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draws what was measured: throughput.svg, size.svg and reads.svg.",
        discussion: """
            Reads what `measure` and `peers` have written with --json or --json-file. With both the bars of stores are those of \
            `peers`, which were measured in turn, and the limits of the machine those of `measure`.

            Example: varve-bench plots --from measured.json --from peers.json --into plots
            """)

    @Option(help: "A file that `measure` or `peers` has written; may be given twice.")
    var from: [String]

    @Option(help: "The directory for the plots.")
    var into: String

    func run() throws {
        let results = try Results(from.map { try Data(contentsOf: URL(filePath: $0)) })
        for (name, plot) in [
            ("throughput", results.throughput), ("size", results.size), ("reads", results.reads),
        ] where !plot.panels.isEmpty {
            try plot.write(to: "\(into)/\(name).svg")
        }
    }

    /// The figures of all files.
    private struct Results {
        /// The objects that `Report` and `PeerReport` write, as far as they are drawn.
        private struct File: Decodable {
            struct Entry: Decodable { let median: Double? }
            let events: Int?
            let bytes: Int?
            let figures: [String: Entry]?
            let stores: [String: [String: [Double]]]?
        }

        private var events: Int?
        private var payloadBytes: Int?
        private var figures: [Figure: Double] = [:]
        private var stores: [String: [PeerFigure: Double]] = [:]

        init(_ files: [Data]) throws {
            for data in files {
                let file = try JSONDecoder().decode(File.self, from: data)
                events = events ?? file.events
                payloadBytes = payloadBytes ?? file.bytes
                for (key, entry) in file.figures ?? [:] {
                    if let figure = Figure(rawValue: key) { figures[figure] = entry.median }
                }
                for (store, samples) in file.stores ?? [:] {
                    for (key, values) in samples where !values.isEmpty {
                        guard let figure = PeerFigure(rawValue: key) else { continue }
                        stores[store, default: [:]][figure] = values.percentile(0.5)
                    }
                }
            }
        }

        /// Of each store; of Varve alone where others were not measured.
        private func bars(_ figure: PeerFigure, alone: [(String, Figure)]) -> [Bar] {
            var bars = stores.compactMap { name, values in
                values[figure].map {
                    Bar(
                        label: name, value: $0, text: figure.text($0),
                        role: name.hasPrefix("Varve") ? .own : .other)
                }
            }
            if bars.isEmpty {
                bars = alone.compactMap { name, own in
                    figures[own].map { Bar(label: name, value: $0, text: figure.text($0), role: .own) }
                }
            }
            return bars
        }

        /// The best first; what there is nothing of is left out.
        private func panel(_ title: String, _ bars: [Bar], isRate: Bool, _ axis: ([Double]) -> Axis)
            -> [Panel]
        {
            guard !bars.isEmpty else { return [] }
            let ordered = bars.sorted { isRate ? $0.value > $1.value : $0.value < $1.value }
            return [.bars(title, axis(bars.map(\.value)), ordered)]
        }

        private var workload: String {
            events.map { "workload A, \(SVG.number(Double($0) / 1e6)) million events" } ?? "workload A"
        }

        var throughput: Plot {
            func rates(_ title: String, _ figure: PeerFigure, _ own: Figure, limits: [(String, Figure)])
                -> [Panel]
            {
                let limits = limits.compactMap { name, limit in
                    figures[limit].map {
                        Bar(label: name, value: $0, text: figure.text($0), role: .limit)
                    }
                }
                return panel(title, bars(figure, alone: [("Varve", own)]) + limits, isRate: true) {
                    .linear("million events/s", upTo: $0.max() ?? 1, unit: 1e6)
                }
            }
            return Plot(
                title: "Throughput beside limits of the machine (amber), \(workload)",
                panels: rates(
                    "append, durable at close", .append, .append,
                    limits: [
                        ("LZ4 compress, one core", .lz4Compress), ("write + fdatasync", .syncedWrite),
                        ("write to the page cache", .pageCacheWrite),
                    ])
                    + rates("scan", .scan, .scan, limits: [("LZ4 decompress, one core", .lz4Decompress)]))
        }

        var size: Plot {
            var all = bars(
                .storedBytes, alone: [("Varve", .storedBytes), ("Varve, compacted", .settledBytes)])
            if let payloadBytes, !all.isEmpty {
                let bytes = Double(payloadBytes)
                all.append(
                    Bar(
                        label: "payloads, as they are", value: bytes,
                        text: PeerFigure.storedBytes.text(bytes), role: .limit))
            }
            return Plot(
                title: "Size on disk, \(workload)",
                panels: panel("all files of the store", all, isRate: false) {
                    .linear("MB", upTo: $0.max() ?? 1, unit: 1e6)
                })
        }

        var reads: Plot {
            let all: [(String, PeerFigure, [(String, Figure)])] = [
                ("one event by sequence number, p50", .point, [("Varve", .point)]),
                ("1,000 events by time, p50", .time1000, [("Varve", .time1000)]),
                ("100,000 events by time, p50", .time100000, [("Varve", .time100000)]),
                (
                    "search for a text in 0.01 % of all events", .grep,
                    [("Varve", .grepLive), ("Varve, compacted", .grepSettled)]
                ),
                ("count of one kind", .countKind, []),
                ("open", .open, [("Varve", .open)]),
            ]
            return Plot(
                title: "Reading, page cache warm, \(workload)",
                panels: all.flatMap { title, figure, alone in
                    panel(title, bars(figure, alone: alone), isRate: false) {
                        .logarithmic("time", around: $0.map { $0 * 0.9 }, SVG.duration)
                    }
                })
        }
    }
}
