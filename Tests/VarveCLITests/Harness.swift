import Foundation
import Testing
import VarveTestKit

/// Runs the built command on stores in a directory of its own, which goes away with it.
final class Harness {
    /// What a run of the command left.
    struct Outcome {
        var status: Int32
        var output: Data
        var errors: String
        var text: String { String(decoding: output, as: UTF8.self) }
        var lines: [String] { text.split(separator: "\n").map(String.init) }
        /// Lines of CSV: a carriage return and a line feed are one character to Swift.
        var rows: [String] { text.split(separator: "\r\n").map(String.init) }
    }

    let directory: URL

    init() throws {
        signal(SIGPIPE, SIG_IGN)
        directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "varve-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    /// A path in the directory.
    func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    /// Writes a file into the directory, and returns its path.
    func file(_ name: String, _ content: Data) throws -> String {
        try content.write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }

    /// The built command.
    static let executable = BuiltProducts.url("varve")

    /// Runs `varve` to its end.
    func run(_ arguments: String..., input: Data = Data()) throws -> Outcome {
        try run(arguments, input: input)
    }

    func run(_ arguments: [String], input: Data = Data(), executable: URL = Harness.executable) throws
        -> Outcome
    {
        let name = UUID().uuidString
        let files = try ["in", "out", "err"].map { try file("\(name).\($0)", $0 == "in" ? input : Data()) }
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = FileHandle(forReadingAtPath: files[0])
        process.standardOutput = FileHandle(forWritingAtPath: files[1])
        process.standardError = FileHandle(forWritingAtPath: files[2])
        try process.run()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationReason == .exit
                ? process.terminationStatus : 128 + process.terminationStatus,
            output: try Data(contentsOf: URL(fileURLWithPath: files[1])),
            errors: String(decoding: try Data(contentsOf: URL(fileURLWithPath: files[2])), as: UTF8.self))
    }

    /// Runs `varve`, which must succeed.
    @discardableResult
    func succeed(_ arguments: String..., input: Data = Data()) throws -> Outcome {
        try succeed(arguments, input: input)
    }

    @discardableResult
    func succeed(_ arguments: [String], input: Data = Data()) throws -> Outcome {
        let outcome = try run(arguments, input: input)
        try #require(outcome.status == 0, "\(arguments): \(outcome.errors)")
        return outcome
    }

    /// Changes one byte of a store's largest segment, and returns that file's path.
    @discardableResult
    func changeByte(at offset: UInt64, inLargestFileOf store: String) throws -> String {
        func size(_ path: String) -> Int {
            ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int) ?? 0
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: store)
            .filter { $0.hasSuffix(".seg") }.map { store + "/" + $0 }
        let file = try #require(files.max { size($0) < size($1) })
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
        defer { try? handle.close() }
        try handle.seek(toOffset: offset)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: offset)
        try handle.write(contentsOf: Data([byte ^ 0x10]))
        return file
    }

    /// Objects of JSON Lines.
    func objects(_ outcome: Outcome) throws -> [[String: Any]] {
        try outcome.lines.map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }
}

/// A running `varve` that is written to and read from.
final class Conversation {
    let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let errors: URL

    /// A shell's background jobs ignore some signals, and so would what is run here: as it should.
    private static let heedsSignals: Void = {
        for number in [SIGINT, SIGHUP, SIGQUIT] { _ = Foundation.signal(number, SIG_DFL) }
    }()

    init(_ harness: Harness, _ arguments: String...) throws {
        _ = Conversation.heedsSignals
        process.executableURL = Harness.executable
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        errors = URL(fileURLWithPath: try harness.file("\(UUID().uuidString).err", Data()))
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
    }

    func send(_ text: String) throws { try send(Data(text.utf8)) }

    func send(_ bytes: Data) throws { try input.fileHandleForWriting.write(contentsOf: bytes) }

    /// Waits for a line of its output.
    func nextLine() throws -> String {
        var line = Data()
        while let byte = try output.fileHandleForReading.read(upToCount: 1), byte.first != 0x0A, !byte.isEmpty
        {
            line += byte
        }
        return String(decoding: line, as: UTF8.self)
    }

    func closeInput() throws { try input.fileHandleForWriting.close() }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// Waits for its end: the status, or 128 + the signal, and what it said on standard error.
    func finish() throws -> (status: Int32, errors: String) {
        process.waitUntilExit()
        let status = process.terminationStatus
        return (
            process.terminationReason == .exit ? status : 128 + status,
            String(decoding: try Data(contentsOf: errors), as: UTF8.self)
        )
    }
}
