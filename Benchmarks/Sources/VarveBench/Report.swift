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
            var row = [figure.title, format(median, figure.unit)]
            row.append(
                figure.isThroughput
                    ? String(format: "%.2f GB/s", median * Double(data.byteCount) / Double(data.count) / 1e9)
                    : "")
            row += [format(smallest, figure.unit), format(largest, figure.unit)]
            row.append(
                ratio(figure).flatMap { value in
                    figure.comparedWith.map { String(format: "%.2f x ", value) + $0.rawValue }
                } ?? "")
            rows.append(row)
        }
        return (settings + ["", markdownTable(rows, onTheLeft: [0, 5])]).joined(separator: "\n")
    }

    private func format(_ value: Double, _ unit: Figure.Unit) -> String {
        switch unit {
        case .eventsPerSecond:
            value >= 1e6
                ? String(format: "%.2f M events/s", value / 1e6) : String(format: "%.0f events/s", value)
        case .perSecond: String(format: "%.0f /s", value)
        case .bytesPerSecond: String(format: "%.0f MB/s", value / 1e6)
        case .nanoseconds:
            value >= 1e6
                ? String(format: "%.2f ms", value / 1e6)
                : value >= 1e3 ? String(format: "%.1f µs", value / 1e3) : String(format: "%.0f ns", value)
        case .bytes: String(format: "%.1f MB", value / 1e6)
        }
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
