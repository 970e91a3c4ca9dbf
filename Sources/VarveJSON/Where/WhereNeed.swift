/// What the bytes of a JSON payload that has no `\u` in it must hold for a condition to be true.
///
/// Only what cannot be spelled differently is looked for: without `\u` a character stands for itself or,
/// where it must be escaped, is escaped in the one other way; texts are cut at `/`, which may be escaped and
/// need not.
indirect enum WhereNeed: Equatable {
    /// Nothing that is known.
    case nothing
    case all([WhereNeed])
    case any([WhereNeed])
    /// These bytes.
    case bytes([UInt8], ignoresCase: Bool)
    /// A member with this key, in its quotes, of which the value's first bytes allow one of these.
    case member([UInt8], [WhereGlance])

    /// What the condition needs.
    init(_ test: WhereTest) {
        switch test {
        case .and(let parts): self = .every(parts.map(WhereNeed.init))
        case .or(let parts): self = .some(parts.map(WhereNeed.init))
        case .not: self = .nothing
        case .any(let path, let part), .all(let path, let part):
            self = .every([WhereNeed(part), Self.path(path, [.anything])])
        case .exists(let operand): self = Self.operand(operand, [.anything])
        case .isType(let operand, _): self = Self.operand(operand, [.anything])
        case .matches(let left, _): self = Self.operand(left, [.string])
        case .text(let left, let textOperator, let right, let ignoresCase):
            var parts = [Self.operand(left, [.string]), Self.operand(right, [.string])]
            if let (text, ignoresCase) = Self.literal(right, of: left, ignoresCase) {
                let spelled = WhereSpelling.bytes(text)
                let quote = UInt8(ascii: "\"")
                let whole: [UInt8] =
                    switch textOperator {
                    case .startswith: [quote] + spelled
                    case .endswith: spelled + [quote]
                    case .contains, .has: spelled
                    }
                parts.insert(WhereSpelling.need(whole, ignoresCase: ignoresCase), at: 0)
            }
            self = .every(parts)
        case .compare(let left, let comparison, let right, let ignoresCase):
            self = Self.comparison(left, comparison, [right], ignoresCase)
        case .isIn(let left, let list, let ignoresCase):
            self = Self.comparison(left, .equal, list, ignoresCase)
        }
    }

    /// A comparison with one of several operands.
    private static func comparison(
        _ left: WhereOperand, _ comparison: WhereComparison, _ list: [WhereOperand], _ ignoresCase: Bool
    ) -> WhereNeed {
        var (left, comparison, list) = (left, comparison, list)
        if list.count == 1, case .literal = left {
            (left, comparison, list) = (list[0], comparison.flipped, [left])
        }
        var glances: [WhereGlance] = []
        var texts: [WhereNeed] = []
        var others: [WhereNeed] = []
        for right in list {
            if let (text, ignoresCase) = literal(right, of: left, ignoresCase), comparison == .equal {
                let spelled = [UInt8(ascii: "\"")] + WhereSpelling.bytes(text) + [UInt8(ascii: "\"")]
                texts.append(WhereSpelling.need(spelled, ignoresCase: ignoresCase))
                // What may be spelled in two ways is not told by a glance.
                glances.append(ignoresCase || text.contains(UInt8(ascii: "/")) ? .string : .text(spelled))
                others.append(.nothing)
            } else {
                texts.append(.nothing)
                glances.append(glance(left, comparison, right))
                others.append(operand(right, [.anything]))
            }
        }
        return .every([.some(texts), .some(others), operand(left, glances)])
    }

    /// What is seen of the value of a member that compares so.
    private static func glance(
        _ left: WhereOperand, _ comparison: WhereComparison, _ right: WhereOperand
    ) -> WhereGlance {
        guard case .literal(let literal) = right else { return .anything }
        switch (left, literal) {
        case (.path, .int(let value)): return .number(comparison, value, inText: false)
        case (.number(.path), .int(let value)): return .number(comparison, value, inText: true)
        case (.path, .text), (.lower, .text): return .string
        default: return .anything
        }
    }

    /// A text literal that an operand of the payload is compared with, and whether case matters to that.
    private static func literal(
        _ operand: WhereOperand, of other: WhereOperand, _ ignoresCase: Bool
    ) -> (text: [UInt8], ignoresCase: Bool)? {
        guard case .literal(.text(let text)) = operand else { return nil }
        switch other {
        case .path: return (text, ignoresCase)
        case .lower(.path): return (text, true)
        default: return nil
        }
    }

    /// What an operand needs to have a value, of which a glance tells something where it is a member's
    /// itself.
    private static func operand(_ operand: WhereOperand, _ glances: [WhereGlance]) -> WhereNeed {
        switch operand {
        case .literal, .attribute: return .nothing
        case .path(let path): return self.path(path, glances)
        case .number(.path(let path)): return self.path(path, glances)
        case .lower(.path(let path)): return self.path(path, [.string])
        case .number(let inner), .lower(let inner), .size(let inner), .time(let inner, _):
            return self.operand(inner, [.anything])
        case .difference(let left, let right):
            return .every([self.operand(left, [.anything]), self.operand(right, [.anything])])
        }
    }

    /// The last member on a path; where that is not the value itself, whatever that is.
    private static func path(_ path: WherePath, _ glances: [WhereGlance]) -> WhereNeed {
        guard case .steps(let steps) = path else { return .nothing }
        let glances = glances.contains(.anything) ? [.anything] : glances
        for (place, step) in steps.enumerated().reversed() {
            guard case .member(let key) = step else { continue }
            let spelled = [UInt8(ascii: "\"")] + WhereSpelling.bytes(key) + [UInt8(ascii: "\"")]
            if key.contains(UInt8(ascii: "/")) { return WhereSpelling.need(spelled, ignoresCase: false) }
            return .member(spelled, place == steps.count - 1 ? glances : [.anything])
        }
        return .nothing
    }

    private static func every(_ parts: [WhereNeed]) -> WhereNeed {
        var known: [WhereNeed] = []
        for part in parts {
            switch part {
            case .nothing: continue
            case .all(let more): known += more
            default: known.append(part)
            }
        }
        // Texts first: they are rarer than keys.
        known = known.filter(\.isBytes) + known.filter { !$0.isBytes }
        return known.isEmpty ? .nothing : known.count == 1 ? known[0] : .all(known)
    }

    private static func some(_ parts: [WhereNeed]) -> WhereNeed {
        if parts.contains(.nothing) { return .nothing }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    private var isBytes: Bool {
        if case .bytes = self { return true }
        return false
    }
}

/// What the first bytes of a value say of it.
enum WhereGlance: Equatable {
    case anything
    case string
    /// This text, quotes and all.
    case text([UInt8])
    /// A number that compares so; a text may be one where it says so.
    case number(WhereComparison, Int64, inText: Bool)
}

/// Texts as JSON spells them.
enum WhereSpelling {
    /// Without quotes, and without `\u` where it can be done.
    static func bytes(_ text: [UInt8]) -> [UInt8] {
        var spelled: [UInt8] = []
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): spelled += [UInt8(ascii: "\\"), byte]
            case 0x08: spelled += Array("\\b".utf8)
            case 0x09: spelled += Array("\\t".utf8)
            case 0x0A: spelled += Array("\\n".utf8)
            case 0x0C: spelled += Array("\\f".utf8)
            case 0x0D: spelled += Array("\\r".utf8)
            default: spelled.append(byte)
            }
        }
        return spelled
    }

    /// The longest part of a spelled text that has one spelling. With a control character that has none
    /// without `\u`, a payload without `\u` does not hold it, as it does not hold the byte itself.
    static func need(_ spelled: [UInt8], ignoresCase: Bool) -> WhereNeed {
        let parts = spelled.split { byte in
            // Characters beyond ASCII may have another case.
            byte == UInt8(ascii: "/") || ignoresCase && byte >= 0x80
        }
        // A backslash at a part's start might be the second of two in the payload, which is no harm: it is
        // there.
        guard let longest = parts.max(by: { $0.count < $1.count }) else { return .nothing }
        let bytes = ignoresCase ? longest.map { $0 &- 65 < 26 ? $0 | 0x20 : $0 } : Array(longest)
        return .bytes(bytes, ignoresCase: ignoresCase)
    }
}
