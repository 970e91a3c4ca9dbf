import Varve
import VarveJSON

/// Counts by time, for people and for programs.
struct Histogram {
    /// By the number of the bucket.
    let counts: [Int64: [HistogramKey: UInt64]]
    let widthNanoseconds: Int64
    let by: HistogramGrouping?
    /// When a bucket begins.
    let start: (Int64) -> Int64

    private var ordered: [(bucket: Int64, groups: [(key: HistogramKey, value: UInt64)])] {
        counts.keys.sorted().map { bucket in
            (bucket, (counts[bucket] ?? [:]).sorted { $0.key < $1.key })
        }
    }

    // MARK: For programs

    func printJSON(to output: Output) throws {
        for (bucket, groups) in ordered {
            for (key, count) in groups {
                try output.line { out in
                    out.object { list, out in
                        list.text("time", RFC3339.string(start(bucket)), &out)
                        list.number("nanoseconds", UInt64(widthNanoseconds), &out)
                        if let store = key.store { list.text("store", store, &out) }
                        if by == .kind { list.text("kind", key.name, &out) }
                        if by == .session {
                            list.text("session", key.name, &out)
                            list.number("session_number", key.number, &out)
                        }
                        list.number("events", count, &out)
                    }
                }
            }
        }
    }

    func printCSV(to output: Output) throws {
        let hasStores = counts.values.contains { $0.keys.contains { $0.store != nil } }
        var header = "time,"
        if hasStores { header += "store," }
        if by == .kind { header += "kind," }
        if by == .session { header += "session,session_number," }
        try output.text(header + "events\r\n")
        for (bucket, groups) in ordered {
            for (key, count) in groups {
                output.buffer.append(string: RFC3339.string(start(bucket)))
                output.buffer.append(UInt8(ascii: ","))
                if hasStores {
                    output.buffer.appendCSV(key.store ?? "")
                    output.buffer.append(UInt8(ascii: ","))
                }
                if by != nil {
                    output.buffer.appendCSV(key.name)
                    output.buffer.append(UInt8(ascii: ","))
                }
                if by == .session {
                    output.buffer.append(integer: key.number)
                    output.buffer.append(UInt8(ascii: ","))
                }
                output.buffer.append(integer: count)
                output.buffer.append("\r\n")
                try output.flushIfFull()
            }
        }
    }

    // MARK: For people

    func plot(_ buckets: ClosedRange<Int64>, columns: Int, to output: Output) throws {
        try by == nil ? plotBars(buckets, columns, output) : plotLines(buckets, columns, output)
        let total = counts.values.reduce(UInt64(0)) { $0 &+ $1.values.reduce(0, &+) }
        try output.text(
            "\(Formatting.count(total, "event")), \(TimeBuckets.text(widthNanoseconds)) a "
                + (by == nil ? "line" : "column") + "\n")
    }

    /// A line for each bucket.
    private func plotBars(_ buckets: ClosedRange<Int64>, _ columns: Int, _ output: Output) throws {
        let totals = counts.mapValues { $0.values.reduce(0, &+) }
        let largest = totals.values.max() ?? 1
        let countWidth = Formatting.count(largest).count
        let labels = buckets.map { Formatting.time(start($0)) }
        let labelWidth = labels.map(\.count).max() ?? 0
        let room = max(columns - labelWidth - countWidth - 3, 10)
        for (bucket, label) in zip(buckets, labels) {
            let count = totals[bucket] ?? 0
            let text = Formatting.count(count)
            try output.text(
                label + String(repeating: " ", count: labelWidth - label.count) + " "
                    + String(repeating: " ", count: countWidth - text.count) + text
                    + (count > 0 ? " " + Self.bar(count, of: largest, room) : "") + "\n")
        }
    }

    /// A bar in eighths of a column; never nothing where there is something.
    static func bar(_ count: UInt64, of largest: UInt64, _ room: Int) -> String {
        let eighths = max(Int(Double(count) / Double(max(largest, 1)) * Double(room * 8)), 1)
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }

    /// A line for each kind or session, a column for each bucket.
    private func plotLines(_ buckets: ClosedRange<Int64>, _ columns: Int, _ output: Output) throws {
        var totals: [HistogramKey: UInt64] = [:]
        for groups in counts.values {
            for (key, count) in groups { totals[key, default: 0] &+= count }
        }
        let keys =
            by == .kind
            ? totals.keys.sorted { (totals[$0] ?? 0, $1) > (totals[$1] ?? 0, $0) } : totals.keys.sorted()
        let names = keys.map { TableLayout.cut(Formatting.oneLine(name($0)), 30) }
        let nameWidth = names.map(\.count).max() ?? 0
        let countWidth = totals.values.map { Formatting.count($0).count }.max() ?? 0
        for (key, name) in zip(keys, names) {
            let values = buckets.map { counts[$0]?[key] ?? 0 }
            let text = Formatting.count(totals[key] ?? 0)
            try output.text(
                name + String(repeating: " ", count: nameWidth - name.count) + " "
                    + String(repeating: " ", count: countWidth - text.count) + text + " "
                    + Self.line(values) + "\n")
        }
        let indent = String(repeating: " ", count: nameWidth + countWidth + 2)
        try output.text(
            indent + "from \(Formatting.time(start(buckets.lowerBound))) "
                + "to \(Formatting.time(start(buckets.upperBound)))\n")
    }

    private func name(_ key: HistogramKey) -> String {
        let name = by == .session ? "\(key.number) \(key.name)" : key.name
        return key.store.map { "\($0) \(name)" } ?? name
    }

    /// Blocks of eight heights, to the scale of the line, up to the last one; a space for nothing, and for nothing else.
    static func line(_ values: [UInt64]) -> String {
        let heights = Array("▁▂▃▄▅▆▇█")
        let largest = Double(max(values.max() ?? 1, 1))
        let end = (values.lastIndex { $0 > 0 } ?? -1) + 1
        return String(
            values[..<end].map { value in
                value == 0 ? " " : heights[min(Int(Double(value) / largest * 8), 7)]
            })
    }
}
