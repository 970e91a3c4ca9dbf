/// Times as numbers.
public enum NumericTime {
    /// Reads a decimal number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by its size: below
    /// 10^11, 10^14, 10^17 and the rest. Exact; what is finer than a nanosecond is cut off.
    ///
    /// - Parameter decimal: `-`, digits, a fraction and an exponent, as in JSON.
    /// - Returns: nanoseconds, or nil when the text is anything else or its time doesn't fit.
    public static func parse(decimal: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        let negative = decimal.first == UInt8(ascii: "-")
        if negative { index = 1 }
        // The number is 0.D * 10^point, where D are its digits from the first one that isn't zero.
        var point = 0
        var first: Int?
        let wholeStart = index
        while index < decimal.count, decimal[index] &- 48 <= 9 {
            if first == nil, decimal[index] != 48 { first = index }
            if first != nil { point += 1 }
            index += 1
        }
        guard index > wholeStart else { return nil }
        if index < decimal.count, decimal[index] == UInt8(ascii: ".") {
            index += 1
            let fractionStart = index
            while index < decimal.count, decimal[index] &- 48 <= 9 {
                if first == nil {
                    if decimal[index] != 48 { first = index } else { point -= 1 }
                }
                index += 1
            }
            guard index > fractionStart else { return nil }
        }
        let mantissaEnd = index
        if index < decimal.count, decimal[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            var exponentNegative = false
            if index < decimal.count,
                decimal[index] == UInt8(ascii: "+") || decimal[index] == UInt8(ascii: "-")
            {
                exponentNegative = decimal[index] == UInt8(ascii: "-")
                index += 1
            }
            let exponentStart = index
            var exponent = 0
            while index < decimal.count, decimal[index] &- 48 <= 9 {
                // Far beyond any text's length, so that the cap changes no answer.
                exponent = min(exponent * 10 + Int(decimal[index] - 48), 1 << 50)
                index += 1
            }
            guard index > exponentStart else { return nil }
            point += exponentNegative ? -exponent : exponent
        }
        guard index == decimal.count else { return nil }
        guard let first else { return 0 }
        return scale(
            decimal, from: first, to: mantissaEnd, wholeDigits: point + scaleExponent(point), negative)
    }

    /// The time of a whole number, by its size.
    public static func parse(integer: Int64) -> Int64? {
        let size = integer.magnitude
        let factor: Int64 =
            size < 100_000_000_000
            ? 1_000_000_000
            : size < 100_000_000_000_000 ? 1_000_000 : size < 100_000_000_000_000_000 ? 1000 : 1
        let (product, overflow) = integer.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }

    private static func scaleExponent(_ wholeDigits: Int) -> Int {
        wholeDigits <= 11 ? 9 : wholeDigits <= 14 ? 6 : wholeDigits <= 17 ? 3 : 0
    }

    /// The first `wholeDigits` digits of a mantissa as a number, filled up with zeros.
    internal static func scale(
        _ text: UnsafeRawBufferPointer, from first: Int, to end: Int, wholeDigits: Int, _ negative: Bool
    ) -> Int64? {
        guard wholeDigits > 0 else { return 0 }
        guard wholeDigits <= 19 else { return nil }
        var sum: UInt64 = 0
        var index = first
        for _ in 0..<wholeDigits {
            if index < end, text[index] == UInt8(ascii: ".") { index += 1 }
            // Nineteen digits are below 10^19 and so fit.
            sum = sum * 10 + (index < end ? UInt64(text[index] - 48) : 0)
            index += 1
        }
        if negative { return sum <= Int64.min.magnitude ? Int64(truncatingIfNeeded: 0 &- sum) : nil }
        return Int64(exactly: sum)
    }
}

