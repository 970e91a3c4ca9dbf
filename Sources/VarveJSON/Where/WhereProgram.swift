internal import CTextSearch

/// A condition as a flat array of tests and operands, which refer to each other by number: nothing in it is
/// counted or allocated while it runs. Made once, and used by any number of evaluators.
final class WhereProgram: @unchecked Sendable {
    // Unchecked: nothing changes after `init`, and all pointers are to memory of its own.

    struct Test {
        enum Code: UInt8 {
            case and, or, not, compare, text, matches, isIn, exists, isType, any, all
        }

        var code: Code
        var ignoresCase = false
        var needsPayload = false
        var comparison = WhereComparison.equal
        var textOperator = WhereTextOperator.contains
        var type = WhereType.null
        /// Of and, or: the tests, in `links`. Of isIn: the operands of the list.
        var links = 0
        var linkCount = 0
        /// The operand on the left, or the path.
        var left = 0
        /// The operand on the right, the test within, or the regular expression.
        var right = 0
        /// What a text operator looks for, made ready, where it is a literal.
        var needle: OpaquePointer?
    }

    struct Operand {
        enum Code: UInt8 {
            case constant, attribute, path, everyScalar, number, lower, size, time, difference
        }

        var code: Code
        /// Whether it may have several values.
        var isMany = false
        var needsPayload = false
        var attribute = WhereAttribute.kind
        /// Of a path: its steps. Of a constant: its place in `constants`. Else the operand.
        var first = 0
        /// Of a path: how many steps. Of a difference: the other operand. Of a time: the offset in seconds.
        var second = 0
    }

    struct Step {
        enum Code: UInt8 {
            case member, element, everyElement
        }

        var code: Code
        var key: UnsafePointer<UInt8>?
        /// Of the key, or which element.
        var number = 0
    }

    let tests: UnsafePointer<Test>
    let operands: UnsafePointer<Operand>
    let steps: UnsafePointer<Step>
    let constants: UnsafePointer<WhereValue>
    let links: UnsafePointer<Int>
    let regularExpressions: [RegularExpression]
    /// The whole condition.
    let root: Int
    let needsPayload: Bool
    /// Whether something can be said without a payload.
    let looksAtAttributes: Bool
    /// Whether an operand is an attribute, also beside one in the payload.
    let usesAttributes: Bool
    let usesKind: Bool
    let usesSession: Bool
    private let memory: [UnsafeMutableRawPointer]
    private let needles: [OpaquePointer]

    init(_ test: WhereTest) {
        var builder = Builder()
        root = builder.add(test)
        needsPayload = builder.tests[root].needsPayload
        looksAtAttributes = builder.tests.contains { !$0.needsPayload }
        usesAttributes = !builder.attributes.isEmpty
        usesKind = builder.attributes.contains(.kind)
        usesSession = builder.attributes.contains(.session)
        regularExpressions = builder.regularExpressions
        tests = builder.keep(builder.tests)
        operands = builder.keep(builder.operands)
        steps = builder.keep(builder.steps)
        constants = builder.keep(builder.constants)
        links = builder.keep(builder.links)
        memory = builder.memory
        needles = builder.tests.compactMap(\.needle)
    }

    deinit {
        for needle in needles { varve_needle_free(needle) }
        for pointer in memory { pointer.deallocate() }
    }

    private struct Builder {
        var tests: [Test] = []
        var operands: [Operand] = []
        var steps: [Step] = []
        var constants: [WhereValue] = []
        var links: [Int] = []
        var regularExpressions: [RegularExpression] = []
        var attributes: Set<WhereAttribute> = []
        var memory: [UnsafeMutableRawPointer] = []

        /// A copy that stays where it is.
        mutating func keep<Element: BitwiseCopyable>(_ array: [Element]) -> UnsafePointer<Element> {
            let room = UnsafeMutablePointer<Element>.allocate(capacity: max(array.count, 1))
            room.initialize(from: array, count: array.count)
            memory.append(UnsafeMutableRawPointer(room))
            return UnsafePointer(room)
        }

