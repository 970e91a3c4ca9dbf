import Foundation
import Testing

@Suite("varve record -- COMMAND")
struct CommandModeTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func events() throws -> [[String: Any]] {
        try harness.objects(harness.succeed("query", store, "--output", "json"))
    }

    @Test("Output and errors are passed through and recorded between start and exit")
    func passesThrough() throws {
        let outcome = try harness.run(
            "record", store, "--", "sh", "-c", "echo out; printf 'part'; printf 'err\\r\\n' >&2; exit 7")
        #expect(outcome.status == 7)
        #expect(outcome.text == "out\npart")
        #expect(outcome.errors.hasPrefix("err\r\n"))
        let events = try events()
        #expect(events.count == 5)
        let process = events.compactMap { $0["kind"] as? String == "process" ? $0["payload"] as? [String: Any] : nil }
        #expect(process.first?["event"] as? String == "start")
        #expect(process.first?["command"] as? [String] == [
            "sh", "-c", "echo out; printf 'part'; printf 'err\\r\\n' >&2; exit 7",
        ])
        #expect(process.last?["event"] as? String == "exit")
        #expect(process.last?["status"] as? Int == 7)
        #expect(events.filter { $0["kind"] as? String == "stdout" }.compactMap { $0["payload"] as? String } == ["out", "part"])
        #expect(events.filter { $0["kind"] as? String == "stderr" }.compactMap { $0["payload"] as? String } == ["err\r"])
    }

    @Test("A command that a signal ends gives 128 and the signal")
    func signalled() throws {
        #expect(try harness.run("record", store, "--", "sh", "-c", "kill -TERM $$").status == 143)
        #expect((try events().last?["payload"] as? [String: Any])?["signal"] as? Int == 15)
    }

    @Test("A command that isn't there gives 127, one that can't be run 126, and a recording that can't begin 125")
    func failures() throws {
        #expect(try harness.run("record", store, "--", harness.path("nothing")).status == 127)
        let plain = try harness.file("plain", Data("no program".utf8))
        #expect(try harness.run("record", store, "--", plain).status == 126)
        let outcome = try harness.run("record", plain, "--", "echo", "not run")
        #expect(outcome.status == 125)
        #expect(outcome.text.isEmpty)
        #expect(outcome.errors.hasPrefix("varve: error: "))
    }

    @Test("A signal is passed on to the command")
    func forwardsSignals() throws {
        let conversation = try Conversation(
            harness, "record", store, "--", "sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while read x; do :; done")
        #expect(try conversation.nextLine() == "ready")
        conversation.signal(SIGTERM)
        // The shell handles the trap when its read returns.
        try conversation.send("x\n")
        #expect(try conversation.nextLine() == "caught")
        #expect(try conversation.finish().status == 3)
    }

    @Test("The command reads the caller's standard input")
    func standardInput() throws {
        #expect(try harness.run("record", store, "--", "cat", input: Data("a\nb".utf8)).text == "a\nb")
    }

    @Test("With --pty the command writes to a terminal, which changes nothing of it")
    func pseudoTerminal() throws {
        let outcome = try harness.run("record", store, "--pty", "--", "sh", "-c", "[ -t 1 ] && [ -t 2 ] && printf 'a\\nb\\n'")
        #expect(outcome.status == 0)
        #expect(outcome.text == "a\nb\n")
        #expect(try events().compactMap { $0["payload"] as? String } == ["a", "b"])
    }

    @Test("A command whose output nobody reads is told so, as without the recording")
    func closedPipe() throws {
        let script = "'\(Harness.executable.path)' record '\(store)' -- yes | head -n 1"
        let outcome = try harness.run(["-c", script], executable: URL(fileURLWithPath: "/bin/sh"))
        #expect(outcome.text == "y\n")
        #expect((try events().last?["payload"] as? [String: Any])?["signal"] as? Int == Int(SIGPIPE))
    }
}
