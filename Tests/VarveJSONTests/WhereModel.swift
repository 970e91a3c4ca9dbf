@testable import VarveJSON

/// The language once more, slowly and straightforwardly: over trees, with lists of values.
struct WhereModel {
    indirect enum Value: Equatable {
        case null
        case bool(Bool)
        case number(Number)
        case text([UInt8])
        case array([Value])
        case object([[UInt8]: Value])
        case time(Int64)
        case duration(Int128)
    }

    /// A whole number by its digits, or a double.
    struct Number: Equatable {
        var isNegative = false
        var digits: [UInt8] = []
        var double: Double?
        /// What a double was read from.
        var written = ""

        init(_ value: Double, written: String? = nil) {
            double = value
            self.written = written ?? "\(value)"
        }

        init(whole text: String) {
            digits = text.utf8.map { $0 &- 48 }.filter { $0 <= 9 }
            while digits.first == 0 { digits.removeFirst() }
            isNegative = text.hasPrefix("-") && !digits.isEmpty
        }

        static func == (left: Number, right: Number) -> Bool { left.order(right) == 0 }

        /// -1, 0 or 1.
        func order(_ other: Number) -> Int {
            if let double, let right = other.double { return double < right ? -1 : double > right ? 1 : 0 }
            let areWhole = double == nil && other.double == nil
            let a = areWhole ? (isNegative, digits) : scaled
            let b = areWhole ? (other.isNegative, other.digits) : other.scaled
            if a.0 != b.0 { return a.0 ? -1 : 1 }
            let size =
                a.1.count != b.1.count
                ? (a.1.count < b.1.count ? -1 : 1)
                : a.1 == b.1 ? 0 : a.1.lexicographicallyPrecedes(b.1) ? -1 : 1
            return a.0 ? -size : size
        }

        /// Times 2^1100, so that every double is whole.
        private var scaled: (isNegative: Bool, digits: [UInt8]) {
            guard let double else { return (isNegative, Self.doubled(digits, 1100)) }
            if double == 0 { return (false, []) }
            if double.isInfinite { return (double < 0, [UInt8](repeating: 9, count: 5000)) }
            // The significand as a whole number, and the power of two that goes with it.
            let significand = UInt64(abs(double).significand * 0x1p52)
            return (
                double < 0,
                Self.doubled(String(significand).utf8.map { $0 - 48 }, Int(double.exponent) - 52 + 1100)
            )
        }

        private static func doubled(_ digits: [UInt8], _ times: Int) -> [UInt8] {
            var digits = Array(digits.reversed())
            for _ in 0..<times {
                var carry: UInt8 = 0
                for index in digits.indices {
                    let sum = digits[index] * 2 + carry
                    digits[index] = sum % 10
                    carry = sum / 10
                }
                if carry > 0 { digits.append(carry) }
            }
            return digits.reversed()
        }
    }

    var payload: Value?
    var attributes = Attributes()

    struct Attributes {
        var kind = "Login"
        var session = "s1"
        var sequence: UInt64 = 7
        var index: UInt64 = 3
        var timestamp: Int64 = 1_778_416_496_100_000_000
        var length: UInt64 = 0
    }

    /// nil: it is no JSON.
    init(_ payload: [UInt8], _ attributes: Attributes = Attributes()) {
        self.attributes = attributes
        self.attributes.length = UInt64(payload.count)
        self.payload = payload.withUnsafeBytes { bytes in
            JSONValidator().isValid(bytes) ? Self.value(JSONTree(validated: bytes)) : nil
        }
    }

    private static func value(_ tree: JSONTree) -> Value {
        switch tree {
        case .null: .null
        case .bool(let value): .bool(value)
        case .string(let text): .text(text)
        case .array(let elements): .array(elements.map(value))
        case .object(let members): .object(members.mapValues(value))
        case .number(let number):
            if number.isWhole {
                .number(
                    Number(
                        whole: (number.isNegative ? "-" : "")
                            + String(decoding: number.digits, as: UTF8.self)
                            + String(repeating: "0", count: max(number.point - number.digits.count, 0))))
            } else {
                .number(Number(Double(text(number)) ?? .nan, written: text(number)))
            }
        }
    }

