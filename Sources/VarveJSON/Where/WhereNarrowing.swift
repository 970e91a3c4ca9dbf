public import Varve

extension WherePredicate {
    /// A query with the bounds that the condition sets by itself, so that what is outside need not be looked
    /// at: those of kinds, sessions, times and sequence numbers that it joins with *and*. The query matches
    /// the same events where it has the condition among its predicates, which this does not add.
    public func narrowing(_ query: Query) -> Query {
        var bounds = WhereBounds(query)
        bounds.narrow(by: test)
        return bounds.query
    }
}

/// A query that is being restricted.
private struct WhereBounds {
    var query: Query

    init(_ query: Query) { self.query = query }

    mutating func narrow(by test: WhereTest) {
        switch test {
        case .and(let parts): for part in parts { narrow(by: part) }
        case .compare(.attribute(let attribute), let comparison, .literal(let literal), false):
            narrow(attribute, comparison, [literal])
        case .compare(.literal(let literal), let comparison, .attribute(let attribute), false):
            narrow(attribute, comparison.flipped, [literal])
        case .isIn(.attribute(let attribute), let list, false):
            let literals = list.compactMap { operand -> WhereLiteral? in
                if case .literal(let literal) = operand { return literal }
                return nil
            }
            if literals.count == list.count { narrow(attribute, .equal, literals) }
        default: break
        }
    }

    /// To values that compare so with one of the literals.
    private mutating func narrow(
        _ attribute: WhereAttribute, _ comparison: WhereComparison, _ literals: [WhereLiteral]
    ) {
        switch attribute {
        case .kind, .session:
            guard comparison == .equal else { return }
            let names = Set(
                literals.compactMap { literal -> String? in
                    guard case .text(let text) = literal else { return nil }
                    return String(decoding: text, as: UTF8.self)
                })
            // Texts that Unicode takes for one are one here: more than the condition lets through, and never
            // less.
            if attribute == .kind {
                query.kindNames = query.kindNames?.intersection(names) ?? names
            } else {
                query.sessionIDs = query.sessionIDs?.intersection(names) ?? names
            }
        case .timestamp:
            let ranges = literals.compactMap { literal -> ClosedRange<Int64>? in
                guard case .time(let time) = literal else { return nil }
                return Self.range(comparison, from: time, to: time)
            }
            restrict(\.time, to: ranges)
        case .sequence:
            restrict(\.sequences, to: literals.compactMap { Self.range(comparison, $0) })
        case .index, .length: break
        }
    }

    /// To the least range around all of these.
    private mutating func restrict<Bound>(
        _ range: WritableKeyPath<Query, ClosedRange<Bound>?>, to ranges: [ClosedRange<Bound>]
    ) {
        guard let first = ranges.map(\.lowerBound).min(), let last = ranges.map(\.upperBound).max() else {
            return matchNothing()
        }
        guard let old = query[keyPath: range] else { return query[keyPath: range] = first...last }
        let (lower, upper) = (max(old.lowerBound, first), min(old.upperBound, last))
        if lower <= upper { query[keyPath: range] = lower...upper } else { matchNothing() }
    }

    /// No event is of no kind.
    private mutating func matchNothing() { query.kindNames = [] }

    /// What compares so with a number that lies between two others: with `from` and `to` the same, it is
    /// that; with `to` one less, it is none but in between.
    private static func range<Number: FixedWidthInteger>(
        _ comparison: WhereComparison, from: Number, to: Number
    ) -> ClosedRange<Number>? {
        switch comparison {
        case .equal: from <= to ? from...to : nil
        case .less: from == .min ? nil : .min...(from - 1)
        case .lessOrEqual: .min...to
        case .greater: to == .max ? nil : (to + 1)...(.max)
        case .greaterOrEqual: from...(.max)
        }
    }

    /// Sequence numbers that compare so with a literal.
    private static func range(_ comparison: WhereComparison, _ literal: WhereLiteral) -> ClosedRange<UInt64>?
    {
        let everything: ClosedRange<UInt64> = 0...UInt64.max
        let isBelow: Bool
        switch literal {
        case .int(let value):
            if let number = UInt64(exactly: value) { return range(comparison, from: number, to: number) }
            isBelow = true
        case .uint(let number): return range(comparison, from: number, to: number)
        case .double(let bits, _):
            let value = Double(bitPattern: bits)
            if value >= 0, value < 0x1p64 {
                let whole = value.rounded(.down)
                let number = UInt64(whole)
                if whole == value { return range(comparison, from: number, to: number) }
                // It lies above this number and below the next, which there is: doubles of that size are
                // whole.
                return range(comparison, from: number + 1, to: number)
            }
            isBelow = value < 0
        case .wide(let digits): isBelow = digits.first == UInt8(ascii: "-")
        default: return nil
        }
        switch comparison {
        case .equal: return nil
        case .less, .lessOrEqual: return isBelow ? nil : everything
        case .greater, .greaterOrEqual: return isBelow ? everything : nil
        }
    }
}
