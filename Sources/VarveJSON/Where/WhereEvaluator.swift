import CSimdJSON

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// What stands beside a payload.
struct WhereAttributes {
    var sequence: UInt64 = 0
    var index: UInt64 = 0
    var timestamp: Int64 = 0
    var length: UInt64 = 0
    /// Bytes that stay until the event is judged.
    var kind = WhereValue.missing
    var session = WhereValue.missing
}

/// What a condition is for an event of which not everything is known.
enum WhereVerdict {
    case no, yes, unknown
}

/// Judges events one after the other. Its memory is reused; one thread at a time.
///
/// Without a payload, tests that have an operand in it are unknown, and what is made of them where it depends
/// on them. That is what a payload is when it is no JSON, too.
final class WhereMachine {
    private let program: WhereProgram
    private let parser: OpaquePointer?
    // In memory of its own, so that reading it is no access to a property that the language would watch.
    private let document: UnsafeMutablePointer<varve_json_tape>
    var attributes = WhereAttributes()
    private var hasLocatedDecimals = false
    /// The values of the last members, by the object, of objects with which that was asked often.
    private var lastMembers: [Int: Set<Int>] = [:]
    private var scratch = Scratch()
    private var frames = Frames()

    init(_ program: WhereProgram) {
        self.program = program
        parser = varve_json_parser_new()
        document = UnsafeMutablePointer<varve_json_tape>.allocate(capacity: 1)
        document.initialize(to: varve_json_tape())
    }

    deinit {
        varve_json_parser_free(parser)
        document.deallocate()
    }

    /// SAFETY: looked at only once a document was parsed.
    @inline(__always)
    private var tape: varve_json_tape { document.pointee }

    /// What the attributes alone say.
    func verdict() -> WhereVerdict { verdict(program.root) }

    /// Whether a payload fulfils the condition; false where it is no JSON. The attributes are those of the
    /// same event.
    func matches(payload: UnsafeRawBufferPointer, isPadded: Bool) -> Bool {
        guard parse(payload, isPadded: isPadded) else { return false }
        return holds(program.root, 1)
    }

    /// Takes a document; false when it is no JSON.
    func parse(_ payload: UnsafeRawBufferPointer, isPadded: Bool) -> Bool {
        guard let parser, let base = payload.baseAddress else { return false }
        hasLocatedDecimals = false
        if !lastMembers.isEmpty { lastMembers = [:] }
        // SAFETY: `base` holds `payload.count` bytes, and 64 more where the caller promises so.
        return varve_json_parse_tape(
            parser, base.assumingMemoryBound(to: UInt8.self), payload.count, isPadded, document)
    }

    private func verdict(_ number: Int) -> WhereVerdict {
        let test = program.tests[number]
        if !test.needsPayload { return holds(number, 1) ? .yes : .no }
        switch test.code {
        case .and, .or:
            let decisive: WhereVerdict = test.code == .and ? .no : .yes
            var isUnknown = false
            for link in 0..<test.linkCount {
                let verdict = verdict(program.links[test.links + link])
                if verdict == decisive { return decisive }
                isUnknown = isUnknown || verdict == .unknown
            }
            return isUnknown ? .unknown : decisive == .no ? .yes : .no
        case .not:
            return switch verdict(test.right) {
            case .no: .yes
            case .yes: .no
            case .unknown: .unknown
            }
        default: return .unknown
        }
    }

    // MARK: Tests. `scope` is the node that paths begin at.

