/// Rows as a Markdown table whose columns are aligned. The first row is the head; numbers stand on the right, but for the columns
/// `onTheLeft`.
func markdownTable(_ rows: [[String]], onTheLeft: Set<Int> = [0]) -> String {
    guard let head = rows.first else { return "" }
    let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
        let cells = row.enumerated().map { column, cell in
            let padding = String(repeating: " ", count: widths[column] - cell.count)
            return onTheLeft.contains(column) ? cell + padding : padding + cell
        }
        return "| " + cells.joined(separator: " | ") + " |"
    }
    let rule = widths.enumerated().map { column, width in
        onTheLeft.contains(column)
            ? String(repeating: "-", count: width + 2) : String(repeating: "-", count: width + 1) + ":"
    }
    lines.insert("|" + rule.joined(separator: "|") + "|", at: 1)
    return lines.joined(separator: "\n")
}
