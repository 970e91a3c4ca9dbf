import Testing

@testable import VarveFormat

/// Makes payloads of many sorts, and knows what they mean.
private struct PayloadMaker {
    var random: SeededGenerator

    /// A payload: its bytes, and the texts that its bytes mean with the escapes undone. A text ends where an escape is none.
    struct Payload {
        var bytes: [UInt8] = []
        var texts: [[UInt8]] = [[]]

        mutating func add(_ spelled: String, meaning: String?) {
            bytes += Array(spelled.utf8)
            if let meaning { texts[texts.count - 1] += Array(meaning.utf8) } else { texts.append([]) }
        }
    }

    private mutating func pick<T>(_ of: [T]) -> T { of[Int.random(in: of.indices, using: &random)] }

    private mutating func hex(_ unit: UInt32) -> String {
        let digits = String(unit, radix: 16, uppercase: Bool.random(using: &random))
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    mutating func make() -> Payload {
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            // A line of a log: what its backslashes mean is nobody's to say.
            var payload = Payload()
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let part = pick([
                    "2026-05-10T12:34:56Z", "WARN", "\\nretry", "größer", "0x1F4A9C", "a", "-", " ",
                    "\\u0041",
                ])
                payload.add(part, meaning: part)
            }
            payload.texts = []
            return payload
        case 1:
            // Any bytes.
            let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? pick(Array("ab Z9\"/".utf8)) : UInt8.random(in: 0...255, using: &random)
            }
            let plain = bytes.map { $0 == 0x5C ? 0x20 : $0 }
            return Payload(bytes: plain, texts: [])
        default:
            var payload = Payload()
            for _ in 0..<Int.random(in: 1...10, using: &random) { addPart(to: &payload) }
            return payload
        }
    }

    private mutating func addPart(to payload: inout Payload) {
        switch Int.random(in: 0..<16, using: &random) {
        case 0, 1, 10...15:
            let plain = pick([
                "connection", "to", "Peer", "x1y2z3w4", "größe", "線路", "{\"key\":", "\"", ", ", "42",
                "v2beta",
            ])
            payload.add(plain, meaning: plain)
        case 2:
            let (spelled, meaning) = pick([
                ("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\b", "\u{8}"), ("\\f", "\u{C}"),
                ("\\\"", "\""),
                ("\\\\", "\\"), ("\\/", "/"),
            ])
            payload.add(spelled, meaning: meaning)
        case 3, 4:
            let scalar = pick(Array("éA\"\\/z線ß9\u{7F}".unicodeScalars))
            payload.add(hex(scalar.value), meaning: String(scalar))
        case 5:
            let scalar = pick(Array("𝄞😀\u{10FFFF}".unicodeScalars))
            let units = Array(String(scalar).utf16)
            payload.add(hex(UInt32(units[0])) + hex(UInt32(units[1])), meaning: String(scalar))
        case 6:
            // Half a pair: what follows must not complete it.
            payload.add(hex(pick([0xD800, 0xDBFF, 0xDC00, 0xDFFF])), meaning: nil)
            payload.add("abc", meaning: "abc")
        case 7:
            // No escapes: what follows the backslash is text.
            let (spelled, rest) = pick([
                ("\\x41bc", "x41bc"), ("\\u12 ", "u12 "), ("\\uGHIJ", "uGHIJ"), ("\\u00", "u00"),
                ("\\é", "é"),
            ])
            payload.add("\\", meaning: nil)
            payload.add(rest, meaning: rest)
            payload.bytes.removeLast(rest.utf8.count + 1)
            payload.bytes += Array(spelled.utf8)
            // So that four digits are not made up of this and what follows.
            payload.add(".", meaning: ".")
        default:
            let word = pick(["alpha", "BETA", "gamma9", "é", "d", "_", "12", "Ä"])
            payload.add(word, meaning: word)
        }
    }

    /// A part of a text, with what is known of its ends, in any case of its letters.
    mutating func part(of text: [UInt8], _ range: Range<Int>) -> FilteredText {
        let isOpenBefore = range.lowerBound > 0 && TextKeys.isOfToken(text[range.lowerBound - 1])
        let isOpenAfter = range.upperBound < text.count && TextKeys.isOfToken(text[range.upperBound])
        let bytes = text[range].map { byte -> UInt8 in
            let isLetter = (0x41...0x5A).contains(byte & 0xDF) && byte < 0x80
            return isLetter && Bool.random(using: &random) ? byte ^ 0x20 : byte
        }
        return FilteredText(bytes: bytes, startsToken: !isOpenBefore, endsToken: !isOpenAfter)
    }
}

