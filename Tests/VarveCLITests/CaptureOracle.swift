import Foundation
import Testing

/// Real captures as stores, without and with filters, and questions about them with the answers of a Python oracle.
///
/// The oracle reads the captures by itself; nothing of Varve takes part in its answers.
struct CaptureOracle: Sendable {
    /// Whether searches may pass over what their filters rule out: the answers are the same.
    enum Variant: String, CaseIterable, CustomTestStringConvertible {
        case plain, filters

        var testDescription: String { self == .plain ? "without filters" : "with filters" }
    }

    /// A question, and the one form of answer that it has.
    struct Question {
        let arguments: [String]
        /// Of each line of CSV so many first columns.
        let rows: [String]?
        let columns: Int
        let text: String?
        /// JSON Lines.
        let objects: [[String: Any]]?
        let status: Int32
    }

    @TaskLocal static var current: CaptureOracle?

    /// Where the variants' stores are.
    private let directory: String
    private let lines: [Data]

    /// The captures, where the machine has them and the oracle can run.
    static let captures: String? = {
        let environment = ProcessInfo.processInfo.environment
        let folders = (environment["PATH"] ?? "").split(separator: ":")
        let hasPython = folders.contains { FileManager.default.isExecutableFile(atPath: "\($0)/python3") }
        return hasPython ? environment["VARVE_CAPTURES"] : nil
    }()

    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Oracle/oracle.py").path

    /// Asks the oracle, and records what it has unpacked.
    ///
    /// - Parameter harness: whose directory it all is in.
    init(_ harness: Harness) throws {
        let captures = try #require(Self.captures)
        let answers = try harness.run(
            ["python3", "-B", Self.script, captures, harness.directory.path],
            executable: URL(fileURLWithPath: "/usr/bin/env"))
        try #require(answers.status == 0, "\(answers.errors)")
        directory = harness.directory.path
        var lines = answers.output.split(separator: 0x0A).map { Data($0) }
        let first = try JSONSerialization.jsonObject(with: lines.removeFirst()) as? [String: Any]
        self.lines = lines
        let recordings = try #require(first?["recordings"] as? [[String: String]])
        for variant in Variant.allCases {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(variant)", withIntermediateDirectories: true)
        }
        for recording in recordings {
            let store = path(try #require(recording["store"]), .plain)
            try harness.succeed(
                "record", store, "--input", try #require(recording["path"]),
                "--session", try #require(recording["session"]), "--time-field", "@timestamp",
                "--kind-field", try #require(recording["kind_field"]))
        }
        for name in Set(recordings.compactMap { $0["store"] }) {
            try FileManager.default.copyItem(atPath: path(name, .plain), toPath: path(name, .filters))
            try harness.succeed("compact", path(name, .filters), "--filters")
        }
    }

    /// The directory of a store.
    func path(_ store: String, _ variant: Variant) -> String { "\(directory)/\(variant)/\(store)" }

    func questions() throws -> [Question] {
        try lines.map { line in
            let fields = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
            return Question(
                arguments: try #require(fields["arguments"] as? [String]),
                rows: fields["rows"] as? [String], columns: fields["columns"] as? Int ?? 1,
                text: fields["text"] as? String, objects: fields["objects"] as? [[String: Any]],
                status: Int32(fields["status"] as? Int ?? 0))
        }
    }
}

/// Records the captures once for all tests of a suite.
struct RecordedCaptures: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let harness = try Harness()
        let oracle = try CaptureOracle(harness)
        try await CaptureOracle.$current.withValue(oracle) { try await function() }
        withExtendedLifetime(harness) {}
    }
}

extension Trait where Self == RecordedCaptures {
    static var recordedCaptures: RecordedCaptures { RecordedCaptures() }
}
