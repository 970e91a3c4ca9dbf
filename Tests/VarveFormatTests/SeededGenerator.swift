import Foundation

/// A generator of random values (SplitMix64) that gives the same ones for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    let seed: UInt64
    private var state: UInt64

    init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    /// A generator with the seed in `VARVE_TEST_SEED`, or a new one; prints it, so that a failure can be had again.
    static func forTest(_ name: String) -> SeededGenerator {
        let given = ProcessInfo.processInfo.environment["VARVE_TEST_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: .min ... .max)
        print("\(name): VARVE_TEST_SEED=\(seed)")
        return SeededGenerator(seed: seed)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bool() -> Bool { next() & 1 == 0 }

    /// Any integer, with a liking for the ends and for small ones.
    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) -> T {
        switch next() % 8 {
        case 0: .min
        case 1: .max
        case 2: T(truncatingIfNeeded: next() % 300)
        default: T(truncatingIfNeeded: next() >> (next() % 64))
        }
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// Text of one to four bytes a character, none of which combine.
    mutating func text(_ lengths: ClosedRange<Int>) -> String {
        let characters: [Character] = ["a", "Z", "0", " ", "\"", "\\", "\n", "\u{0}", "é", "ß", "線", "🛰"]
        return String((0..<int(lengths)).map { _ in characters[int(0...characters.count - 1)] })
    }

    mutating func map() -> [String: String] {
        var map: [String: String] = [:]
        for _ in 0..<int(0...4) { map[text(0...6)] = text(0...9) }
        return map
    }

    mutating func element<C: RandomAccessCollection>(_ all: C) -> C.Element {
        all[all.index(all.startIndex, offsetBy: int(0...all.count - 1))]
    }

    mutating func list<T>(_ counts: ClosedRange<Int>, _ each: (inout SeededGenerator) -> T) -> [T] {
        (0..<int(counts)).map { _ in each(&self) }
    }
}
