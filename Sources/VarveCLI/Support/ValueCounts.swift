import VarveJSON

/// How often values occur together, up to what memory should hold.
struct ValueCounts {
    typealias Row = [JSONPathReader.Value]

    private let valuesMax: Int
    private let bytesMax: Int
    private let combinationsMax: Int
    private var counts: [Row: UInt64] = [:]
    /// Of the texts in the rows.
    private var bytes = 0
    /// Rows that found no room.
    private var untold: UInt64 = 0
    /// Combinations within one event that were too many.
    private var uncombined: UInt64 = 0

    init(valuesMax: Int = 1_000_000, bytesMax: Int = 256_000_000, combinationsMax: Int = 10_000) {
        self.valuesMax = valuesMax
        self.bytesMax = bytesMax
        self.combinationsMax = combinationsMax
    }

    /// Adds an event: each value of a column with each of the others, once each. False where a column has none.
    mutating func add(_ columns: [Row]) -> Bool {
        if columns.allSatisfy({ $0.count == 1 }) {
            add(columns.map { $0[0] }, 1)
            return true
        }
        if columns.contains(where: \.isEmpty) { return false }
        if columns.count == 1 {
            for value in Set(columns[0]) { add([value], 1) }
            return true
        }
        var rows: [Row] = [[]]
        var wanted: UInt64 = 1
        for column in columns {
            let distinct = Set(column)
            let (product, isOver) = wanted.multipliedReportingOverflow(by: UInt64(distinct.count))
            wanted = isOver ? .max : product
            rows = Array(
                rows.lazy.flatMap { row in distinct.lazy.map { row + [$0] } }.prefix(combinationsMax))
        }
        for row in rows { add(row, 1) }
        uncombined = uncombined.saturating(adding: wanted - UInt64(rows.count))
        return true
    }

    /// Adds to a row's count.
    mutating func add(_ row: Row, _ count: UInt64) {
        if let known = counts[row] {
            counts[row] = known + count
            return
        }
        let length = row.reduce(0) { $0 + $1.byteCount }
        guard counts.count < valuesMax, length <= bytesMax - bytes else {
            untold = untold.saturating(adding: count)
            return
        }
        bytes += length
        counts[row] = count
    }

    /// The most frequent ones first; of equally frequent ones by what they look like.
    func top(_ countMax: Int) -> [(key: Row, value: UInt64)] {
        guard countMax > 0 else { return [] }
        var chosen = Array(counts)
        if counts.count > countMax {
            let least = counts.values.sorted(by: >)[countMax - 1]
            chosen.removeAll { $0.value < least }
        }
        chosen.sort { $0.value > $1.value }
        // Texts are made of those alone that are equally frequent.
        var start = 0
        while start < min(countMax, chosen.count) {
            let count = chosen[start].value
            let end = chosen[start...].firstIndex { $0.value != count } ?? chosen.count
            if end - start > 1 {
                let tied = chosen[start..<end].map { (text: Self.text($0.key), entry: $0) }
                    .sorted { $0.text < $1.text }
                chosen.replaceSubrange(start..<end, with: tied.map(\.entry))
            }
            start = end
        }
        return Array(chosen.prefix(countMax))
    }

    /// What is not counted.
    var notes: [String] {
        var notes: [String] = []
        if untold > 0 {
            notes.append(
                "there are more different values than are kept (\(Formatting.count(UInt64(valuesMax))), and "
                    + "\(Formatting.bytes(UInt64(bytesMax)))): \(Formatting.count(untold)) of those that came later "
                    + "are not counted")
        }
        if uncombined > 0 {
            notes.append(
                "of an event at most \(Formatting.count(UInt64(combinationsMax))) combinations of values are "
                    + "counted: \(Formatting.count(uncombined)) are not")
        }
        return notes
    }

    private static func text(_ row: Row) -> String {
        row.map { $0.text(quoted: true) }.joined(separator: "\u{0}")
    }
}

extension JSONPathReader.Value {
    /// Of its text.
    fileprivate var byteCount: Int {
        switch self {
        case .number(let text), .string(let text): text.utf8.count
        default: 0
        }
    }
}