    private func holds(_ number: Int, _ scope: Int) -> Bool {
        let test = program.tests[number]
        switch test.code {
        case .and:
            for link in 0..<test.linkCount where !holds(program.links[test.links + link], scope) {
                return false
            }
            return true
        case .or:
            for link in 0..<test.linkCount where holds(program.links[test.links + link], scope) {
                return true
            }
            return false
        case .not: return !holds(test.right, scope)
        case .any: return anyNode(of: program.operands[test.left], scope) { holds(test.right, $0) }
        case .all:
            let path = program.operands[test.left]
            return anyNode(of: path, scope) { _ in true }
                && !anyNode(of: path, scope) { !holds(test.right, $0) }
        default: break
        }
        let mark = scratch.used
        defer { scratch.used = mark }
        switch test.code {
        case .compare:
            if test.comparison == .equal { return anyEqual(test.left, test.right, scope, test.ignoresCase) }
            return anyPair(test.left, test.right, scope) { left, right in
                compares(left, test.comparison, right, test.ignoresCase)
            }
        case .text:
            return anyPair(test.left, test.right, scope) { left, right in
                guard left.kind == .text, right.kind == .text else { return false }
                guard test.ignoresCase else {
                    return WhereText.fulfils(left, test.textOperator, right, needle: test.needle)
                }
                let mark = scratch.used
                defer { scratch.used = mark }
                // The needle was made of the literal in lower case.
                return WhereText.fulfils(
                    folded(left, test.left), test.textOperator, folded(right, test.right), needle: test.needle
                )
            }
        case .isIn:
            for link in 0..<test.linkCount {
                let right = program.links[test.links + link]
                if anyEqual(test.left, right, scope, test.ignoresCase) { return true }
            }
            return false
        case .matches:
            let expression = program.regularExpressions[test.right]
            return anyValue(test.left, scope) { $0.kind == .text && expression.isFound(in: $0.raw) }
        case .exists: return anyValue(test.left, scope) { _ in true }
        case .isType: return anyValue(test.left, scope) { isOf(test.type, $0) }
        default: return false
        }
    }

    @inline(__always)
    private func anyPair(
        _ left: Int, _ right: Int, _ scope: Int, _ body: (WhereValue, WhereValue) -> Bool
    ) -> Bool {
        if !program.operands[left].isMany, !program.operands[right].isMany {
            let a = value(left, scope)
            if a.kind == .missing { return false }
            let b = value(right, scope)
            return b.kind != .missing && body(a, b)
        }
        return anyValue(left, scope) { a in anyValue(right, scope) { b in body(a, b) } }
    }

    /// Whether some value of one operand equals some of another. Of paths to many values on both sides it takes
    /// time that is linear in their number, but for arrays and objects; of functions of such paths it looks at
    /// all pairs.
    @inline(__always)
    private func anyEqual(_ left: Int, _ right: Int, _ scope: Int, _ ignoresCase: Bool) -> Bool {
        if program.operands[left].isMany, program.operands[right].isMany, leadsToMany(left, scope),
            leadsToMany(right, scope)
        {
            return anyEqualByTable(program.operands[left], program.operands[right], scope, ignoresCase)
        }
        return anyPair(left, right, scope) { compares($0, .equal, $1, ignoresCase) }
    }

    /// Whether an operand is a path to more values than are compared with each of others.
    private func leadsToMany(_ number: Int, _ scope: Int) -> Bool {
        let path = program.operands[number]
        guard path.code == .path || path.code == .everyScalar else { return false }
        var count = 0
        return anyNode(of: path, scope) { _ in
            count += 1
            return count > 128
        }
    }

    private func anyEqualByTable(
        _ left: WhereProgram.Operand, _ right: WhereProgram.Operand, _ scope: Int, _ ignoresCase: Bool
    ) -> Bool {
        // Nodes by what their values have in common with all that equal them.
        var table: [Int: [Int]] = [:]
        let add = { (node: Int) in
            table[self.hash(self.nodeValue(node), ignoresCase), default: []].append(node)
            return false
        }
        // Of ** there are scalars in it that a later member of the same key replaces. That changes no answer:
        // where a path leads to a scalar, ** has the same one, and where it leads to none, no scalar equals it.
        _ = anyNode(of: right, scope, add)
        return anyNode(of: left, scope) { node in
            let value = nodeValue(node)
            guard let others = table[hash(value, ignoresCase)] else { return false }
            return others.contains { compares(value, .equal, nodeValue($0), ignoresCase) }
        }
    }