@Suite("Keys of texts")
struct TextKeyTests {
    @Test("Every part of a payload, and of what its escapes mean, in any case, has keys that the payload has")
    func parts() {
        let seed = UInt64.random(in: .min ... .max)
        var maker = PayloadMaker(random: SeededGenerator(seed))
        let keys = TextKeys()
        var (count, withKeys) = (0, 0)
        for round in 0..<600 {
            let payload = maker.make()
            keys.begin(rawBytes: 1 << 20)
            payload.bytes.withUnsafeBytes { keys.add($0) }
            let known = Set(keys.finish() ?? [])
            #expect(known == Set(FilteredPayload(bytes: payload.bytes).keys))
            for text in [payload.bytes] + payload.texts where !text.isEmpty {
                for _ in 0..<12 {
                    let start = Int.random(in: 0..<text.count, using: &maker.random)
                    let end = Int.random(in: start...min(text.count, start + 24), using: &maker.random)
                    for range in [start..<end, 0..<end, start..<text.count] {
                        let part = maker.part(of: text, range)
                        let open = FilteredText(bytes: part.bytes)
                        let (bounded, unbounded) = (part.keys, open.keys)
                        count += 1
                        withKeys += bounded.isEmpty ? 0 : 1
                        guard known.isSuperset(of: bounded), Set(bounded).isSuperset(of: unbounded) else {
                            Issue.record(
                                """
                                seed \(seed), round \(round): \(String(decoding: part.bytes, as: UTF8.self).debugDescription) \
                                of \(String(decoding: payload.bytes, as: UTF8.self).debugDescription)
                                """)
                            return
                        }
                    }
                }
            }
        }
        #expect(count > 5_000 && withKeys * 2 > count, "seed \(seed): the parts test nothing")
    }

    @Test(
        "Tokens of three bytes and four letters in a row have keys",
        arguments: [
            ("", 0), ("ab", 0), ("a1", 0), ("abc", 1), ("abc abc ABC", 1), ("abcd", 2), ("abcde", 3),
            ("12345", 1),
            ("ab12cd", 1), ("abcd1efgh", 3), ("é1", 1), ("éé", 2), ("a-b-c", 0), ("\u{7F}\u{0}@[`{/:", 0),
        ])
    func counts(text: String, keys: Int) {
        #expect(FilteredText(text, startsToken: true, endsToken: true).keys.count == keys)
        #expect(FilteredText(" " + text + " ").keys.count == keys)
    }

    @Test("A token at an open end has only its letters' keys")
    func ends() {
        let (abc, abcd) = (FilteredText("abc").keys, FilteredText("abcd").keys)
        #expect(abc == [] && abcd.count == 1)
        let bounded = FilteredText("abcd", startsToken: true, endsToken: true).keys
        #expect(Set(bounded).count == 2 && bounded.contains(abcd[0]))
        for (starts, ends) in [(true, false), (false, true), (false, false)] {
            #expect(FilteredText("abcd", startsToken: starts, endsToken: ends).keys == abcd)
        }
        // In the middle of a text they end.
        #expect(FilteredText("x abc y").keys == FilteredText("abc", startsToken: true, endsToken: true).keys)
    }

    @Test(
        "Escapes are undone as the specification says",
        arguments: [
            ("plain", nil), ("", nil), ("\\", nil), ("a\\", nil), ("\\\"\\\\\\/", nil), ("\\\\n", nil),
            ("\\x", nil),
            ("\\n", " "), ("a\\nb\\tc\\r\\b\\f", "a b c   "), ("\\\\\\n", "\\\\ "), ("\\u00e9\\u00E9", "éé"),
            ("\\u0041bc", "Abc"), ("\\u005cn", "\\n"), ("\\u0000", "\u{0}"), ("\\uD834\\uDd1e!", "𝄞!"),
            // Half a pair, at the end, before another half, before an escape that is none, and the second half alone.
            ("\\ud834", " "), ("a\\ud834\\ud834\\udd1e", "a 𝄞"), ("\\ud834\\u00e9", " é"),
            ("\\ud834\\u12", " \\u12"),
            ("\\ud834\\", " \\"), ("\\ud834\\u", " \\u"), ("\\udd1ex", " x"), ("\\ud834dd1e", " dd1e"),
            // Cut short.
            ("\\u", nil), ("\\u1", nil), ("\\u12", nil), ("\\u123", nil), ("\\u12\\n", "\\u12 "),
            ("\\u123g", nil),
            ("\\n\\u12", " \\u12"), ("\\n\\", " \\"),
        ] as [(String, String?)])
    func escapes(spelled: String, meaning: String?) {
        var text: [UInt8] = Array("left over".utf8)
        let isChanged = Array(spelled.utf8).withUnsafeBytes { JSONEscapes.undo($0, into: &text) }
        #expect(isChanged == (meaning != nil))
        if let meaning { #expect(String(decoding: text, as: UTF8.self) == meaning) }
    }

    // It looks at eight bytes at once.
    @Test("An escape is found wherever it stands, and no other byte is taken for one")
    func places() {
        for length in 0..<40 {
            for filler in [0x5B, 0x5D, 0xDC, 0x00, 0x5C ^ 0x80, 0xA3, 0xFF] as [UInt8] {
                var bytes = [UInt8](repeating: filler, count: length)
                var text: [UInt8] = []
                #expect(!bytes.withUnsafeBytes { JSONEscapes.undo($0, into: &text) })
                guard length >= 2 else { continue }
                for place in 0..<length - 1 {
                    (bytes[place], bytes[place + 1]) = (0x5C, 0x6E)
                    let isFound = bytes.withUnsafeBytes { JSONEscapes.undo($0, into: &text) }
                    #expect(
                        isFound && text == bytes[..<place] + [0x20] + bytes[(place + 2)...],
                        "\(length) \(place)")
                    (bytes[place], bytes[place + 1]) = (filler, filler)
                }
            }
        }
    }

