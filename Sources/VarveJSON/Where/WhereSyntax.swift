/// A condition as it was written. `a != b` is `not (a == b)` here, and so are the other negated forms.
indirect enum WhereTest: Hashable, Sendable {
    case and([WhereTest])
    case or([WhereTest])
    case not(WhereTest)
    case compare(WhereOperand, WhereComparison, WhereOperand, ignoresCase: Bool)
    case text(WhereOperand, WhereTextOperator, WhereOperand, ignoresCase: Bool)
    case matches(WhereOperand, WherePattern)
    case isIn(WhereOperand, [WhereOperand], ignoresCase: Bool)
    case exists(WhereOperand)
    case isType(WhereOperand, WhereType)
    case any(WherePath, WhereTest)
    case all(WherePath, WhereTest)

    /// The opposite. There is no `not` of a `not`.
    var negated: WhereTest {
        if case .not(let test) = self { return test }
        return .not(self)
    }
}

/// A regular expression, compiled once for all that ask something of it. Two of the same text are the same.
struct WherePattern: Hashable, Sendable {
    let expression: RegularExpression

    init(_ expression: RegularExpression) { self.expression = expression }

    /// As it is written.
    var literal: WhereLiteral { .text(Array(expression.pattern.utf8)) }

    static func == (left: WherePattern, right: WherePattern) -> Bool {
        left.expression.pattern.utf8.elementsEqual(right.expression.pattern.utf8)
            && left.expression.isIgnoringCase == right.expression.isIgnoringCase
    }

    func hash(into hasher: inout Hasher) {
        // By the bytes: texts that Unicode takes for one are two patterns.
        for byte in expression.pattern.utf8 { hasher.combine(byte) }
        hasher.combine(expression.isIgnoringCase)
    }
}

enum WhereComparison: String, Hashable, Sendable {
    case equal = "=="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="

    /// What holds of `b` and `a` where this holds of `a` and `b`.
    var flipped: WhereComparison {
        switch self {
        case .equal: .equal
        case .less: .greater
        case .lessOrEqual: .greaterOrEqual
        case .greater: .less
        case .greaterOrEqual: .lessOrEqual
        }
    }
}

enum WhereTextOperator: String, Hashable, Sendable, CaseIterable {
    case contains, startswith, endswith, has
}

enum WhereType: String, Hashable, Sendable, CaseIterable {
    case null, empty, string, number, bool, array, object
}

enum WhereAttribute: String, Hashable, Sendable, CaseIterable {
    case kind, session, sequence, index, timestamp, length
}

/// A place in a payload, or in an element of one.
enum WherePath: Hashable, Sendable {
    /// `**`
    case everyScalar
    /// `.`
    case element
    case steps([JSONPath.Step])
}

indirect enum WhereOperand: Hashable, Sendable {
    case literal(WhereLiteral)
    case attribute(WhereAttribute)
    case path(WherePath)
    case number(WhereOperand)
    case lower(WhereOperand)
    case size(WhereOperand)
    case time(WhereOperand, offsetSeconds: Int)
    /// A time and a time or a duration, or two durations.
    case difference(WhereOperand, WhereOperand)
}

enum WhereLiteral: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A whole number; beyond 64 bits it is kept by its digits.
    case int(Int64)
    case uint(UInt64)
    case wide([UInt8])
    /// By its bits, so that it has an equality without exceptions. The digits are as it was written, where they
    /// are another time than those that the double is printed with; else there are none.
    case double(UInt64, digits: [UInt8])
    /// UTF-8.
    case text([UInt8])
    /// Nanoseconds since 1970.
    case time(Int64)
    /// Nanoseconds.
    case duration(Int64)
}

// MARK: - Printing: what is printed is read as the same again, whatever the default for times without a zone.