    /// The same of values that are equal.
    private func hash(_ value: WhereValue, _ ignoresCase: Bool) -> Int {
        var hasher = Hasher()
        switch value.kind {
        case .text:
            let mark = scratch.used
            defer { scratch.used = mark }
            hasher.combine(bytes: (ignoresCase ? folded(value) : value).raw)
        case .int: hasher.combine(value.int)
        case .uint: hasher.combine(value.bits)
        case .double:
            // Whole ones equal whole numbers.
            if let number = Int64(exactly: value.double) {
                hasher.combine(number)
            } else if let number = UInt64(exactly: value.double) {
                hasher.combine(number)
            } else {
                hasher.combine(value.double)
            }
        case .wide:
            // It may equal a double, which is then the nearest.
            hasher.combine(Double(String(decoding: value.raw, as: UTF8.self)) ?? 0)
        default:
            hasher.combine(value.kind.rawValue)
            if value.kind == .bool { hasher.combine(value.bits) }
        }
        return hasher.finalize()
    }

    private func isOf(_ type: WhereType, _ value: WhereValue) -> Bool {
        switch type {
        case .null: value.kind == .null
        case .empty:
            switch value.kind {
            case .text: value.count == 0
            // The bracket that ends it comes at once.
            case .array, .object: varve_json_after(tape.words, Int(value.bits)) == Int(value.bits) + 2
            default: false
            }
        case .string: value.kind == .text
        case .number: value.isNumber
        case .bool: value.kind == .bool
        case .array: value.kind == .array
        case .object: value.kind == .object
        }
    }

    /// A text in lower case; others, and literals, which are so from the start, as they are.
    private func folded(_ value: WhereValue, _ operand: Int? = nil) -> WhereValue {
        guard value.kind == .text else { return value }
        if let operand, program.operands[operand].code == .constant { return value }
        return WhereText.lower(value) { scratch.take($0) }
    }

    @inline(__always)
    private func compares(
        _ left: WhereValue, _ comparison: WhereComparison, _ right: WhereValue, _ ignoresCase: Bool
    ) -> Bool {
        if left.kind == .int, right.kind == .int {
            return WhereOrder(left.int, right.int).fulfils(comparison)
        }
        if left.kind == .text, right.kind == .text {
            if ignoresCase {
                let mark = scratch.used
                defer { scratch.used = mark }
                return compares(folded(left), comparison, folded(right), false)
            }
            if comparison == .equal { return WhereText.isEqual(left, right) }
            return WhereText.order(left, right).fulfils(comparison)
        }
        return comparesOthers(left, comparison, right)
    }

    private func comparesOthers(_ left: WhereValue, _ comparison: WhereComparison, _ right: WhereValue)
        -> Bool
    {
        if left.isNumber, right.isNumber { return WhereNumber.order(left, right).fulfils(comparison) }
        guard left.kind == right.kind else { return false }
        switch left.kind {
        case .time: return WhereOrder(left.int, right.int).fulfils(comparison)
        case .duration:
            return WhereOrder(left.duration, right.duration).fulfils(comparison)
        case .null: return comparison == .equal
        case .bool: return comparison == .equal && left.bits == right.bits
        case .array, .object: return comparison == .equal && isEqual(Int(left.bits), Int(right.bits))
        default: return false
        }
    }

    // MARK: Operands

    /// The value of an operand that has one at most.
    private func value(_ number: Int, _ scope: Int) -> WhereValue {
        let operand = program.operands[number]
        switch operand.code {
        case .constant: return program.constants[operand.first]
        case .attribute: return value(of: operand.attribute)
        case .path:
            var node = scope
            for index in operand.first..<operand.first + operand.second {
                node = step(program.steps[index], node)
                if node == 0 { return .missing }
            }
            return nodeValue(node)
        case .difference: return difference(value(operand.first, scope), value(operand.second, scope))
        case .number, .lower, .size, .time: return apply(operand, value(operand.first, scope))
        case .everyScalar: return .missing
        }
    }

