@testable import VarveJSON

/// Random conditions, and payloads of which they say something.
struct WhereRandom {
    var random: Seeded

    init(seed: UInt64) { random = Seeded(state: seed) }

    mutating func pick<Element>(_ list: [Element]) -> Element {
        list[Int(random.next() % UInt64(list.count))]
    }
    mutating func chance(_ percent: UInt64) -> Bool { random.next() % 100 < percent }

    static let keys = ["a", "b", "Ab", "c/d", "é", "x y", "q\"", "kind", "n\n"]
    static let texts = [
        "", "a", "A", "ab", "Ab ab", "xAbx", "1", "-1", "2.5", "0x1F", "31", " 7 ", "C:\\Win\\a.exe", "c/d/e",
        "ÄÖ", "äö", "É1",
        "\u{212A}", "k", "K", "ſ", "\u{1}x", "q\"uote", "a\nb", "2026-05-10T12:34:56Z", "2026-05-10 12:34:57",
        "1778416496", "a.b", "😀",
    ]
    static let numbers = [
        "0", "1", "-1", "2.5", "1.0", "31", "1e3", "1000", "-0", "18446744073709551615",
        "18446744073709551616", "-9223372036854775809",
        "9007199254740993", "9007199254740992.0", "1e400", "1778416496", "1778416496.5", "123456789012345678",
        "-31",
    ]

    static let patterns = patterns(ignoringCase: false)
    static let patternsOfAnyCase = patterns(ignoringCase: true)

    private static func patterns(ignoringCase: Bool) -> [WherePattern] {
        ["b$", "^A", "[0-9]+", "k", "a.b", "(?i)win", "", "é|ö"].compactMap {
            (try? RegularExpression($0, ignoringCase: ignoringCase)).map(WherePattern.init)
        }
    }

    // MARK: Conditions

    mutating func test(_ depth: Int = 3) -> WhereTest {
        if depth > 0, chance(45) {
            switch random.next() % 5 {
            case 0: return .and((0..<Int(2 + random.next() % 2)).map { _ in test(depth - 1) })
            case 1: return .or((0..<Int(2 + random.next() % 2)).map { _ in test(depth - 1) })
            case 2: return test(depth - 1).negated
            case 3: return .any(path(), test(depth - 1))
            default: return .all(path(), test(depth - 1))
            }
        }
        let ignoresCase = chance(30)
        switch random.next() % 12 {
        case 0: return .exists(value())
        case 1: return .isType(value(), pick(WhereType.allCases))
        case 2, 3: return .text(text(), pick(WhereTextOperator.allCases), text(), ignoresCase: ignoresCase)
        case 4:
            return .matches(text(), pick(ignoresCase ? Self.patternsOfAnyCase : Self.patterns))
        case 5: return .compare(time(), comparison(), time(), ignoresCase: false)
        case 6:
            return .compare(
                .difference(time(), time()), comparison(),
                chance(50)
                    ? .literal(.duration(Int64(bitPattern: random.next()) >> 20))
                    : .difference(time(), time()),
                ignoresCase: false)
        case 7:
            let left = path(80)
            return .isIn(
                left, (0...Int(random.next() % 3)).map { _ in chance(70) ? literal() : path(50) },
                ignoresCase: ignoresCase)
        case 8:
            return .compare(
                chance(70) ? text() : .lower(text()), comparison(), text(), ignoresCase: ignoresCase)
        case 9: return .compare(number(), comparison(), number(), ignoresCase: ignoresCase)
        case 10: return .compare(path(50), comparison(), path(50), ignoresCase: ignoresCase)
        default:
            let right = literal()
            var comparison = comparison()
            if case .literal(.null) = right { comparison = .equal }
            if case .literal(.bool) = right { comparison = .equal }
            return chance(80)
                ? .compare(path(50), comparison, right, ignoresCase: ignoresCase)
                : .compare(right, comparison, path(50), ignoresCase: ignoresCase)
        }
    }

    private mutating func comparison() -> WhereComparison {
        chance(50) ? .equal : pick([.less, .lessOrEqual, .greater, .greaterOrEqual])
    }

    private mutating func path() -> WherePath {
        if chance(12) { return .everyScalar }
        if chance(8) { return .element }
        var steps: [JSONPath.Step] = [.member(Array(pick(Self.keys).utf8))]
        while chance(30) {
            steps.append(
                pick([.member(Array(pick(Self.keys).utf8)), .everyElement, .element(Int(random.next() % 3))]))
        }
        if chance(5) { steps.removeFirst() }
        return steps.isEmpty ? .element : .steps(steps)
    }

