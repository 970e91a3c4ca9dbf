/// Reads a condition. Column by column, without going back farther than a word; the stack is bounded by the
/// nesting.
struct WhereParser {
    /// How deep brackets, `not` and functions may be nested.
    static let depthMax = 100
    /// UTF-8 bytes of an expression.
    static let lengthMax = 1 << 16

    private var scanner: JSONPath.Parser
    private let defaultOffsetSeconds: Int
    private var depth = 0

    private init(_ text: String, _ defaultOffsetSeconds: Int) {
        scanner = JSONPath.Parser(text: text, characters: Array(text.unicodeScalars))
        self.defaultOffsetSeconds = defaultOffsetSeconds
    }

    /// The condition that a text is.
    ///
    /// - Parameter defaultOffsetSeconds: the offset from UTC of times without a zone.
    static func parse(_ text: String, defaultOffsetSeconds: Int) throws(WhereFault) -> WhereTest {
        guard text.utf8.count <= lengthMax else {
            throw WhereFault(
                expression: "\(text.unicodeScalars.prefix(40))…", column: 1,
                reason: "it is longer than \(lengthMax) bytes")
        }
        var parser = WhereParser(text, defaultOffsetSeconds)
        parser.skipSpace()
        guard parser.next != nil else {
            throw parser.fault("a condition is missing: name == \"value\", name exists")
        }
        let test = try parser.expression()
        guard parser.next == nil else { throw parser.faultOfRest() }
        return test
    }

    // MARK: Characters

    private var next: Unicode.Scalar? { scanner.next }

    private var position: Int {
        get { scanner.index }
        set { scanner.index = newValue }
    }

    private func character(_ offset: Int) -> Unicode.Scalar? {
        position + offset < scanner.characters.count ? scanner.characters[position + offset] : nil
    }

    private func fault(_ reason: String, at place: Int? = nil) -> WhereFault {
        WhereFault(
            expression: scanner.text, column: min(place ?? position, scanner.characters.count) + 1,
            reason: reason)
    }

    private mutating func skipSpace() {
        while let character = next,
            character == " " || character == "\t" || character == "\n" || character == "\r"
        { position += 1 }
    }

