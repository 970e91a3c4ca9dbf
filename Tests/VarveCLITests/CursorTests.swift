import Foundation
import Testing
import Varve
import VarveTestKit

@testable import VarveCLI

@Suite("Cursors: query --after, --show-cursor and --cursor-file")
struct CursorTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
        try record(0..<20)
    }

    private func record(_ numbers: Range<Int>, in store: String? = nil, session: String = "s") throws {
        let lines = numbers.map { "{\"ts\":\(1000 + $0),\"type\":\"k\($0 % 3)\",\"n\":\($0)}\n" }
        try harness.succeed(
            "record", store ?? self.store, "--session", session, input: Data(lines.joined().utf8))
    }

    private func sequences(_ outcome: Harness.Outcome) throws -> [Int] {
        try harness.objects(outcome).compactMap { $0["sequence"] as? Int }
    }

    /// The cursor behind an event.
    private func cursor(_ sequence: Int, of store: String? = nil) throws -> String {
        let said = try harness.succeed(
            "query", store ?? self.store, "--sequence", "\(sequence)", "-o", "payload", "--show-cursor"
        ).errors
        try #require(said.hasPrefix("cursor: ") && said.hasSuffix("\n"))
        return String(said.dropFirst(8).dropLast())
    }

    @Test("In pieces of any size everything comes once, in either direction", arguments: [4, 11, 100])
    func pieces(size: Int) throws {
        try record(20..<45, session: "t")
        for filter in [[], ["--kind", "k1"], ["--where", "n >= 5", "--sequence", "3..40"]] {
            for direction in [[], ["--reverse"]] {
                let arguments = ["query", store, "-o", "json"] + filter + direction
                let file = harness.path("cursor \(filter) \(direction)")
                var collected: [Int] = []
                while true {
                    let piece = try sequences(
                        harness.run(arguments + ["--limit", "\(size)", "--cursor-file", file]))
                    #expect(piece.count <= size)
                    if piece.isEmpty { break }
                    collected += piece
                }
                #expect(collected == (try sequences(harness.run(arguments))))
            }
        }
    }

    @Test("Later runs get what was recorded since, and the file holds what --show-cursor says")
    func later() throws {
        let file = harness.path("cursor")
        let arguments = ["query", store, "-o", "json", "--cursor-file", file, "--show-cursor"]
        let first = try harness.run(arguments)
        #expect(try sequences(first) == Array(0..<20))
        #expect(try "cursor: " + String(contentsOfFile: file, encoding: .utf8) == first.errors)
        let none = try harness.run(arguments)
        #expect(none.output.isEmpty && none.errors == first.errors && none.status == 0)
        try record(20..<23)
        #expect(try sequences(harness.run(arguments)) == [20, 21, 22])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: harness.directory.path)
                .allSatisfy { !$0.hasSuffix(".tmp") })
    }

    @Test("--after goes before the file, and does not hinder keeping")
    func precedence() throws {
        let file = try harness.file("cursor", Data("\(try cursor(15))\n".utf8))
        let outcome = try harness.succeed(
            "query", store, "-o", "json", "--cursor-file", file, "--after", cursor(3), "--limit", "2")
        #expect(try sequences(outcome) == [4, 5])
        #expect(try String(contentsOfFile: file, encoding: .utf8).hasSuffix("/1/5\n"))
    }

    @Test("Where nothing matches, the cursor stays where it was")
    func nothing() throws {
        let file = try harness.file("cursor", Data("\(try cursor(7))\n".utf8))
        let outcome = try harness.succeed(
            "query", store, "--kind", "none", "--cursor-file", file, "--show-cursor")
        #expect(outcome.output.isEmpty && outcome.errors.hasSuffix("/1/7\n"))
        let fresh = harness.path("fresh")
        let without = try harness.succeed(
            "query", store, "--kind", "none", "--cursor-file", fresh, "--show-cursor")
        #expect(without.errors.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: fresh))
    }

    @Test("Counting moves it like printing; asking with --quiet does not")
    func countingAndAsking() throws {
        // Counting took a short way that forgot the cursor, and asking moved it past an event that nobody had seen.
        let file = harness.path("cursor")
        let quiet = ["query", store, "--cursor-file", file, "--quiet"]
        #expect(try harness.run(quiet).status == 0)
        #expect(try harness.run(quiet).status == 0)
        let count = ["query", store, "--cursor-file", file, "--count"]
        #expect(try harness.run(count).text == "20\n")
        #expect(try harness.run(count).text == "0\n")
        #expect(try harness.run(quiet).status == 4)
        try record(20..<22)
        #expect(try harness.run(quiet).status == 0)
        #expect(try harness.run(count).text == "2\n")
        let after = try cursor(4)
        for explain in [[], ["--explain"]] {
            let outcome = try harness.run(
                ["query", store, "--count", "--after", after, "--kind", "k0"] + explain)
            #expect(outcome.text == "6\n")
        }
    }

    @Test("The trailer says it too")
    func trailer() throws {
        let outcome = try harness.succeed(
            "query", store, "-o", "json", "--limit", "2", "--trailer", "--after", cursor(3))
        #expect(
            outcome.lines.last == #"{"events":2,"complete":true,"gaps":[],"cursor":"\#(try cursor(5))"}"#)
        let none = try harness.succeed("query", store, "-o", "json", "--kind", "none", "--trailer")
        #expect(none.text == #"{"events":0,"complete":true,"gaps":[]}"# + "\n")
    }

    @Test("A cursor of another store is refused, and the file stays as it was")
    func anotherStore() throws {
        let other = harness.path("other")
        try record(0..<20, in: other)
        let foreign = try cursor(3, of: other)
        let file = try harness.file("cursor", Data("\(foreign)\n".utf8))
        for arguments in [["--after", foreign], ["--cursor-file", file]] {
            let outcome = try harness.run(["query", store] + arguments)
            #expect(outcome.status == 1 && outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("varve: error: position \(foreign): it is one of another store"))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(foreign)\n")
    }

    @Test("A cursor of events that were lost when the store was put back to an older copy is refused")
    func lostEpoch() throws {
        let backup = harness.path("backup")
        try FileManager.default.copyItem(atPath: store, toPath: backup)
        try record(20..<30)
        let lost = try cursor(25)
        try FileManager.default.removeItem(atPath: store)
        try FileManager.default.copyItem(atPath: backup, toPath: store)
        let behind = try harness.run("query", store, "--after", lost)
        #expect(behind.status == 1)
        #expect(
            behind.errors
                == "varve: error: position \(lost): the store has not come so far: it was put back to an older state\n"
        )
        // What stands at these numbers now is recorded in an opening with the same number as the lost one,
        // unless there were more of them.
        try record(20..<22)
        try record(22..<40)
        let taken = try harness.run("query", store, "--after", lost)
        #expect(taken.status == 1)
        #expect(taken.errors.contains("the store has given this number to another event since"))
    }

    @Test(
        "A file that holds something else is refused",
        arguments: ["", "\n", "x", "abc/1/2\n", "00000000-0000-0000-0000-000000000000/1\n", "\u{0}\u{0}"])
    func badFiles(content: String) throws {
        let file = try harness.file("cursor", Data(content.utf8))
        let outcome = try harness.run("query", store, "--cursor-file", file)
        #expect(outcome.status == 1 && outcome.output.isEmpty)
        #expect(
            outcome.errors
                == "varve: error: \(file): holds no cursor: remove it, or name another file\n")
    }

    @Test("A file cut off at any byte is refused, and is no cursor of a lesser number")
    func truncated() throws {
        let whole = Array("\(try cursor(13))\n".utf8)
        for length in 0..<whole.count {
            let file = try harness.file("cursor", Data(whole[..<length]))
            let options = try CursorOptions.parse(["--cursor-file", file])
            #expect(throws: CommandFailure.self, "\(length) bytes") { try options.start() }
        }
    }

    @Test("A directory, and a file in a directory that is not there, are errors of the file")
    func unusableFiles() throws {
        for path in [harness.directory.path, harness.path("none/cursor")] {
            let outcome = try harness.run("query", store, "--cursor-file", path, "--limit", "1")
            #expect(outcome.status == 1)
            #expect(outcome.errors.hasPrefix("varve: error: ") && outcome.errors.contains(path))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
    }

    @Test(
        "What is no cursor is wrong usage",
        arguments: ["", "x", "1/2/3", "//", "00000000-0000-0000-0000-000000000000/1/-1"])
    func badValues(value: String) throws {
        let outcome = try harness.run("query", store, "--after", value)
        #expect(outcome.status == 64)
        #expect(outcome.errors == "varve: error: --after \(value): not a cursor: STORE/EPOCH/SEQUENCE\n")
    }
}