    /// Whether some value of an operand, which is not missing, fulfils a condition.
    private func anyValue(_ number: Int, _ scope: Int, _ body: (WhereValue) -> Bool) -> Bool {
        let operand = program.operands[number]
        guard operand.isMany else {
            let value = value(number, scope)
            return value.kind != .missing && body(value)
        }
        switch operand.code {
        case .path, .everyScalar: return anyNode(of: operand, scope) { body(nodeValue($0)) }
        case .difference:
            return anyValue(operand.first, scope) { left in
                anyValue(operand.second, scope) { right in
                    let value = difference(left, right)
                    return value.kind != .missing && body(value)
                }
            }
        default:
            return anyValue(operand.first, scope) { inner in
                let mark = scratch.used
                defer { scratch.used = mark }
                let value = apply(operand, inner)
                return value.kind != .missing && body(value)
            }
        }
    }

    private func value(of attribute: WhereAttribute) -> WhereValue {
        switch attribute {
        case .kind: attributes.kind
        case .session: attributes.session
        case .sequence: .unsigned(attributes.sequence)
        case .index: .unsigned(attributes.index)
        case .length: .unsigned(attributes.length)
        case .timestamp: .time(attributes.timestamp)
        }
    }

    private func apply(_ function: WhereProgram.Operand, _ value: WhereValue) -> WhereValue {
        switch function.code {
        case .number:
            if value.isNumber { return value }
            return value.kind == .text ? WhereNumber.parse(value.raw) : .missing
        case .lower: return value.kind == .text ? WhereText.lower(value) { scratch.take($0) } : .missing
        case .size:
            switch value.kind {
            case .text: return .unsigned(WhereText.size(value))
            case .array: return .unsigned(elementCount(Int(value.bits)))
            case .object: return .unsigned(memberCount(Int(value.bits)))
            default: return .missing
            }
        case .time: return time(value, offsetSeconds: function.second)
        default: return .missing
        }
    }

    private func time(_ value: WhereValue, offsetSeconds: Int) -> WhereValue {
        let time: Int64? =
            switch value.kind {
            case .time: value.int
            case .text: RFC3339.parse(value.raw, defaultOffsetSeconds: offsetSeconds)
            case .int: NumericTime.parse(integer: value.int)
            case .double: NumericTime.parse(decimal: text(ofDecimal: value))
            // So many nanoseconds do not fit.
            default: nil
            }
        return time.map { .time($0) } ?? .missing
    }

    /// The digits that a double was read from, which say more than it.
    private func text(ofDecimal value: WhereValue) -> UnsafeRawBufferPointer {
        if value.bytes != nil { return value.raw }
        if !hasLocatedDecimals, let parser {
            varve_json_locate_decimals(parser)
            hasLocatedDecimals = true
        }
        return nodeValue(value.count).raw
    }

    private func difference(_ left: WhereValue, _ right: WhereValue) -> WhereValue {
        switch (left.kind, right.kind) {
        case (.time, .time): return .duration(Int128(left.int) - Int128(right.int))
        case (.duration, .duration): return .duration(left.duration - right.duration)
        case (.time, .duration):
            return Int64(exactly: Int128(left.int) - right.duration).map { .time($0) } ?? .missing
        default: return .missing
        }
    }

    // MARK: Nodes. SAFETY: those of a document that was parsed are indices of its tape.

    @inline(__always)
    private func nodeValue(_ node: Int) -> WhereValue {
        let word = tape.words[node]
        switch UInt8(truncatingIfNeeded: word >> 56) {
        case UInt8(ascii: "l"): return WhereValue(kind: .int, bits: tape.words[node + 1])
        case UInt8(ascii: "\""):
            let (bytes, count) = string(node)
            return .text(bytes, count)
        case UInt8(ascii: "d"): return WhereValue(kind: .double, bits: tape.words[node + 1], count: node)
        case UInt8(ascii: "u"): return .unsigned(tape.words[node + 1])
        case UInt8(ascii: "t"): return WhereValue(kind: .bool, bits: 1)
        case UInt8(ascii: "f"): return WhereValue(kind: .bool, bits: 0)
        case UInt8(ascii: "["): return WhereValue(kind: .array, bits: UInt64(node))
        case UInt8(ascii: "{"): return WhereValue(kind: .object, bits: UInt64(node))
        case UInt8(ascii: "w"):
            return WhereNumber.documented(
                tape.bytes + Int(word & 0x00FF_FFFF_FFFF_FFFF), Int(tape.words[node + 1]))
        default: return WhereValue(kind: .null)
        }
    }

