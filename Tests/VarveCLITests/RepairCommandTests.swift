import Foundation
import Testing

@Suite("varve repair")
struct RepairCommandTests {
    private let harness: Harness
    private var store: String { harness.path("store") }
    private var new: String { harness.path("new") }
    private let lines: String

    init() throws {
        harness = try Harness()
        lines = (0..<4000).map {
            "{\"n\":\($0),\"noise\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}\n"
        }.joined()
        try harness.succeed("record", harness.path("store"), "--session", "one", input: Data(lines.utf8))
    }

    private func segment() throws -> String {
        let names = try FileManager.default.contentsOfDirectory(atPath: store).filter { $0.hasSuffix(".seg") }
        return store + "/" + (try #require(names.first))
    }

    private func flip(_ offset: Int) throws {
        var data = try Data(contentsOf: URL(fileURLWithPath: try segment()))
        data[offset] ^= 0x10
        try data.write(to: URL(fileURLWithPath: try segment()))
    }

    @Test("An intact store is kept whole: status 0, and the same answers")
    func intact() throws {
        let outcome = try harness.succeed("repair", store, "--into", new)
        #expect(outcome.lines.last?.hasPrefix("kept all: 4,000 events, 1 session") == true)
        #expect(outcome.errors.isEmpty)
        #expect(try harness.succeed("query", new, "--output", "payload").text == lines)
        let sessions = try harness.succeed("sessions", store, "--json").text
        #expect(try harness.succeed("sessions", new, "--json").text == sessions)
        #expect(try harness.succeed("verify", new).text.hasPrefix("intact: "))
    }

    @Test("Damage: status 3, as JSON too, and the new store says what it lacks")
    func damaged() throws {
        try flip(20_000)
        let query = try harness.run("query", store, "--output", "payload")
        let outcome = try harness.run("repair", store, "--into", new, "--json", "--progress")
        #expect(outcome.status == 3)
        let report = try #require(try harness.objects(outcome).first)
        let gaps = try #require(report["gaps"] as? [[String: Any]])
        let range = try #require(gaps.first?["sequences"] as? [Int])
        #expect(report["intact"] as? Bool == false && gaps.count == 1)
        #expect(report["events"] as? Int == 4000 - (range[1] - range[0] + 1))
        #expect((report["damage"] as? [[String: Any]])?.count == 1)
        let after = try harness.run("query", new, "--output", "payload")
        #expect(after.status == 3 && after.text == query.text)
        #expect(after.errors.contains("not complete: sequences \(range[0]) to \(range[1])"))
        let verify = try harness.run("verify", new, "--json")
        let verified = try #require(try harness.objects(verify).first)
        #expect(verify.status == 3 && (verified["damage"] as? [Any])?.isEmpty == true)
        #expect((verified["gaps"] as? [[String: Any]])?.first?["sequences"] as? [Int] == range)
    }

    @Test("What can't be done is said in one line: status 1, and the source is as it was")
    func failures() throws {
        let before = try Data(contentsOf: URL(fileURLWithPath: try segment()))
        for (arguments, part) in [
            ([store, "--into", store], "not empty"), ([store, "--into", store + "/new"], "inside a store"),
            ([harness.path("none"), "--into", new], "not a store"),
        ] {
            let outcome = try harness.run(["repair"] + arguments)
            #expect(outcome.status == 1 && outcome.errors.contains(part))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        #expect(try harness.run("repair", store).status == 64)
        #expect(try Data(contentsOf: URL(fileURLWithPath: try segment())) == before)
        #expect(!FileManager.default.fileExists(atPath: new))
    }

    @Test("Segments alone are a store: every command reads them")
    func bareSegments() throws {
        let bare = harness.path("bare")
        try FileManager.default.createDirectory(atPath: bare, withIntermediateDirectories: false)
        try FileManager.default.copyItem(atPath: try segment(), toPath: bare + "/evidence.seg")
        #expect(try harness.succeed("query", bare, "--output", "payload").text == lines)
        #expect(
            try harness.succeed("sessions", bare, "--json").text
                == harness.succeed("sessions", store, "--json").text)
        #expect(try harness.succeed("info", bare).text.contains("4,000"))
        #expect(try harness.succeed("verify", bare).text.hasPrefix("intact: "))
        let exported = try harness.succeed("export", bare).lines.filter { $0.contains("\"event\"") }
        #expect(exported.count >= 4000)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bare) == ["evidence.seg"])
    }

    @Test("verify names a stray, and its status stays 0")
    func strays() throws {
        _ = try harness.file("store/notes.txt", Data("x".utf8))
        let outcome = try harness.succeed("verify", store)
        #expect(outcome.text.contains("notes.txt: no part of the log: not a name that Varve uses"))
        let report = try #require(try harness.objects(try harness.succeed("verify", store, "--json")).first)
        #expect((report["strays"] as? [[String: Any]])?.count == 1)
    }
}
