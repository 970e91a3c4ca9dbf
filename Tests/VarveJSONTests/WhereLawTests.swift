import Testing

@testable import VarveJSON

@Suite("A condition on an event")
struct WhereLawTests {
    private static let a =
        #"{"a":1,"b":"x","c":null,"d":[1,"x",{"e":true}],"f":{},"g":"","h":[],"i":1.5,"j":false}"#
    private static let logon =
        #"{"EventID":4624,"ProcessId":"0x154","TargetImage":"C:\\Windows\\System32\\lsass.exe","GrantedAccess":"0x1000","UtcTime":"2026-05-10 12:34:40.500"}"#

    static let laws: [(expression: String, payload: String, holds: Bool)] = [
        // The examples of the documentation.
        ("EventID in [4624, \"4624\"]", logon, true),
        ("EventID in [4624, \"4624\"]", #"{"EventID":"4624"}"#, true),
        ("EventID in [4624, \"4624\"]", #"{"EventID":4625}"#, false),
        ("number(ProcessId) == 0x154", logon, true),
        (#"TargetImage endswith r"\LSASS.exe" nocase and number(GrantedAccess) == 0x1000"#, logon, true),
        (#"TargetImage endswith r"\LSASS.exe""#, logon, false),
        (#"** contains r"C:\Windows\System32" nocase"#, logon, true),
        (#"** contains r"c:\windows\SYSTEM33" nocase"#, logon, false),
        (
            ##"any(Event.Data[], ["#attributes"].Name == "User" and ["#text"] == "admin")"##,
            ##"{"Event":{"Data":[{"#attributes":{"Name":"User"},"#text":"bob"},{"#attributes":{"Name":"User"},"#text":"admin"}]}}"##,
            true
        ),
        (
            ##"any(Event.Data[], ["#attributes"].Name == "User" and ["#text"] == "admin")"##,
            ##"{"Event":{"Data":[{"#attributes":{"Name":"User"},"#text":"bob"},{"#attributes":{"Name":"Host"},"#text":"admin"}]}}"##,
            false
        ),
        ("timestamp - time(UtcTime, \"Z\") > 10s", logon, true),
        ("timestamp - time(UtcTime, \"Z\") > 15600ms", logon, false),
        ("timestamp - time(UtcTime, \"Z\") == 15600ms", logon, true),
        (#"["winlog.event_id"] is missing"#, logon, true),
        (#"["winlog.event_id"] is missing"#, #"{"winlog.event_id":null}"#, false),
        // Types.
        ("a == 1", a, true), ("a == \"1\"", a, false), ("a == 1.0", a, true), ("a != \"1\"", a, true),
        ("i == 1.5", a, true),
        ("i > 1 and i < 2", a, true), ("b == \"x\"", a, true), ("b == \"X\"", a, false),
        ("b == \"X\" nocase", a, true),
        ("c == null", a, true), ("c is null", a, true), ("c exists", a, true), ("c is missing", a, false),
        ("z == null", a, false),
        ("z is null", a, false), ("z is not null", a, true), ("z is missing", a, true),
        ("z exists", a, false),
        ("j == false", a, true), ("j == 0", a, false), ("d[2].e == true", a, true), ("d[3] exists", a, false),
        ("d[0] == 1 and d[1] == \"x\"", a, true), ("b[0] exists", a, false), ("d.e exists", a, false),
        // Missing and differently typed operands.
        ("z != 1", a, true), ("z not in [1, 2]", a, true), ("z not contains \"x\"", a, true),
        ("z not matches \"x\"", a, true),
        ("a not contains \"1\"", a, true), ("z < 1", a, false), ("z >= 1", a, false),
        ("not (z < 1)", a, true), ("b < 1", a, false),
        ("b > 1", a, false), ("c < 1", a, false), ("d > 0", a, false), ("j < 1", a, false),
        ("a == z", a, false), ("z == z", a, false),
        ("z != z", a, true),
        // Is.
        ("a is number and i is number", a, true), ("b is string", a, true), ("j is bool", a, true),
        ("d is array", a, true), ("f is object", a, true),
        ("g is empty and h is empty and f is empty", a, true),
        ("b is empty or d is empty or a is empty or c is empty or z is empty", a, false),
        ("kind is string and sequence is number", a, true), ("timestamp is number", a, false),
        // Several values.
        ("d[] == \"x\"", a, true), ("d[] != \"x\"", a, false), ("d[] != \"y\"", a, true),
        ("d[] is string and d[] is number", a, true),
        ("d[].e is bool", a, true), ("h[] exists", a, false), ("h[] is missing", a, true),
        ("d[] in [2, 3]", a, false), ("d[] > 0", a, true),
        ("any(d, . is array)", a, true), ("any(z, . exists)", a, false), ("all(d[], . exists)", a, true),
        ("all(d[], . is number)", a, false),
        ("all(h[], . is number)", a, false), ("not all(h[], . is number)", a, true),
        ("any(d[], e == true and kind == \"Login\")", a, true),
        ("any(d[], ** == true)", a, true), ("any(**, . == 1.5)", a, true),
        ("any(d[], any(., e exists))", a, true), ("a == d[]", a, true),
        ("d[] == d[]", a, true), ("number(d[]) == 1", a, true), ("number(d[]) is missing", a, false),
        ("lower(d[]) is missing", a, false),
        // Anywhere.
        ("** == true", a, true), ("** == 2", a, false), ("** is null", a, true), ("** is array", a, false),
        ("** exists", "{}", false), ("** exists", "[[1]]", true),
        ("** == 5", "5", true), (". == 5", "5", true), ("[0] == 5", "[5]", true), ("[] == 5", "[4,5]", true),
        ("a == 1", "[1]", false),
        // Members with the same key.
        ("a == 1", #"{"a":1,"a":2}"#, false), ("a == 2", #"{"a":1,"a":2}"#, true),
        ("** == 1", #"{"a":1,"a":2}"#, false), ("** == 2", #"{"a":1,"a":2}"#, true),
        ("** == 1", #"{"a":{"b":1},"a":2}"#, false), ("** == 1", #"{"a":[1,{"b":3}],"b":{"a":1}}"#, true),
        ("size(.) == 1", #"{"a":1,"a":2}"#, true),
        ("a == 1", #"{"\u0061":1}"#, true), ("a == 2", #"{"a":1,"\u0061":2}"#, true),
        // Whole numbers of any size, and doubles.
        ("a == 18446744073709551615", #"{"a":18446744073709551615}"#, true),
        ("a == 18446744073709551616", #"{"a":18446744073709551615}"#, false),
        ("a == 18446744073709551616", #"{"a":18446744073709551616}"#, true),
        ("a > 18446744073709551615", #"{"a":18446744073709551616}"#, true),
        ("a < -9223372036854775808", #"{"a":-9223372036854775809}"#, true),
        ("a == 9007199254740993", #"{"a":9007199254740993}"#, true),
        ("a == 9007199254740992", #"{"a":9007199254740993}"#, false),
        ("a == 9007199254740992.0", #"{"a":9007199254740993}"#, false),
        ("a > 9007199254740992.0", #"{"a":9007199254740993}"#, true),
        ("a == 1e30", #"{"a":1000000000000000019884624838656}"#, true),
        ("a == 1e30", #"{"a":1000000000000000000000000000000}"#, false),
        ("a < 1e30", #"{"a":1000000000000000000000000000000}"#, true),
        ("a == 0.1", #"{"a":0.1,"b":1e400}"#, true), ("b > 1e308", #"{"a":0.1,"b":1e400}"#, true),
        ("a == 0 and b == 0", #"{"a":0,"b":-0.0,"c":123456789012345678901234567890}"#, true),
        ("** == 123456789012345678901234567890", #"{"a":0,"b":[0.5,123456789012345678901234567890]}"#, true),
        ("a == -0.5", #"{"z":99999999999999999999,"a":-5e-1}"#, true),
        // Texts.
        ("b contains \"\"", a, true), ("a contains \"\"", a, false), ("g == \"\"", a, true),
        ("b startswith \"x\" and b endswith \"x\"", a, true),
        ("a < \"b\"", #"{"a":"a"}"#, true), ("a < \"B\"", #"{"a":"a"}"#, false),
        ("a > \"\u{E9}\"", #"{"a":"😀"}"#, true), ("a < \"ab\"", #"{"a":"a"}"#, true),
        ("a has \"lsass\"", #"{"a":"x\\lsass.exe"}"#, true),
        ("a has \"lsas\"", #"{"a":"x\\lsass.exe"}"#, false),
        ("a has \"sass\"", #"{"a":"x\\lsass.exe"}"#, false),
        ("a has \"lsass.exe\"", #"{"a":"x\\lsass.exe lsass.exe"}"#, true),
        ("a has \".\"", #"{"a":"a.b"}"#, true), ("a has \"é\"", #"{"a":"aé"}"#, false),
        ("a has \"ab\"", #"{"a":"abab ab"}"#, true), ("a has \"AB\" nocase", #"{"a":"abab ab"}"#, true),
        ("a has b", #"{"a":"x y","b":"y"}"#, true),
        ("a has \"aa\"", #"{"a":"aaaa aaa aa"}"#, true), ("a has \"aa\"", #"{"a":"aaaa aaa baa"}"#, false),
        ("a has \"a-a\"", #"{"a":"ba-a-a"}"#, true), ("a has \"a-a\"", #"{"a":"ba-a-ab"}"#, false),
        ("a has \"-a\"", #"{"a":"x-ab-a"}"#, true), ("a has \"é\"", #"{"a":"éé é"}"#, true),
        ("a contains \"K\" nocase", #"{"a":"\u212a"}"#, false), ("a == \"ÄÖ\" nocase", #"{"a":"äö"}"#, true),
        ("a == \"ss\" nocase", #"{"a":"ß"}"#, false),
        ("lower(a) == \"ⱥb\"", #"{"a":"ȺB"}"#, true), ("lower(a) contains \"i\"", #"{"a":"İ"}"#, false),
        ("a contains \"ÄB\" nocase", #"{"a":"xäBx"}"#, true),
        ("a contains \"ÄB\" nocase", #"{"a":"xäcx"}"#, false),
        ("a has \"ÄB\" nocase", #"{"a":"xäb ÄB."}"#, true),
        ("a contains b nocase", #"{"a":"xAb","b":"aB"}"#, true),
        ("a in [\"X\", \"Y\"] nocase", #"{"a":"y"}"#, true),
        ("a < \"B\" nocase", #"{"a":"a"}"#, true), (#"a matches "^l.*\\.exe$""#, #"{"a":"lsass.exe"}"#, true),
        ("a matches \"SASS\" nocase", #"{"a":"lsass.exe"}"#, true),
        ("a matches \"SASS\"", #"{"a":"lsass.exe"}"#, false),
        ("a[] matches \"b\"", #"{"a":[1,"abc"]}"#, true),
        // Functions.
        ("number(a) == 340", #"{"a":" 0x154\t"}"#, true), ("number(a) == -3.5", #"{"a":"-3.5"}"#, true),
        ("number(a) == 1000", #"{"a":"1e3"}"#, true),
        ("number(a) == 5", #"{"a":5}"#, true), ("number(a) is missing", #"{"a":"5x"}"#, true),
        ("number(a) is missing", #"{"a":""}"#, true), ("number(a) is missing", #"{"a":"+5"}"#, true),
        ("number(a) == 7", #"{"a":"007"}"#, true),
        ("number(a) == 18446744073709551616", #"{"a":"018446744073709551616"}"#, true),
        ("number(a) < -18446744073709551615", #"{"a":"-0018446744073709551616"}"#, true),
        ("number(a) == 0xFFFFFFFFFFFFFFFF", #"{"a":"0xffffFFFFffffFFFF"}"#, true),
        ("number(a) is missing", #"{"a":"0x10000000000000000"}"#, true),
        ("number(a) is missing", #"{"a":true}"#, true),
        ("number(a) == number(b)", #"{"a":"1","b":1.0}"#, true), ("size(a) == 3", #"{"a":"aé😀"}"#, true),
        ("size(a) == 3", #"{"a":[1,[2,3],{}]}"#, true), ("size(a) == 0", #"{"a":[]}"#, true),
        ("size(a) == 2", #"{"a":{"x":1,"y":[1,2,3]}}"#, true), ("size(a) is missing", #"{"a":5}"#, true),
        (
            "size(.) == 20",
            #"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1,"a":2}"#,
            true
        ),
        // Times.
        ("time(a) == \"2026-05-10T12:34:56.1Z\"", #"{"a":1778416496.1}"#, true),
        ("time(a) == time(1700000000.123456789)", #"{"a":1700000000.123456789,"b":[0.25]}"#, true),
        ("time(a) == time(1700000000.123456788)", #"{"b":0.5,"a":1700000000.123456789}"#, false),
        ("time(a) == time(1700000000123)", #"{"a":1700000000123}"#, true),
        ("time(a) is missing", #"{"a":"yesterday"}"#, true), ("time(a) is missing", #"{"a":1e300}"#, true),
        ("time(a) is missing", #"{"a":18446744073709551615}"#, true),
        ("time(a, \"+02:00\") == \"2026-05-10T10:00:00Z\"", #"{"a":"2026-05-10T12:00:00"}"#, true),
        ("time(a, \"+02:00\") == \"2026-05-10T12:00:00Z\"", #"{"a":"2026-05-10T12:00:00Z"}"#, true),
        ("time(a) - time(b) > 0s", #"{"a":"2262-01-01T00:00:00Z","b":"1680-01-01T00:00:00Z"}"#, true),
        ("time(a) - 100000d is missing", #"{"a":"1680-01-01T00:00:00Z"}"#, true),
        ("time(number(a)) == time(1700000000.5)", #"{"a":"1700000000.5"}"#, true),
        // Decimals that no document has: they were taken for its first node.
        ("timestamp > time(number(1.5))", a, true), ("timestamp < time(number(1.5))", a, false),
        ("a == 1 and timestamp > time(number(1.5))", a, true),
        ("a == 2 or timestamp < time(number(1.5))", a, false),
        ("time(number(1.5)) == time(1.5)", a, true), ("time(1.5) == time(1.5)", a, true),
        ("time(number(1.5)) == time(number(\"1.5\"))", a, true),
        ("time(number(number(-1.5))) == time(-1.5)", a, true),
        ("any(d[], timestamp > time(number(1.5)))", a, true),
        ("time(number(1700000000.123456789)) == time(1700000000.123456789)", a, true),
        ("time(number(1700000000.123456788)) == time(a)", #"{"a":1700000000.123456789}"#, false),
        ("time(number(1e400)) is missing", a, true), ("time(number(1e-400)) == time(0)", a, true),
        ("time(number(5)) == time(5)", a, true),
        ("time(number(18446744073709551615)) is missing", a, true),
        ("time(number(99999999999999999999)) is missing", a, true),
        ("time(number(\"99999999999999999999\")) is missing", a, true),
        ("number(1.5) == 1.5 and number(5) == 5 and number(1e400) > 1e308", a, true),
        ("number(99999999999999999999) == 99999999999999999999", a, true),
        ("number(\"x\") is missing and number(\"0x10\") == 16", a, true),
        ("lower(\"ÄB\") == \"äb\" and lower(\"\") == \"\"", a, true),
        ("size(\"aé\") == 2 and size(\"\") == 0", a, true),
        ("1.5 is number and \"\" is empty and null is null and true is bool", a, true),
        ("1.5 is array or 1.5 is object or 1.5 is empty or null is empty or true is empty", a, false),
        ("1.5 in [1, 1.5] and 1.5 == i", a, true),
        ("timestamp is missing", a, false), ("timestamp - 1s < timestamp", a, true),
        // Attributes.
        ("kind == \"Login\" and session == \"s1\" and sequence == 7 and index == 3", a, true),
        ("kind == \"LOGIN\" nocase", a, true), ("length == 2", "{}", true),
        ("timestamp > \"2026-05-10\" and timestamp < \"2026-05-11\"", a, true),
        (".kind == \"x\"", #"{"kind":"x"}"#, true), ("kind == .kind", #"{"kind":"Login"}"#, true),
        ("lower(kind) == \"login\"", a, true), ("kind matches \"^Log\" and kind startswith \"L\"", a, true),
        ("sequence in [6, 7]", a, true), ("sequence == 7.0", a, true),
        // Arrays and objects.
        ("a == b", #"{"a":[1,{"x":2,"y":[]}],"b":[1.0,{"y":[],"x":2}]}"#, true),
        ("a == b", #"{"a":[1,2],"b":[1,2,3]}"#, false),
        ("a == b", #"{"a":{"x":1},"b":{"x":1,"y":1}}"#, false),
        ("a == b", #"{"a":{"x":1,"x":2},"b":{"x":2}}"#, true), ("a == b", #"{"a":[],"b":{}}"#, false),
        ("a < b", #"{"a":[1],"b":[2]}"#, false),
    ]

    @Test("holds as the language says", arguments: laws)
    func law(expression: String, payload: String, holds: Bool) throws {
        let predicate = try WherePredicate(expression)
        #expect(predicate.matches(payload) == holds)
        #expect(WhereModel(Array(payload.utf8)).matches(predicate.test) == holds)
    }

    static let notJSON: [(expression: String, holds: Bool)] = [
        ("x == 1", false), ("not (x == 1)", false), ("x is missing", false), ("** exists", false),
        ("not any(x, kind == \"a\")", false),
        ("kind == \"Login\" or x == 1", true), ("kind == \"Login\" and x != 1", false),
        ("not (kind == \"a\" and x == 1)", true),
        ("kind == \"Login\"", true), ("not (kind == \"Login\" or x == 1)", false),
        ("kind in [\"Login\", x]", false), ("length > 0 or x exists", true),
    ]

    @Test("whose payload is no JSON matches by its attributes alone", arguments: notJSON)
    func withoutJSON(expression: String, holds: Bool) throws {
        let predicate = try WherePredicate(expression)
        for payload in ["plain", "{", "[1,]", "\"\\ud800\"", "{\"x\":1}}"] {
            #expect(predicate.matches(payload) == holds)
            #expect(WhereModel(Array(payload.utf8)).matches(predicate.test) == holds)
        }
    }

    /// Values of every type, in their order within a type.
    private static let values: [(type: String, text: String)] = [
        ("number", "-1"), ("number", "0.5"), ("number", "1"), ("number", "18446744073709551616"),
        ("string", #""""#), ("string", #""1""#),
        ("string", #""a""#), ("bool", "true"), ("bool", "false"), ("null", "null"), ("array", "[]"),
        ("array", "[1]"), ("object", "{}"), ("object", #"{"a":1}"#),
    ]

    @Test("compares values of each pair of types")
    func pairs() throws {
        for (place, left) in Self.values.enumerated() {
            for (otherPlace, right) in Self.values.enumerated() {
                let payload = #"{"l":\#(left.text),"r":\#(right.text)}"#
                let hasOrder = left.type == right.type && (left.type == "number" || left.type == "string")
                let expected: [(String, Bool)] = [
                    ("l == r", place == otherPlace), ("l != r", place != otherPlace),
                    ("l < r", hasOrder && place < otherPlace),
                    ("l <= r", hasOrder && place <= otherPlace), ("l > r", hasOrder && place > otherPlace),
                    ("l >= r", hasOrder && place >= otherPlace), ("l in [r]", place == otherPlace),
                    ("l is \(right.type)", left.type == right.type),
                ]
                for (expression, holds) in expected {
                    #expect(
                        try WherePredicate(expression).matches(payload) == holds,
                        "\(expression) of \(payload)")
                }
                // What can be written as a literal is the same as one.
                if right.type != "array", right.type != "object" {
                    #expect(
                        try WherePredicate("l == \(right.text)").matches(payload) == (place == otherPlace))
                }
            }
        }
    }

    @Test(
        "knows whether it needs the payload",
        arguments: [
            ("kind == \"a\" or sequence > 5", false), ("kind == \"a\" or x exists", true),
            ("any(x, kind == \"a\")", true),
        ])
    func needs(expression: String, needsPayload: Bool) throws {
        #expect(try WherePredicate(expression).needsPayload == needsPayload)
    }

    @Test("takes the last of many members of one key, in time that is linear in their number")
    func repeatedKeys() throws {
        for count in [15, 16, 17, 18, 100, 50_000] {
            let ones = (0..<count).map { _ in #""a":1,"# }.joined()
            #expect(try !WherePredicate("** == 1").matches("{\(ones)\"a\":2}"))
            #expect(try WherePredicate("** == 2").matches("{\(ones)\"a\":2}"))
            #expect(try WherePredicate("** == 1").matches("{\(ones)\"b\":2}"))
            // As many in a member that is replaced, and in one that is not.
            #expect(try !WherePredicate("** == 1").matches("{\"x\":{\(ones)\"b\":2},\"x\":3}"))
            #expect(try WherePredicate("** == 2").matches("{\"x\":3,\"x\":{\(ones)\"b\":2}}"))
        }
    }

    @Test("looks for tokens in time that is linear in a text that has one only")
    func longToken() throws {
        let wanted = String(repeating: "a", count: 10_000)
        let text = String(repeating: "a", count: 100_000)
        #expect(try !WherePredicate("a has \"\(wanted)\"").matches("{\"a\":\"\(text)\"}"))
        #expect(try WherePredicate("a has \"\(wanted)\"").matches("{\"a\":\"\(text) \(wanted)\"}"))
    }

    /// Pairs of values of which some equal each other though they are written differently.
    private static let equals: [(String, String)] = [
        ("1", "1.0"), ("-0.0", "0"), ("18446744073709551615", "18446744073709551615"),
        ("9223372036854775808", "9223372036854775808.0"), ("18446744073709551616", "18446744073709551616.0"),
        ("1e30", "1000000000000000019884624838656"), ("0.5", "5e-1"), ("1e400", "1e401"),
        ("123456789012345678901234567890", "123456789012345678901234567890"), ("true", "true"),
        ("null", "null"), (#""x""#, #""\u0078""#), ("[1,2]", "[1.0,2]"),
        (#"{"a":1,"b":2}"#, #"{"b":2,"a":1}"#),
        ("1", #""1""#), ("true", "false"), ("null", "0"), (#""X""#, #""x""#),
        ("9007199254740993", "9007199254740992.0"),
        ("[1]", "[2]"), ("[]", "{}"), ("1e30", "1000000000000000000000000000000"),
    ]

    @Test("compares many values with many as it does few with few", arguments: [1, 127, 128, 129, 300])
    func manyEqual(count: Int) throws {
        for (left, right) in Self.equals {
            let few = #"{"a":[\#(left)],"b":[\#(right)]}"#
            let a = (0..<count).map { "\($0 * 2 + 1000)" }.joined(separator: ",")
            let b = (0..<count).map { "\($0 * 2 + 1001)" }.joined(separator: ",")
            let many = #"{"a":[\#(a),\#(left),-1],"b":[\#(b),-2,\#(right)]}"#
            for expression in ["a[] == b[]", "a[] == b[] nocase", "a[] in [c, b[]]", "b[] != a[]"] {
                let predicate = try WherePredicate(expression)
                #expect(
                    predicate.matches(many) == predicate.matches(few), "\(expression) of \(left), \(right)")
            }
        }
        // ** has a path's own scalars, and no arrays or objects.
        let texts = (0..<count).map { #""t\#($0)""# }.joined(separator: ",")
        let objects = (0..<count).map { #"{"k":\#($0)}"# }.joined(separator: ",")
        let payload = #"{"c":1,"c":2,"a":[\#(texts)],"b":[\#(objects)]}"#
        #expect(try WherePredicate("a[] == ** and ** == a[] and ** == **").matches(payload))
        #expect(try !WherePredicate("b[] == ** or ** == b[]").matches(payload))
        #expect(try WherePredicate("b[] == b[] and b[].k == **").matches(payload))
    }

    @Test("compares many values with many in time that is linear in their number")
    func manyTexts() throws {
        let texts = (0..<20_000).map { #""t\#($0)""# }.joined(separator: ",")
        let others = (0..<20_000).map { #""u\#($0)""# }.joined(separator: ",")
        let payload = #"{"a":[\#(texts)],"b":[\#(others)]}"#
        #expect(try !WherePredicate("a[] == b[]").matches(payload))
        #expect(try !WherePredicate("a[] in [b[]] nocase").matches(payload))
        #expect(try WherePredicate("** == **").matches(payload))
    }

    @Test("goes as deep as the parser, and no deeper")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + "1" + String(repeating: "]", count: depth)
        }
        let deep = nested(1000)
        #expect(try WherePredicate("** == 1").matches(deep))
        #expect(try WherePredicate("** == 1").matches(nested(1023)))
        #expect(try !WherePredicate("** == 1").matches(nested(1024)))
        for (depth, isTold) in [(1023, false), (1024, true)] {
            var diagnosis = WhereDiagnosis(try WherePredicate("[0] == 2"))
            Array(nested(depth).utf8).withUnsafeBytes { diagnosis.look(at: $0) }
            #expect(
                diagnosis.notes.contains { $0.contains("no payload") && $0.contains("is JSON") } == isTold)
        }
        #expect(
            try WherePredicate("a == b").matches(
                "{\"a\":\(deep.dropFirst(5).dropLast(5)),\"b\":\(deep.dropFirst(5).dropLast(5))}"))
        #expect(try !WherePredicate("** == 1").matches(deep.replacing("1", with: deep)))
    }
}
