import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The keys that are known of a kind of object, numbered from 0.
protocol MemberKey: RawRepresentable<Int>, CaseIterable {
    /// The key in JSON.
    var name: StaticString { get }
}

/// The values that an object has under known keys, as the model's types. Reused from object to object of a document reader.
///
/// Unknown keys are ignored. A known key that is there twice is an error once it is asked for. Errors have the offset within the
/// document, and the path that ``load(_:path:)`` was given before the key.
final class KnownMembers<Key: MemberKey> {
    private let reader: JSONNodeReader
    /// The keys by the length of their names.
    private let byLength: [[(name: UnsafePointer<UInt8>, key: Int)]]
    private var nodes: [JSONNode?]
    /// Bit n: the object has key n.
    private var present: UInt64 = 0
    /// The keys that came again, and where.
    private var again: [(key: Int, offset: Int)] = []
    private var objectOffset = 0
    private var path: StaticString = ""

    init(_ reader: JSONNodeReader) {
        self.reader = reader
        let keys = Key.allCases
        precondition(keys.count <= 64)
        let longest = keys.map(\.name.utf8CodeUnitCount).max() ?? 0
        byLength = (0...longest).map { length in
            keys.filter { $0.name.utf8CodeUnitCount == length }.map { ($0.name.utf8Start, $0.rawValue) }
        }
        nodes = Array(repeating: nil, count: keys.count)
    }

    /// Takes an object.
    ///
    /// - Parameter path: what stands before its keys in an error's path: the object's own path, without a dot at its end.
    func load(_ object: JSONNode, path: StaticString) throws(SessionJSONError) {
        self.path = path
        objectOffset = object.range.lowerBound
        present = 0
        again.removeAll(keepingCapacity: true)
        guard object.kind == .object else {
            throw SessionJSONError(
                byteOffset: UInt64(objectOffset), path: "\(path)", reason: "not an object")
        }
        var members = reader.members(of: object)
        while let member = members.next() {
            let name = member.key
            guard name.count < byLength.count else { continue }
            for known in byLength[name.count] where isEqual(name, known.name) {
                if present >> UInt64(known.key) & 1 == 0 {
                    present |= 1 << UInt64(known.key)
                    nodes[known.key] = member
                } else {
                    again.append((known.key, member.keyOffset))
                }
            }
        }
    }

    /// `name` holds as many bytes as the text that the pointer is to.
    private func isEqual(_ text: UnsafeRawBufferPointer, _ name: UnsafePointer<UInt8>) -> Bool {
        // SAFETY: the caller compares texts of the same length.
        text.baseAddress.map { memcmp($0, name, text.count) == 0 } ?? true
    }

    /// An error about the value under a key, or about the object where it has none.
    func error(_ key: Key, _ reason: String) -> SessionJSONError {
        let isPresent = present >> UInt64(key.rawValue) & 1 != 0
        let offset = (isPresent ? nodes[key.rawValue]?.range.lowerBound : nil) ?? objectOffset
        return error(key, reason, at: offset)
    }

    private func error(_ key: Key, _ reason: String, at offset: Int) -> SessionJSONError {
        let before = path.utf8CodeUnitCount == 0 ? "" : "\(path)."
        return SessionJSONError(byteOffset: UInt64(offset), path: "\(before)\(key.name)", reason: reason)
    }

    /// Whether the key is there, with whatever value.
    func has(_ key: Key) throws(SessionJSONError) -> Bool {
        if !again.isEmpty, let twice = again.first(where: { $0.key == key.rawValue }) {
            throw error(key, "a second time", at: twice.offset)
        }
        return present >> UInt64(key.rawValue) & 1 != 0
    }

    /// The value under a key that must be there.
    func node(_ key: Key) throws(SessionJSONError) -> JSONNode {
        guard try has(key), let node = nodes[key.rawValue] else { throw error(key, "missing") }
        return node
    }

    func bytes(ofString key: Key) throws(SessionJSONError) -> UnsafeRawBufferPointer {
        guard let bytes = try node(key).string else { throw error(key, "not a string") }
        return bytes
    }

    func string(_ key: Key) throws(SessionJSONError) -> String {
        String(decoding: try bytes(ofString: key), as: UTF8.self)
    }

    /// Nil where the key is missing or its value null.
    func optionalString(_ key: Key) throws(SessionJSONError) -> String? {
        guard try has(key), try node(key).kind != .null else { return nil }
        return try string(key)
    }

    func time(_ key: Key) throws(SessionJSONError) -> Int64 {
        guard let time = RFC3339.parse(try bytes(ofString: key), defaultOffsetSeconds: nil) else {
            throw error(key, SessionJSON.wrongTime)
        }
        return time
    }

    func unsigned<Number: FixedWidthInteger & UnsignedInteger>(
        _ key: Key, in document: UnsafeRawBufferPointer
    ) throws(SessionJSONError) -> Number {
        let node = try node(key)
        // `-0` is a number, and no index.
        guard let number = node.unsigned, document[node.range.lowerBound] != UInt8(ascii: "-"),
            let fitting = Number(exactly: number)
        else { throw error(key, "not a whole number from 0 to \(Number.max)") }
        return fitting
    }
}
