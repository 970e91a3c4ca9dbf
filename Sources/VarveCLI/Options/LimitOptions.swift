import ArgumentParser
import Varve

/// What a store keeps at most, of every command that writes one.
struct LimitOptions: ParsableArguments {
    @Option(
        name: .customLong("max-events"), parsing: .unconditional,
        help: ArgumentHelp(
            "Keep the last so many events; none: no limit. What is not named here stays as the store has it.",
            valueName: "n"))
    var events: String?

    @Option(
        name: .customLong("max-checkpoints"), parsing: .unconditional,
        help: ArgumentHelp("Keep the last so many checkpoints; none: no limit.", valueName: "n"))
    var checkpoints: String?

    @Option(
        name: .customLong("max-bytes"), parsing: .unconditional,
        help: ArgumentHelp(
            "All files of the store together, such as 500MB or 2GiB, and at least 1MiB; none: no limit.",
            valueName: "size"))
    var bytes: String?

    @Option(
        name: .customLong("max-age"), parsing: .unconditional,
        help: ArgumentHelp(
            "Keep what was recorded within this time, such as 12h or 30d; none: no limit.",
            valueName: "duration"))
    var age: String?

    @Option(
        name: .customLong("min-free"), parsing: .unconditional,
        help: ArgumentHelp(
            "Leave so much of the disk free, such as 5GB; none: no limit.", valueName: "size"))
    var free: String?

    func validate() throws { _ = try applied(to: RetentionLimits()) }

    /// Whether any is named.
    var areNamed: Bool {
        events != nil || checkpoints != nil || bytes != nil || age != nil || free != nil
    }

    /// The limits to open a store with that has others now, or none; `nil`: it keeps its own.
    func limits(of present: RetentionLimits?) throws -> RetentionLimits? {
        areNamed ? try applied(to: present ?? RetentionLimits()) : nil
    }

    private func applied(to present: RetentionLimits) throws -> RetentionLimits {
        var limits = present
        func set(
            _ limit: WritableKeyPath<RetentionLimits, UInt64?>, _ option: String, _ text: String?,
            _ form: String,
            _ parse: (String) -> UInt64?
        ) throws {
            guard let text else { return }
            guard text != "none" else {
                limits[keyPath: limit] = nil
                return
            }
            guard let value = parse(text), value > 0 else {
                throw ValidationError("\(option) \(text): not a limit: use \(form), or none")
            }
            limits[keyPath: limit] = value
        }
        let (number, size) = ("a number from 1", "a size such as 500MB or 2GiB")
        try set(\.events, "--max-events", events, number, Self.number)
        try set(\.checkpoints, "--max-checkpoints", checkpoints, number, Self.number)
        try set(\.bytes, "--max-bytes", bytes, size) { SizeText.parse($0) }
        try set(\.ageNanoseconds, "--max-age", age, "a duration such as 90s, 12h or 30d") {
            $0.hasPrefix("-") ? nil : DurationText($0)?.nanoseconds
        }
        try set(\.freeBytes, "--min-free", free, size) { SizeText.parse($0) }
        return limits
    }

    /// Digits alone: `UInt64.init` takes a sign as well.
    private static func number(_ text: String) -> UInt64? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
    }
}

extension RetentionLimits {
    /// The limits that are set, each with its unit.
    var descriptions: [String] {
        [
            events.map { Formatting.count($0, "event") },
            checkpoints.map { Formatting.count($0, "checkpoint") },
            bytes.map { SizeText.exact($0) },
            ageNanoseconds.map { "\(DurationText.exact($0)) of age" },
            freeBytes.map { "\(SizeText.exact($0)) of the disk left free" },
        ].compactMap { $0 }
    }
}

extension RetentionLimit {
    /// The option that sets it.
    var option: String {
        switch self {
        case .events: "--max-events"
        case .checkpoints: "--max-checkpoints"
        case .bytes: "--max-bytes"
        case .age: "--max-age"
        case .freeBytes: "--min-free"
        }
    }

    /// Its name in JSON.
    var name: String {
        switch self {
        case .events: "events"
        case .checkpoints: "checkpoints"
        case .bytes: "bytes"
        case .age: "age"
        case .freeBytes: "free"
        }
    }
}
