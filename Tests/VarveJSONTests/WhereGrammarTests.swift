import Testing

@testable import VarveJSON

@Suite("A condition's grammar")
struct WhereGrammarTests {
    static let read: [(text: String, meaning: String)] = [
        ("a == 1", ".a == 1"), ("a=1", ".a == 1"), ("a != 1", "not .a == 1"), ("a<=1", ".a <= 1"),
        (".a == 1", ".a == 1"), ("a.b[0][].c exists", ".a.b[0][].c exists"),
        (#"["a.b"].c exists"#, #".["a.b"].c exists"#), (#".["a b"] exists"#, #".["a b"] exists"#),
        ("** == 1", "** == 1"), (". == 1", ". == 1"), ("[0] exists", ".[0] exists"),
        ("[] exists", ".[] exists"),
        ("@timestamp exists", ".@timestamp exists"), ("#x exists", ".#x exists"),
        ("kind == \"x\"", "kind == \"x\""), (".kind == \"x\"", ".kind == \"x\""), ("Kind == 1", ".Kind == 1"),
        ("kind.name == 1", ".kind.name == 1"), ("time == 5", ".time == 5"), ("number == 5", ".number == 5"),
        ("any == 5", ".any == 5"), (".not == 5", ".not == 5"),
        ("a == 1 and b == 2 or c == 3", ".a == 1 and .b == 2 or .c == 3"),
        ("a == 1 && (b == 2 || c == 3)", ".a == 1 and (.b == 2 or .c == 3)"),
        ("(a == 1 and b == 2) and (c == 3 or d == 4)", "(.a == 1 and .b == 2) and (.c == 3 or .d == 4)"),
        ("not a == 1 and b == 2", "not .a == 1 and .b == 2"), ("!a exists", "not .a exists"),
        ("! ! a exists", ".a exists"), ("not (a != 1)", ".a == 1"), ("not not not a exists", "not .a exists"),
        ("A EXISTS AND NOT B Is NULL", ".A exists and not .B is null"),
        ("a contains \"x\"", ".a contains \"x\""),
        ("a not contains \"x\" nocase", "not .a contains \"x\" nocase"),
        ("a startswith \"x\"", ".a startswith \"x\""), ("a endswith b", ".a endswith .b"),
        ("a has \"x\"", ".a has \"x\""), (#"a matches r"^\d+$""#, #".a matches "^\\d+$""#),
        ("a not matches \"x\" NOCASE", "not .a matches \"x\" nocase"),
        ("a in [1,\"b\" , null]", ".a in [1, \"b\", null]"), ("a not in [b]", "not .a in [.b]"),
        ("a in [[\"b\"].c, [0]]", ".a in [.b.c, .[0]]"),
        (
            "\"2026-05-10\" in [\"2026-05-11\", timestamp, time(a)]",
            #"time("2026-05-10T00:00:00.000000000Z") in [time("2026-05-11T00:00:00.000000000Z"), timestamp, time(.a, "Z")]"#
        ),
        ("a is missing", "not .a exists"), ("a is not missing", ".a exists"),
        ("a is not string", "not .a is string"),
        (
            "a is empty or a is number or a is bool or a is array or a is object or a is null",
            ".a is empty or .a is number or .a is bool or .a is array or .a is object or .a is null"
        ),
        ("any(a.b[], .x == 1 and . exists)", "any(.a.b[], .x == 1 and . exists)"),
        ("ALL ( a , x == 1 )", "all(.a, .x == 1)"), ("all(**, . exists)", "all(**, . exists)"),
        ("a == -1", ".a == -1"), ("a == 0x1F", ".a == 31"),
        ("a == 0xFFFFFFFFFFFFFFFF", ".a == 18446744073709551615"),
        ("a == 18446744073709551616", ".a == 18446744073709551616"), ("a == 1.50", ".a == 1.5"),
        ("a == 1e3", ".a == 1000.0"), ("a == -1E400", ".a == -1e999"), ("a == -0", ".a == 0"),
        ("a == true or a == FALSE or a == Null", ".a == true or .a == false or .a == null"),
        ("a == r\"C:\\x\"", #".a == "C:\\x""#), ("a == \"\\u00e9\\n\"", #".a == "é\n""#),
        ("number(a) > 1", "number(.a) > 1"), ("lower( a ) == \"x\"", "lower(.a) == \"x\""),
        ("size(a) < 3", "size(.a) < 3"), ("number(lower(a)) == 1", "number(lower(.a)) == 1"),
        ("time(a) > timestamp", #"time(.a, "Z") > timestamp"#),
        ("time(a, \"+02:00\") > timestamp", #"time(.a, "+02:00") > timestamp"#),
        ("time(a, \"-0130\") > timestamp", #"time(.a, "-01:30") > timestamp"#),
        ("timestamp > \"2026-05-10\"", #"timestamp > time("2026-05-10T00:00:00.000000000Z")"#),
        ("\"2026-05-10T12:00:00+02:00\" < timestamp", #"time("2026-05-10T10:00:00.000000000Z") < timestamp"#),
        ("timestamp == time(1.5)", #"timestamp == time("1970-01-01T00:00:01.500000000Z")"#),
        (
            "timestamp == time(number(1700000000.123456789))",
            #"timestamp == time(number(1700000000.123456789), "Z")"#
        ),
        ("timestamp == time(1700000000.123456789)", #"timestamp == time("2023-11-14T22:13:20.123456789Z")"#),
        ("timestamp - time(a) > 10s", #"timestamp - time(.a, "Z") > 10000000000ns"#),
        (
            "timestamp - 1h < \"2026-05-10\"",
            #"timestamp - 3600000000000ns < time("2026-05-10T00:00:00.000000000Z")"#
        ),
        ("timestamp > \"2026-05-10\" - 1d", #"timestamp > time("2026-05-09T00:00:00.000000000Z")"#),
        (
            "timestamp - \"2026-05-10\" < 5ms",
            #"timestamp - time("2026-05-10T00:00:00.000000000Z") < 5000000ns"#
        ),
        ("time(timestamp - 2m) < timestamp", #"time(timestamp - 120000000000ns, "Z") < timestamp"#),
        ("time(a) - time(b) > -3us", #"time(.a, "Z") - time(.b, "Z") > -3000ns"#),
        (" \n a\texists ", ".a exists"),
    ]

    @Test("says what it means, and its one spelling means the same", arguments: read)
    func meaning(text: String, meaning: String) throws {
        let predicate = try WherePredicate(text)
        #expect(predicate.description == meaning)
        #expect(try WherePredicate(predicate.description).test == predicate.test)
        #expect(predicate.expression == text)
    }

    static let wrong: [(text: String, column: Int, reason: String)] = [
        ("", 1, "a condition is missing"), ("  ", 3, "a condition is missing"),
        ("a", 2, "a comparison is missing"), ("a ==", 5, "a value is missing"),
        ("a == 1 and", 11, "a value is missing"),
        ("a == 1 b == 2", 8, "and or or is missing"), ("(a == 1", 8, "a ) is missing"),
        ("a == 1)", 7, "closes nothing"),
        ("a like \"x\"", 3, "write contains"), ("a ~ \"x\"", 3, "matches"), ("a =~ \"x\"", 3, "matches"),
        ("a frob 1", 3, "frob is no word"), ("a + 1 == 2", 3, "no arithmetic"),
        ("a == 'x'", 6, "double quotes"), ("$.a == 1", 1, "no $ in front"),
        ("a.* == 1", 3, "a name is missing"),
        ("* == 1", 1, "every value is **"), ("a..b == 1", 3, "a name is missing"), ("..a == 1", 1, "one dot"),
        ("a == \"x", 8, "the quote is not closed"), ("a == r\"x", 9, "the quote is not closed"),
        ("a == \"C:\\Windows\"", 6, "r\"…\""), ("[\"a\"", 5, "expected ]"),
        ("a[x] == 1", 3, "expected the number"),
        ("contains == 1", 1, "written .contains"), ("a == and", 6, "written .and"),
        ("a-b == 1", 2, "[\"…\"]"), ("a - b == 1", 1, "write time(a)"),
        ("timestamp - b > 1s", 13, "write time(b)"),
        ("timestamp - 5 > 1s", 13, "only times are subtracted"),
        ("5s - timestamp > 1s", 6, "can't be subtracted"),
        ("kind == 5", 9, "kind is text: compare it with text in quotes"),
        ("5 == kind", 1, "kind is text"),
        ("sequence > \"5\"", 12, "sequence is a number: compare it with a number"),
        ("\"2026-05-10\" in [kind, timestamp]", 18, "write time(kind)"),
        ("\"2026-05-10\" in [timestamp, kind]", 29, "write time(kind)"),
        ("\"2026-05-10\" in [a, \"x\", timestamp]", 18, "write time(a)"),
        ("\"2026-05-10\" in [\"x\", timestamp]", 18, "does not read as a time"),
        ("\"x\" in [kind, timestamp]", 1, "does not read as a time"),
        ("kind in [\"a\", 5]", 15, "kind is text"), ("number(a) == \"5\"", 14, "number(a) is a number"),
        ("lower(a) == 5", 13, "lower(a) is text"), ("size(a) == \"5\"", 12, "size(a) is a number"),
        ("timestamp > 5", 13, "write time(5)"), ("timestamp > a", 13, "write time(a)"),
        ("a < timestamp", 1, "write time(a)"),
        ("timestamp > \"yesterday\"", 13, "does not read as a time"),
        ("time(\"x\") > timestamp", 6, "does not read as a time"),
        ("time(1e300) > timestamp", 6, "no time between"), ("time(a, 5) > timestamp", 9, "a zone is a text"),
        ("time(a, \"CET\") > timestamp", 9, "a zone is"),
        ("time(true) > timestamp", 6, "reads a text or a number"),
        ("a > 10s", 1, "is never a length of time"),
        ("timestamp - time(a) > 10", 23, "never a length of time"),
        ("timestamp == 10s", 1, "never a length of time"),
        ("a < null", 5, "neither less nor greater"), ("a >= true", 6, "neither less nor greater"),
        ("sequence contains \"1\"", 1, "looks in texts only"), ("a contains 5", 12, "write it in quotes"),
        ("timestamp matches \"x\"", 1, "looks in texts only"), ("a matches b", 11, "stands in quotes"),
        ("a matches \"(\"", 11, "regular expression"), ("a not == 1", 7, "after not comes"),
        ("a not exists", 7, "after not comes"),
        ("a is 5", 6, "after is comes"), ("a is nothing", 6, "after is comes"),
        ("a in 5", 6, "a list follows"),
        ("a in [1", 8, "a ] is missing"), ("a in []", 7, "a value is missing"),
        ("a in [1,]", 9, "a value is missing"), ("any(a, b)", 9, "a comparison"),
        ("any(a b exists)", 7, "a comma is missing"), ("any(5, a exists)", 5, "does not begin with a digit"),
        ("any(a, b exists", 16, "a ) is missing"),
        ("a == 10x", 8, "no unit of time"), ("a == 0x", 6, "hexadecimal"),
        ("a == 0x11111111111111111", 6, "hexadecimal"),
        ("a == -0x1", 6, "hexadecimal"), ("a == 007", 6, "no zeros in front"),
        ("a == -", 6, "a number is missing"),
        ("1a == 1", 2, "no unit of time"), ("timestamp - time(a) > 1.5s", 23, "1500ms for 1.5s"),
        ("timestamp - time(a) > 300000d", 23, "longer than 292 years"),
        ("lower(5) == \"x\"", 7, "of no use"), ("size(timestamp) == 1", 6, "of no use"),
        ("a exists nocase", 10, "and or or"),
        ("é == 1", 1, "a name is missing"), ("a == \"x\"\"y\"", 9, "and or or is missing"),
        ("a == 1 & b == 2", 8, "and or or is missing"),
        ("[\"\\ud800\"] exists", 2, "not a JSON string"),
    ]

    @Test("that is broken is refused with the place and the remedy", arguments: wrong)
    func fault(text: String, column: Int, reason: String) {
        #expect {
            try WherePredicate(text)
        } throws: { error in
            guard let fault = error as? WhereFault else { return false }
            let isRight = fault.column == column && fault.reason.contains(reason) && fault.expression == text
            if !isRight { print("\(fault) instead of column \(column), \(reason)") }
            return isRight
        }
    }

    @Test("is bounded in depth and length, and shallow where it can be")
    func bounds() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "(", count: depth) + "a exists" + String(repeating: ")", count: depth)
        }
        #expect(throws: Never.self) { try WherePredicate(nested(WhereParser.depthMax - 1)) }
        #expect(throws: WhereFault.self) { try WherePredicate(nested(WhereParser.depthMax)) }
        #expect(throws: WhereFault.self) { try WherePredicate(nested(20_000)) }
        #expect(throws: WhereFault.self) { try WherePredicate(String(repeating: "lower(", count: 10_000)) }
        #expect(throws: WhereFault.self) { try WherePredicate(String(repeating: "any(a,", count: 10_000)) }
        #expect(throws: Never.self) {
            try WherePredicate(String(repeating: "not ", count: 10_000) + "a exists")
        }
        let many = Array(repeating: "a == 1", count: 5_000).joined(separator: " or ")
        #expect(throws: Never.self) { try WherePredicate(many) }
        #expect(throws: WhereFault.self) { try WherePredicate(many + many) }
    }

    @Test("takes times without a zone as those of the given one")
    func zone() throws {
        let expression = "timestamp > \"2026-05-10T00:00:00\" and time(a) == time(b, \"Z\")"
        let predicate = try WherePredicate(expression, defaultOffsetSeconds: 7200)
        #expect(
            predicate.description
                == #"timestamp > time("2026-05-09T22:00:00.000000000Z") and time(.a, "+02:00") == time(.b, "Z")"#
        )
        #expect(try WherePredicate(predicate.description).test == predicate.test)
    }
}
