/// A small seeded generator (SplitMix64): the same seed gives the same numbers on every machine.
///
/// For tests and workloads only; it is predictable.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator that starts at `seed`; any value will do.
    public init(seed: UInt64) {
        state = seed
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }

    /// A number below `bound`, taken from the upper half of one draw; 0 when `bound` is 0.
    public mutating func below(_ bound: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: (next() >> 32 &* UInt64(bound)) >> 32)
    }

    /// Whether an event of probability 1 in `count` happens.
    public mutating func oneIn(_ count: UInt32) -> Bool { below(count) == 0 }

    /// A seed that differs from run to run, for randomised tests that print it. `VARVE_SEED` in the
    /// environment, decimal or hexadecimal after `0x`, takes its place.
    public static func freshSeed() -> UInt64 {
        if let seed = environmentSeed() { return seed }
        var system = SystemRandomNumberGenerator()
        return system.next()
    }

    private static func environmentSeed() -> UInt64? {
        guard let text = environment("VARVE_SEED") else { return nil }
        return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }
}
