import Foundation
import Testing
import Varve
import VarveTestKit

/// The built command records 400 lines under strace, which makes one of its system calls fail, or kills it there.
@Suite("Whatever system call fails, the command says so, and keeps what it acknowledged")
struct SystemCallTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        var call: String
        var fault: String
        /// What standard error must say; nil: the command was killed.
        var message: String?
        var testDescription: String { "\(call) meets \(fault)" }
    }

    static let faults: [Fault] = {
        let failing = [
            ("pwrite64", "EIO", "input/output error"), ("pwrite64", "ENOSPC", "no space left"),
            ("fdatasync", "EIO", "input/output error"), ("fdatasync", "ENOSPC", "no space left"),
            ("fsync", "EIO", "input/output error"), ("renameat2", "EIO", "input/output error"),
            ("renameat2", "ENOSPC", "no space left"), ("mkdir", "ENOSPC", "no space left"),
        ]
        return failing.map { Fault(call: $0.0, fault: "error=\($0.1)", message: $0.2) }
            + ["pwrite64", "fdatasync", "fsync", "renameat2"].map { Fault(call: $0, fault: "signal=SIGKILL") }
    }()

    private static func line(_ number: Int) -> String { "{\"kind\":\"k\(number % 5)\",\"number\":\(number)}" }
    private static let lineCount = 400

    private static func input(in directory: TemporaryDirectory) throws -> String {
        let path = directory.path("lines")
        let text = (0..<lineCount).map { line($0) + "\n" }.joined()
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Records under strace. Whether the fault was met is told by strace's own log.
    private static func record(
        _ injection: String, of calls: String, _ input: String, into store: String, log: String
    ) throws -> (outcome: ChildProcess.Outcome, acknowledged: Int, errors: String, injected: Int) {
        let run = try ChildProcess.shell(
            """
            exec strace -f -qq -o "$1" -e signal=none -e trace=\(calls) -e inject=\(calls):\(injection) \
            "$2" record "$3" --session flight --durability synced --acks --input "$4"
            """, log, BuiltProducts.url("varve").path, store, input)
        let traced = try String(contentsOfFile: log, encoding: .utf8)
        let isKill = injection.hasPrefix("signal")
        let injected =
            isKill && run.outcome == .signalled(SIGKILL)
            ? 1 : traced.components(separatedBy: "(INJECTED)").count - 1
        let lines = run.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        let numbers = lines.prefix { $0.allSatisfy(\.isNumber) }
        for (position, number) in numbers.enumerated() where Int(number) != position {
            Issue.record("acknowledgment \(position) is \(number)")
        }
        return (run.outcome, numbers.count, run.errors, injected)
    }

    /// The events that are there are the first lines; how many. Nothing is damaged.
    private static func check(_ store: String, _ name: Comment) throws -> Int {
        guard EventStore.exists(at: store) else { return 0 }
        var counts: [Int] = []
        for isWriting in [false, true] {
            let opened = isWriting ? try EventStore.open(store) : try EventStore.openReadOnly(store)
            var count = 0
            var cursor = try opened.cursor()
            while let event = try cursor.nextEvent() {
                #expect(event.payload == Array(line(count).utf8) && event.index == UInt64(count), name)
                count += 1
            }
            counts.append(count)
            let report = try opened.verify()
            #expect(report.damage == [], name)
            try opened.close()
        }
        #expect(counts[0] <= counts[1], name)
        return counts.min() ?? 0
    }

    @Test("each in turn", .needs(Machine.strace), arguments: faults)
    func each(_ fault: Fault) throws {
        let directory = try TemporaryDirectory()
        let input = try Self.input(in: directory)
        var (number, lost) = (1, 0)
        while true {
            let store = directory.path("store-\(number)")
            let run = try Self.record(
                "\(fault.fault):when=\(number)", of: fault.call, input, into: store,
                log: directory.path("log-\(number)"))
            let name = Comment(rawValue: "\(fault.testDescription), number \(number): \(run.errors)")
            if run.injected == 0 {
                #expect(run.outcome == .exited(0) && run.acknowledged == Self.lineCount, name)
                break
            }
            if let message = fault.message {
                // A failure after all was acknowledged may be one that the library made good, or none of the recording.
                if run.outcome == .exited(0) {
                    #expect(run.acknowledged == Self.lineCount, name)
                } else {
                    #expect(run.outcome == .exited(1), name)
                    // What was recorded before may be summed up first.
                    #expect(
                        run.errors.split(separator: "\n").contains {
                            $0.hasPrefix("varve: error:") && $0.contains(message)
                        }, name)
                }
            } else {
                #expect(run.outcome == .signalled(SIGKILL), name)
            }
            let kept = try Self.check(store, name)
            #expect(kept >= run.acknowledged, name)
            lost += max(0, run.acknowledged - kept)
            number += 1
        }
        #expect(number > 1)
        tortureFigure(
            "system calls: \(fault.testDescription)", asked: number - 1, reached: number - 1,
            ["lost-acknowledged": lost])
    }

    // A short write can't be injected: strace would make up the count, and write nothing. `transferFully` has its own tests, and a
    // limit on the size of files makes the system really write less (`LimitTests`).
    @Test("Interrupted calls are made again", .needs(Machine.strace))
    func interrupted() throws {
        let directory = try TemporaryDirectory()
        let store = directory.path("store")
        // strace counts for each thread on its own: the first call of each, and every second one after it.
        let run = try Self.record(
            "error=EINTR:when=1+2", of: "pwrite64,fdatasync,fsync,renameat2",
            try Self.input(in: directory),
            into: store, log: directory.path("log"))
        #expect(run.injected > 5)
        #expect(run.outcome == .exited(0) && run.acknowledged == Self.lineCount, "\(run.errors)")
        #expect(try Self.check(store, "interrupted") == Self.lineCount)
    }
}
