import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Numbers and texts for people.
enum Formatting {
    /// `2026-05-10T12:34:56.1Z`: no more digits than are needed.
    static func time(_ nanoseconds: Int64) -> String {
        var buffer = ByteBuffer(capacity: 32)
        RFC3339.appendShortest(nanoseconds, to: &buffer)
        return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// `sequence 7`, `sequences 7 to 9`.
    static func sequences(_ range: ClosedRange<UInt64>) -> String {
        range.lowerBound == range.upperBound
            ? "sequence \(range.lowerBound)" : "sequences \(range.lowerBound) to \(range.upperBound)"
    }

    /// `sequences 7 to 9: damage: the checksum is wrong`.
    static func gap(_ gap: Gap) -> String {
        "\(sequences(gap.sequences)): \(gap.reason.rawValue)" + (gap.note.isEmpty ? "" : ": \(gap.note)")
    }

    /// `6,026`.
    static func count(_ value: UInt64) -> String {
        let digits = String(value)
        var text = ""
        for (position, digit) in digits.enumerated() {
            if position > 0, (digits.count - position).isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return text
    }

    /// `1 event`, `2 events`.
    static func count(_ value: UInt64, _ noun: String) -> String {
        "\(count(value)) \(noun)\(value == 1 ? "" : "s")"
    }

    /// Decimal units, one digit after the point: `43.5 MB`; `999 B`.
    static func bytes(_ value: UInt64) -> String {
        guard value >= 1000 else { return "\(value) B" }
        var (number, unit) = (Double(value) / 1000, 0)
        let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
        // 999.95 would be printed as 1000.0.
        while number >= 999.95, unit < units.count - 1 {
            number /= 1000
            unit += 1
        }
        return "\(oneDecimal(number)) \(units[unit])"
    }

    /// How many times smaller: `15.5x`.
    static func ratio(_ raw: UInt64, _ stored: UInt64) -> String {
        guard stored > 0 else { return "-" }
        return "\(oneDecimal(Double(raw) / Double(stored)))x"
    }

    /// `3 s`, `2 min 5 s`, `1 h 10 min`.
    static func duration(seconds: Double) -> String {
        // A rate near zero gives anything up to infinity.
        guard seconds.isFinite, seconds < 1e9 else { return "long" }
        let whole = Int(seconds.rounded(.up))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }

    static func oneDecimal(_ value: Double) -> String {
        let tenths = (value * 10).rounded()
        guard tenths.isFinite, abs(tenths) < 1e15 else { return "\(value)" }
        let whole = Int(tenths)
        return "\(whole / 10).\(abs(whole % 10))"
    }

    /// The text on one line, without anything that moves a terminal's cursor or colours.
    static func oneLine(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == 0xc2 }) else { return nil }
            var buffer = ByteBuffer(capacity: bytes.count + 16)
            buffer.appendReadable(UnsafeRawBufferPointer(bytes))
            return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        } ?? text
    }
}

/// A table for people: columns as wide as their widest cell, two spaces between them.
struct TextTable {
    private var rows: [[String]]
    /// Which columns stand to the right (numbers).
    private let rightAligned: Set<Int>
    private let columnsMax: Int?

    /// - Parameter columnsMax: what a line may take; cells are cut for that. `nil`: as much as there is.
    init(_ header: [String], rightAligned: Set<Int> = [], columnsMax: Int? = nil) {
        rows = [header.map(Formatting.oneLine)]
        self.rightAligned = rightAligned
        self.columnsMax = columnsMax
    }

    mutating func add(_ cells: [String]) { rows.append(cells.map(Formatting.oneLine)) }

    func lines() -> [String] {
        let needed = TableLayout.widths(of: rows)
        let widths = columnsMax.map { TableLayout.fitting(needed, $0, uncut: rightAligned) } ?? needed
        return rows.map {
            let row = columnsMax == nil ? $0 : TableLayout.cut($0, widths, uncut: rightAligned)
            return TableLayout.line(row, widths, rightAligned)
        }
    }
}

/// How the rows of a table for people are laid out.
enum TableLayout {
    /// The width of each column.
    static func widths(of rows: [[String]]) -> [Int] {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return widths
    }

    /// Widths that fit into so many columns with the two spaces between them: the widest ones give way first, down to eight.
    ///
    /// - Parameter uncut: columns that keep their width: a part of a number or of a time is a wrong one.
    static func fitting(_ widths: [Int], _ columns: Int, uncut: Set<Int> = []) -> [Int] {
        var widths = widths
        let room = columns - 2 * max(widths.count - 1, 0)
        var excess = widths.reduce(0, +) - room
        let free = widths.indices.filter { !uncut.contains($0) }
        while excess > 0, let widest = free.map({ widths[$0] }).max(), widest > 8 {
            // Down to the next narrower ones, evenly.
            let places = free.filter { widths[$0] == widest }
            let next = max(free.map { widths[$0] }.filter { $0 < widest }.max() ?? 8, 8)
            let step = min(max(excess / places.count, 1), widest - next)
            for place in places where excess > 0 {
                let less = min(step, excess)
                widths[place] -= less
                excess -= less
            }
        }
        return widths
    }

    /// The cell, cut to the width where it is wider.
    static func cut(_ cell: String, _ width: Int) -> String {
        // Bytes are never fewer than characters.
        guard cell.utf8.count > width, cell.count > width else { return cell }
        return cell.prefix(max(width - 1, 0)) + "…"
    }

    /// The row, its cells cut to the widths but for those that are not to be.
    static func cut(_ row: [String], _ widths: [Int], uncut: Set<Int>) -> [String] {
        row.indices.map { uncut.contains($0) ? row[$0] : cut(row[$0], widths[$0]) }
    }

    /// A row with its cells padded to those widths; cells may be wider.
    static func line(_ row: [String], _ widths: [Int], _ rightAligned: Set<Int>) -> String {
        var line = ""
        for (column, cell) in row.enumerated() {
            let padding = String(repeating: " ", count: max(0, widths[column] - cell.count))
            if column > 0 { line += "  " }
            if rightAligned.contains(column) {
                line += padding + cell
            } else {
                line += column == row.count - 1 ? cell : cell + padding
            }
        }
        return line
    }
}

/// The position of the first such byte.
func position(of byte: UInt8, in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let base = bytes.baseAddress, let found = memchr(base, Int32(byte), bytes.count) else { return nil }
    return UnsafeRawPointer(found) - base
}

/// The position of the first CR or LF.
func firstLineBreak(in bytes: UnsafeRawBufferPointer) -> Int? {
    let newline = position(of: 0x0A, in: bytes)
    let before = newline.map { UnsafeRawBufferPointer(rebasing: bytes[..<$0]) } ?? bytes
    return position(of: 0x0D, in: before) ?? newline
}
