import Foundation
import Testing

@testable import VarveCLI

@Suite("Tables, and readers that go away")
struct OutputTests {
    @Test(
        "The widest columns give way first and evenly, down to eight; numbers and times are never cut",
        arguments: [
            ([8, 30, 10], 60, [], [8, 30, 10]), ([8, 30, 10], 46, [], [8, 24, 10]),
            ([20, 30, 10], 40, [], [13, 13, 10]), ([20, 30, 10], 34, [], [10, 10, 10]),
            ([20, 30, 3], 1, [], [8, 8, 3]), ([8, 30, 100], 60, [0, 1], [8, 30, 18]),
            ([8, 30, 100], 20, [0, 1], [8, 30, 8]), ([], 10, [], []), ([100], 10, [], [10]),
            ([100], 10, [0], [100]), ([9, 9, 9], 30, [], [8, 9, 9]),
        ] as [([Int], Int, Set<Int>, [Int])])
    func fitting(widths: [Int], columns: Int, uncut: Set<Int>, fitting: [Int]) {
        #expect(TableLayout.fitting(widths, columns, uncut: uncut) == fitting)
    }

    @Test("At every width of a terminal a table has its rows, its numbers, and lines that fit where they can")
    func widths() {
        let rows = [
            [
                "7", "1970-01-01T00:00:00.000000000Z", "a session", "kind",
                "{\"a\":\"ä long payload, and longer\"}",
            ],
            ["12345678901", "1970-01-01T00:00:01.000000000Z", "s", "k\nk", ""],
        ]
        for columns in 1...150 {
            var table = StreamedTable(
                ["sequence", "time", "session", "kind", "payload"], rightAligned: [0], uncut: [0, 1],
                columnsMax: columns)
            var lines = rows.flatMap { table.add($0) }
            lines += table.finish()
            // After the widths are settled.
            lines += table.add(["99999999999999999999", "x", "s", "k", String(repeating: "p", count: 200)])
            #expect(lines.count == 4)
            #expect(lines[1].contains("          7  1970-01-01T00:00:00.000000000Z  "))
            #expect(lines[2].contains("12345678901  1970-01-01T00:00:01.000000000Z  "))
            #expect(lines[3].hasPrefix("99999999999999999999  "))
            #expect(lines.allSatisfy { !$0.contains("\n") })
            // Eight for each column that may be cut, and two between.
            if columns >= 11 + 30 + 3 * 8 + 8 { #expect(lines[..<3].allSatisfy { $0.count <= columns }) }
        }
    }

    @Test("A cell that is cut ends in a dot of three, and no character is cut in two")
    func cutting() {
        #expect(TableLayout.cut("abcdef", 6) == "abcdef")
        #expect(TableLayout.cut("abcdef", 5) == "abcd…")
        #expect(TableLayout.cut("äöü", 3) == "äöü")
        #expect(TableLayout.cut("äöüß", 3) == "äö…")
        #expect(TableLayout.cut("👩‍👩‍👧e\u{301}xy", 3) == "👩‍👩‍👧e\u{301}…")
        #expect(TableLayout.cut("ab", 1) == "…")
        #expect(TableLayout.cut("ab", 0) == "…")
    }

    static let readers: [[String]] = [
        ["query", "--order", "time"], ["query", "-C", "1", "-g", "n"],
        ["query", "--explain", "-o", "json", "--trailer"],
        ["histogram"], ["histogram", "--json", "--bucket", "1s"], ["histogram", "--csv"],
        ["histogram", "--by", "kind"],
        ["top", "--by", "n"], ["top", "--by", "kind", "--json"], ["top", "--by", "n", "--csv"], ["fields"],
        ["fields", "--json"], ["tail"], ["tail", "-o", "table"], ["query", "--count"],
        ["query", "-o", "csv"],
    ]

    @Test("A reader that goes away is no error", arguments: readers)
    func closedPipe(command: [String]) throws {
        let harness = try Harness()
        let store = harness.path("store")
        let lines = (0..<50).map { "{\"ts\":\(1000 + $0),\"n\":\($0)}\n" }.joined()
        try harness.succeed("record", store, input: Data(lines.utf8))
        let process = Process()
        process.executableURL = Harness.executable
        process.arguments = [command[0], store] + command.dropFirst()
        let (pipe, errors) = (Pipe(), Pipe())
        process.standardOutput = pipe
        process.standardError = errors
        try pipe.fileHandleForReading.close()
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 0)
        let said = String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self)
        #expect(!said.contains("error"))
    }

    @Test("What goes to a file or a pipe has no colours")
    func colours() throws {
        let harness = try Harness()
        let outcome = try harness.run("query", harness.path("none"))
        #expect(!outcome.errors.contains("\u{1b}"))
    }
}
