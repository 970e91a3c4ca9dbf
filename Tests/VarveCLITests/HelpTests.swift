import ArgumentParser
import Foundation
import Testing

@testable import VarveCLI

@Suite("Help, completions and man pages")
struct HelpTests {
    static let commands: [String] = VarveCommand.configuration.subcommands.map { $0._commandName }

    let harness: Harness

    init() throws { harness = try Harness() }

    /// The parts of a line of shell, without what stands behind a pipe or a redirection; nil where it has more of the shell than that.
    private func words(_ line: Substring) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in line {
            if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if "|>&;".contains(character) {
                break
            } else if character == " " {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }

    @Test(
        "Each command has an example that fits a terminal of 80 columns and is understood",
        arguments: commands)
    func examples(command: String) throws {
        let help = try harness.succeed(command, "--help").text
        #expect(help.contains("Example"))
        let discussion = help[..<(help.range(of: "\nUSAGE: ")?.lowerBound ?? help.endIndex)]
        let lines = discussion.split(separator: "\n", omittingEmptySubsequences: false)
        let examples = lines.indices.filter { lines[$0].hasPrefix("  ") }
        #expect(!examples.isEmpty)
        for place in examples {
            let line = lines[place]
            // The end of a line that was folded stands at the margin.
            let next = lines[place + 1]
            #expect(next.isEmpty || next.hasPrefix("  "), "\(line) is folded")
            let start = try #require(line.range(of: "varve ")?.upperBound)
            let text = line[start...]
            let arguments = FilterOptions.withJoinedValues(words(text))
            #expect(throws: Never.self, "\(line)") { try VarveCommand.parseAsRoot(arguments) }
        }
    }

    @Test("Completions know every command and its options", arguments: ["bash", "zsh", "fish"])
    func completions(shell: String) throws {
        let script = try harness.succeed("--generate-completion-script", shell).text
        for command in Self.commands { #expect(script.contains(command), "\(command)") }
        for option in ["grep", "where", "shift", "cursor-file", "bucket", "filters", "trailer"] {
            #expect(script.contains(option), "\(option)")
        }
        // The shell takes it, where it is here.
        for directory in ["/bin", "/usr/bin"] {
            let executable = URL(fileURLWithPath: "\(directory)/\(shell)")
            guard FileManager.default.isExecutableFile(atPath: executable.path) else { continue }
            let file = try harness.file("completions", Data(script.utf8))
            let check = try harness.run(["-n", file], executable: executable)
            #expect(check.status == 0 && check.errors.isEmpty, "\(check.errors)")
        }
    }

    @Test("Wrong usage is one line, and status 64", arguments: commands)
    func usage(command: String) throws {
        for arguments in [["--no-such-option"], []] {
            let outcome = try harness.run([command] + arguments)
            #expect(outcome.status == 64, "\(arguments)")
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("varve: error: "), "\(outcome.errors)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
    }

    @Test("What is no store is an error of every command that reads one", arguments: commands)
    func noStore(command: String) throws {
        let (none, file) = (harness.path("none"), try harness.file("file", Data("x".utf8)))
        let rest: [String: [String]] = [
            "top": ["--by", "a"], "copy": [harness.path("new")], "repair": ["--into", harness.path("new")],
            "pin": ["s"], "unpin": ["--sequence", "1.."], "state": ["--at-index", "0"], "diff": ["1", "2"],
        ]
        // These make a store.
        guard !["record", "import"].contains(command) else { return }
        for path in [none, file, harness.directory.path] {
            let outcome = try harness.run([command, path] + (rest[command] ?? []))
            #expect(outcome.status == 1, "\(path): \(outcome.text)")
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("varve: error: "), "\(outcome.errors)")
            #expect(outcome.errors.contains(path))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
    }
}
