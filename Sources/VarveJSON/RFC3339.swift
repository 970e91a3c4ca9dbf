/// Times as text: RFC 3339, read exactly to the nanosecond and written in UTC.
public enum RFC3339 {
    /// Reads a time: a date, `T`, `t` or a space, a time of day, any number of fraction digits (those beyond nine are cut),
    /// and a zone (`Z`, `z`, `±HH:MM`, `±HHMM`, `±HH`) or none.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - defaultOffsetSeconds: the offset from UTC of text without a zone; nil when there must be one.
    /// - Returns: nanoseconds since 1970 in UTC, or nil when the text is anything else or its time doesn't fit. A leap second
    ///   (`:60`) is the first instant of the next minute.
    public static func parse(_ text: UnsafeRawBufferPointer, defaultOffsetSeconds: Int? = 0) -> Int64? {
        guard let base = text.baseAddress, text.count >= 19 else { return nil }
        let size = text.count
        // SAFETY: every index below is less than `size`.
        let at = base.assumingMemoryBound(to: UInt8.self)
        guard at[4] == 0x2D, at[7] == 0x2D, at[10] | 0x20 == 0x74 || at[10] == 0x20, at[13] == 0x3A,
            at[16] == 0x3A
        else { return nil }
        var bad = 0
        let year = pair(at, 0, &bad) &* 100 &+ pair(at, 2, &bad)
        let month = pair(at, 5, &bad)
        let day = pair(at, 8, &bad)
        let hour = pair(at, 11, &bad)
        let minute = pair(at, 14, &bad)
        let second = pair(at, 17, &bad)
        guard bad >= 0 else { return nil }
        guard month >= 1, month <= 12, day >= 1, day <= daysIn(month, year), hour <= 23, minute <= 59,
            second <= 60
        else { return nil }

        var index = 19
        var fraction: Int64 = 0
        if index < size, at[index] == 0x2E {
            index += 1
            let start = index
            if index + 8 <= size, let eight = eightDigits(at + index) {
                fraction = eight
                index += 8
            }
            while index < size {
                let digit = at[index] &- 48
                if digit > 9 { break }
                if index - start < 9 { fraction = fraction &* 10 &+ Int64(digit) }
                index += 1
            }
            let digits = index - start
            if digits == 0 { return nil }
            if digits < 9 { fraction &*= powersOfTen(9 - digits) }
        }

        var offset = defaultOffsetSeconds
        if index < size {
            if at[index] | 0x20 == 0x7A {
                guard index + 1 == size else { return nil }
                offset = 0
            } else {
                guard let zone = zone(UnsafeRawBufferPointer(rebasing: text[index...])) else { return nil }
                offset = zone
            }
        }
        guard let offset else { return nil }
        let whole = Int64(days(year, month, day) &* 86400 &+ hour &* 3600 &+ minute &* 60 &+ second)
        let (seconds, overflow) = whole.subtractingReportingOverflow(Int64(offset))
        return overflow ? nil : combine(seconds: seconds, nanoseconds: fraction)
    }

    /// `seconds * 10^9 + nanoseconds`, with `nanoseconds` in 0..<10^9; nil when it doesn't fit. Exact to both ends of the range.
    internal static func combine(seconds: Int64, nanoseconds: Int64) -> Int64? {
        // Below zero one second is lent, so that the product fits wherever the sum does.
        let lend: Int64 = seconds < 0 ? 1 : 0
        let (product, overflow1) = (seconds + lend).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = product.addingReportingOverflow(nanoseconds - lend * 1_000_000_000)
        return overflow1 || overflow2 ? nil : sum
    }

    /// `±HH:MM`, `±HHMM` or `±HH`, in seconds.
    internal static func zone(_ text: UnsafeRawBufferPointer) -> Int? {
        guard let base = text.baseAddress, text.count >= 3 else { return nil }
        // SAFETY: every index below is less than the text's length, which is checked first.
        let at = base.assumingMemoryBound(to: UInt8.self)
        guard at[0] == 0x2B || at[0] == 0x2D else { return nil }
        var bad = 0
        let hours = pair(at, 1, &bad)
        var minutes = 0
        switch text.count {
        case 3: break
        case 5: minutes = pair(at, 3, &bad)
        case 6 where at[3] == 0x3A: minutes = pair(at, 4, &bad)
        default: return nil
        }
        guard bad >= 0, hours <= 23, minutes <= 59 else { return nil }
        let seconds = hours * 3600 + minutes * 60
        return at[0] == 0x2D ? -seconds : seconds
    }