        mutating func add(_ test: WhereTest) -> Int {
            var made: Test
            switch test {
            case .and(let parts), .or(let parts):
                let numbers = parts.map { add($0) }
                made = Test(code: .or)
                if case .and = test { made.code = .and }
                made.links = links.count
                made.linkCount = numbers.count
                made.needsPayload = numbers.contains { tests[$0].needsPayload }
                links += numbers
            case .not(let part):
                made = Test(code: .not)
                made.right = add(part)
                made.needsPayload = tests[made.right].needsPayload
            case .compare(let left, let comparison, let right, let ignoresCase):
                made = Test(code: .compare, ignoresCase: ignoresCase, comparison: comparison)
                made.left = add(left, folded: ignoresCase)
                made.right = add(right, folded: ignoresCase)
                made.needsPayload = operands[made.left].needsPayload || operands[made.right].needsPayload
            case .text(let left, let textOperator, let right, let ignoresCase):
                made = Test(code: .text, ignoresCase: ignoresCase, textOperator: textOperator)
                made.left = add(left, folded: ignoresCase)
                made.right = add(right, folded: ignoresCase)
                made.needsPayload = operands[made.left].needsPayload || operands[made.right].needsPayload
                if operands[made.right].code == .constant {
                    let wanted = constants[operands[made.right].first]
                    if wanted.kind == .text, wanted.count > 0 {
                        made.needle = varve_needle_new(wanted.bytes, wanted.count, false)
                    }
                }
            case .matches(let left, let pattern):
                made = Test(code: .matches)
                made.left = add(left)
                made.needsPayload = operands[made.left].needsPayload
                made.right = regularExpressions.count
                regularExpressions.append(pattern.expression)
            case .isIn(let left, let list, let ignoresCase):
                made = Test(code: .isIn, ignoresCase: ignoresCase)
                made.left = add(left, folded: ignoresCase)
                let numbers = list.map { add($0, folded: ignoresCase) }
                made.links = links.count
                made.linkCount = numbers.count
                links += numbers
                made.needsPayload =
                    operands[made.left].needsPayload || numbers.contains { operands[$0].needsPayload }
            case .exists(let operand):
                made = Test(code: .exists)
                made.left = add(operand)
                made.needsPayload = operands[made.left].needsPayload
            case .isType(let operand, let type):
                made = Test(code: .isType, type: type)
                made.left = add(operand)
                made.needsPayload = operands[made.left].needsPayload
            case .any(let path, let part), .all(let path, let part):
                made = Test(code: .all, needsPayload: true)
                if case .any = test { made.code = .any }
                made.left = add(.path(path))
                made.right = add(part)
            }
            tests.append(made)
            return tests.count - 1
        }

        /// `folded`: whether it is compared in lower case, in which a literal is kept from the start.
        mutating func add(_ operand: WhereOperand, folded: Bool = false) -> Int {
            var made: Operand
            switch operand {
            case .literal(let literal):
                made = Operand(code: .constant)
                made.first = constants.count
                var value = constant(literal)
                if folded, value.kind == .text { value = lowered(value) }
                constants.append(value)
            case .attribute(let attribute):
                attributes.insert(attribute)
                made = Operand(code: .attribute, attribute: attribute)
            case .path(.everyScalar): made = Operand(code: .everyScalar, isMany: true, needsPayload: true)
            case .path(.element): made = Operand(code: .path, needsPayload: true)
            case .path(.steps(let path)):
                made = Operand(code: .path, isMany: path.contains(.everyElement), needsPayload: true)
                made.first = steps.count
                made.second = path.count
                for step in path {
                    switch step {
                    case .member(let key):
                        steps.append(Step(code: .member, key: keep(key), number: key.count))
                    case .element(let number): steps.append(Step(code: .element, number: number))
                    case .everyElement: steps.append(Step(code: .everyElement))
                    }
                }
            case .number(let inner): made = function(.number, of: inner)
            case .lower(let inner): made = function(.lower, of: inner)
            case .size(let inner): made = function(.size, of: inner)
            case .time(let inner, let offset):
                made = function(.time, of: inner)
                made.second = offset
            case .difference(let left, let right):
                made = function(.difference, of: left)
                made.second = add(right)
                made.isMany = made.isMany || operands[made.second].isMany
                made.needsPayload = made.needsPayload || operands[made.second].needsPayload
            }
            operands.append(made)
            return operands.count - 1
        }

        private mutating func function(_ code: Operand.Code, of operand: WhereOperand) -> Operand {
            let inner = add(operand)
            return Operand(
                code: code, isMany: operands[inner].isMany, needsPayload: operands[inner].needsPayload,
                first: inner)
        }

        private mutating func constant(_ literal: WhereLiteral) -> WhereValue {
            switch literal {
            case .null: WhereValue(kind: .null)
            case .bool(let value): WhereValue(kind: .bool, bits: value ? 1 : 0)
            case .int(let value): .int(value)
            case .uint(let value): .unsigned(value)
            case .wide(let digits): WhereValue(kind: .wide, bytes: keep(digits), count: digits.count)
            case .double(let bits, _):
                // With its text: there is no document that it could be taken from.
                decimal(bits, Array(literal.description.utf8))
            case .text(let text): .text(keep(text), text.count)
            case .time(let nanoseconds): .time(nanoseconds)
            case .duration(let nanoseconds): .duration(Int128(nanoseconds))
            }
        }

        private mutating func decimal(_ bits: UInt64, _ text: [UInt8]) -> WhereValue {
            WhereValue(kind: .double, bits: bits, bytes: keep(text), count: text.count)
        }

        private mutating func lowered(_ text: WhereValue) -> WhereValue {
            var room: UnsafeMutableRawPointer?
            let value = WhereText.lower(text) { count in
                let made = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
                room = UnsafeMutableRawPointer(made)
                return made
            }
            if let room { memory.append(room) }
            return value
        }
    }
}
