import Foundation
import Testing

/// A JSON value, for what golden vectors mean. Integers are exact; keys keep their order.
enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([JSON])
    case object([JSON.Member])

    struct Member: Hashable, Sendable {
        var key: String
        var value: JSON
    }

    static func int(_ value: some FixedWidthInteger) -> JSON { .number(String(value)) }
    static func list<T>(_ values: some Sequence<T>, _ each: (T) -> JSON) -> JSON { .array(values.map(each)) }
    static func optional<T>(_ value: T?, _ each: (T) -> JSON) -> JSON { value.map(each) ?? .null }

    /// Bytes, as hexadecimal text.
    static func hex(_ bytes: some Sequence<UInt8>) -> JSON {
        .string(
            bytes.reduce(into: "") { text, byte in
                if byte < 16 { text += "0" }
                text += String(byte, radix: 16)
            })
    }

    /// A metadata map: its keys in the order of their bytes.
    static func map(_ map: [String: String]) -> JSON {
        .object(
            map.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { Member(key: $0.key, value: .string($0.value)) })
    }

    /// The text, indented; lists of numbers and the like on one line.
    var text: String { text(indent: "") }

    private var isPlain: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    private func text(indent: String) -> String {
        let inner = indent + "  "
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let value): return value
        case .string(let value): return JSON.quoted(value)
        case .array(let values):
            if values.allSatisfy(\.isPlain) {
                return "[" + values.map { $0.text(indent: inner) }.joined(separator: ", ") + "]"
            }
            let lines = values.map { inner + $0.text(indent: inner) }
            return "[\n" + lines.joined(separator: ",\n") + "\n" + indent + "]"
        case .object(let members):
            if members.isEmpty { return "{}" }
            let lines = members.map { inner + JSON.quoted($0.key) + ": " + $0.value.text(indent: inner) }
            return "{\n" + lines.joined(separator: ",\n") + "\n" + indent + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\u{0}"..<" ":
                quoted += "\\u" + String(repeating: "0", count: scalar.value < 16 ? 3 : 2)
                quoted += String(scalar.value, radix: 16)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension JSON: ExpressibleByDictionaryLiteral, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral {
    init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Member(key: $0.0, value: $0.1) })
    }
    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
}

/// A golden vector: `Formats/vectors/FOLDER/NAME.bin` and `.json`.
///
/// With `VARVE_REGENERATE_VECTORS=1` in the environment `check` writes the files; otherwise it compares. Suites of
/// golden vectors are named `…GoldenVectors`, so that `swift test --filter GoldenVectors` runs them all.
struct GoldenVector: Sendable, CustomTestStringConvertible {
    /// The folder, named for the structure.
    var folder: String
    /// The file's name without its ending.
    var name: String
    /// What this library writes.
    var bytes: [UInt8]
    /// What the bytes mean, with the keys that `Formats/vectors/README.md` lists.
    var json: JSON

    var testDescription: String { "\(folder)/\(name)" }

    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Formats/vectors").standardizedFileURL

    static let regenerates = ProcessInfo.processInfo.environment["VARVE_REGENERATE_VECTORS"] == "1"

    private func file(_ ending: String) -> URL {
        GoldenVector.root.appending(path: folder).appending(path: name + ending)
    }

    /// The bytes in the repository.
    func storedBytes() throws -> [UInt8] { try [UInt8](Data(contentsOf: file(".bin"))) }

    /// Compares with the files in the repository, or writes them.
    func check() throws {
        if GoldenVector.regenerates {
            try FileManager.default.createDirectory(
                at: GoldenVector.root.appending(path: folder), withIntermediateDirectories: true)
            try Data(bytes).write(to: file(".bin"))
            try Data((json.text + "\n").utf8).write(to: file(".json"))
        }
        let stored = try storedBytes()
        #expect(stored == bytes, "\(testDescription): the bytes are not those of the golden vector")
        let meaning = try String(contentsOf: file(".json"), encoding: .utf8)
        #expect(
            meaning == json.text + "\n", "\(testDescription): the meaning is not that of the golden vector")
        // The text is JSON to other readers too.
        _ = try JSONSerialization.jsonObject(with: Data(meaning.utf8))
    }
}
