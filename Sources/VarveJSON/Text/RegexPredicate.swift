public import Varve

/// Finds events whose payload's own bytes match a regular expression somewhere: escapes of JSON are not
/// undone. For the text that a JSON payload means there is `matches` in conditions on its values.
public struct RegexPredicate: EventPredicate {
    /// What is looked for.
    public let expression: RegularExpression

    private let search: RegexSearch

    /// Looks for what the expression matches.
    public init(_ expression: RegularExpression) {
        self.expression = expression
        search = RegexSearch(expression)
    }

    /// Looks for what a pattern matches. Throws where it can't be used.
    public init(_ pattern: String, ignoringCase: Bool = false) throws(RegularExpression.Fault) {
        self.init(try RegularExpression(pattern, ignoringCase: ignoringCase))
    }

    /// `matches /pattern/`.
    public var description: String { "matches \(expression)" }

    /// Always.
    public var needsPayload: Bool { true }

    /// What every match holds.
    public var textRequirement: TextRequirement { expression.textRequirement }

    /// What evaluates it.
    public func makeEvaluator() -> any PredicateEvaluator { TextEvaluator(search) }
}

/// Looks for a regular expression, first for the texts without which it can't match: those are looked for in
/// many payloads at once.
struct RegexSearch: TextSearch {
    private let expression: RegularExpression
    /// One of these is in every match; empty where nothing is known.
    private let literals: [ByteNeedle]
    // More passes than these would take longer than they save.
    private static let literalsMax = 4

    init(_ expression: RegularExpression) {
        self.expression = expression
        literals = (Self.literals(of: expression.textRequirement) ?? []).map {
            ByteNeedle($0, ignoringCase: true)
        }
    }

    let byteCountMin = 0

    func mark(_ list: inout PayloadList, with unescaper: JSONUnescaper) {
        if literals.isEmpty { list.replace(.open, with: .maybe) }
        for literal in literals { list.scan(literal, mark: .maybe, where: { $0.mark == .open }) }
        list.decide(.maybe) { expression.isFound(in: $0.bytes) }
    }

    /// Texts of which one must be there, few and long ones if possible; nil where there are none, or too
    /// many.
    static func literals(of requirement: TextRequirement) -> [[UInt8]]? {
        let found: [[UInt8]]?
        switch requirement {
        case .nothing: return nil
        case .text(let text, _, _): return text.isEmpty ? nil : [text]
        case .all(let parts): return parts.compactMap { literals(of: $0) }.max { weight($0) < weight($1) }
        case .any(let parts): found = union(parts)
        case .combination(let parts, let test): found = test(parts.map { _ in false }) ? nil : union(parts)
        }
        guard let found, !found.isEmpty, found.count <= literalsMax else { return nil }
        return found
    }

    private static func union(_ parts: [TextRequirement]) -> [[UInt8]]? {
        var all: [[UInt8]] = []
        for part in parts {
            guard let some = literals(of: part) else { return nil }
            all += some
        }
        return all
    }

    /// How rare the most common one of the texts may be: the longer the rarer, and characters beyond ASCII
    /// are rarer than letters.
    private static func weight(_ texts: [[UInt8]]) -> Int {
        texts.map { $0.reduce(0) { $0 + ($1 < 0x80 ? 1 : 8) } }.min() ?? 0
    }
}
