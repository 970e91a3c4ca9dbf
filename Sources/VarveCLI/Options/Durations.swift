import ArgumentParser
import Varve

/// A length of time on the command line: a number and `ns`, `us`, `ms`, `s`, `m`, `h` or `d`.
struct DurationText: Equatable, ExpressibleByArgument {
    var nanoseconds: UInt64

    init?(argument: String) { self.init(argument) }

    private static let units = Units(factors: [
        ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("h", 3_600_000_000_000), ("d", 86_400_000_000_000),
    ])

    /// The shortest text that is read as exactly that.
    static func exact(_ nanoseconds: UInt64) -> String { units.exact(nanoseconds) }

    /// `nil` when the text is no such thing, or longer than 584 years.
    init?(_ text: some StringProtocol) {
        guard let value = Self.units.parse(text) else { return nil }
        nanoseconds = value
    }
}

/// `--durability`: `none`, `interval:200ms` or `synced`.
struct DurabilityLevel: ExpressibleByArgument, Equatable {
    var durability: Durability

    init(_ durability: Durability) { self.durability = durability }

    init?(argument: String) {
        switch argument {
        case "none": durability = .none
        case "synced": durability = .synced
        case "interval": durability = .interval(nanoseconds: 200_000_000)
        default:
            guard argument.hasPrefix("interval:"),
                let interval = DurationText(argument.dropFirst("interval:".count)), interval.nanoseconds > 0
            else { return nil }
            durability = .interval(nanoseconds: interval.nanoseconds)
        }
    }

    static var allValueStrings: [String] { ["none", "interval:200ms", "synced"] }

    var defaultValueDescription: String { "interval:200ms" }
}