    private static func text(_ number: JSONNumber) -> String {
        (number.isNegative ? "-" : "") + "0." + String(decoding: number.digits, as: UTF8.self)
            + "0e\(number.point)"
    }

    func matches(_ test: WhereTest) -> Bool { verdict(test, payload) == true }

    /// nil: not known, because there is no payload.
    private func verdict(_ test: WhereTest, _ scope: Value?) -> Bool? {
        switch test {
        case .and(let parts):
            let verdicts = parts.map { verdict($0, scope) }
            return verdicts.contains(false) ? false : verdicts.contains(nil) ? nil : true
        case .or(let parts):
            let verdicts = parts.map { verdict($0, scope) }
            return verdicts.contains(true) ? true : verdicts.contains(nil) ? nil : false
        case .not(let part): return verdict(part, scope).map { !$0 }
        case .any(let path, let part):
            guard let scope else { return nil }
            return values(path, scope).contains { verdict(part, $0) == true }
        case .all(let path, let part):
            guard let scope else { return nil }
            let values = values(path, scope)
            return !values.isEmpty && values.allSatisfy { verdict(part, $0) == true }
        case .compare(let left, let comparison, let right, let ignoresCase):
            return pairs(left, right, scope) { compares($0, comparison, $1, ignoresCase) }
        case .isIn(let left, let list, let ignoresCase):
            let lists = list.map { values($0, scope) }
            guard let found = values(left, scope), !lists.contains(where: { $0 == nil }) else { return nil }
            return found.contains { value in
                lists.contains { $0?.contains { compares(value, .equal, $0, ignoresCase) } ?? false }
            }
        case .text(let left, let textOperator, let right, let ignoresCase):
            return pairs(left, right, scope) { left, right in
                guard case .text(let a) = left, case .text(let b) = right else { return false }
                return ignoresCase
                    ? holds(Self.lower(a), textOperator, Self.lower(b)) : holds(a, textOperator, b)
            }
        case .matches(let left, let pattern):
            guard let found = values(left, scope) else { return nil }
            return found.contains { value in
                guard case .text(let text) = value else { return false }
                return text.withUnsafeBytes { pattern.expression.isFound(in: $0) }
            }
        case .exists(let operand): return values(operand, scope).map { !$0.isEmpty }
        case .isType(let operand, let type): return values(operand, scope)?.contains { isOf(type, $0) }
        }
    }

    private func pairs(
        _ left: WhereOperand, _ right: WhereOperand, _ scope: Value?, _ body: (Value, Value) -> Bool
    ) -> Bool? {
        guard let values = values(left, scope), let others = self.values(right, scope) else { return nil }
        return values.contains { value in others.contains { body(value, $0) } }
    }

    private func isOf(_ type: WhereType, _ value: Value) -> Bool {
        switch (type, value) {
        case (.null, .null), (.string, .text), (.number, .number), (.bool, .bool), (.array, .array),
            (.object, .object):
            true
        case (.empty, .text(let text)): text.isEmpty
        case (.empty, .array(let elements)): elements.isEmpty
        case (.empty, .object(let members)): members.isEmpty
        default: false
        }
    }

    private func compares(
        _ left: Value, _ comparison: WhereComparison, _ right: Value, _ ignoresCase: Bool
    ) -> Bool {
        var order: Int?
        switch (left, right) {
        case (.number(let a), .number(let b)): order = a.order(b)
        case (.text(var a), .text(var b)):
            if ignoresCase { (a, b) = (Self.lower(a), Self.lower(b)) }
            order = a == b ? 0 : a.lexicographicallyPrecedes(b) ? -1 : 1
        case (.time(let a), .time(let b)): order = a == b ? 0 : a < b ? -1 : 1
        case (.duration(let a), .duration(let b)): order = a == b ? 0 : a < b ? -1 : 1
        default: return comparison == .equal && left == right
        }
        guard let order else { return false }
        switch comparison {
        case .equal: return order == 0
        case .less: return order < 0
        case .lessOrEqual: return order <= 0
        case .greater: return order > 0
        case .greaterOrEqual: return order >= 0
        }
    }

