/// A whole number with a unit behind it, as sizes and durations are written on the command line.
struct Units {
    /// In ascending order; of several with the same factor the first is printed.
    let factors: [(name: String, factor: UInt64)]

    /// `nil` when the text is no such thing, or more than 64 bits hold.
    func parse(_ text: some StringProtocol) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = UInt64(digits),
            let unit = factors.first(where: { $0.name == text.dropFirst(digits.count) })
        else { return nil }
        let (product, isOver) = number.multipliedReportingOverflow(by: unit.factor)
        return isOver ? nil : product
    }

    /// The shortest text that is read as exactly that: with the largest unit that divides it.
    func exact(_ value: UInt64) -> String {
        let fitting = factors.filter { value > 0 && value.isMultiple(of: $0.factor) }
        let unit = fitting.max { $0.factor < $1.factor } ?? factors[0]
        return "\(value / unit.factor)\(unit.name)"
    }
}
