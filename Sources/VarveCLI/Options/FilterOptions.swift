import ArgumentParser
import Varve
import VarveJSON

/// The filters, the same for every command that reads events. They combine by *and*.
struct FilterOptions: ParsableArguments {
    @Option(
        name: .customLong("session"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Sessions of this id (repeatable: of any of them).", valueName: "id"))
    var sessionIDs: [String] = []

    @Option(
        name: .customLong("session-number"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "The session of this ordinal, or counted from the last one: -1 (repeatable).", valueName: "n"))
    var sessionNumbers: [Int64] = []

    @Option(
        name: [.customLong("from"), .customLong("since")], parsing: .unconditional,
        help: ArgumentHelp("Not before this time: RFC 3339, epoch, or relative (-2h).", valueName: "time"))
    var from: String?

    @Option(
        name: [.customLong("to"), .customLong("until")], parsing: .unconditional,
        help: ArgumentHelp("Not after this time.", valueName: "time"))
    var to: String?

    @Option(
        name: .customLong("sequence"), parsing: .unconditional,
        help: ArgumentHelp("Sequence numbers: A..B (both included), A.., ..B or one.", valueName: "range"))
    var sequence: SequenceRange?

    @Option(
        name: .customLong("between"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Events from one checkpoint up to another, of one session (--between cp1 cp2): the last one that "
                + "has both, unless a filter names it.", valueName: "cp"))
    var between: [String] = []

    @Option(
        name: .customLong("kind"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Events of this kind (repeatable: of any of them).", valueName: "name"))
    var kinds: [String] = []

    @Option(
        name: [.customLong("grep"), .customShort("g")], parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Payloads that hold this text; of JSON also where it is escaped (repeatable: all of them).",
            valueName: "text"))
    var texts: [String] = []

    @Option(
        name: [.customLong("regex"), .customShort("e")], parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Payloads in whose bytes this regular expression (RE2) is found (repeatable: all of them).",
            valueName: "re"))
    var expressions: [String] = []

    @Flag(
        name: [.customLong("ignore-case"), .customShort("i")],
        help: "Upper and lower case are the same to --grep and --regex.")
    var ignoresCase = false

    @Option(
        name: .customLong("where"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A condition on JSON payloads and attributes: 'EventID == 4624 and user.name contains \"adm\"' "
                + "(repeatable: all of them).", valueName: "expr"))
    var conditions: [String] = []

    @Option(
        name: .customLong("around"), parsing: .unconditional,
        help: ArgumentHelp("Events at about the time of this one.", valueName: "sequence"))
    var around: UInt64?

    @Option(
        name: .customLong("window"), parsing: .unconditional,
        help: ArgumentHelp("How far from --around, before and after (default: 30s).", valueName: "duration"))
    var window: DurationText?

    @Option(name: .customLong("limit"), help: ArgumentHelp("At most so many events.", valueName: "n"))
    var limit: UInt64?

    @Flag(name: [.customLong("reverse"), .customShort("r")], help: "The last event first.")
    var isReversed = false

    func validate() throws {
        guard between.isEmpty || between.count == 2 else {
            throw ValidationError("--between takes the ids of two checkpoints: --between cp1 cp2")
        }
        _ = try timeBounds(now: wallClock())
        _ = try wherePredicates()
        _ = try textPredicates()
        if window != nil, around == nil { throw ValidationError("--window needs --around") }
        if sessionNumbers.contains(0) { throw ValidationError("--session-number 0: sessions count from 1") }
    }

    /// What `--where` says.
    func wherePredicates() throws -> [WherePredicate] {
        try conditions.map { text throws in
            do throws(WhereFault) {
                return try WherePredicate(text)
            } catch {
                throw ValidationError("--where: \(error)")
            }
        }
    }

    /// What `--grep` and `--regex` say.
    func textPredicates() throws -> [any EventPredicate] {
        var predicates: [any EventPredicate] = []
        for text in texts {
            do throws(TextPredicate.EmptyText) {
                predicates.append(try TextPredicate(text, ignoringCase: ignoresCase))
            } catch {
                throw ValidationError("--grep: \(error)")
            }
        }
        for pattern in expressions {
            do throws(RegularExpression.Fault) {
                predicates.append(try RegexPredicate(pattern, ignoringCase: ignoresCase))
            } catch {
                throw ValidationError("--regex: \(error)")
            }
        }
        return predicates
    }

    /// Makes one option of each value of `--between A B`, which an option with two values has to be given as; and one argument of an option
    /// and its value `-1h`, in which the parser finds `-h` where something else is wrong.
    static func withJoinedValues(_ arguments: [String]) -> [String] {
        var result: [String] = []
        func append(_ argument: String) {
            let isNegative = argument.first == "-" && argument.dropFirst().first?.isNumber == true
            if isNegative, let option = result.last, option.hasPrefix("--"), !option.contains("=") {
                result[result.count - 1] = "\(option)=\(argument)"
            } else {
                result.append(argument)
            }
        }
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" { return result + [argument] + rest }
            append(argument)
            guard argument == "--between", rest.count >= 2 else { continue }
            let (first, second) = (rest.removeFirst(), rest.removeFirst())
            append(first)
            append("--between")
            if second != "--between" { append(second) }
        }
        return result
    }

    /// The time filter's bounds, both included, as they were given: perhaps the later one first. `nil`: no such
    /// filter.
    func timeBounds(now: Int64) throws -> (first: Int64, last: Int64)? {
        guard from != nil || to != nil else { return nil }
        return (
            try from.map { try Self.time($0, now: now, option: "--from") } ?? Int64.min,
            try to.map { try Self.time($0, now: now, option: "--to") } ?? Int64.max
        )
    }

    /// The time that the value of an option means.
    static func time(_ text: String, now: Int64, option: String) throws -> Int64 {
        guard let time = TimeArgument.parse(text, now: now) else {
            throw ValidationError(
                "\(option) \(text): not a time: use RFC 3339 (2026-05-10T12:34:56Z), an epoch, or -2h")
        }
        return time
    }
}