    /// The number that two digits make; `bad` becomes negative when they aren't two digits.
    @inline(__always)
    private static func pair(_ at: UnsafePointer<UInt8>, _ index: Int, _ bad: inout Int) -> Int {
        let tens = Int(at[index] &- 48)
        let ones = Int(at[index + 1] &- 48)
        bad |= (9 &- tens) | (9 &- ones)
        return tens &* 10 &+ ones
    }

    /// The number that the eight bytes at `at` make, or nil when they aren't all digits.
    @inline(__always)
    private static func eightDigits(_ at: UnsafePointer<UInt8>) -> Int64? {
        // SAFETY: the caller checked that eight bytes are there.
        var word = UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
        // A digit has the high nibble 3, and still has it with six added.
        let high: UInt64 = 0xF0F0_F0F0_F0F0_F0F0
        let threes: UInt64 = 0x3030_3030_3030_3030
        guard word & high == threes, (word &+ 0x0606_0606_0606_0606) & high == threes else { return nil }
        // Neighbours are joined to numbers of two, four and eight digits.
        word &= 0x0F0F_0F0F_0F0F_0F0F
        word = (word &* 10 &+ word >> 8) & 0x00FF_00FF_00FF_00FF
        word = (word &* 100 &+ word >> 16) & 0x0000_FFFF_0000_FFFF
        word = (word &* 10_000 &+ word >> 32) & 0xFFFF_FFFF
        return Int64(word)
    }

    @inline(__always)
    private static func daysIn(_ month: Int, _ year: Int) -> Int {
        if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
        return 30 + (month + month >> 3) & 1
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 0 on. Years are counted from March, so that
    /// the leap day is the last of its year.
    internal static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month <= 2 ? year + 399 : year + 400
        let fromMarch = month <= 2 ? month + 9 : month - 3
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + (153 * fromMarch + 2) / 5 + day
            - 865_566
    }

    @inline(__always)
    internal static func powersOfTen(_ exponent: Int) -> Int64 {
        var power: Int64 = 1
        for _ in 0..<exponent { power &*= 10 }
        return power
    }

    /// Appends the time with nine fraction digits, so that texts sort as their times do: `2026-05-10T12:34:56.100000000Z`.
    public static func append(_ nanoseconds: Int64, to buffer: inout ByteBuffer) {
        append(nanoseconds, digits: 9, to: &buffer)
    }

    /// Appends the time with 0, 3, 6 or 9 fraction digits: the fewest that keep it exact.
    public static func appendShortest(_ nanoseconds: Int64, to buffer: inout ByteBuffer) {
        let digits =
            nanoseconds % 1_000_000_000 == 0
            ? 0 : nanoseconds % 1_000_000 == 0 ? 3 : nanoseconds % 1000 == 0 ? 6 : 9
        append(nanoseconds, digits: digits, to: &buffer)
    }

    /// The time with nine fraction digits.
    public static func string(_ nanoseconds: Int64) -> String {
        var buffer = ByteBuffer(capacity: 32)
        append(nanoseconds, to: &buffer)
        return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    private static func append(_ nanoseconds: Int64, digits: Int, to buffer: inout ByteBuffer) {
        var (seconds, fraction) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        if fraction < 0 {
            fraction += 1_000_000_000
            seconds -= 1
        }
        var (dayNumber, rest) = Int(seconds).quotientAndRemainder(dividingBy: 86400)
        if rest < 0 {
            rest += 86400
            dayNumber -= 1
        }
        let (year, month, day) = civil(dayNumber)
        buffer.append(year, digits: 4)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(month, digits: 2)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(day, digits: 2)
        buffer.append(UInt8(ascii: "T"))
        buffer.append(rest / 3600, digits: 2)
        buffer.append(UInt8(ascii: ":"))
        buffer.append(rest / 60 % 60, digits: 2)
        buffer.append(UInt8(ascii: ":"))
        buffer.append(rest % 60, digits: 2)
        if digits > 0 {
            buffer.append(UInt8(ascii: "."))
            buffer.append(Int(fraction / powersOfTen(9 - digits)), digits: digits)
        }
        buffer.append(UInt8(ascii: "Z"))
    }

    /// The date of a day since 1970-01-01. An Int64 of nanoseconds is always within the years 1677 to 2262.
    private static func civil(_ dayNumber: Int) -> (year: Int, month: Int, day: Int) {
        // The year is off by at most one before it is corrected by its own first day.
        var year = 1970 + Int((Double(dayNumber) / 365.2425).rounded(.down))
        while days(year, 1, 1) > dayNumber { year -= 1 }
        while days(year + 1, 1, 1) <= dayNumber { year += 1 }
        var month = 12
        while days(year, month, 1) > dayNumber { month -= 1 }
        return (year, month, dayNumber - days(year, month, 1) + 1)
    }
}
