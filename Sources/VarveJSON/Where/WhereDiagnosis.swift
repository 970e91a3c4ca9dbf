/// Says why a condition matched nothing, from some of the payloads that it was asked of: mostly a path that
/// is misspelled, or a number that is recorded as text.
public struct WhereDiagnosis {
    private var subjects: [Subject] = []
    /// Of the same depth as what judges conditions: what is no JSON to one is none to the other.
    private let validator = JSONValidator()
    private var payloadCount = 0
    private var documentCount = 0

    /// Of nothing yet.
    public init(_ predicate: WherePredicate) { collect(predicate.test, .element) }

    /// Looks at a payload that the other conditions let through. Linear in it; a few thousand are enough.
    public mutating func look(at payload: UnsafeRawBufferPointer) {
        payloadCount += 1
        guard validator.isValid(payload) else { return }
        documentCount += 1
        let tree = JSONTree(validated: payload)
        for place in subjects.indices { subjects[place].look(at: tree) }
    }

    /// What stands out, one line each; nothing where nothing does.
    public var notes: [String] {
        if payloadCount == 0 { return [] }
        guard documentCount > 0 else {
            return subjects.isEmpty
                ? [] : ["no payload that was looked at is JSON: only attributes, such as kind, match"]
        }
        var notes: [String] = []
        for subject in subjects {
            if let note = subject.note, !notes.contains(note) { notes.append(note) }
        }
        return notes
    }

    // MARK: What is asked of which path. What is under `not` does not make anything fail that should not.

    private mutating func collect(_ test: WhereTest, _ scope: WherePath) {
        switch test {
        case .and(let parts), .or(let parts): for part in parts { collect(part, scope) }
        case .not: break
        case .any(let path, let part), .all(let path, let part):
            guard let path = scope.appending(path) else { return }
            add(path, .anything)
            collect(part, path)
        case .exists(let operand), .isType(let operand, _): add(operand, .anything, scope)
        case .matches(let left, _): add(left, .text(by: "matches"), scope)
        case .text(let left, let textOperator, let right, _):
            add(left, .text(by: textOperator.rawValue), scope)
            add(right, .text(by: textOperator.rawValue), scope)
        case .compare(let left, _, let right, _):
            add(left, Wanted([right]), scope)
            add(right, Wanted([left]), scope)
        case .isIn(let left, let list, _):
            add(left, Wanted(list), scope)
            for right in list { add(right, Wanted([left]), scope) }
        }
    }

    private mutating func add(_ operand: WhereOperand, _ wanted: Wanted, _ scope: WherePath) {
        switch operand {
        case .literal, .attribute: break
        case .path(let path): if let path = scope.appending(path) { add(path, wanted) }
        case .number(let inner): add(inner, .numberOrText, scope)
        case .lower(let inner): add(inner, .text(by: "lower"), scope)
        case .size(let inner): add(inner, .size, scope)
        case .time(let inner, _): add(inner, .time, scope)
        case .difference(let left, let right):
            add(left, .time, scope)
            add(right, .time, scope)
        }
    }

    private mutating func add(_ path: WherePath, _ wanted: Wanted) {
        guard case .steps(let steps) = path else { return }
        let subject = Subject(steps: steps, wanted: wanted)
        if !subjects.contains(where: { $0.steps == steps && $0.wanted == wanted }) {
            subjects.append(subject)
        }
    }
}

/// What a path must lead to for a test to be true.
private enum Wanted: Equatable {
    case anything
    /// A text that an operator compares or looks in.
    case text(by: String)
    case number
    case bool
    case numberOrText
    case size
    case time

    /// To equal one of these.
    init(_ operands: [WhereOperand]) {
        let types = Set(operands.map(\.staticType))
        switch types.count == 1 ? types.first : nil {
        case .text: self = .text(by: "==")
        case .number: self = .number
        case .bool: self = .bool
        default: self = .anything
        }
    }
}

/// A path, and what it was seen to lead to.
private struct Subject {
    let steps: [JSONPath.Step]
    let wanted: Wanted
    private var counts: [Kind: Int] = [:]
    /// Values of which something can be made: a number, a time.
    private var usableCount = 0
    /// Paths that could have been meant.
    private var others: [[JSONPath.Step]] = []
    /// Where a name was asked of an array.
    private var arrays: [[JSONPath.Step]] = []

    private enum Kind {
        case null, bool, number, string, array, object
    }

    init(steps: [JSONPath.Step], wanted: Wanted) {
        self.steps = steps
        self.wanted = wanted
    }