/// A point in time as it is given on a command line.
public enum TimeArgument {
    /// Reads RFC 3339 text, a date alone (its midnight), a number since 1970 as ``NumericTime`` reads it, `now`, or a signed span
    /// from now such as `-2h`, `-1.5d`, `+30s` (`ns us ms s m h d w`).
    ///
    /// - Parameters:
    ///   - text: what was given.
    ///   - now: nanoseconds since 1970, for relative times.
    ///   - defaultOffsetSeconds: the offset from UTC of dates and times without a zone.
    /// - Returns: nanoseconds since 1970, or nil when the text is none of these or its time doesn't fit.
    public static func parse(_ text: String, now: Int64, defaultOffsetSeconds: Int = 0) -> Int64? {
        if text == "now" { return now }
        var copy = text
        return copy.withUTF8 { utf8 in
            let raw = UnsafeRawBufferPointer(utf8)
            if let time = RFC3339.parse(raw, defaultOffsetSeconds: defaultOffsetSeconds) { return time }
            if let time = NumericTime.parse(decimal: raw) { return time }
            if raw.count == 10 { return date(raw, defaultOffsetSeconds) }
            guard let span = span(raw) else { return nil }
            let (time, overflow) = now.addingReportingOverflow(span)
            return overflow ? nil : time
        }
    }

    private static func date(_ raw: UnsafeRawBufferPointer, _ offset: Int) -> Int64? {
        withUnsafeTemporaryAllocation(byteCount: 19, alignment: 1) { area in
            area.copyBytes(from: raw)
            for (index, byte) in "T00:00:00".utf8.enumerated() { area[10 + index] = byte }
            return RFC3339.parse(UnsafeRawBufferPointer(area), defaultOffsetSeconds: offset)
        }
    }

    /// A sign, a decimal number and a unit.
    private static func span(_ raw: UnsafeRawBufferPointer) -> Int64? {
        guard let sign = raw.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") else { return nil }
        var index = 1
        var dot: Int?
        while index < raw.count, raw[index] &- 48 <= 9 || (raw[index] == UInt8(ascii: ".") && dot == nil) {
            if raw[index] == UInt8(ascii: ".") { dot = index }
            index += 1
        }
        let whole = (dot ?? index) - 1
        let fraction = dot.map { index - $0 - 1 } ?? 0
        guard whole > 0, dot == nil || fraction > 0, fraction <= 18 else { return nil }
        let unit: Int64
        switch String(decoding: raw[index...], as: UTF8.self) {
        case "ns": unit = 1
        case "us", "µs": unit = 1000
        case "ms": unit = 1_000_000
        case "s": unit = 1_000_000_000
        case "m": unit = 60_000_000_000
        case "h": unit = 3_600_000_000_000
        case "d": unit = 86_400_000_000_000
        case "w": unit = 604_800_000_000_000
        default: return nil
        }
        guard whole <= 18,
            let number = NumericTime.scale(raw, from: 1, to: dot ?? index, wholeDigits: whole, false),
            let part = NumericTime.scale(
                raw, from: (dot ?? index) + 1, to: index, wholeDigits: fraction, false)
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        // `part` is below the divisor, so that the quotient is below `unit`.
        let wide = part.multipliedFullWidth(by: unit)
        let (cut, _) = RFC3339.powersOfTen(fraction).dividingFullWidth(wide)
        let (sum, overflow2) = product.addingReportingOverflow(cut)
        if overflow || overflow2 { return nil }
        return sign == UInt8(ascii: "-") ? -sum : sum
    }
}

/// An offset from UTC as it is given on a command line.
public enum TimeZoneArgument {
    /// Reads `Z`, `UTC`, `±HH:MM`, `±HHMM` or `±HH`: the offset in seconds, east positive, or nil for anything else.
    public static func parse(_ text: String) -> Int? {
        if text == "Z" || text == "z" || text == "UTC" || text == "utc" { return 0 }
        var copy = text
        return copy.withUTF8 { RFC3339.zone(UnsafeRawBufferPointer($0)) }
    }
}
