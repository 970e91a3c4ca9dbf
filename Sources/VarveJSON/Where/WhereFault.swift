/// Why a text is no condition, where, and what to write instead.
public struct WhereFault: Error, Hashable, CustomStringConvertible {
    /// The text.
    public let expression: String
    /// The character, from 1. One after the last where something is missing at the end.
    public let column: Int
    /// What is wrong there, and the remedy where there is one.
    public let reason: String

    /// One line of text.
    public var description: String { "\(expression): column \(column): \(reason)" }
}
