internal import Varve

extension WhereTest {
    /// Texts that every payload for which this is true holds, in its bytes or in what they mean.
    ///
    /// The quotes around keys and texts are no part of a token, so that these begin and end one where they
    /// are read whole. Of a text whose case does not matter the parts of ASCII are needed: other characters
    /// may stand there in the other case.
    var textRequirement: TextRequirement {
        switch self {
        case .and(let parts): return .every(parts.map(\.textRequirement))
        case .or(let parts): return .some(parts.map(\.textRequirement))
        case .not: return .nothing
        case .any(let path, let part), .all(let path, let part):
            return .every([part.textRequirement, path.textRequirement])
        case .exists(let operand), .isType(let operand, _): return operand.textRequirement
        case .matches(let left, let pattern):
            // Of a text in lower case the expression finds what the payload may have in upper case, beyond
            // ASCII too.
            guard case .path = left else { return left.textRequirement }
            return .every([pattern.expression.textRequirement, left.textRequirement])
        case .text(let left, let textOperator, let right, let ignoresCase):
            var parts = [left.textRequirement, right.textRequirement]
            if let (text, ignoresCase) = right.text(for: left, ignoresCase) {
                parts.append(
                    .needed(
                        text, ignoresCase: ignoresCase,
                        startsToken: textOperator == .startswith || textOperator == .has,
                        endsToken: textOperator == .endswith || textOperator == .has))
            }
            return .every(parts)
        case .compare(let left, let comparison, let right, let ignoresCase):
            var parts = [left.textRequirement, right.textRequirement]
            if comparison == .equal {
                parts.append(right.equality(with: left, ignoresCase))
                parts.append(left.equality(with: right, ignoresCase))
            }
            return .every(parts)
        case .isIn(let left, let list, let ignoresCase):
            let elements = list.map { right in
                TextRequirement.every([
                    right.textRequirement, right.equality(with: left, ignoresCase),
                    left.equality(with: right, ignoresCase),
                ])
            }
            return .every([left.textRequirement, .some(elements)])
        }
    }
}

extension WhereOperand {
    /// What a payload holds where the operand has a value: the keys on its path.
    var textRequirement: TextRequirement {
        switch self {
        case .literal, .attribute: .nothing
        case .path(let path): path.textRequirement
        case .number(let inner), .lower(let inner), .size(let inner), .time(let inner, _):
            inner.textRequirement
        case .difference(let left, let right): .every([left.textRequirement, right.textRequirement])
        }
    }

    /// The text of a literal that is compared with an operand in the payload, and whether case matters to
    /// that.
    fileprivate func text(for other: WhereOperand, _ ignoresCase: Bool) -> (text: [UInt8], ignoresCase: Bool)?
    {
        guard case .literal(.text(let text)) = self else { return nil }
        switch other {
        case .path: return (text, ignoresCase)
        case .lower(.path): return (text, true)
        default: return nil
        }
    }

    fileprivate func equality(with other: WhereOperand, _ ignoresCase: Bool) -> TextRequirement {
        guard let (text, ignoresCase) = text(for: other, ignoresCase) else { return .nothing }
        return .needed(text, ignoresCase: ignoresCase, startsToken: true, endsToken: true)
    }
}

extension WherePath {
    fileprivate var textRequirement: TextRequirement {
        guard case .steps(let steps) = self else { return .nothing }
        return .every(
            steps.map { step in
                guard case .member(let key) = step else { return .nothing }
                return .needed(key, ignoresCase: false, startsToken: true, endsToken: true)
            })
    }
}

extension TextRequirement {
    fileprivate var isNothing: Bool {
        if case .nothing = self { return true }
        return false
    }

    fileprivate static func every(_ parts: [TextRequirement]) -> TextRequirement {
        var known: [TextRequirement] = []
        for part in parts {
            switch part {
            case .nothing: continue
            case .all(let more): known += more
            default: known.append(part)
            }
        }
        return known.isEmpty ? .nothing : known.count == 1 ? known[0] : .all(known)
    }

    fileprivate static func some(_ parts: [TextRequirement]) -> TextRequirement {
        if parts.contains(where: \.isNothing) { return .nothing }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    /// A text of a payload, and whether a token goes on at its ends.
    fileprivate static func needed(
        _ text: [UInt8], ignoresCase: Bool, startsToken: Bool, endsToken: Bool
    ) -> TextRequirement {
        var parts: [TextRequirement] = []
        for part in text.split(whereSeparator: { ignoresCase && $0 >= 0x80 }) {
            guard let first = part.first, let last = part.last else { continue }
            parts.append(
                .text(
                    Array(part),
                    startsToken: startsToken && part.startIndex == text.startIndex
                        && WhereText.isOfToken(first),
                    endsToken: endsToken && part.endIndex == text.endIndex && WhereText.isOfToken(last)))
        }
        return every(parts)
    }
}
