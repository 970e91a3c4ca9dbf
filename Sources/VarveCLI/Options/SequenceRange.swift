import ArgumentParser

/// `--sequence`: `A..B` (both included), `A..`, `..B`, or one number.
struct SequenceRange: ExpressibleByArgument, Equatable {
    var range: ClosedRange<UInt64>

    init?(argument: String) {
        guard let dots = argument.firstRange(of: "..") else {
            guard let number = Self.number(argument[...]) else { return nil }
            range = number...number
            return
        }
        let (lower, upper) = (argument[..<dots.lowerBound], argument[dots.upperBound...])
        guard !lower.isEmpty || !upper.isEmpty,
            let first = lower.isEmpty ? 0 : Self.number(lower),
            let last = upper.isEmpty ? UInt64.max : Self.number(upper),
            first <= last
        else { return nil }
        range = first...last
    }

    /// Digits alone: `UInt64.init` takes a sign as well.
    private static func number(_ text: Substring) -> UInt64? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
    }
}
