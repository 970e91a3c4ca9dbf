internal import CSimdJSON

/// Reads the values at paths of JSON payloads, one payload after the other. Its memory is reused: use one for each thread.
package final class JSONPathReader {
    /// A value at a path.
    package enum Value: Hashable, Sendable {
        case null
        case bool(Bool)
        /// As it is written.
        case number(String)
        case string(String)
        case array, object
    }

    private let parser: OpaquePointer?
    private var tape = varve_json_tape()
    private var length = 0

    package init() { parser = varve_json_parser_new() }

    deinit { varve_json_parser_free(parser) }

    /// Takes a payload; false when it is not JSON. Linear in its length.
    ///
    /// - Parameter locatesDecimals: without, a ``Value`` has a decimal number as the nearest double.
    package func parse(_ payload: UnsafeRawBufferPointer, locatesDecimals: Bool = true) -> Bool {
        guard let parser, let base = payload.baseAddress else { return false }
        // SAFETY: `base` holds `payload.count` bytes, which are copied.
        guard
            varve_json_parse_tape(
                parser, base.assumingMemoryBound(to: UInt8.self), payload.count, false, &tape)
        else { return false }
        // So that numbers are given as they are written.
        if locatesDecimals { varve_json_locate_decimals(parser) }
        length = payload.count
        return true
    }

    /// The values at a path, in the order of the payload; of members with the same key the last.
    package func values(_ path: JSONPath) -> [Value] {
        var found: [Value] = []
        find(1, path.steps[...]) { found.append(value($0)) }
        return found
    }

    private func find(_ place: Int, _ steps: ArraySlice<JSONPath.Step>, _ found: (Int) -> Void) {
        guard let step = steps.first else { return found(place) }
        let rest = steps.dropFirst()
        switch step {
        case .member(let key):
            let member = key.withUnsafeBufferPointer {
                varve_json_last_member(&tape, place, $0.baseAddress, $0.count)
            }
            if member != 0 { find(member, rest, found) }
        case .element(let number):
            var left = number
            forEachElement(place) { element in
                if left == 0 { find(element, rest, found) }
                left -= 1
                return left >= 0
            }
        case .everyElement:
            forEachElement(place) { element in
                find(element, rest, found)
                return true
            }
        }
    }

    private func tag(_ place: Int) -> UInt8 { varve_json_tag(tape.words, place) }

    /// Calls `body` with the place of each element of an array until it returns false.
    private func forEachElement(_ place: Int, _ body: (Int) -> Bool) {
        guard tag(place) == UInt8(ascii: "[") else { return }
        var element = place + 1
        while tag(element) != UInt8(ascii: "]"), body(element) {
            element = varve_json_after(tape.words, element)
        }
    }

    private func text(_ place: Int) -> UnsafeRawBufferPointer {
        // SAFETY: a string's word says where its length stands, and its bytes follow that.
        let start = UnsafeRawPointer(tape.strings + Int(tape.words[place] & 0xFF_FFFF_FFFF_FFFF))
        return UnsafeRawBufferPointer(start: start + 4, count: Int(start.loadUnaligned(as: UInt32.self)))
    }

    private func value(_ place: Int) -> Value {
        switch tag(place) {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string(String(decoding: text(place), as: UTF8.self))
        case UInt8(ascii: "l"): return .number(String(Int64(bitPattern: tape.words[place + 1])))
        case UInt8(ascii: "u"): return .number(String(tape.words[place + 1]))
        case UInt8(ascii: "d"): return .number(String(Double(bitPattern: tape.words[place + 1])))
        case UInt8(ascii: "w"):
            // SAFETY: the text lies in the document, which is at hand until the next.
            let start = tape.bytes + Int(tape.words[place] & 0xFF_FFFF_FFFF_FFFF)
            let bytes = UnsafeRawBufferPointer(start: start, count: Int(tape.words[place + 1]))
            return .number(String(decoding: bytes, as: UTF8.self))
        case UInt8(ascii: "t"): return .bool(true)
        case UInt8(ascii: "f"): return .bool(false)
        default: return .null
        }
    }
}

extension JSONPathReader {
    /// Where a value stands in the payload at hand.
    package struct Place {
        fileprivate let index: Int
    }

    /// The whole payload.
    package var root: Place { Place(index: 1) }

    /// Of members with the same key the last; nil where there is none.
    package func member(_ key: ArraySlice<UInt8>, of place: Place) -> Place? {
        let member = key.withUnsafeBufferPointer {
            varve_json_last_member(&tape, place.index, $0.baseAddress, $0.count)
        }
        return member == 0 ? nil : Place(index: member)
    }

    /// The places that a path names, in the order of the payload.
    package func places(_ path: JSONPath) -> [Place] {
        var found: [Place] = []
        find(1, path.steps[...]) { found.append(Place(index: $0)) }
        return found
    }

    /// A string's text, nothing for null, and other values as they stand in the payload.
    package func text(_ place: Place) -> String {
        switch tag(place.index) {
        case UInt8(ascii: "\""): String(decoding: text(place.index), as: UTF8.self)
        case UInt8(ascii: "n"): ""
        default: json(place)
        }
    }