extension WhereTest: CustomStringConvertible {
    var description: String {
        switch self {
        case .and(let tests): tests.map(\.grouped).joined(separator: " and ")
        case .or(let tests):
            // What is joined by and needs no brackets: they would nest deeper than what was read.
            tests.map { if case .and = $0 { $0.description } else { $0.grouped } }.joined(separator: " or ")
        case .not(let test): "not \(test.grouped)"
        case .compare(let left, let comparison, let right, let ignoresCase):
            "\(left) \(comparison.rawValue) \(right)\(Self.suffix(ignoresCase))"
        case .text(let left, let textOperator, let right, let ignoresCase):
            "\(left) \(textOperator.rawValue) \(right)\(Self.suffix(ignoresCase))"
        case .matches(let left, let pattern):
            "\(left) matches \(pattern.literal)\(Self.suffix(pattern.expression.isIgnoringCase))"
        case .isIn(let left, let list, let ignoresCase):
            "\(left) in [\(list.map(\.description).joined(separator: ", "))]\(Self.suffix(ignoresCase))"
        case .exists(let operand): "\(operand) exists"
        case .isType(let operand, let type): "\(operand) is \(type.rawValue)"
        case .any(let path, let test): "any(\(path), \(test))"
        case .all(let path, let test): "all(\(path), \(test))"
        }
    }

    private static func suffix(_ ignoresCase: Bool) -> String { ignoresCase ? " nocase" : "" }

    /// In brackets where it is made of several tests.
    private var grouped: String {
        switch self {
        case .and, .or: "(\(self))"
        default: description
        }
    }
}

extension WhereOperand: CustomStringConvertible {
    var description: String {
        switch self {
        case .literal(let literal): literal.description
        case .attribute(let attribute): attribute.rawValue
        case .path(let path): path.description
        case .number(let operand): "number(\(operand))"
        case .lower(let operand): "lower(\(operand))"
        case .size(let operand): "size(\(operand))"
        case .time(let operand, let offset):
            offset == 0 ? "time(\(operand), \"Z\")" : "time(\(operand), \"\(Self.zone(offset))\")"
        case .difference(let left, let right): "\(left) - \(right)"
        }
    }

    private static func zone(_ offset: Int) -> String {
        let minutes = abs(offset) / 60
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(offset < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
    }
}

extension WhereLiteral: CustomStringConvertible {
    var description: String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return "\(value)"
        case .uint(let value): return "\(value)"
        case .wide(let digits): return String(decoding: digits, as: UTF8.self)
        case .double(let bits, let digits):
            if !digits.isEmpty { return String(decoding: digits, as: UTF8.self) }
            let value = Double(bitPattern: bits)
            // Beyond what a double holds.
            if value.isInfinite { return value < 0 ? "-1e999" : "1e999" }
            return "\(value)"
        case .text(let bytes):
            var json = ByteBuffer()
            json.appendJSONString(String(decoding: bytes, as: UTF8.self))
            return json.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        case .time(let nanoseconds): return "time(\"\(RFC3339.string(nanoseconds))\")"
        case .duration(let nanoseconds): return "\(nanoseconds)ns"
        }
    }
}

extension WherePath: CustomStringConvertible {
    /// With a dot in front, so that no name of the language is taken for one.
    var description: String {
        switch self {
        case .everyScalar: return "**"
        case .element: return "."
        case .steps(let steps):
            return JSONPath.text(of: steps, withLeadingDot: true)
        }
    }

    /// As one writes it: without the dot where it is not needed.
    var plain: String {
        guard case .steps(let steps) = self else { return description }
        if steps.count == 1, case .member(let key) = steps[0],
            WhereParser.isReserved(String(decoding: key, as: UTF8.self))
        {
            return description
        }
        return JSONPath.text(of: steps, withLeadingDot: false)
    }

    /// What a path relative to the elements of this one names; nil where that can't be said by a path.
    func appending(_ path: WherePath) -> WherePath? {
        switch (self, path) {
        case (_, .element): self
        case (.element, _): path
        case (.steps(let steps), .steps(let others)): .steps(steps + others)
        default: nil
        }
    }
}

extension JSONPath {
    /// Steps as they are read.
    static func text(of steps: [Step], withLeadingDot: Bool) -> String {
        var text = withLeadingDot ? "." : ""
        for (place, step) in steps.enumerated() {
            switch step {
            case .member(let key) where isName(key):
                if place > 0 { text += "." }
                text += String(decoding: key, as: UTF8.self)
            case .member(let key): text += "[\(WhereLiteral.text(key))]"
            case .element(let number): text += "[\(number)]"
            case .everyElement: text += "[]"
            }
        }
        return text
    }

    /// Whether a key can be written without quotes.
    private static func isName(_ key: [UInt8]) -> Bool {
        guard let first = key.first, !(48...57).contains(first) else { return false }
        return key.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 48...57,
                UInt8(ascii: "_"), UInt8(ascii: "@"), UInt8(ascii: "#"):
                true
            default: false
            }
        }
    }
}