    @inline(__always)
    private func string(_ node: Int) -> (UnsafePointer<UInt8>, Int) {
        let start = tape.strings + Int(tape.words[node] & 0x00FF_FFFF_FFFF_FFFF)
        return (start + 4, Int(UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)))
    }

    @inline(__always)
    private func tag(_ node: Int) -> UInt8 { varve_json_tag(tape.words, node) }

    @inline(__always)
    private func after(_ node: Int) -> Int { Int(varve_json_after(tape.words, node)) }

    /// The node that a step which names one leads to; 0 where there is none.
    @inline(__always)
    private func step(_ step: WhereProgram.Step, _ node: Int) -> Int {
        switch step.code {
        case .member: return Int(varve_json_last_member(document, node, step.key, step.number))
        case .element:
            guard tag(node) == UInt8(ascii: "[") else { return 0 }
            var element = node + 1
            let end = after(node) - 1
            for _ in 0..<step.number {
                if element >= end { return 0 }
                element = after(element)
            }
            return element < end ? element : 0
        case .everyElement: return 0
        }
    }

    /// Whether some node that a path leads to fulfils a condition.
    private func anyNode(of path: WhereProgram.Operand, _ scope: Int, _ body: (Int) -> Bool) -> Bool {
        if path.code == .everyScalar { return anyScalar(scope, body) }
        return anyNode(scope, path.first, path.first + path.second, body)
    }

    private func anyNode(_ start: Int, _ first: Int, _ end: Int, _ body: (Int) -> Bool) -> Bool {
        var node = start
        for index in first..<end {
            let step = program.steps[index]
            if step.code == .everyElement {
                guard tag(node) == UInt8(ascii: "[") else { return false }
                let last = after(node) - 1
                var element = node + 1
                while element < last {
                    if anyNode(element, index + 1, end, body) { return true }
                    element = after(element)
                }
                return false
            }
            node = self.step(step, node)
            if node == 0 { return false }
        }
        return body(node)
    }

    /// Whether some scalar at any depth fulfils a condition. Members that a later one of the same key
    /// replaces are left out: that is looked at where one fulfils it.
    private func anyScalar(_ root: Int, _ body: (Int) -> Bool) -> Bool {
        let bottom = frames.count
        defer { frames.count = bottom }
        let end = after(root)
        var node = root
        while node < end {
            let tag = tag(node)
            if tag == UInt8(ascii: "}") || tag == UInt8(ascii: "]") {
                frames.count -= 1
                node += 1
                continue
            }
            if frames.count > bottom, frames[frames.count - 1].isObject {
                if frames[frames.count - 1].awaitsKey {
                    frames[frames.count - 1].key = node
                    frames[frames.count - 1].awaitsKey = false
                    node += 1
                    continue
                }
                frames[frames.count - 1].awaitsKey = true
            }
            if tag == UInt8(ascii: "{") || tag == UInt8(ascii: "[") {
                frames.append(Frame(node: node, isObject: tag == UInt8(ascii: "{")))
                node += 1
                continue
            }
            let top = frames.count
            if body(node) {
                // What the condition has put there is gone.
                frames.count = top
                if (bottom..<top).allSatisfy({ !frames[$0].isObject || isAtLastOfItsKey($0) }) {
                    return true
                }
            }
            frames.count = top
            node = after(node)
        }
        return false
    }

    /// Whether a frame's object has no later member of the key that it is at. After some scans of its members
    /// it makes a table of them: otherwise many members of one key would take the square of their number.
    private func isAtLastOfItsKey(_ place: Int) -> Bool {
        let frame = frames[place]
        if let last = lastMembers[frame.node] { return last.contains(frame.key + 1) }
        if frame.scanCount < 16 {
            frames[place].scanCount += 1
            return isLastOfItsKey(frame.key)
        }
        let last = Set(members(frame.node).values)
        lastMembers[frame.node] = last
        return last.contains(frame.key + 1)
    }

    /// Whether no later member of the same object has the key that stands here.
    private func isLastOfItsKey(_ key: Int) -> Bool {
        let (text, count) = string(key)
        var node = after(key + 1)
        while tag(node) != UInt8(ascii: "}") {
            let (other, otherCount) = string(node)
            if otherCount == count, memcmp(text, other, count) == 0 { return false }
            node = after(node + 1)
        }
        return true
    }

    private func elementCount(_ array: Int) -> UInt64 {
        var count: UInt64 = 0
        var node = array + 1
        let last = after(array) - 1
        while node < last {
            count += 1
            node = after(node)
        }
        return count
    }

    /// The last members of an object by their keys.
    private func members(_ object: Int) -> [WhereKey: Int] {
        var members: [WhereKey: Int] = [:]
        var node = object + 1
        let last = after(object) - 1
        while node < last {
            let (text, count) = string(node)
            members[WhereKey(bytes: UnsafeRawBufferPointer(start: text, count: count))] = node + 1
            node = after(node + 1)
        }
        return members
    }

    private func memberCount(_ object: Int) -> UInt64 {
        var count: UInt64 = 0
        var node = object + 1
        let last = after(object) - 1
        while node < last {
            if count == 16 { return UInt64(members(object).count) }
            if isLastOfItsKey(node) { count += 1 }
            node = after(node + 1)
        }
        return count
    }

    /// Whether two values are the same: numbers by their size, objects whatever the order of their members.
    /// The stack grows with their depth, which the parser bounds.
    private func isEqual(_ left: Int, _ right: Int) -> Bool {
        if left == right { return true }
        let a = nodeValue(left)
        let b = nodeValue(right)
        switch (a.kind, b.kind) {
        case (.array, .array):
            var (node, other) = (left + 1, right + 1)
            let (last, otherLast) = (after(left) - 1, after(right) - 1)
            while node < last, other < otherLast {
                guard isEqual(node, other) else { return false }
                node = after(node)
                other = after(other)
            }
            return node == last && other == otherLast
        case (.object, .object):
            let (members, others) = (members(left), members(right))
            guard members.count == others.count else { return false }
            for (key, node) in members {
                guard let other = others[key], isEqual(node, other) else { return false }
            }
            return true
        default: return compares(a, .equal, b, false)
        }
    }
}