    @Test(
        "A sub-block gets no filter that would take more than 512 bytes and a sixteenth of its own",
        arguments: [0, 15, 16, 1_600, 160_000])
    func share(rawBytes: Int) {
        let keys = TextKeys()
        func found(_ count: Int) -> [UInt32]? {
            keys.begin(rawBytes: rawBytes)
            for number in 0..<count {
                // Each twice: keys that are there are no more keys.
                Array("\(100_000 + number) \(100_000 + number)".utf8).withUnsafeBytes {
                    keys.add($0)
                }
            }
            return keys.finish()
        }
        let most = rawBytes / 16 + 512
        #expect(found(most)?.count == most)
        #expect(found(most + 1) == nil)
        // And goes on with the next one.
        #expect(found(most)?.count == most)
        #expect(found(0) == [])
    }
}

@Suite("Token filters")
struct TokenFilterTests {
    /// Filters of random payloads in `counts` sub-blocks a block.
    private func random(_ maker: inout PayloadMaker, _ counts: [Int]) -> FilteredBlocks {
        let common = FilteredPayload("something that all have: service checkout-frontend")
        return counts.map { count in
            (0..<count).map { _ in
                if Int.random(in: 0..<8, using: &maker.random) == 0 { return nil }
                let payloads = (0..<Int.random(in: 0...4, using: &maker.random)).map { _ in
                    let payload = maker.make()
                    return FilteredPayload(bytes: payload.bytes)
                }
                return payloads.isEmpty ? [] : payloads + [common]
            }
        }
    }

    @Test("What a sub-block holds is never ruled out")
    func promise() throws {
        let seed = UInt64.random(in: .min ... .max)
        var maker = PayloadMaker(random: SeededGenerator(seed))
        var hasCommon = false
        for round in 0..<60 {
            let blocks = random(&maker, [[0, 3, 1], [5, 0, 0, 9], [], [0], [40]][round % 5])
            let filters = try decodeFilters(encodeFilters(blocks))
            #expect(
                filters.blockCount == blocks.count
                    && filters.filterCount == blocks.reduce(0) { $0 + $1.count })
            hasCommon = hasCommon || !filters.storedBytes().isEmpty
            for (block, parts) in blocks.enumerated() {
                let range = filters.filters(ofBlock: block)
                #expect(range.count == parts.count)
                for (part, filter) in zip(parts, range) {
                    guard let part else {
                        #expect(filters.byteCount(ofFilter: filter) == 0)
                        #expect(filters.mayHold(FilteredText("anything whatever"), filter: filter))
                        continue
                    }
                    #expect(filters.byteCount(ofFilter: filter) > 0)
                    for payload in part {
                        for key in payload.keys {
                            #expect(
                                filters.mayHoldEverywhere(key) || filters.mayHold(key, filter: filter),
                                "seed \(seed), round \(round)")
                        }
                    }
                    if part.isEmpty { #expect(!filters.mayHold(FilteredText("xyzw"), filter: filter)) }
                }
            }
            for number in [-1, blocks.count, .max] { #expect(filters.filters(ofBlock: number).isEmpty) }
        }
        #expect(hasCommon, "seed \(seed): no key was common")
    }