    private mutating func path(_ percentOfSimple: UInt64) -> WhereOperand {
        chance(percentOfSimple) ? .path(.steps([.member(Array(pick(Self.keys).utf8))])) : .path(path())
    }

    private mutating func literal() -> WhereOperand {
        switch random.next() % 5 {
        case 0: .literal(.null)
        case 1: .literal(.bool(chance(50)))
        case 2: .literal(.text(Array(pick(Self.texts).utf8)))
        default: numberLiteral()
        }
    }

    private mutating func numberLiteral() -> WhereOperand {
        let text = pick(Self.numbers)
        return .literal(WhereLiteral(number: text, isWhole: !text.contains(where: { ".e".contains($0) })))
    }

    private mutating func text() -> WhereOperand {
        switch random.next() % 8 {
        case 0: .attribute(pick([.kind, .session]))
        case 1: .lower(path(70))
        case 2, 3: .literal(.text(Array(pick(Self.texts).utf8)))
        default: path(70)
        }
    }

    private mutating func number() -> WhereOperand {
        switch random.next() % 8 {
        case 0: .attribute(pick([.sequence, .index, .length]))
        case 1: .size(path(70))
        case 2, 3, 4: .number(path(80))
        default: numberLiteral()
        }
    }

    private mutating func time() -> WhereOperand {
        switch random.next() % 6 {
        case 0: .attribute(.timestamp)
        case 1: .literal(.time(1_778_416_496_000_000_000 + Int64(random.next() % 3) * 500_000_000))
        default: .time(path(70), offsetSeconds: pick([0, 0, 7200, -5400]))
        }
    }

    private mutating func value() -> WhereOperand {
        switch random.next() % 8 {
        case 0: .number(path(70))
        case 1: .lower(path(70))
        case 2: .size(path(70))
        case 3: .time(path(70), offsetSeconds: 0)
        case 4: .attribute(pick(WhereAttribute.allCases))
        default: path(50)
        }
    }

    // MARK: Payloads

    /// A document, or now and then bytes that are none.
    mutating func payload() -> [UInt8] {
        var bytes: [UInt8] = []
        appendObject(&bytes, 3)
        if chance(3) { bytes.removeLast() }
        if chance(3) {
            bytes = []
            appendValue(&bytes, 2)
        }
        return bytes
    }

    private mutating func space(_ bytes: inout [UInt8]) {
        if chance(8) { bytes.append(pick([0x20, 0x0A, 0x09])) }
    }

    private mutating func appendObject(_ bytes: inout [UInt8], _ depth: Int) {
        bytes.append(UInt8(ascii: "{"))
        let count = random.next() % 6
        for place in 0..<count {
            if place > 0 { bytes.append(UInt8(ascii: ",")) }
            space(&bytes)
            appendString(&bytes, pick(Self.keys))
            space(&bytes)
            bytes.append(UInt8(ascii: ":"))
            appendValue(&bytes, depth - 1)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func appendValue(_ bytes: inout [UInt8], _ depth: Int) {
        space(&bytes)
        switch random.next() % (depth > 0 ? 12 : 9) {
        case 0: bytes += Array("null".utf8)
        case 1: bytes += Array((chance(50) ? "true" : "false").utf8)
        case 2, 3, 4: bytes += Array(pick(Self.numbers).utf8)
        case 9: appendObject(&bytes, depth)
        case 10, 11:
            bytes.append(UInt8(ascii: "["))
            for place in 0..<random.next() % 4 {
                if place > 0 { bytes.append(UInt8(ascii: ",")) }
                appendValue(&bytes, depth - 1)
            }
            bytes.append(UInt8(ascii: "]"))
        default: appendString(&bytes, pick(Self.texts))
        }
        space(&bytes)
    }

    /// In one of its spellings.
    private mutating func appendString(_ bytes: inout [UInt8], _ text: String) {
        let escapes = chance(20)
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || scalar == "\"" || scalar == "\\" || escapes && chance(30) {
                switch scalar {
                case "\n" where chance(70): bytes += Array("\\n".utf8)
                case "\"" where chance(70): bytes += Array("\\\"".utf8)
                case "\\" where chance(70): bytes += Array("\\\\".utf8)
                case "/" where chance(70): bytes += Array("\\/".utf8)
                default:
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16, uppercase: chance(50))
                        bytes +=
                            Array("\\u".utf8) + Array(String(repeating: "0", count: 4 - digits.count).utf8)
                        bytes += Array(digits.utf8)
                    }
                }
            } else {
                bytes += Array(String(scalar).utf8)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
