import Foundation

/// The samples for people and for programs.
struct Report {
    let samples: Samples
    let data: Dataset
    let settings: [String]

    private var figures: [Figure] { Figure.allCases.filter { samples.values[$0] != nil } }

    private func ratio(_ figure: Figure) -> Double? {
        samples.medianRatio(figure)
    }

    var table: String {
        var rows = [["what", "median", "", "smallest", "largest", "ratio"]]
        for figure in figures {
            guard let values = samples.values[figure], let median = samples.median(figure),
                let smallest = values.min(), let largest = values.max()
            else { continue }
            var row = [figure.title, figure.unit.text(median)]
            row.append(figure.isThroughput ? data.throughput(median) : "")
            row += [figure.unit.text(smallest), figure.unit.text(largest)]
            row.append(
                ratio(figure).flatMap { value in
                    figure.comparedWith.map { String(format: "%.2f x ", value) + $0.rawValue }
                } ?? "")
            rows.append(row)
        }
        return (settings + ["", markdownTable(rows, onTheLeft: [0, 5])]).joined(separator: "\n")
    }

    /// One object: `events`, `bytes`, `settings`, and by figure its `unit`, `median`, `samples` and `ratio`.
    func json() throws -> String {
        var values: [String: Any] = [:]
        for figure in figures {
            var entry: [String: Any] = [
                "unit": figure.unit.rawValue, "samples": samples.values[figure] ?? [],
            ]
            entry["median"] = samples.median(figure)
            if let ratio = ratio(figure), let other = figure.comparedWith {
                entry["ratio"] = ratio
                entry["ratio_to"] = other.rawValue
            }
            values[figure.rawValue] = entry
        }
        let object: [String: Any] = [
            "events": data.count, "bytes": data.byteCount, "settings": settings, "figures": values,
        ]
        let bytes = try JSONSerialization.data(
            withJSONObject: object, options: [.prettyPrinted, .sortedKeys])
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Dataset {
    /// Payload bytes a second, of events a second.
    func throughput(_ eventsPerSecond: Double) -> String {
        String(format: "%.2f GB/s", eventsPerSecond * Double(byteCount) / Double(count) / 1e9)
    }
}