    private func holds(_ text: [UInt8], _ textOperator: WhereTextOperator, _ wanted: [UInt8]) -> Bool {
        switch textOperator {
        case .startswith: return text.starts(with: wanted)
        case .endswith: return text.reversed().starts(with: wanted.reversed())
        case .contains, .has:
            guard text.count >= wanted.count else { return false }
            return (0...text.count - wanted.count).contains { start in
                guard Array(text[start..<start + wanted.count]) == wanted else { return false }
                return textOperator == .contains
                    || Self.isBoundary(text, start) && Self.isBoundary(text, start + wanted.count)
            }
        }
    }

    static func isBoundary(_ text: [UInt8], _ place: Int) -> Bool {
        func isOfToken(_ byte: UInt8) -> Bool {
            byte >= 0x80 || (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        }
        return place == 0 || place == text.count || !isOfToken(text[place - 1]) || !isOfToken(text[place])
    }

    static func lower(_ text: [UInt8]) -> [UInt8] {
        var lowered = String.UnicodeScalarView()
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            let mapping = Array(scalar.properties.lowercaseMapping.unicodeScalars)
            lowered.append(mapping.count == 1 && mapping[0].isASCII == scalar.isASCII ? mapping[0] : scalar)
        }
        return Array(String(lowered).utf8)
    }

    // MARK: Operands. nil: there is no payload to take it from.

    private func values(_ operand: WhereOperand, _ scope: Value?) -> [Value]? {
        switch operand {
        case .literal(let literal): return [Self.value(literal)]
        case .attribute(let attribute):
            switch attribute {
            case .kind: return [.text(Array(attributes.kind.utf8))]
            case .session: return [.text(Array(attributes.session.utf8))]
            case .sequence: return [.number(Number(whole: "\(attributes.sequence)"))]
            case .index: return [.number(Number(whole: "\(attributes.index)"))]
            case .length: return [.number(Number(whole: "\(attributes.length)"))]
            case .timestamp: return [.time(attributes.timestamp)]
            }
        case .path(let path): return scope.map { values(path, $0) }
        case .number(let inner): return values(inner, scope)?.compactMap { Self.number($0) }
        case .lower(let inner):
            return values(inner, scope)?.compactMap { value in
                guard case .text(let text) = value else { return nil }
                return .text(Self.lower(text))
            }
        case .size(let inner):
            return values(inner, scope)?.compactMap { value in
                switch value {
                case .text(let text):
                    .number(Number(whole: "\(String(decoding: text, as: UTF8.self).unicodeScalars.count)"))
                case .array(let elements): .number(Number(whole: "\(elements.count)"))
                case .object(let members): .number(Number(whole: "\(members.count)"))
                default: nil
                }
            }
        case .time(let inner, let offset):
            return values(inner, scope)?.compactMap { value in
                switch value {
                case .time: return value
                case .text(let text):
                    return text.withUnsafeBytes { RFC3339.parse($0, defaultOffsetSeconds: offset) }
                        .map { .time($0) }
                case .number(let number):
                    let digits =
                        number.double != nil
                        ? number.written
                        : (number.isNegative ? "-" : "") + "0" + number.digits.map { "\($0)" }.joined()
                    return Array(digits.utf8).withUnsafeBytes { NumericTime.parse(decimal: $0) }.map {
                        .time($0)
                    }
                default: return nil
                }
            }
        case .difference(let left, let right):
            guard let lefts = values(left, scope), let rights = values(right, scope) else { return nil }
            return lefts.flatMap { left in
                rights.compactMap { right in
                    switch (left, right) {
                    case (.time(let a), .time(let b)): .duration(Int128(a) - Int128(b))
                    case (.duration(let a), .duration(let b)): .duration(a - b)
                    case (.time(let a), .duration(let b)): Int64(exactly: Int128(a) - b).map { .time($0) }
                    default: nil
                    }
                }
            }
        }
    }