    /// The value as it stands in the payload.
    package func json(_ place: Place) -> String {
        switch tag(place.index) {
        case UInt8(ascii: "t"): return "true"
        case UInt8(ascii: "f"): return "false"
        case UInt8(ascii: "n"): return "null"
        // Zero may be written -0.
        case UInt8(ascii: "l") where tape.words[place.index + 1] != 0:
            return String(Int64(bitPattern: tape.words[place.index + 1]))
        default:
            // SAFETY: the text lies in the document, which is at hand until the next.
            let bytes = UnsafeRawBufferPointer(start: tape.bytes, count: length)
            return String(decoding: bytes[range(of: place.index, in: bytes)], as: UTF8.self)
        }
    }

    /// Where a value stands in the text. The words of the tape and those of the text come in the same order. Linear.
    private func range(of place: Int, in bytes: UnsafeRawBufferPointer) -> Range<Int> {
        var index = 1
        var position = 0
        func skipSeparators() {
            while position < bytes.count,
                JSONFault.isSpace(bytes[position]) || bytes[position] == UInt8(ascii: ",")
                    || bytes[position] == UInt8(ascii: ":")
            { position += 1 }
        }
        func skipWord() {
            skipSeparators()
            let tag = tag(index)
            index += 1
            switch tag {
            case UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "["), UInt8(ascii: "]"): position += 1
            case UInt8(ascii: "\""):
                position += 1
                while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                    position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
                }
                position += 1
            default:
                if [UInt8(ascii: "l"), UInt8(ascii: "u"), UInt8(ascii: "d"), UInt8(ascii: "w")].contains(tag)
                {
                    index += 1
                }
                while position < bytes.count, Self.isOfScalar(bytes[position]) { position += 1 }
            }
        }
        while index < place { skipWord() }
        skipSeparators()
        let start = position
        let past = varve_json_after(tape.words, place)
        while index < past { skipWord() }
        return start..<max(start, min(position, bytes.count))
    }

    private static func isOfScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"), 48...57, UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}

extension JSONPathReader {
    /// What stands at which paths of many payloads.
    package final class Shape {
        /// Types of values, in the order of `Counts`.
        package enum Kind: Int, CaseIterable, Sendable {
            case string, number, bool, null, array, object
        }

        /// A place in payloads, and those below it.
        package final class Node {
            package fileprivate(set) var members: [[UInt8]: Node] = [:]
            package fileprivate(set) var elements: Node?
            /// Values by type.
            package fileprivate(set) var counts = [UInt64](repeating: 0, count: Kind.allCases.count)
            /// Payloads with a value there.
            package fileprivate(set) var payloads: UInt64 = 0
            fileprivate var lastPayload: UInt64 = 0
            /// Where the value of the last member with this key stands, while the object around it is added.
            fileprivate var lastPlace = 0
        }

        package let root = Node()
        /// Payloads that are JSON.
        package private(set) var payloads: UInt64 = 0
        /// Places so far, and whether there were more than could be kept.
        private var nodes = 1
        package private(set) var isCutOff = false
        private let nodesMax: Int
        /// Members of the objects that are being added, the outer ones first.
        private var pending: [(node: Node, place: Int)] = []

        package init(nodesMax: Int = 100_000) { self.nodesMax = nodesMax }

        /// Adds the payload that the reader has at hand.
        package func add(_ reader: JSONPathReader) {
            payloads += 1
            add(reader, 1, root)
        }

        private func add(_ reader: JSONPathReader, _ place: Int, _ node: Node) {
            if node.lastPayload != payloads { node.payloads += 1 }
            node.lastPayload = payloads
            let kind: Kind
            switch reader.tag(place) {
            case UInt8(ascii: "{"): kind = .object
            case UInt8(ascii: "["): kind = .array
            case UInt8(ascii: "\""): kind = .string
            case UInt8(ascii: "n"): kind = .null
            case UInt8(ascii: "t"), UInt8(ascii: "f"): kind = .bool
            default: kind = .number
            }
            node.counts[kind.rawValue] += 1
            if kind == .array {
                reader.forEachElement(place) { element in
                    if let next = child(node.elements, { node.elements = $0 }) { add(reader, element, next) }
                    return true
                }
            } else if kind == .object {
                let first = pending.count
                var key = place + 1
                while reader.tag(key) != UInt8(ascii: "}") {
                    let name = Array(reader.text(key))
                    let value = key + 1
                    if let next = child(node.members[name], { node.members[name] = $0 }) {
                        next.lastPlace = value
                        pending.append((next, value))
                    }
                    key = varve_json_after(reader.tape.words, value)
                }
                let end = pending.count
                // Of members with the same key the last counts, as for a path.
                for member in first..<end where pending[member].node.lastPlace == pending[member].place {
                    add(reader, pending[member].place, pending[member].node)
                }
                pending.removeSubrange(first..<end)
            }
        }

        private func child(_ known: Node?, _ keep: (Node) -> Void) -> Node? {
            if let known { return known }
            guard nodes < nodesMax else {
                isCutOff = true
                return nil
            }
            nodes += 1
            let fresh = Node()
            keep(fresh)
            return fresh
        }
    }
}
