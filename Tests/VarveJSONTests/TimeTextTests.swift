import Testing
import VarveJSON

@Suite struct TimeTextTests {
    static func parse(_ text: String, offset: Int = 0) -> Int64? {
        raw(text) { RFC3339.parse($0, defaultOffsetSeconds: offset) }
    }

    @Test(
        "RFC 3339 text is read to the nanosecond",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00.000000001Z", 1),
            ("1969-12-31T23:59:59.999999999Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
            ("2026-05-10T12:34:56.1Z", 1_778_416_496_100_000_000),
            ("2026-05-10t12:34:56.100z", 1_778_416_496_100_000_000),
            ("2026-05-10 12:34:56", 1_778_416_496_000_000_000),
            ("2026-05-10T12:34:56.123456789987654321Z", 1_778_416_496_123_456_789),
            ("2026-05-10T14:34:56+02:00", 1_778_416_496_000_000_000),
            ("2026-05-10T14:34:56+0200", 1_778_416_496_000_000_000),
            ("2026-05-10T14:34:56+02", 1_778_416_496_000_000_000),
            ("2026-05-10T07:04:56.5-05:30", 1_778_416_496_500_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
            ("2262-04-11T23:47:16.854775807Z", Int64.max), ("1677-09-21T00:12:43.145224192Z", Int64.min),
        ] as [(String, Int64)])
    func reads(text: String, time: Int64) { #expect(Self.parse(text) == time) }

    @Test(
        "Text that isn't a time is refused",
        arguments: [
            "", "2026-05-10", "2026-05-10T12:34", "2026-05-10T12:34:5", "2026-13-10T12:34:56Z",
            "2026-00-10T12:34:56Z",
            "2026-02-29T12:34:56Z", "1900-02-29T12:34:56Z", "2026-04-31T00:00:00Z", "2026-05-00T12:34:56Z",
            "2026-05-10T24:00:00Z", "2026-05-10T12:60:00Z", "2026-05-10T12:00:61Z", "2026-05-10T12:34:56.Z",
            "2026-05-10T12:34:56ZZ", "2026-05-10T12:34:56Z ", " 2026-05-10T12:34:56Z", "2026-05-10T12:34:56+",
            "2026-05-10T12:34:56+2", "2026-05-10T12:34:56+24:00", "2026-05-10T12:34:56+02:60",
            "2026-05-10T12:34:56+02:0",
            "2026-05-10T12:34:56+02-00", "2026-05-10T12:34:56 +02:00", "2026/05/10T12:34:56Z",
            "2026-05-10X12:34:56Z",
            "2026-05-10T12-34-56Z", "20x6-05-10T12:34:56Z", "-026-05-10T12:34:56Z", "2026-05-10T12:34:56,5Z",
            "2026-05-10T12:34:56.1234567890x", "2262-04-11T23:47:16.854775808Z",
            "1677-09-21T00:12:43.145224191Z",
            "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "２026-05-10T12:34:56Z",
        ])
    func refuses(text: String) { #expect(Self.parse(text) == nil) }

    @Test("Text without a zone takes the default, and text with one doesn't")
    func defaultZone() {
        #expect(Self.parse("1970-01-01T02:00:00", offset: 7200) == 0)
        #expect(Self.parse("1970-01-01T02:00:00Z", offset: 7200) == 7_200_000_000_000)
        #expect(Self.parse("1970-01-01T02:00:00", offset: .min) == nil)
    }

    @Test("Text without a zone is refused where there must be one")
    func zoneRequired() {
        for (text, time) in [
            ("1970-01-01T00:00:01Z", 1_000_000_000), ("1970-01-01 01:00:00.5+01:00", 500_000_000),
        ] {
            #expect(raw(text) { RFC3339.parse($0, defaultOffsetSeconds: nil) } == Int64(time))
        }
        for text in ["1970-01-01T00:00:00", "1970-01-01T00:00:00.123456789"] {
            #expect(raw(text) { RFC3339.parse($0, defaultOffsetSeconds: nil) } == nil)
        }
    }

    @Test("Times written are read back, at both lengths")
    func roundTrips() {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        var times: [Int64] = [0, 1, -1, .min, .max, 999_999_999, -1_000_000_000]
        for _ in 0..<20_000 {
            let time = Int64(truncatingIfNeeded: random.next())
            times += [time, time / 1000 * 1000, time / 1_000_000_000 * 1_000_000_000]
        }
        var buffer = ByteBuffer(capacity: 8)
        for time in times {
            #expect(Self.parse(RFC3339.string(time)) == time, "seed \(seed)")
            buffer.removeAll()
            RFC3339.appendShortest(time, to: &buffer)
            #expect(buffer.withUnsafeBytes { RFC3339.parse($0) } == time, "seed \(seed)")
        }
    }

    @Test("Every day from 1680 to 2260 follows the one before")
    func calendar() {
        var day: Int64 = -105_920
        for year in 1680..<2260 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for (month, days) in [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
                for date in 1...days {
                    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
                    let text = "\(year)-\(two(month + 1))-\(two(date))T00:00:00.000000000Z"
                    if RFC3339.string(day * 86_400_000_000_000) != text
                        || Self.parse(text) != day * 86_400_000_000_000
                    {
                        Issue.record("\(text) is day \(day)")
                        return
                    }
                    day += 1
                }
            }
        }
        #expect(day == 105_920)
    }

    @Test(
        "Times are written with nine digits, or the fewest groups of three",
        arguments: [
            (1_778_416_496_100_000_000, "2026-05-10T12:34:56.100000000Z", "2026-05-10T12:34:56.100Z"),
            (1_778_416_496_000_000_000, "2026-05-10T12:34:56.000000000Z", "2026-05-10T12:34:56Z"),
            (1_778_416_496_000_010_000, "2026-05-10T12:34:56.000010000Z", "2026-05-10T12:34:56.000010Z"),
            (-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
        ] as [(Int64, String, String)])
    func writes(time: Int64, nine: String, shortest: String) {
        #expect(RFC3339.string(time) == nine)
        var buffer = ByteBuffer()
        RFC3339.appendShortest(time, to: &buffer)
        #expect(buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } == shortest)
    }

    @Test(
        "Numbers are times by their size, exactly",
        arguments: [
            ("0", 0), ("-0", 0), ("0.0", 0), ("1", 1_000_000_000), ("-1.5", -1_500_000_000),
            ("0.000000001", 1),
            ("0.0000000019", 1), ("0.0000000001", 0),
            ("1715000000", 1_715_000_000_000_000_000), ("1715000000.123456789", 1_715_000_000_123_456_789),
            ("1715000000.1234567899", 1_715_000_000_123_456_789),
            ("1715000000123", 1_715_000_000_123_000_000),
            ("1715000000123.456789", 1_715_000_000_123_456_789),
            ("1715000000123456", 1_715_000_000_123_456_000),
            ("1715000000123456.789", 1_715_000_000_123_456_789),
            ("1715000000123456789", 1_715_000_000_123_456_789),
            ("1715000000123456789.9", 1_715_000_000_123_456_789), ("1.715e9", 1_715_000_000_000_000_000),
            ("1.715000000123456789E+18", 1_715_000_000_123_456_789),
            ("17150000001e-1", 1_715_000_000_100_000_000),
            ("100000000000", 100_000_000_000_000_000), ("99999999999.5", nil),
            ("9223372036.854775807", Int64.max),
            ("9223372036.854775808", nil), ("-9223372036.854775808", Int64.min),
            ("9223372036854775807", Int64.max),
            ("9223372036854775808", nil), ("-9223372036854775808", Int64.min), ("-9223372036854775809", nil),
            ("1e999999999999999999999", nil), ("1e-999999999999999999999", 0), ("0e999999999999999999999", 0),
            ("", nil), ("-", nil), (".5", nil), ("1.", nil), ("1e", nil), ("1e+", nil), ("+1", nil),
            ("1x", nil),
            ("1.2.3", nil), ("NaN", nil), ("0x10", nil), (" 1", nil),
        ] as [(String, Int64?)])
    func numbers(text: String, time: Int64?) { #expect(raw(text) { NumericTime.parse(decimal: $0) } == time) }

    @Test("A whole number reads the same as its decimal text")
    func integersAgree() {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        for _ in 0..<5000 {
            let number = Int64(truncatingIfNeeded: random.next()) >> Int64(random.next() % 64)
            #expect(
                NumericTime.parse(integer: number) == raw("\(number)") { NumericTime.parse(decimal: $0) },
                "seed \(seed)")
        }
    }

    @Test(
        "Arguments are times in every spelling",
        arguments: [
            ("now", 1_000_000_000_000), ("-2s", 998_000_000_000), ("+30s", 1_030_000_000_000),
            ("-1.5m", 910_000_000_000),
            ("-2h", -6_200_000_000_000), ("-1.5d", -128_600_000_000_000), ("+1w", 605_800_000_000_000),
            ("-10ms", 999_990_000_000), ("-1us", 999_999_999_000), ("-7ns", 999_999_999_993),
            ("1970-01-02", 82_800_000_000_000), ("1970-01-01T01:00:00", 0), ("1970-01-01T00:00:00Z", 0),
            ("1715000000", 1_715_000_000_000_000_000), ("-1", -1_000_000_000), ("", nil), ("2h", nil),
            ("-h", nil),
            ("-2", -2_000_000_000), ("-2y", nil), ("-1.h", nil), ("-.5h", nil), ("-999999999999d", nil),
            ("1970-02-30", nil), ("yesterday", nil), ("-1.2.3h", nil),
        ] as [(String, Int64?)])
    func arguments(text: String, time: Int64?) {
        #expect(TimeArgument.parse(text, now: 1_000_000_000_000, defaultOffsetSeconds: 3600) == time)
    }

    @Test("A relative time that doesn't fit is refused")
    func relativeOverflow() {
        #expect(TimeArgument.parse("+1s", now: .max, defaultOffsetSeconds: 0) == nil)
        #expect(TimeArgument.parse("-1s", now: .min, defaultOffsetSeconds: 0) == nil)
    }

    @Test(
        "Zones are offsets in seconds",
        arguments: [
            ("Z", 0), ("UTC", 0), ("+02:00", 7200), ("-0530", -19800), ("+01", 3600), ("", nil), ("CET", nil),
            ("+1", nil),
            ("02:00", nil), ("+25", nil), ("+02:00x", nil),
        ] as [(String, Int?)])
    func zones(text: String, seconds: Int?) { #expect(TimeZoneArgument.parse(text) == seconds) }
}