/// A key where it stands in the parser's memory.
private struct WhereKey: Hashable {
    let bytes: UnsafeRawBufferPointer

    static func == (left: WhereKey, right: WhereKey) -> Bool { left.bytes.elementsEqual(right.bytes) }

    func hash(into hasher: inout Hasher) { hasher.combine(bytes: bytes) }
}

/// Where `**` is: in an array, or at which key of an object.
private struct Frame {
    let node: Int
    let isObject: Bool
    var key = 0
    var awaitsKey = true
    /// How often the object's members were looked through for a later one of a key.
    var scanCount = 0

    init(node: Int, isObject: Bool) {
        self.node = node
        self.isObject = isObject
    }
}

/// A stack whose memory is kept.
private struct Frames {
    private var stored: [Frame] = []
    var count = 0

    subscript(_ place: Int) -> Frame {
        get { stored[place] }
        set { stored[place] = newValue }
    }

    mutating func append(_ frame: Frame) {
        if count < stored.count { stored[count] = frame } else { stored.append(frame) }
        count += 1
    }
}

/// Memory for texts that are made for one test. What is given back is used again; pieces stay where they are.
private struct Scratch: ~Copyable {
    private var chunks: [UnsafeMutableBufferPointer<UInt8>] = []
    /// Which chunk is being filled, and how far.
    var used = (chunk: 0, bytes: 0)

    mutating func take(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        while used.chunk < chunks.count {
            let chunk = chunks[used.chunk]
            if let base = chunk.baseAddress, chunk.count - used.bytes >= count {
                defer { used.bytes += count }
                return base + used.bytes
            }
            used = (used.chunk + 1, 0)
        }
        let size = max(count, 4096 << min(chunks.count, 12))
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        chunks.append(UnsafeMutableBufferPointer(start: room, count: size))
        used = (chunks.count - 1, count)
        return room
    }

    deinit { for chunk in chunks { chunk.baseAddress?.deallocate() } }
}