    private static func text(_ steps: [JSONPath.Step]) -> String { WherePath.steps(steps).plain }

    private static let othersMax = 4

    mutating func look(at tree: JSONTree) { walk(tree, 0) }

    private mutating func walk(_ value: JSONTree, _ place: Int) {
        guard place < steps.count else { return count(value) }
        switch (steps[place], value) {
        case (.member(let key), .object(let members)):
            if let member = members[key] { return walk(member, place + 1) }
            guard others.count < Self.othersMax else { return }
            // A key in another case, or one with the dots in it.
            let name = String(decoding: key, as: UTF8.self).asciiLowercased
            for other in members.keys.sorted(by: { $0.lexicographicallyPrecedes($1) })
            where String(decoding: other, as: UTF8.self).asciiLowercased == name {
                suggest(Array(steps[..<place]) + [.member(other)] + Array(steps[(place + 1)...]))
            }
            var dotted = key
            for next in steps.indices.dropFirst(place + 1) {
                guard case .member(let more) = steps[next] else { break }
                dotted += [UInt8(ascii: ".")] + more
                if members[dotted] != nil {
                    suggest(Array(steps[..<place]) + [.member(dotted)] + Array(steps[(next + 1)...]))
                }
            }
        case (.member, .array):
            let array = Array(steps[..<place])
            if !arrays.contains(array) { arrays.append(array) }
        case (.element(let number), .array(let elements)):
            if number < elements.count { walk(elements[number], place + 1) }
        case (.everyElement, .array(let elements)):
            for element in elements { walk(element, place + 1) }
        default: break
        }
    }

    private mutating func suggest(_ path: [JSONPath.Step]) {
        if others.count < Self.othersMax, !others.contains(path) { others.append(path) }
    }

    private mutating func count(_ value: JSONTree) {
        let kind: Kind
        switch value {
        case .null: kind = .null
        case .bool: kind = .bool
        case .number:
            kind = .number
            if wanted == .numberOrText || wanted == .time { usableCount += 1 }
        case .string(let text):
            kind = .string
            let isUsable: Bool =
                switch wanted {
                case .numberOrText: text.withUnsafeBytes { WhereNumber.parse($0).kind != .missing }
                case .time: text.withUnsafeBytes { RFC3339.parse($0) != nil }
                default: false
                }
            if isUsable { usableCount += 1 }
        case .array: kind = .array
        case .object: kind = .object
        }
        counts[kind, default: 0] += 1
    }

    /// What stands out.
    var note: String? {
        let name = Self.text(steps)
        guard !counts.isEmpty else {
            if let array = arrays.first {
                let rest = Array(steps[array.count...])
                return
                    "\(Self.text(array)) is always an array here: use \(Self.text(array + [.everyElement] + rest))"
            }
            let found = others.map(Self.text).joined(separator: ", ")
            return "\(name) occurs in no payload that was looked at"
                + (found.isEmpty ? "" : "; \(found) does")
        }
        guard counts.count == 1, let kind = counts.keys.first else {
            return isOfNoUse ? unusable(name) : nil
        }
        switch (kind, wanted) {
        case (_, .anything), (.string, .text), (.number, .number), (.bool, .bool): return nil
        case (.string, .number): return "\(name) is always a string here; use number(\(name))"
        case (.string, .bool): return "\(name) is always a string here: compare it with text in quotes"
        case (.number, .text(by: "==")):
            return "\(name) is always a number here: compare it with a number, without quotes"
        case (.number, .bool): return "\(name) is always a number here: compare it with a number"
        case (.number, .text(let word)): return "\(name) is always a number here: \(word) is for texts only"
        case (.bool, .text), (.bool, .number), (.bool, .numberOrText):
            return "\(name) is always true or false here: compare it with one of them, without quotes"
        case (.array, .size), (.object, .size), (.string, .size): return nil
        case (.array, _): return "\(name) is always an array here: use \(Self.text(steps + [.everyElement]))"
        case (.object, _): return "\(name) is always an object here: name a member of it"
        case (.null, _): return "\(name) is always null here"
        default: return isOfNoUse ? unusable(name) : nil
        }
    }

    private var isOfNoUse: Bool { usableCount == 0 && (wanted == .numberOrText || wanted == .time) }

    private func unusable(_ name: String) -> String {
        wanted == .time
            ? "\(name) never reads as a time here" : "\(name) is never a number here, nor a text that is one"
    }
}
