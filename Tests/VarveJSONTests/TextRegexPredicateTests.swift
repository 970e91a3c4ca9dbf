import Testing
import Varve

@testable import VarveJSON

@Suite("A regular expression over payloads")
struct TextRegexPredicateTests {
    @Test("is held against each payload's own bytes, alone")
    func payloads() throws {
        let rows = Rows(["abc", "ab", "c", "", #"\u0061bc"#, "xABC"].map { (Array($0.utf8), true) })
        let kept = { (pattern: String, ignoringCase: Bool) in
            try rows.kept(
                by: RegexPredicate(pattern, ignoringCase: ignoringCase).makeEvaluator(), of: Array(0..<6))
        }
        #expect(try kept("abc", false) == [0])
        #expect(try kept("abc", true) == [0, 5])
        #expect(try kept("^abc$", true) == [0])
        #expect(try kept("^$", false) == [3])
        #expect(try kept("b.*c", false) == [0, 4])
        #expect(try kept("\\\\u0061", false) == [4])
        #expect(try kept("", false) == [0, 1, 2, 3, 4, 5])
    }

    @Test(
        "is first looked for by texts that it can't do without",
        arguments: [
            ("lsass\\.exe", ["lsass.exe"]), ("abc.*defg", ["defg"]), ("(abc|def)x*(ghi|jkl)", nil),
            ("abc|def", ["abc", "def"]), ("a+", nil), (".*", nil),
            ("(?i)task", ["task", "\u{212A}", "\u{17F}"]),
        ] as [(String, [String]?)])
    func literals(pattern: String, texts: [String]?) throws {
        let found = RegexSearch.literals(of: try RegularExpression(pattern).textRequirement)
        if let texts {
            #expect(found?.map { String(decoding: $0, as: UTF8.self) }.sorted() == texts.sorted())
        } else {
            #expect(found == nil || found?.count == 4)
        }
    }

    @Test("agrees with the expression alone", arguments: 0..<4)
    func agrees(round: Int) throws {
        let seed = freshSeed(round)
        var random = Seeded(state: seed)
        let words = [
            "abc", "ABC", "def", "task", "TAS\u{212A}", "tas", "k", "\u{17F}", "é", "É", "12", "\n", " ",
        ]
        let patterns = [
            "abc.*def", "(?i)task", "(?i:abc)d", "abc|def12", "(abc|def)+(12|tas)", "é", "(?i)éabc", "^abc",
            "k$",
            "[^a-z]{2}", "(abc)?def", "\\babc\\b", "(?i)\u{17F}k", "abc[[:digit:]]",
        ]
        var hits = 0
        for _ in 0..<40 {
            let contents = (0..<40).map { _ in
                let count = Int.random(in: 0...6, using: &random)
                let bytes = (0..<count).flatMap { _ in Array((words.randomElement(using: &random) ?? "").utf8)
                }
                return (bytes: bytes, isJSON: Bool.random(using: &random))
            }
            let rows = Rows(contents)
            var list = contents.indices.filter { _ in Int.random(in: 0..<5, using: &random) > 0 }
            if Bool.random(using: &random) { list.reverse() }
            for pattern in patterns {
                let predicate = try RegexPredicate(pattern)
                let plain = list.filter { predicate.expression.isFound(in: rows.payloads[$0]) }
                hits += plain.count
                #expect(
                    try rows.kept(by: predicate.makeEvaluator(), of: list) == plain,
                    "seed \(seed): \(predicate)")
                for row in plain {
                    #expect(mayHold(predicate.textRequirement, in: contents[row].bytes, isJSON: false))
                }
            }
        }
        #expect(hits > 500, "seed \(seed)")
    }
}