    private func text(_ range: Range<Int>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scanner.characters[range])
        return String(view)
    }

    /// The word that comes next, in lower case; empty where none does.
    private var word: String {
        var end = position
        while end < scanner.characters.count, scanner.isOfName(scanner.characters[end]) { end += 1 }
        return text(position..<end).asciiLowercased
    }

    private mutating func takeWord(_ wanted: String) -> Bool {
        guard word == wanted else { return false }
        position += wanted.unicodeScalars.count
        skipSpace()
        return true
    }

    private mutating func takeSymbol(_ wanted: String) -> Bool {
        for (offset, symbol) in wanted.unicodeScalars.enumerated() where character(offset) != symbol {
            return false
        }
        position += wanted.unicodeScalars.count
        skipSpace()
        return true
    }

    private mutating func expect(_ wanted: String, _ reason: String) throws(WhereFault) {
        guard takeSymbol(wanted) else { throw fault(reason) }
    }

    /// Whether a function of this name is called here.
    private mutating func takeCall(_ name: String) -> Bool {
        guard word == name else { return false }
        let start = position
        _ = takeWord(name)
        if takeSymbol("(") { return true }
        position = start
        return false
    }

    private mutating func enter() throws(WhereFault) {
        depth += 1
        guard depth <= Self.depthMax else {
            throw fault("nested deeper than \(Self.depthMax) levels: write it with fewer brackets")
        }
    }

    // MARK: Tests

    private mutating func expression() throws(WhereFault) -> WhereTest {
        try enter()
        defer { depth -= 1 }
        var tests = [try conjunction()]
        while takeWord("or") || takeSymbol("||") { tests.append(try conjunction()) }
        return tests.count == 1 ? tests[0] : .or(tests)
    }

    private mutating func conjunction() throws(WhereFault) -> WhereTest {
        var tests = [try negation()]
        while takeWord("and") || takeSymbol("&&") { tests.append(try negation()) }
        return tests.count == 1 ? tests[0] : .and(tests)
    }

    private mutating func negation() throws(WhereFault) -> WhereTest {
        // Twice not is nothing, also where something is unknown: so that these need no stack.
        var isNegated = false
        while takeWord("not") || (character(1) != "=" && takeSymbol("!")) { isNegated.toggle() }
        let test = try test()
        return isNegated ? test.negated : test
    }

    private mutating func test() throws(WhereFault) -> WhereTest {
        if takeSymbol("(") {
            let test = try expression()
            try expect(")", "a ) is missing, or an and or or before this")
            return test
        }
        if takeCall("any") { return try quantified { .any($0, $1) } }
        if takeCall("all") { return try quantified { .all($0, $1) } }
        return try comparison()
    }

    private mutating func quantified(
        _ make: (WherePath, WhereTest) -> WhereTest
    ) throws(WhereFault) -> WhereTest {
        let path = try path()
        skipSpace()
        try expect(",", "a comma is missing: any(path, condition)")
        let test = try expression()
        try expect(")", "a ) is missing: any(path, condition)")
        return make(path, test)
    }

    private mutating func comparison() throws(WhereFault) -> WhereTest {
        let left = try operand()
        let place = position
        if let (comparison, isNegated) = comparisonSign() {
            if next == "~" {
                throw fault("a regular expression is looked for with the word matches", at: place)
            }
            let rightPlace = position
            var right = try operand()
            var checkedLeft = left.value
            try check(&checkedLeft, left.place, &right.value, rightPlace, comparison)
            let ignoresCase = takeWord("nocase")
            let test = WhereTest.compare(checkedLeft, comparison, right.value, ignoresCase: ignoresCase)
            return isNegated ? test.negated : test
        }
        let isNegated = takeWord("not")
        if takeWord("in") {
            let test = try list(left)
            return isNegated ? test.negated : test
        }
        for textOperator in WhereTextOperator.allCases where takeWord(textOperator.rawValue) {
            let rightPlace = position
            let right = try operand()
            try checkText(left.value, left.place, textOperator.rawValue)
            try checkText(right.value, rightPlace, textOperator.rawValue)
            let ignoresCase = takeWord("nocase")
            let test = WhereTest.text(left.value, textOperator, right.value, ignoresCase: ignoresCase)
            return isNegated ? test.negated : test
        }
        if takeWord("matches") {
            let test = try regularExpression(left)
            return isNegated ? test.negated : test
        }
        if isNegated {
            throw fault("after not comes in, contains, startswith, endswith, has or matches here")
        }
        if takeWord("exists") { return .exists(left.value) }
        if takeWord("is") { return try type(left.value) }
        throw faultOfComparison()
    }

    private mutating func comparisonSign() -> (WhereComparison, isNegated: Bool)? {
        if takeSymbol("==") { return (.equal, false) }
        if takeSymbol("=") { return (.equal, false) }
        if takeSymbol("!=") { return (.equal, true) }
        if takeSymbol("<=") { return (.lessOrEqual, false) }
        if takeSymbol("<") { return (.less, false) }
        if takeSymbol(">=") { return (.greaterOrEqual, false) }
        if takeSymbol(">") { return (.greater, false) }
        return nil
    }

    private mutating func list(_ left: Operand) throws(WhereFault) -> WhereTest {
        try expect("[", "a list follows in: in [1, \"a\"]")
        var list: [WhereOperand] = []
        var places: [Int] = []
        var left = left
        let type = left.value.staticType
        repeat {
            let place = position
            var element = try operand()
            try check(&left.value, left.place, &element.value, place, .equal)
            list.append(element.value)
            places.append(place)
        } while takeSymbol(",")
        // An element that is a time makes one of a text on the left: those before it were checked with the text.
        if left.value.staticType != type {
            for index in list.indices {
                try check(&left.value, left.place, &list[index], places[index], .equal)
            }
        }
        try expect("]", "a ] is missing, or a comma before this")
        let ignoresCase = takeWord("nocase")
        return .isIn(left.value, list, ignoresCase: ignoresCase)
    }

    private mutating func regularExpression(_ left: Operand) throws(WhereFault) -> WhereTest {
        let place = position
        try checkText(left.value, left.place, "matches")
        guard case .literal(.text(let bytes)) = try operand().value else {
            throw fault("a regular expression stands in quotes: matches r\"^a+\"", at: place)
        }
        let ignoresCase = takeWord("nocase")
        let pattern = String(decoding: bytes, as: UTF8.self)
        do {
            let expression = try RegularExpression(pattern, ignoringCase: ignoresCase)
            return .matches(left.value, WherePattern(expression))
        } catch {
            throw fault(error.description, at: place)
        }
    }

    private mutating func type(_ operand: WhereOperand) throws(WhereFault) -> WhereTest {
        let isNegated = takeWord("not")
        if takeWord("missing") { return isNegated ? .exists(operand) : .not(.exists(operand)) }
        for type in WhereType.allCases where takeWord(type.rawValue) {
            return isNegated ? .not(.isType(operand, type)) : .isType(operand, type)
        }
        throw fault(
            "after is comes null, missing, empty, string, number, bool, array or object (a value is compared with ==)"
        )
    }

    private func faultOfComparison() -> WhereFault {
        switch next {
        case nil: return fault("a comparison is missing: … == 1, … exists")
        case "~": return fault("a regular expression is looked for with the word matches")
        case "+", "*", "/", "%": return fault("there is no arithmetic but the difference of two times")
        default: break
        }
        switch word {
        case "like", "regex", "regexp", "match", "rlike":
            return fault(
                "\(word) is no word of this language: write contains, startswith, endswith or matches")
        case "equals", "eq": return fault("write ==")
        case "": return fault("a comparison is expected: ==, !=, <, <=, >, >=, in, contains, exists, is …")
        default:
            return fault(
                "\(word) is no word of this language; here come ==, !=, <, <=, >, >=, in, contains, startswith, endswith, has, matches, exists or is"
            )
        }
    }

    /// What follows a whole condition and is none of what can.
    private func faultOfRest() -> WhereFault {
        if next == ")" { return fault("this ) closes nothing") }
        return fault("the condition ends before this; and or or is missing")
    }

    // MARK: Operands

    private struct Operand {
        var value: WhereOperand
        let place: Int
    }

    private mutating func operand() throws(WhereFault) -> Operand {
        let place = position
        let left = try value()
        let end = position
        skipSpace()
        guard next == "-" else { return Operand(value: left, place: place) }
        if case .path = left, position == end {
            throw fault("a key with - in it is written [\"…\"]; a difference of times has spaces around it")
        }
        position += 1
        skipSpace()
        let rightPlace = position
        let right = try value()
        skipSpace()
        return Operand(value: try difference(left, place, right, rightPlace), place: place)
    }

    private mutating func value() throws(WhereFault) -> WhereOperand {
        switch next {
        case nil, ")", "]", ",", "=", "<", ">":
            throw fault("a value is missing here: a path, a number, a text in quotes")
        case "\"": return .literal(.text(try quoted()))
        case "r", "R":
            if character(1) == "\"" { return .literal(.text(try raw())) }
        case let first? where first == "-" || ("0"..."9").contains(first):
            return .literal(try number().literal)
        case "'", "“", "”", "‘", "`":
            throw fault("a text stands in double quotes: \"…\", or r\"…\" without escapes")
        case "$": throw fault("a path has no $ in front: a.b, a[0], [\"a\"]")
        case "*" where character(1) != "*": throw fault("every value is **, every element of an array is a[]")
        default: break
        }
        if takeCall("number") { return .number(try argument("number", accepts: [.any, .text, .number])) }
        if takeCall("lower") { return .lower(try argument("lower", accepts: [.any, .text])) }
        if takeCall("size") { return .size(try argument("size", accepts: [.any, .text])) }
        if takeCall("time") { return try time() }
        let start = position
        let path = try path()
        // A name alone may be one of the language's.
        guard case .steps(let steps) = path, steps.count == 1, scanner.characters[start] != ".",
            scanner.characters[start] != "["
        else { return .path(path) }
        let name = text(start..<position)
        if let attribute = WhereAttribute(rawValue: name) { return .attribute(attribute) }
        switch name.asciiLowercased {
        case "null": return .literal(.null)
        case "true": return .literal(.bool(true))
        case "false": return .literal(.bool(false))
        case let word where Self.words.contains(word):
            throw fault(
                "\(name) is a word of this language and a value is missing before it; a key of that name is written .\(name)",
                at: start)
        default: return .path(path)
        }
    }

    private static let words: Set = [
        "and", "or", "not", "in", "is", "exists", "contains", "startswith", "endswith", "has", "matches",
        "nocase",
    ]

    /// Whether a name alone means anything but the member of that name.
    static func isReserved(_ name: String) -> Bool {
        let lowered = name.asciiLowercased
        return words.contains(lowered) || ["null", "true", "false"].contains(lowered)
            || WhereAttribute(rawValue: name) != nil
    }

    private mutating func path() throws(WhereFault) -> WherePath {
        if takeStars() { return .everyScalar }
        if next == ".", character(1) != "[", !(character(1).map(scanner.isOfName) ?? false) {
            if character(1) == "." { throw fault("a path has one dot between two names") }
            position += 1
            return .element
        }
        do throws(JSONPath.Fault) {
            return .steps(try scanner.steps())
        } catch {
            throw WhereFault(expression: error.path, column: error.column, reason: error.reason)
        }
    }

    private mutating func takeStars() -> Bool {
        guard next == "*", character(1) == "*" else { return false }
        position += 2
        return true
    }

    private mutating func quoted() throws(WhereFault) -> [UInt8] {
        do throws(JSONPath.Fault) {
            return try scanner.quoted()
        } catch {
            var reason = error.reason
            if error.column - 1 < scanner.characters.count {
                reason = "it is not a JSON string: \\ is written \\\\ in it, or the text as r\"…\""
            }
            throw WhereFault(expression: error.path, column: error.column, reason: reason)
        }
    }

    private mutating func raw() throws(WhereFault) -> [UInt8] {
        let start = position + 2
        guard let end = scanner.characters[start...].firstIndex(of: "\"") else {
            position = scanner.characters.count
            throw fault("the quote is not closed")
        }
        position = end + 1
        return Array(text(start..<end).utf8)
    }

    private mutating func argument(
        _ name: String, accepts types: Set<StaticType>
    ) throws(WhereFault) -> WhereOperand {
        try enter()
        defer { depth -= 1 }
        skipSpace()
        let argument = try operand()
        let type = argument.value.staticType
        guard types.contains(type) else {
            throw fault(
                "\(argument.value.plain) is \(type.rawValue): \(name)(…) is of no use here",
                at: argument.place)
        }
        try expect(")", "a ) is missing: \(name)(path)")
        return argument.value
    }

    private mutating func time() throws(WhereFault) -> WhereOperand {
        let place = position
        // A number's own text: a decimal keeps all of its digits so.
        var digits: [UInt8] = []
        let argument: WhereOperand
        if let first = next, first == "-" || ("0"..."9").contains(first) {
            let number = try number()
            argument = .literal(number.literal)
            digits = number.digits
            skipSpace()
        } else if next == "\"" {
            // No deeper than without time(…): a text that is compared with a time is printed so.
            argument = try operand().value
        } else {
            try enter()
            defer { depth -= 1 }
            argument = try operand().value
        }
        guard [.any, .text, .number, .time].contains(argument.staticType) else {
            throw fault(
                "\(argument.plain) is \(argument.staticType.rawValue): time(…) reads a text or a number",
                at: place)
        }
        var offset = defaultOffsetSeconds
        if takeSymbol(",") {
            let zonePlace = position
            guard next == "\"" else { throw fault("a zone is a text: \"Z\", \"+02:00\"") }
            guard let zone = TimeZoneArgument.parse(String(decoding: try quoted(), as: UTF8.self)) else {
                throw fault("a zone is \"Z\", \"+02:00\", \"+0200\" or \"+02\"", at: zonePlace)
            }
            offset = zone
            skipSpace()
        }
        try expect(")", "a ) is missing: time(path), time(path, \"+02:00\")")
        switch argument {
        case .literal(.text(let bytes)): return .literal(.time(try time(bytes, place, offset)))
        case .literal(.time): return argument
        case .literal:
            guard let time = digits.withUnsafeBytes({ NumericTime.parse(decimal: $0) }) else {
                throw fault("it is no time between the years 1677 and 2262", at: place)
            }
            return .literal(.time(time))
        default: return .time(argument, offsetSeconds: offset)
        }
    }

    /// The time that a text is: RFC 3339, or a date alone.
    private func time(_ text: [UInt8], _ place: Int, _ offset: Int? = nil) throws(WhereFault) -> Int64 {
        let bytes = text.count == 10 ? text + Array("T00:00:00".utf8) : text
        let time = bytes.withUnsafeBytes {
            RFC3339.parse($0, defaultOffsetSeconds: offset ?? defaultOffsetSeconds)
        }
        guard let time else {
            throw fault("it does not read as a time: write it as \"2026-05-10T12:34:56Z\"", at: place)
        }
        return time
    }

    /// A number or a duration. The digits are empty for what is not written in decimal.
    private mutating func number() throws(WhereFault) -> (literal: WhereLiteral, digits: [UInt8]) {
        let start = position
        func isDigit(_ character: Unicode.Scalar?) -> Bool {
            character.map { ("0"..."9").contains($0) } ?? false
        }
        if next == "-" { position += 1 }
        guard isDigit(next) else { throw fault("a number is missing after -", at: start) }
        if next == "0", character(1) == "x" || character(1) == "X" {
            let isNegative = position > start
            position += 2
            let word = self.word
            position += word.unicodeScalars.count
            guard !isNegative, let value = UInt64(word, radix: 16), word.first != "+" else {
                throw fault("a number in hexadecimal is 0x and 1 to 16 of 0-9 a-f, without a sign", at: start)
            }
            return (Int64(exactly: value).map { .int($0) } ?? .uint(value), Array("\(value)".utf8))
        }
        let digits = position
        while isDigit(next) { position += 1 }
        guard scanner.characters[digits] != "0" || position == digits + 1 else {
            throw fault("a number has no zeros in front", at: start)
        }
        var isWhole = true
        if next == ".", isDigit(character(1)) {
            isWhole = false
            position += 1
            while isDigit(next) { position += 1 }
        }
        if next == "e" || next == "E" {
            let sign = character(1) == "+" || character(1) == "-" ? 1 : 0
            if isDigit(character(1 + sign)) {
                isWhole = false
                position += 1 + sign
                while isDigit(next) { position += 1 }
            }
        }
        let text = text(start..<position)
        if next == "µ" || next == "μ" || next.map(scanner.isOfName) ?? false {
            return (.duration(try duration(text, isWhole, start)), [])
        }
        return (WhereLiteral(number: text, isWhole: isWhole), Array(text.utf8))
    }

    private mutating func duration(_ number: String, _ isWhole: Bool, _ start: Int) throws(WhereFault)
        -> Int64
    {
        let unitPlace = position
        if next == "µ" || next == "μ" { position += 1 }
        position += word.unicodeScalars.count
        let factor: Int64
        switch text(unitPlace..<position) {
        case "ns": factor = 1
        case "us", "µs", "μs": factor = 1000
        case "ms": factor = 1_000_000
        case "s": factor = 1_000_000_000
        case "m": factor = 60_000_000_000
        case "h": factor = 3_600_000_000_000
        case "d": factor = 86_400_000_000_000
        case let unit:
            throw fault(
                "\(unit) is no unit of time: ns us ms s m h d; a key that begins with a digit is written [\"…\"]",
                at: unitPlace)
        }
        guard isWhole else {
            throw fault("a length of time is a whole number of a unit: 1500ms for 1.5s", at: start)
        }
        guard let count = Int64(number) else { throw fault("it is longer than 292 years", at: start) }
        let (duration, isTooLong) = count.multipliedReportingOverflow(by: factor)
        if isTooLong { throw fault("it is longer than 292 years", at: start) }
        return duration
    }
}

