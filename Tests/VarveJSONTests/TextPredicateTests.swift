import Testing
import Varve

@testable import VarveJSON

/// Payloads as a sub-block has them: one after another, each a row.
final class Rows {
    private let memory: UnsafeMutableRawBufferPointer
    let payloads: [UnsafeRawBufferPointer]
    let isJSON: [Bool]

    init(_ contents: [(bytes: [UInt8], isJSON: Bool)]) {
        let all = contents.flatMap(\.bytes)
        memory = .allocate(byteCount: max(all.count, 1), alignment: 1)
        memory.copyBytes(from: all)
        var start = 0
        var payloads: [UnsafeRawBufferPointer] = []
        for content in contents {
            payloads.append(UnsafeRawBufferPointer(rebasing: memory[start..<(start + content.bytes.count)]))
            start += content.bytes.count
        }
        self.payloads = payloads
        isJSON = contents.map(\.isJSON)
    }

    deinit { memory.deallocate() }

    /// The rows of a list that an evaluator keeps.
    func kept(by evaluator: any PredicateEvaluator, of list: [Int]) throws -> [Int] {
        let evaluator = try #require(evaluator as? TextEvaluator)
        var rows = list.map { UInt32($0) }
        let count = rows.withUnsafeMutableBufferPointer { rows in
            evaluator.keep(rows, payloads: list.map { payloads[$0] }, isJSON: list.map { isJSON[$0] })
        }
        return rows.prefix(count).map { Int($0) }
    }
}

/// Whether a text is found, in the plainest way.
func plainlyHolds(_ text: [UInt8], in payload: [UInt8], isJSON: Bool, ignoringCase: Bool) -> Bool {
    let texts = [payload] + (isJSON ? plainUnescaped(payload) : [])
    guard ignoringCase else { return texts.contains { !places(of: text, in: $0).isEmpty } }
    guard String(validating: text, as: UTF8.self) != nil else {
        return texts.contains { !places(of: asciiLowered(text), in: asciiLowered($0)).isEmpty }
    }
    return texts.contains { bytes in
        let wanted = lowered(text)
        let all = lowered(bytes)
        return all.indices.contains { all[$0...].starts(with: wanted) }
    }
}

/// The characters in their simple lower case, and nil for bytes that are part of none.
private func lowered(_ bytes: [UInt8]) -> [Unicode.Scalar?] {
    var parser = Unicode.UTF8.ForwardParser()
    var source = bytes.makeIterator()
    var scalars: [Unicode.Scalar?] = []
    while true {
        switch parser.parseScalar(from: &source) {
        case .emptyInput: return scalars
        case .error: scalars.append(nil)
        case .valid(let encoded):
            let scalar = UTF8.decode(encoded)
            let lower = scalar.properties.lowercaseMapping.unicodeScalars
            let isSimple = lower.count == 1 && lower.first?.isASCII == scalar.isASCII
            scalars.append(isSimple ? lower.first : scalar)
        }
    }
}

@Suite("A text to look for")
struct TextPredicateTests {
    static func isFound(
        _ text: String, ignoringCase: Bool = false, in payload: String, isJSON: Bool = true
    ) throws -> Bool {
        let rows = Rows([(Array(payload.utf8), isJSON)])
        let evaluator = try TextPredicate(text, ignoringCase: ignoringCase).makeEvaluator()
        return try rows.kept(by: evaluator, of: [0]) == [0]
    }

