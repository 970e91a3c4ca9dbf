internal import VarveFormat

/// What a query's predicates require, asked of one segment's filters.
struct FilterTest {
    private indirect enum Condition {
        case always
        case never
        /// All of these keys.
        case keys([UInt32])
        case all([Condition])
        case any([Condition])
        case combination([Condition], ([Bool]) -> Bool)
    }

    private let filters: TokenFilters
    private let condition: Condition

    /// Nil where the filters can't rule anything out.
    init?(_ requirement: TextRequirement, _ filters: TokenFilters) {
        self.filters = filters
        condition = Self.compile(requirement, filters)
        if case .always = condition { return nil }
    }

    private static func compile(_ requirement: TextRequirement, _ filters: TokenFilters) -> Condition {
        switch requirement {
        case .nothing: return .always
        case .text(let text, let startsToken, let endsToken):
            // What is common to most sub-blocks rules none of them out.
            let keys = TextKeys.keys(ofText: text, startsToken: startsToken, endsToken: endsToken)
                .filter { !filters.mayHoldEverywhere($0) }
            return keys.isEmpty ? .always : .keys(keys)
        case .all(let parts):
            var conditions: [Condition] = []
            for part in parts {
                switch compile(part, filters) {
                case .always: continue
                case .never: return .never
                case let condition: conditions.append(condition)
                }
            }
            return conditions.isEmpty ? .always : conditions.count == 1 ? conditions[0] : .all(conditions)
        case .any(let parts):
            var conditions: [Condition] = []
            for part in parts {
                switch compile(part, filters) {
                case .always: return .always
                case .never: continue
                case let condition: conditions.append(condition)
                }
            }
            return conditions.isEmpty ? .never : conditions.count == 1 ? conditions[0] : .any(conditions)
        case .combination(let parts, let test):
            let conditions = parts.map { compile($0, filters) }
            // When it is content without any of them it always is.
            if test(Array(repeating: false, count: parts.count)) { return .always }
            return .combination(conditions, test)
        }
    }

    private func mayHold(_ condition: Condition, _ filter: Int) -> Bool {
        switch condition {
        case .always: true
        case .never: false
        case .keys(let keys): keys.allSatisfy { filters.mayHold($0, filter: filter) }
        case .all(let parts): parts.allSatisfy { mayHold($0, filter) }
        case .any(let parts): parts.contains { mayHold($0, filter) }
        case .combination(let parts, let test): test(parts.map { mayHold($0, filter) })
        }
    }

    /// Of a block's sub-blocks whether each is ruled out; empty where none is.
    func ruledOut(inBlock number: Int) -> [Bool] {
        let range = filters.filters(ofBlock: number)
        var found: [Bool] = []
        for filter in range where !mayHold(condition, filter) {
            if found.isEmpty { found = Array(repeating: false, count: range.count) }
            found[filter - range.lowerBound] = true
        }
        return found
    }

    /// Whether all of a block's sub-blocks are ruled out.
    func rulesOut(block number: Int) -> Bool {
        let range = filters.filters(ofBlock: number)
        return !range.isEmpty && range.allSatisfy { !mayHold(condition, $0) }
    }
}