// MARK: - Types

/// What is known of an operand's type without a payload.
enum StaticType: String {
    case any = "a value of the payload"
    case text = "text"
    case number = "a number"
    case bool = "true or false"
    case null = "null"
    case time = "a time"
    case duration = "a length of time"
}

extension WhereOperand {
    var staticType: StaticType {
        switch self {
        case .literal(let literal):
            switch literal {
            case .null: .null
            case .bool: .bool
            case .int, .uint, .wide, .double: .number
            case .text: .text
            case .time: .time
            case .duration: .duration
            }
        case .attribute(.kind), .attribute(.session): .text
        case .attribute(.timestamp): .time
        case .attribute: .number
        case .path: .any
        case .number, .size: .number
        case .lower: .text
        case .time: .time
        case .difference(let left, let right):
            left.staticType == .time && right.staticType == .duration ? .time : .duration
        }
    }

    /// As one writes it, for messages.
    var plain: String {
        switch self {
        case .path(let path): path.plain
        case .number(let operand): "number(\(operand.plain))"
        case .lower(let operand): "lower(\(operand.plain))"
        case .size(let operand): "size(\(operand.plain))"
        case .time(let operand, _): "time(\(operand.plain))"
        default: description
        }
    }
}

extension WhereParser {
    /// Refuses a comparison that no event could fulfil, and reads texts that are compared with times as
    /// times.
    private func check(
        _ left: inout WhereOperand, _ leftPlace: Int, _ right: inout WhereOperand, _ rightPlace: Int,
        _ comparison: WhereComparison
    ) throws(WhereFault) {
        if comparison != .equal {
            for (operand, place) in [(left, leftPlace), (right, rightPlace)] {
                if operand.staticType == .null || operand.staticType == .bool {
                    throw fault(
                        "\(operand.plain) is neither less nor greater than anything: use == or !=", at: place)
                }
            }
        }
        switch (left.staticType, right.staticType) {
        case (.time, .text): right = try asTime(right, rightPlace)
        case (.text, .time): left = try asTime(left, leftPlace)
        case (.time, .any), (.time, .number): throw faultOfTime(right, rightPlace)
        case (.any, .time), (.number, .time): throw faultOfTime(left, leftPlace)
        case (.duration, let other) where other != .duration: throw faultOfDuration(right, rightPlace)
        case (let other, .duration) where other != .duration: throw faultOfDuration(left, leftPlace)
        case (.any, _), (_, .any), (.null, _), (_, .null): return
        case (let type, let other) where type != other:
            // What is named comes first in the message, and the place is that of the literal.
            let isLiteralFirst = if case .literal = left { true } else { false }
            throw faultOfTypes(isLiteralFirst ? right : left, at: isLiteralFirst ? leftPlace : rightPlace)
        default: return
        }
    }

