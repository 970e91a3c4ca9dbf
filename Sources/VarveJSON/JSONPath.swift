/// Names places in a JSON value: `user.name`, `items[0].id`, `items[].id` (in every element), `["a.b"].c`, `.kind`.
///
/// A step is a name of letters, digits, `_`, `@` and `#` that does not begin with a digit, or any text as `["…"]`; `[0]` is an element
/// of an array, `[]` is all of them.
public struct JSONPath: Hashable, Sendable, CustomStringConvertible {
    package enum Step: Hashable, Sendable {
        /// A member, by the UTF-8 of its key.
        case member([UInt8])
        case element(Int)
        case everyElement
    }

    package let steps: [Step]
    /// As it was written.
    public let description: String

    /// Whether it may name several places.
    package var isList: Bool { steps.contains(.everyElement) }

    /// Why a text is no path, and where.
    public struct Fault: Error, Hashable, CustomStringConvertible {
        /// The text.
        public let path: String
        /// The character, from 1.
        public let column: Int
        /// What is wrong there.
        public let reason: String

        /// One line of text.
        public var description: String { "\(path): column \(column): \(reason)" }
    }

    /// Reads a path. Linear.
    public init(_ text: String) throws(Fault) {
        var parser = Parser(text: text, characters: Array(text.unicodeScalars))
        steps = try parser.steps()
        guard parser.next == nil else { throw parser.fault("expected . or [") }
        description = text
    }

    /// The value as a whole. It is no path that ``init(_:)`` reads: where a part is taken away, nothing would be left.
    package static let root = JSONPath(steps: [], description: ".")

    private init(steps: [Step], description: String) {
        self.steps = steps
        self.description = description
    }

    /// Reads paths, and the texts in them, out of a longer text.
    struct Parser {
        let text: String
        let characters: [Unicode.Scalar]
        var index = 0

        func fault(_ reason: String) -> Fault { Fault(path: text, column: index + 1, reason: reason) }

        var next: Unicode.Scalar? { index < characters.count ? characters[index] : nil }

        /// The path that comes next, as far as it goes.
        mutating func steps() throws(Fault) -> [Step] {
            var steps: [Step] = []
            if next == "." { index += 1 }
            guard next != nil else { throw fault("a path names a place: a.b, a[0], [\"a\"]") }
            var wantsName = next != "["
            while let character = next {
                if wantsName {
                    steps.append(.member(try name()))
                    wantsName = false
                } else if character == "." {
                    index += 1
                    // A dot before a key in quotes is one too many for some, and right for others.
                    wantsName = !(next == "[" && characters.dropFirst(index + 1).first == "\"")
                } else if character == "[" {
                    index += 1
                    steps.append(try bracket())
                } else {
                    break
                }
            }
            if wantsName { throw fault("a name is missing") }
            return steps
        }

        func isOfName(_ character: Unicode.Scalar) -> Bool {
            switch character {
            case "a"..."z", "A"..."Z", "0"..."9", "_", "@", "#": true
            default: false
            }
        }

        private mutating func name() throws(Fault) -> [UInt8] {
            let start = index
            while let character = next, isOfName(character) { index += 1 }
            guard index > start else { throw fault("a name is missing; other characters go in [\"…\"]") }
            if ("0"..."9").contains(characters[start]) {
                index = start
                throw fault("a name does not begin with a digit: write [\"…\"] for a key, [0] for an element")
            }
            return characters[start..<index].flatMap { Array(String($0).utf8) }
        }

        private mutating func bracket() throws(Fault) -> Step {
            if next == "]" {
                index += 1
                return .everyElement
            }
            if next == "\"" {
                let key = try quoted()
                try close()
                return .member(key)
            }
            let start = index
            while let character = next, ("0"..."9").contains(character) { index += 1 }
            var digits = String.UnicodeScalarView()
            digits.append(contentsOf: characters[start..<index])
            guard let number = Int(String(digits)) else {
                throw fault("expected the number of an element, a key in quotes, or ]")
            }
            try close()
            return .element(number)
        }

        /// The JSON string whose quote comes next.
        mutating func quoted() throws(Fault) -> [UInt8] {
            let start = index
            index += 1
            while let character = next, character != "\"" { index += character == "\\" ? 2 : 1 }
            guard next == "\"" else {
                index = characters.count
                throw fault("the quote is not closed")
            }
            index += 1
            var view = String.UnicodeScalarView()
            view.append(contentsOf: characters[start..<index])
            let json = Array(String(view).utf8)
            let parsed: [UInt8]? = json.withUnsafeBytes { bytes in
                // Half of a pair of surrogates is no text.
                guard let range = try? JSONNodeReader().parse(bytes).range, range.count == bytes.count,
                    case .string(let key) = JSONTree(validated: bytes),
                    key.withUnsafeBytes({ JSONText.isUTF8($0) })
                else { return nil }
                return key
            }
            guard let parsed else {
                index = start
                throw fault("it is not a JSON string")
            }
            return parsed
        }

        private mutating func close() throws(Fault) {
            guard next == "]" else { throw fault("expected ]") }
            index += 1
        }
    }
}

extension JSONTree {
    /// The value without what is at a path. Of an array an element is replaced with null, so that the others keep their places.
    package func removing(_ path: JSONPath) -> JSONTree { removing(path.steps[...]) }

    private func removing(_ steps: ArraySlice<JSONPath.Step>) -> JSONTree {
        guard let step = steps.first else { return .null }
        let rest = steps.dropFirst()
        switch (self, step) {
        case (.object(var members), .member(let key)):
            if rest.isEmpty {
                members[key] = nil
            } else if let member = members[key] {
                members[key] = member.removing(rest)
            }
            return .object(members)
        case (.array(var elements), .element(let number)) where number < elements.count:
            elements[number] = elements[number].removing(rest)
            return .array(elements)
        case (.array(let elements), .everyElement): return .array(elements.map { $0.removing(rest) })
        default: return self
        }
    }

    /// The path of the first place where two values differ: `result.Ok[1]`; empty when they differ as a whole, nil when they do not.
    /// Members are looked at in the order of their keys.
    package func firstDifference(from other: JSONTree) -> String? {
        guard self != other else { return nil }
        switch (self, other) {
        case (.object(let members), .object(let others)):
            let keys = Set(members.keys).union(others.keys).sorted { $0.lexicographicallyPrecedes($1) }
            for key in keys {
                let name = JSONTree.step(key)
                guard let member = members[key], let otherMember = others[key] else { return name }
                guard let rest = member.firstDifference(from: otherMember) else { continue }
                return rest.isEmpty || rest.hasPrefix("[") ? name + rest : "\(name).\(rest)"
            }
        case (.array(let elements), .array(let others)):
            for number in 0..<max(elements.count, others.count) {
                guard number < elements.count, number < others.count else { return "[\(number)]" }
                guard let rest = elements[number].firstDifference(from: others[number]) else { continue }
                return rest.isEmpty || rest.hasPrefix("[") ? "[\(number)]\(rest)" : "[\(number)].\(rest)"
            }
        default: break
        }
        return ""
    }

    /// A key as a step of a path.
    package static func step(_ key: [UInt8]) -> String {
        let name = String(decoding: key, as: UTF8.self)
        if let path = try? JSONPath(name), path.steps == [.member(key)], !name.hasPrefix("[") { return name }
        var json = ByteBuffer()
        json.append("[")
        json.appendJSONString(name)
        json.append("]")
        return json.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}
