import Foundation
import Testing

@Suite("Articles")
struct ArticleTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let catalogue = "Sources/Varve/Varve.docc"

    /// Paths from the root of the files below a directory, sorted.
    private static func files(under directory: String, _ pathExtension: String) -> [String] {
        let all = FileManager.default.enumerator(atPath: root.appending(path: directory).path)?.allObjects
        return (all as? [String] ?? []).filter { $0.hasSuffix("." + pathExtension) }.sorted()
            .map { "\(directory)/\($0)" }
    }

    private static func lines(of file: String) throws -> [String] {
        try String(contentsOf: root.appending(path: file), encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false
        ).map(String.init)
    }

    /// Without the indentation that all lines have.
    private static func dedented(_ lines: some Sequence<String>) -> [String] {
        let indented = lines.map { $0.allSatisfy { $0 == " " } ? "" : $0 }
        let depth = indented.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
        return indented.map { String($0.dropFirst(depth)) }
    }

    /// The blocks of Swift in an article.
    static func blocks(in article: [String]) -> [[String]] {
        var blocks: [[String]] = []
        var block: [String]?
        for line in article {
            if line == "```", let found = block {
                blocks.append(found)
                block = nil
            } else if line == "```swift" {
                block = []
            } else {
                block?.append(line)
            }
        }
        return blocks
    }

    /// Whether a block is a part of a source: the same lines, but for the indentation that all of them have.
    static func isRegion(_ block: [String], of source: [String]) -> Bool {
        let block = dedented(block)
        guard !block.isEmpty, block.count <= source.count else { return false }
        return (0...source.count - block.count).contains { start in
            // Most places are told apart by their first line.
            source[start].hasSuffix(block[0]) && dedented(source[start..<start + block.count]) == block
        }
    }

    static let articles = files(under: catalogue, "md")
    private static let sources = files(under: "Tests/DocumentationTests", "swift")

    @Test("There are the five articles and the module's page")
    func thereAre() {
        let names = [
            "DurabilityAndRecovery", "LimitsAndCompaction", "Querying", "Recording", "TimeTravelAndReplay",
            "Varve",
        ]
        #expect(Self.articles == names.map { "\(Self.catalogue)/\($0).md" })
    }

    @Test("An article's code is that of these tests, line for line", arguments: articles)
    func code(article: String) throws {
        let blocks = Self.blocks(in: try Self.lines(of: article))
        #expect(!blocks.isEmpty)
        let sources = try Self.sources.map { try Self.lines(of: $0) }
        for block in blocks {
            let isFound = sources.contains { Self.isRegion(block, of: $0) }
            #expect(isFound, "no test has this:\n\(block.joined(separator: "\n"))")
        }
    }

    @Test(
        "A program stands whole in an article",
        arguments: files(under: "Tests/DocumentationTests/Programs", "swift"))
    func program(file: String) throws {
        var program = try Self.lines(of: file)
        // The line after the last one.
        #expect(program.popLast() == "")
        let blocks = try Self.articles.flatMap { Self.blocks(in: try Self.lines(of: $0)) }
        #expect(blocks.contains(program))
    }

    @Test("A block that differs is noticed")
    func notices() {
        let source = ["func f() {", "    let a = 1", "", "    if a == 1 {", "        g()", "    }", "}"]
        #expect(Self.isRegion(["let a = 1", "", "if a == 1 {", "    g()", "}"], of: source))
        #expect(Self.isRegion(source, of: source))
        #expect(!Self.isRegion(["let a = 1", "if a == 1 {"], of: source))
        #expect(!Self.isRegion(["let a = 1", "", "if a == 1 {", "g()", "}"], of: source))
        #expect(!Self.isRegion(["let a = 2"], of: source))
        #expect(!Self.isRegion(["a = 1"], of: source))
        #expect(!Self.isRegion([], of: source))
        #expect(Self.blocks(in: ["a", "```swift", "b", "", "```", "```sh", "c", "```"]) == [["b", ""]])
    }
}