    private func faultOfTypes(_ operand: WhereOperand, at place: Int) -> WhereFault {
        let name = operand.plain
        switch operand.staticType {
        case .text: return fault("\(name) is text: compare it with text in quotes", at: place)
        case .number: return fault("\(name) is a number: compare it with a number, without quotes", at: place)
        case .bool: return fault("\(name) is true or false: compare it with one of them", at: place)
        case let type: return fault("\(name) is \(type.rawValue): compare it with another", at: place)
        }
    }

    private func faultOfTime(_ operand: WhereOperand, _ place: Int) -> WhereFault {
        fault("a time is compared with a time: write time(\(operand.plain))", at: place)
    }

    private func faultOfDuration(_ operand: WhereOperand, _ place: Int) -> WhereFault {
        let type = operand.staticType == .any ? "" : " is \(operand.staticType.rawValue) and"
        return fault(
            "\(operand.plain)\(type) is never a length of time, as the difference of two times and 10s are: compare those",
            at: place)
    }

    private func asTime(_ operand: WhereOperand, _ place: Int) throws(WhereFault) -> WhereOperand {
        guard case .literal(.text(let bytes)) = operand else { throw faultOfTime(operand, place) }
        return .literal(.time(try time(bytes, place)))
    }

    private func checkText(_ operand: WhereOperand, _ place: Int, _ textOperator: String) throws(WhereFault) {
        let type = operand.staticType
        guard type != .text, type != .any else { return }
        if case .literal(let literal) = operand {
            throw fault("\(textOperator) looks for a text: write it in quotes, \"\(literal)\"", at: place)
        }
        throw fault("\(operand.plain) is \(type.rawValue): \(textOperator) looks in texts only", at: place)
    }