    // A shift binds closer than a product: all keys had the same bit, and nothing was ever ruled out.
    @Test("Some two keys in a hundred that are not there seem to be")
    func falseHits() throws {
        var random = SeededGenerator(7)
        let common = (0..<2_000).map { _ in UInt32.random(in: 0...UInt32.max, using: &random) }
        let parts = (0..<100).map { _ in
            Array(Set((0..<500).map { _ in UInt32.random(in: 0...UInt32.max, using: &random) })) + common
        }
        var writer = ByteWriter()
        TokenFilters.encode([parts], to: &writer)
        let filters = try decodeFilters(writer.bytes)
        #expect(filters.storedBytes().count == 4_000)
        #expect(filters.byteCount(ofFilter: 0) == parts[0].count - 2_000)
        #expect(common.allSatisfy { filters.mayHoldEverywhere($0) })
        var (hits, commonHits) = (0, 0)
        for _ in 0..<20_000 {
            let key = UInt32.random(in: 0...UInt32.max, using: &random)
            if filters.mayHoldEverywhere(key) { commonHits += 1 }
            if filters.mayHold(key, filter: Int.random(in: 0..<100, using: &random)) { hits += 1 }
        }
        // 2.2 % and 0.14 % of 20,000 are 434 and 28.
        #expect((300...600).contains(hits), "\(hits) of 20,000")
        #expect(commonHits < 80, "\(commonHits) of 20,000")
    }

    @Test(
        "A filter of a few keys rules out nearly all others, at every size",
        arguments: [1, 2, 3, 7, 8, 9, 100, 5_000])
    func sizes(count: Int) throws {
        var random = SeededGenerator(UInt64(count))
        let keys = (0..<count).map { _ in UInt32.random(in: 0...UInt32.max, using: &random) }
        var writer = ByteWriter()
        TokenFilters.encode([[keys]], to: &writer)
        let filters = try decodeFilters(writer.bytes)
        #expect(keys.allSatisfy { filters.mayHold($0, filter: 0) })
        let hits = (0..<2_000).count { _ in
            filters.mayHold(UInt32.random(in: 0...UInt32.max, using: &random), filter: 0)
        }
        #expect(hits < 400, "\(hits) of 2,000")
    }

    @Test("Every truncation and lengthening is refused; with flipped bits they are refused, or answer")
    func damage() throws {
        for vector in Vector.filters {
            let bytes = vector.golden.bytes
            for count in 0..<bytes.count {
                #expect(throws: FormatError.self) { try decodeFilters(Array(bytes[..<count])) }
            }
            #expect(throws: FormatError.self) { try decodeFilters(bytes + [0]) }
            for bit in 0..<bytes.count * 8 {
                var flipped = bytes
                flipped[bit / 8] ^= 1 << (bit % 8)
                ask(try? decodeFilters(flipped))
            }
        }
    }

    @Test("Hostile bytes are refused, or answer, and never trap")
    func junk() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        let good = Vector.filters[1].golden.bytes
        var accepted = 0
        for round in 0..<3_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Mostly in the tables.
                let place = Int.random(
                    in: 0..<min(bytes.count, round % 2 == 0 ? 70 : bytes.count), using: &random)
                bytes[place] =
                    [0, 0xFF, 0x7F, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random)
                    ?? 0
            }
            if Bool.random(using: &random) {
                bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
            }
            let filters = try? decodeFilters(bytes)
            accepted += filters == nil ? 0 : 1
            ask(filters)
        }
        #expect(accepted > 20, "seed \(seed): nothing was accepted")
    }

    @Test("Counts that the bytes do not hold are refused before anything is made of them")
    func counts() throws {
        for (offset, value) in [(4, 16_385), (4, UInt32.max), (8, .max), (8, 1 << 30), (12, .max), (12, 1)] {
            for vector in Vector.filters {
                var writer = ByteWriter()
                writer.putRaw(vector.golden.bytes)
                writer.patch(value, at: offset)
                do {
                    _ = try decodeFilters(writer.bytes)
                    Issue.record("\(offset) may be \(value)")
                } catch .truncated {
                    #expect(offset > 4)
                } catch {
                    #expect(offset == 4 || value == 1)
                }
            }
        }
        for offset in 0..<4 {
            var bytes = Vector.filters[1].golden.bytes
            bytes[offset] += 1
            do {
                _ = try decodeFilters(bytes)
                Issue.record("byte \(offset) may be anything")
            } catch .unknownVersion(2, _) {
                #expect(offset == 0)
            } catch {
                #expect(offset > 0)
            }
        }
    }

    private func ask(_ filters: TokenFilters?) {
        guard let filters else { return }
        for block in 0..<filters.blockCount {
            for filter in filters.filters(ofBlock: block) {
                for key in [0, 1, 0xFFFF_FFFF, 0x8000_0000] as [UInt32] {
                    _ = filters.mayHold(key, filter: filter) || filters.mayHoldEverywhere(key)
                }
            }
        }
        _ = filters.fit(Sample.entries(3))
    }
}
