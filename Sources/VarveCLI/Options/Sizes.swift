/// A number of bytes on the command line: a number and `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
enum SizeText {
    private static let units = Units(factors: [
        ("B", 1), ("KB", 1_000), ("kB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20),
        ("GB", 1_000_000_000), ("GiB", 1 << 30),
    ])

    /// `nil` when the text is no such thing, or more than 64 bits hold.
    static func parse(_ text: some StringProtocol) -> UInt64? { units.parse(text) }

    /// The shortest text that is read as exactly that.
    static func exact(_ bytes: UInt64) -> String { units.exact(bytes) }
}
