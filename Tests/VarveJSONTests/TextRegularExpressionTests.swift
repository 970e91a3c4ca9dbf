import Testing
import Varve

@testable import VarveJSON

@Suite("A regular expression")
struct TextRegularExpressionTests {
    static func isFound(_ pattern: String, ignoringCase: Bool = false, in bytes: [UInt8]) throws -> Bool {
        let expression = try RegularExpression(pattern, ignoringCase: ignoringCase)
        return bytes.withUnsafeBytes { expression.isFound(in: $0) }
    }

    @Test(
        "is found anywhere",
        arguments: [
            ("lsass", "C:\\lsass.exe", true), ("^lsass", "C:\\lsass.exe", false),
            ("exe$", "C:\\lsass.exe", true),
            ("LSASS", "lsass", false), ("(?i)LSASS", "lsass", true), ("", "", true), ("", "a", true),
            ("a", "", false),
            ("a.c", "aéc", true), ("a..c", "aéc", false), ("[^a]", "é", true), ("a.c", "a\nc", false),
            ("(?s)a.c", "a\nc", true), ("\\bcat\\b", "a cat.", true), ("\\d{3}", "12a345", true),
        ])
    func found(pattern: String, text: String, isFound: Bool) throws {
        #expect(try Self.isFound(pattern, in: Array(text.utf8)) == isFound)
    }

    @Test("ignores case as Unicode's simple folding has it when it is told to")
    func caseless() throws {
        for (pattern, text) in [
            ("straße", "STRAẞE"), ("ÉCOLE", "école"), ("kelvin", "\u{212A}ELVIN"), ("sum", "\u{17F}um"),
        ] {
            #expect(try Self.isFound(pattern, ignoringCase: true, in: Array(text.utf8)), "\(pattern) \(text)")
            #expect(try !Self.isFound(pattern, in: Array(text.utf8)), "\(pattern) \(text)")
        }
    }

    @Test(
        "bytes that are part of no character match no dot",
        arguments: [[0xFF], [0x80], [0xC3], [0xE2, 0x82], [0xF8, 0x88, 0x80, 0x80, 0x80]] as [[UInt8]])
    func invalid(_ bytes: [UInt8]) throws {
        #expect(try !Self.isFound("a.", in: [0x61] + bytes))
        #expect(try !Self.isFound("a[^b]", in: [0x61] + bytes))
        #expect(try Self.isFound("a.*b", in: [0x61, 0x62] + bytes))
        #expect(try Self.isFound("c$", in: bytes + [0x63]))
    }

    @Test(
        "a pattern that can't be used is refused with the reason",
        arguments: [
            ("(", "missing"), ("a**", "bad repetition"), ("[z-a]", "range"), ("(a)\\1", "escape"),
            ("(?=a)", "(?="),
            ("a{1001}", "too large"), ("((a{100}){100}){100}", "too large"),
            ("(\\pL{500}|\\pN{500}){2}", "too large"),
        ])
    func refused(pattern: String, reason: String) throws {
        let fault = try #require(throws: RegularExpression.Fault.self) { try RegularExpression(pattern) }
        #expect(fault.pattern == pattern)
        #expect(fault.reason.contains(reason), "\(fault)")
    }

    @Test(
        "ends, whatever the pattern: nothing is tried again and again", .timeLimit(.minutes(60)),
        arguments: ["(a+)+$", "(a|a)+$", "(a|aa)+$", "(x+x+)+y", "(.*)*=", "(a?){50}a{50}b"])
    func catastrophic(pattern: String) throws {
        let letter = UInt8(ascii: pattern.contains("x") ? "x" : "a")
        let bytes = [UInt8](repeating: letter, count: 200_000) + [UInt8(ascii: "!")]
        let expression = try RegularExpression(pattern)
        #expect(!bytes.withUnsafeBytes { expression.isFound(in: $0) })
    }