    private static func value(_ literal: WhereLiteral) -> Value {
        switch literal {
        case .null: .null
        case .bool(let value): .bool(value)
        case .int(let value): .number(Number(whole: "\(value)"))
        case .uint(let value): .number(Number(whole: "\(value)"))
        case .wide(let digits): .number(Number(whole: String(decoding: digits, as: UTF8.self)))
        case .double(let bits, let digits):
            .number(
                Number(
                    Double(bitPattern: bits),
                    written: digits.isEmpty ? nil : String(decoding: digits, as: UTF8.self)))
        case .text(let text): .text(text)
        case .time(let nanoseconds): .time(nanoseconds)
        case .duration(let nanoseconds): .duration(Int128(nanoseconds))
        }
    }

    private static func number(_ value: Value) -> Value? {
        switch value {
        case .number: return value
        case .text(let bytes):
            let space: Set<UInt8> = [9, 10, 11, 12, 13, 32]
            let trimmed = bytes.drop { space.contains($0) }.reversed().drop { space.contains($0) }.reversed()
            let text = String(decoding: Array(trimmed), as: UTF8.self)
            if text.wholeMatch(of: /-?[0-9]+/) != nil { return .number(Number(whole: text)) }
            if text.wholeMatch(of: /-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?/) != nil {
                return Double(text).map { .number(Number($0, written: text)) }
            }
            if let match = text.wholeMatch(of: /0[xX]0*([0-9a-fA-F]{0,16})/), text.utf8.count > 2 {
                return .number(Number(whole: "\(UInt64(match.1, radix: 16) ?? 0)"))
            }
            return nil
        default: return nil
        }
    }

    private func values(_ path: WherePath, _ scope: Value) -> [Value] {
        switch path {
        case .element: return [scope]
        case .everyScalar: return scalars(scope)
        case .steps(let steps):
            var values = [scope]
            for step in steps {
                values = values.flatMap { value -> [Value] in
                    switch (step, value) {
                    case (.member(let key), .object(let members)): members[key].map { [$0] } ?? []
                    case (.element(let number), .array(let elements)) where number < elements.count:
                        [elements[number]]
                    case (.everyElement, .array(let elements)): elements
                    default: []
                    }
                }
            }
            return values
        }
    }

    private func scalars(_ value: Value) -> [Value] {
        switch value {
        case .array(let elements): elements.flatMap(scalars)
        case .object(let members): members.values.flatMap(scalars)
        default: [value]
        }
    }
}

extension WhereModel.Attributes {
    /// As the evaluator has them. The texts must outlive it.
    func lent<Answer>(length: Int, _ body: (WhereAttributes) -> Answer) -> Answer {
        let (kind, session) = (Array(kind.utf8), Array(session.utf8))
        return kind.withUnsafeBufferPointer { kind in
            session.withUnsafeBufferPointer { session in
                body(
                    WhereAttributes(
                        sequence: sequence, index: index, timestamp: timestamp, length: UInt64(length),
                        kind: .text(kind.baseAddress, kind.count),
                        session: .text(session.baseAddress, session.count)))
            }
        }
    }
}

extension WherePredicate {
    /// Whether one event matches.
    func matches(_ payload: [UInt8], _ attributes: WhereModel.Attributes = .init()) -> Bool {
        let evaluator = WhereEvaluator(self)
        return attributes.lent(length: payload.count) { attributes in
            payload.withUnsafeBytes { evaluator.matches(payload: $0, attributes: attributes) }
        }
    }

    func matches(_ payload: String, _ attributes: WhereModel.Attributes = .init()) -> Bool {
        matches(Array(payload.utf8), attributes)
    }
}