    @Test(
        "is found as JSON writes it",
        arguments: [
            (#"C:\Windows"#, #"{"p":"C:\\Windows\\x"}"#, true),
            (#"C:\Windows"#, #"{"p":"C:\Windows"}"#, true),
            (#"\new"#, #"{"p":"C:\\new"}"#, true), ("\new", #"{"p":"C:\\new"}"#, false),
            ("a\nb", #"{"p":"a\nb"}"#, true), ("a\nb", #"{"p":"a\u000Ab"}"#, true), ("a\nb", "a\nb", true),
            (#"say "hi""#, #"{"p":"say \"hi\""}"#, true), (#""p":"C:\x"#, #"{"p":"C:\\x"}"#, true),
            (#""p":"say "hi""#, #"{"p":"say \"hi\""}"#, true),
            ("a/b", #"{"p":"a\/b"}"#, true), ("a/b/c", #"{"p":"a\/b/c"}"#, true),
            ("a/b", #"{"p":"a\\/b"}"#, false),
            ("é", #"{"p":"\u00e9"}"#, true), ("é", #"{"p":"\u00E9"}"#, true), ("é", #"{"p":"é"}"#, true),
            ("é", #"{"p":"\u00e8"}"#, false), ("é", #"{"p":"\\u00e9"}"#, false),
            ("😀", #"{"p":"\ud83d\ude00"}"#, true), ("😀", #"{"p":"\uD83D\uDE00"}"#, true),
            ("😀", #"{"p":"\ud83d\ude01"}"#, false), ("ab😀é", #"{"p":"a\u0062\ud83d\ude00é"}"#, true),
            ("\u{1}\u{1f}", #"{"p":"\u0001\u001F"}"#, true), ("<a>", #"{"p":"\u003ca\u003E"}"#, true),
            (#"A""#, #"{"p":"\u0041\""}"#, true), (#"41""#, #"{"p":"\u0041\" "}"#, false),
            (#"na""#, #"{"p":"\na\" "}"#, false), (#"\ud83d"#, #"{"p":"\ud83d"}"#, true),
            ("ab", #"{"p":"a\ud83db"}"#, false), ("ab", #"{"p":"a\xb"}"#, false), (#"\"#, #"\"#, true),
        ])
    func inJSON(text: String, payload: String, isFound: Bool) throws {
        #expect(try Self.isFound(text, in: payload) == isFound)
    }

    @Test("is found as it is, and only so, in payloads that are no JSON")
    func plain() throws {
        #expect(try !Self.isFound(#"C:\Windows"#, in: #"C:\\Windows"#, isJSON: false))
        #expect(try !Self.isFound("é", in: #"\u00e9"#, isJSON: false))
        #expect(try Self.isFound(#"C:\Windows"#, in: #"in C:\Windows"#, isJSON: false))
        #expect(try Self.isFound(#"C:\\Windows"#, in: #"in C:\\Windows"#, isJSON: false))
    }

    @Test(
        "ignores case where it is told to",
        arguments: [
            ("LSASS", "lsass.exe", true), ("lsass", "LsAsS", true), ("école", "ÉCOLE", true),
            ("ÉCOLE", #"\u00e9cole"#, true), ("école", #"\u00C9COLE"#, true), ("k", "\u{212A}", false),
            ("\u{212A}", "k", false), ("s", "\u{17F}", false), ("å", "\u{212B}", true), ("ß", "ẞ", true),
            ("ß", "SS", false), ("i", "İ", false), ("İ", "İ", true), ("@", "`", false), ("[", "{", false),
            ("ΣΑΣ", "σας", false), ("𐐀", "𐐨", true), ("a\u{130}", "A\u{130}", true),
            ("straße!", "STRAẞE!", true),
            ("abc", #"\u0041b\u0043"#, true),
        ])
    func caseless(text: String, payload: String, isFound: Bool) throws {
        #expect(try Self.isFound(text, ignoringCase: true, in: payload) == isFound)
    }

    @Test("can't be empty")
    func empty() {
        #expect(throws: TextPredicate.EmptyText.self) { try TextPredicate("") }
        #expect(throws: TextPredicate.EmptyText.self) { try TextPredicate(bytes: [], ignoringCase: true) }
    }

    @Test("is the same condition as another with the same description, and no other")
    func descriptions() throws {
        #expect(try TextPredicate("a\"\n").description == #"contains "a\"\n""#)
        #expect(try TextPredicate("a", ignoringCase: true).description == #"contains "a" nocase"#)
        #expect(try TextPredicate(bytes: [0xFF, 0x0A]).description == "contains 0xff0a")
        #expect(try TextPredicate("0xff0a").description == #"contains "0xff0a""#)
    }

    @Test("isn't found across two payloads", arguments: [false, true])
    func spanning(ignoringCase: Bool) throws {
        let contents = ["xxab", "cab", "", "c", "abcab", "cc", "abc", "ab"].map { (Array($0.utf8), true) }
        let rows = Rows(contents)
        let evaluator = try TextPredicate("abc", ignoringCase: ignoringCase).makeEvaluator()
        #expect(try rows.kept(by: evaluator, of: Array(0..<8)) == [4, 6])
        #expect(try rows.kept(by: evaluator, of: Array((0..<8).reversed())) == [6, 4])
        #expect(try rows.kept(by: evaluator, of: [1, 3, 6]) == [6])
        #expect(try rows.kept(by: evaluator, of: []) == [])
    }

    @Test(
        "finds no more where its bytes are made to be compared in vain",
        arguments: [false, true])
    func pathological(ignoringCase: Bool) throws {
        let text = String(repeating: "e", count: 5000) + " " + String(repeating: "e", count: 5000)
        let payload = [UInt8](repeating: UInt8(ascii: "e"), count: 2_000_000)
        let many = Array(repeating: ([UInt8](repeating: UInt8(ascii: "e"), count: 100), true), count: 20_000)
        for rows in [Rows([(payload, true)]), Rows(many)] {
            let evaluator = try TextPredicate(text, ignoringCase: ignoringCase).makeEvaluator()
            #expect(try rows.kept(by: evaluator, of: Array(rows.payloads.indices)) == [])
            let same = try TextPredicate(
                String(repeating: "e", count: 10_000), ignoringCase: ignoringCase)
            #expect(try rows.kept(by: same.makeEvaluator(), of: Array(rows.payloads.indices)).count < 2)
        }
    }

    /// Bytes, and things that mean them, that are easily taken for each other.
    private static let pieces: [[UInt8]] =
        [
            "a", "A", "b", "k", #"\\"#, #"\"#, "\"", #"\""#, "/", #"\/"#, "n", #"\n"#, "\n", #"\u0061"#,
            #"\u0041"#,
            #"\u00e9"#, #"\u00C9"#, "é", "É", #"\ud83d\ude00"#, "😀", #"\ud83d"#, #"\ude00"#, "\u{212A}",
            #"\u212a"#,
            #"\u005c"#, #"\u000a"#, "u00", "41", "x", "xxxxxxxxxxxxxxxxxxxx", "ẞ", "ß", "\u{130}",
        ].map { Array($0.utf8) } + [[0xC3], [0xA9], [0xFF], [0xF0, 0x9F], []]

    @Test("agrees with the plainest search", arguments: 0..<4)
    func agrees(round: Int) throws {
        let seed = freshSeed(round)
        var random = Seeded(state: seed)
        var hits = 0
        for _ in 0..<20 {
            let few = Self.pieces.shuffled(using: &random).prefix(Int.random(in: 2...8, using: &random))
            var contents: [(bytes: [UInt8], isJSON: Bool)] = []
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                let count = Int.random(in: 0...12, using: &random)
                let bytes = (0..<count).flatMap { _ in few.randomElement(using: &random) ?? [] }
                contents.append((bytes, Int.random(in: 0..<4, using: &random) > 0))
            }
            let rows = Rows(contents)
            var list = contents.indices.filter { _ in Int.random(in: 0..<5, using: &random) > 0 }
            switch Int.random(in: 0..<4, using: &random) {
            case 0: list.reverse()
            case 1: list.shuffle(using: &random)
            default: break
            }
            for _ in 0..<8 {
                let text = Self.text(of: contents, few, using: &random)
                guard !text.isEmpty else { continue }
                let ignoringCase = Bool.random(using: &random)
                let predicate = try TextPredicate(bytes: text, ignoringCase: ignoringCase)
                let plain = list.filter {
                    plainlyHolds(
                        text, in: contents[$0].bytes, isJSON: contents[$0].isJSON, ignoringCase: ignoringCase)
                }
                hits += plain.count
                #expect(
                    try rows.kept(by: predicate.makeEvaluator(), of: list) == plain,
                    "seed \(seed): \(predicate)")
                let requirement = predicate.textRequirement
                for row in plain {
                    #expect(
                        mayHold(requirement, in: contents[row].bytes, isJSON: contents[row].isJSON),
                        "seed \(seed): \(predicate) in \(contents[row].bytes)")
                }
            }
        }
        #expect(hits > 50, "seed \(seed)")
    }

    /// A text that may well be there: a part of a payload, of what one means, or made of the same pieces.
    private static func text(
        of contents: [(bytes: [UInt8], isJSON: Bool)], _ pieces: ArraySlice<[UInt8]>,
        using random: inout Seeded
    ) -> [UInt8] {
        let whole: [UInt8]
        let payload = contents.randomElement(using: &random)?.bytes ?? []
        switch Int.random(in: 0..<3, using: &random) {
        case 0: whole = payload
        case 1: whole = plainUnescaped(payload).randomElement(using: &random) ?? []
        default: whole = (0..<2).flatMap { _ in pieces.randomElement(using: &random) ?? [] }
        }
        guard !whole.isEmpty else { return [] }
        let start = Int.random(in: 0..<whole.count, using: &random)
        let end = Int.random(in: start..<min(whole.count, start + 8), using: &random)
        return Array(whole[start...end])
    }
}