    private func difference(
        _ left: WhereOperand, _ leftPlace: Int, _ right: WhereOperand, _ rightPlace: Int
    ) throws(WhereFault) -> WhereOperand {
        var (left, right) = (left, right)
        if case .literal(.text) = left { left = try asTime(left, leftPlace) }
        if case .literal(.text) = right { right = try asTime(right, rightPlace) }
        for (operand, place) in [(left, leftPlace), (right, rightPlace)] {
            let type = operand.staticType
            guard type == .time || type == .duration else {
                throw fault("only times are subtracted: write time(\(operand.plain))", at: place)
            }
        }
        switch (left.staticType, right.staticType) {
        case (.duration, .time):
            throw fault("a time can't be subtracted from a length of time", at: rightPlace)
        default: break
        }
        // Of literals the difference is one too.
        switch (left, right) {
        case (.literal(.time(let a)), .literal(.duration(let b))):
            let (time, overflow) = a.subtractingReportingOverflow(b)
            if overflow { throw fault("it is no time between the years 1677 and 2262", at: leftPlace) }
            return .literal(.time(time))
        case (.literal(.time(let a)), .literal(.time(let b))),
            (.literal(.duration(let a)), .literal(.duration(let b))):
            let (duration, overflow) = a.subtractingReportingOverflow(b)
            if overflow { throw fault("it is longer than 292 years", at: leftPlace) }
            return .literal(.duration(duration))
        default: return .difference(left, right)
        }
    }
}

extension WhereLiteral {
    /// The number that valid decimal text stands for.
    init(number text: String, isWhole: Bool) {
        if isWhole {
            if let value = Int64(text) {
                self = .int(value)
            } else if let value = UInt64(text) {
                self = .uint(value)
            } else {
                self = .wide(Array(text.utf8))
            }
        } else {
            let value = Double(text) ?? 0
            let written = Array(text.utf8)
            let isSameTime =
                written.withUnsafeBytes { NumericTime.parse(decimal: $0) }
                == Array("\(value)".utf8).withUnsafeBytes { NumericTime.parse(decimal: $0) }
            self = .double(value.bitPattern, digits: isSameTime ? [] : written)
        }
    }
}

extension String {
    /// With the letters of ASCII in lower case.
    var asciiLowercased: String {
        String(decoding: utf8.map { $0 &- 65 < 26 ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}
