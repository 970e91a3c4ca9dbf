import Foundation
import Testing
import VarveTestKit

/// A process that a test runs, feeds, kills, and reads from. It is killed when the object ends.
final class ChildProcess {
    /// How it ended: its exit code, or the signal that ended it.
    enum Outcome: Equatable {
        case exited(Int32)
        case signalled(Int32)
    }

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let errors: URL
    private(set) var text = Data()

    /// Starts it. Standard output comes through a pipe, which it must not fill unread before `finish`.
    init(_ executable: URL, _ arguments: [String]) throws {
        errors = FileManager.default.temporaryDirectory.appendingPathComponent(
            "varve-err-\(UUID().uuidString)")
        try Data().write(to: errors)
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
    }

    /// Starts a tool of the system, which is looked for in the usual directories.
    convenience init(tool: String, _ arguments: [String]) throws {
        try self.init(URL(fileURLWithPath: "/usr/bin/env"), [tool] + arguments)
    }

    deinit {
        if process.isRunning { kill() }
        try? FileManager.default.removeItem(at: errors)
    }

    /// Reads until there are so many lines in all, or for so long, or until the process has closed its output.
    func read(lines: Int = .max, milliseconds: Int = 1000 * waitSecondsMax) {
        var count = text.count { $0 == 0x0A }
        let deadline = DispatchTime.now().uptimeNanoseconds + UInt64(milliseconds) * 1_000_000
        let descriptor = output.fileHandleForReading.fileDescriptor
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while count < lines {
            let now = DispatchTime.now().uptimeNanoseconds
            guard now < deadline else { return }
            let wait = Int32(clamping: (deadline - now + 999_999) / 1_000_000)
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, wait) > 0 else { continue }
            let got = Foundation.read(descriptor, &buffer, buffer.count)
            guard got > 0 else { return }
            text += buffer[..<got]
            count += buffer[..<got].count { $0 == 0x0A }
        }
    }

    /// Reads what it has said by now.
    func drain() {
        var request = pollfd(
            fd: output.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
        var before = -1
        while text.count > before, poll(&request, 1, 0) > 0 {
            before = text.count
            read(lines: text.count { $0 == 0x0A } + 1, milliseconds: 1)
        }
    }

    /// Lines so far; one that was cut off is none.
    var lines: [String] {
        text.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    func send(_ text: String) throws { try input.fileHandleForWriting.write(contentsOf: Data(text.utf8)) }

    func kill() { Foundation.kill(process.processIdentifier, SIGKILL) }

    /// Reads what is left, and waits for the end. A process that has not ended after ``waitSecondsMax`` is killed, and the test has failed.
    @discardableResult
    func finish() throws -> Outcome {
        try? input.fileHandleForWriting.close()
        read()
        var request = pollfd(fd: output.fileHandleForReading.fileDescriptor, events: 0, revents: 0)
        if poll(&request, 1, 0) == 0, process.isRunning {
            Issue.record("it does not end: \(process.arguments ?? [])")
            kill()
        }
        process.waitUntilExit()
        return process.terminationReason == .exit
            ? .exited(process.terminationStatus) : .signalled(process.terminationStatus)
    }

    /// What it said on standard error, up to now.
    var errorText: String { (try? String(decoding: Data(contentsOf: errors), as: UTF8.self)) ?? "" }

    /// Runs the built command to its end.
    static func varve(_ arguments: String...) throws -> (outcome: Outcome, text: String, errors: String) {
        try run(BuiltProducts.url("varve"), arguments)
    }

    /// Runs a shell's script with arguments, `$1` and so on, to its end.
    static func shell(_ script: String, _ arguments: String...) throws
        -> (outcome: Outcome, text: String, errors: String)
    {
        try run(URL(fileURLWithPath: "/bin/sh"), ["-c", script, "sh"] + arguments)
    }

    static func run(_ executable: URL, _ arguments: [String]) throws
        -> (outcome: Outcome, text: String, errors: String)
    {
        let child = try ChildProcess(executable, arguments)
        let outcome = try child.finish()
        return (outcome, String(decoding: child.text, as: UTF8.self), child.errorText)
    }
}