    @Test("what its matches hold is told in the plainest form")
    func requirements() throws {
        let described = { (pattern: String, ignoringCase: Bool) in
            describe(try RegularExpression(pattern, ignoringCase: ignoringCase).textRequirement)
        }
        #expect(try described("lsass\\.exe", false) == "lsass.exe")
        #expect(try described("abc.*def", false) == "all(abc def)")
        #expect(try described("abc|def", false) == "any(abc def)")
        #expect(try described("(abc|def)x*(ghi|jkl)", false) == "combination(abc def ghi jkl)")
        #expect(try described("ab|.*", false) == "nothing")
        #expect(try described("[0-9]+", false) == "nothing")
        #expect(try described("WINDOW", true) == "window")
        #expect(try described("Windows", true) == "any(all(any(\u{17F}) window) windows)")
        #expect(
            try described("kernel\\x{212a}", false) == "any(all(any(\u{212A}) ernel) kernelk)")
        #expect(
            try described("Grüße auf", false) == "all(e auf)")
    }

    private func describe(_ requirement: TextRequirement) -> String {
        let list = { (parts: [TextRequirement]) in
            parts.map { self.describe($0) }.sorted().joined(separator: " ")
        }
        return switch requirement {
        case .nothing: "nothing"
        case .text(let text, _, _): String(decoding: text, as: UTF8.self)
        case .all(let parts): "all(\(list(parts)))"
        case .any(let parts): "any(\(list(parts)))"
        case .combination(let parts, _): "combination(\(list(parts)))"
        }
    }

    /// Patterns and texts of few letters, among them those whose case folds across ASCII's border, so that
    /// matches are common.
    private struct Maker {
        var random: Seeded
        static let letters = [
            "a", "b", "k", "s", "K", "S", "é", "É", "\u{212A}", "\u{17F}", "ß", "ẞ", "1", "-",
        ]

        mutating func word(_ lengths: ClosedRange<Int>) -> String {
            (0..<Int.random(in: lengths, using: &random))
                .map { _ in Self.letters.randomElement(using: &random) ?? "" }.joined()
        }

        mutating func pattern(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth == 0 ? 3 : 10), using: &random) {
            case 0, 1: return word(3...5)
            case 2: return "[\(word(1...3).filter { $0 != "-" })a]"
            case 3: return "(\(pattern(depth - 1))|\(pattern(depth - 1)))"
            case 4: return "(\(pattern(depth - 1)))*"
            case 5: return "(\(pattern(depth - 1)))?"
            case 6: return "(?i:\(pattern(depth - 1)))"
            case 7: return "\(pattern(depth - 1)).*\(pattern(depth - 1))"
            case 8: return "(\(pattern(depth - 1))|)"
            default: return "\(pattern(depth - 1))\(pattern(depth - 1))"
            }
        }

        /// Something like what the pattern matches, else matches would be rare.
        mutating func text(like pattern: String) -> String {
            var text = ""
            for character in pattern where !"()[]|*?.:i".contains(character) {
                switch Int.random(in: 0..<16, using: &random) {
                case 0: text += word(1...2)
                case 1: break
                case 2...4: text += String(character).uppercased()
                case 5...6: text += String(character).lowercased()
                case 7 where "kK\u{212A}".contains(character): text += "\u{212A}"
                case 7 where "sS\u{17F}".contains(character): text += "\u{17F}"
                default: text += String(character)
                }
            }
            return text
        }
    }

    @Test("what its matches must hold, they hold", arguments: 0..<6)
    func requirementIsNeverMore(round: Int) throws {
        var maker = Maker(random: Seeded(state: freshSeed(round)))
        let seed = maker.random.state
        var matches = 0
        for _ in 0..<300 {
            let pattern = maker.pattern(3)
            let ignoringCase = Bool.random(using: &maker.random)
            let expression = try RegularExpression(pattern, ignoringCase: ignoringCase)
            let requirement = expression.textRequirement
            for _ in 0..<30 {
                let bytes = Array(maker.text(like: pattern).utf8)
                guard bytes.withUnsafeBytes({ expression.isFound(in: $0) }) else { continue }
                matches += 1
                #expect(
                    mayHold(requirement, in: bytes, isJSON: false),
                    "seed \(seed): \(expression) in \(String(decoding: bytes, as: UTF8.self)): \(requirement)"
                )
            }
        }
        #expect(matches > 500, "seed \(seed)")
    }

    @Test("more that is present is never less to it", arguments: 0..<3)
    func monotone(round: Int) throws {
        var maker = Maker(random: Seeded(state: freshSeed(round)))
        let seed = maker.random.state
        for _ in 0..<300 {
            let pattern = maker.pattern(4)
            guard case .combination(let parts, let test) = try RegularExpression(pattern).textRequirement
            else {
                continue
            }
            var present = parts.map { _ in Bool.random(using: &maker.random) }
            var was = test(present)
            for index in parts.indices.shuffled(using: &maker.random) {
                present[index] = true
                let now = test(present)
                #expect(now || !was, "seed \(seed): \(pattern)")
                was = now
            }
            #expect(was)
        }
    }

    @Test("is asked by many threads at once")
    func threads() async throws {
        let expression = try RegularExpression("(abc|def)x*(ghi|jkl)[0-9]+z?$")
        guard case .combination(_, let test) = expression.textRequirement else {
            Issue.record("no combination")
            return
        }
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for number in 0..<2000 {
                        let text = Array("\(task) abcghi\(number)".utf8)
                        #expect(text.withUnsafeBytes { expression.isFound(in: $0) })
                        #expect(test([true, false, true, false]) && !test([true, true, false, false]))
                    }
                }
            }
        }
    }
}
