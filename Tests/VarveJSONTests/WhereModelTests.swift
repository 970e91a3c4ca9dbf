import Testing
import Varve

@testable import VarveJSON

@Suite("Random conditions on random payloads")
struct WhereModelTests {
    static let seeds: [UInt64] = [1, 2, 3, 4, UInt64.random(in: 5...UInt64.max)]

    @Test(
        "agree with the model, with and without the sieve, and hold the texts they require", arguments: seeds)
    func model(seed: UInt64) throws {
        print("seed \(seed)")
        var random = WhereRandom(seed: seed)
        var matchCount = 0
        var ruledOutCount = 0
        for _ in 0..<200 {
            let test = random.test()
            let predicate: WherePredicate
            do {
                predicate = try WherePredicate(test.description)
            } catch {
                Issue.record("seed \(seed): \(error)")
                continue
            }
            // A difference of two literals is one literal once it is read.
            #expect(try WherePredicate(predicate.description).test == predicate.test)
            let evaluator = WhereEvaluator(predicate)
            let plain = WhereEvaluator(predicate, sieves: false)
            let need = WhereSieve(WhereNeed(predicate.test))
            for _ in 0..<40 {
                let payload = random.payload()
                var attributes = WhereModel.Attributes()
                if random.chance(50) { attributes.kind = random.pick(WhereRandom.texts) }
                attributes.sequence = random.pick([0, 1, 7, 31, .max])
                let expected = WhereModel(payload, attributes).matches(test)
                let (found, foundPlain, isKept) = attributes.lent(length: payload.count) { attributes in
                    payload.withUnsafeBytes { bytes in
                        need?.begin(
                            upTo: bytes.bindMemory(to: UInt8.self).baseAddress.unsafelyUnwrapped + bytes.count
                        )
                        return (
                            evaluator.matches(payload: bytes, attributes: attributes),
                            plain.matches(payload: bytes, attributes: attributes), need?.keeps(bytes) ?? true
                        )
                    }
                }
                let what = {
                    "seed \(seed): \(test) of \(String(decoding: payload, as: UTF8.self)) with \(attributes)"
                }
                if foundPlain != expected { Issue.record("\(what()) is not \(foundPlain)") }
                if found != expected { Issue.record("\(what()) is not \(found), as the sieve makes it") }
                if expected { matchCount += 1 }
                if !isKept { ruledOutCount += 1 }
                if expected, !Requirement.isFulfilled(predicate.textRequirement, payload) {
                    Issue.record("\(what()) requires \(predicate.textRequirement)")
                }
            }
        }
        // The tests say something.
        #expect(matchCount > 200 && ruledOutCount > 200)
    }

    @Test("are never narrowed to less than they match", arguments: seeds)
    func narrowing(seed: UInt64) throws {
        var random = WhereRandom(seed: seed)
        let bounds = [
            "-1", "0", "1", "7", "7.5", "-0.5", "18446744073709551615", "18446744073709551616", "1e30",
            "18446744073709550000.0",
        ]
        let times = [
            "2026-05-10T12:34:56.1Z", "2262-04-11T23:47:16.854775807Z", "1677-09-21T00:12:43.145224192Z",
        ]
        for _ in 0..<500 {
            var parts: [String] = []
            for _ in 0...Int(random.random.next() % 3) {
                let comparison = random.pick(["==", "<", "<=", ">", ">="])
                switch random.random.next() % 6 {
                case 0: parts.append("sequence \(comparison) \(random.pick(bounds))")
                case 1: parts.append("\(random.pick(bounds)) \(comparison) sequence")
                case 2: parts.append("timestamp \(comparison) \"\(random.pick(times))\"")
                case 3: parts.append("kind in [\"Login\", \"\(random.pick(["é", "e\u{301}"]))\"]")
                case 4: parts.append("sequence in [\(random.pick(bounds)), \(random.pick(bounds))]")
                default:
                    parts.append("kind == \"\(random.pick(["é", "login"]))\"\(random.pick(["", " nocase"]))")
                }
            }
            let predicate = try WherePredicate(parts.joined(separator: " and "))
            var query = Query()
            if random.chance(50) { query = query.sequences(1...100) }
            if random.chance(30) { query = query.kinds("Login", "é") }
            let narrowed = predicate.narrowing(query)
            #expect(predicate.narrowing(narrowed) == narrowed)
            for kind in ["Login", "login", "é", "e\u{301}"] {
                for sequence: UInt64 in [0, 1, 6, 7, 8, 100, .max - 1, .max] {
                    for timestamp: Int64 in [.min, 0, 1_778_416_496_100_000_000, .max] {
                        var attributes = WhereModel.Attributes()
                        (attributes.kind, attributes.sequence, attributes.timestamp) = (
                            kind, sequence, timestamp
                        )
                        guard Self.admits(query, attributes), predicate.matches("", attributes) else {
                            continue
                        }
                        #expect(
                            Self.admits(narrowed, attributes), "seed \(seed): \(predicate) and \(attributes)")
                    }
                }
            }
        }
    }

    private static func admits(_ query: Query, _ attributes: WhereModel.Attributes) -> Bool {
        query.kindNames?.contains(attributes.kind) ?? true
            && query.time?.contains(attributes.timestamp) ?? true
            && query.sequences?.contains(attributes.sequence) ?? true
    }

    @Test("set bounds that are exact where they can be")
    func bounds() throws {
        func narrowed(_ expression: String) throws -> Query {
            try WherePredicate(expression).narrowing(Query())
        }
        #expect(try narrowed("sequence < 100 and sequence >= 5").sequences == 5...99)
        #expect(try narrowed("sequence > 7.5").sequences == 8...UInt64.max)
        #expect(try narrowed("sequence < 0").kindNames == [])
        #expect(try narrowed("sequence > 18446744073709551615").kindNames == [])
        #expect(try narrowed("sequence != 5").sequences == nil)
        #expect(try narrowed("kind == \"a\" or kind == \"b\"").kindNames == nil)
        #expect(try narrowed("kind in [\"a\", \"b\"] and .x == 1").kindNames == ["a", "b"])
        #expect(try narrowed("kind == \"a\" nocase").kindNames == nil)
        #expect(try narrowed("session == \"s\"").sessionIDs == ["s"])
        #expect(
            try narrowed("timestamp >= \"1970-01-01T00:00:01Z\" and timestamp < time(2)").time
                == 1_000_000_000...1_999_999_999)
        #expect(try narrowed("not (sequence < 5)").sequences == nil)
    }
}

/// Whether texts stand in a payload, by their definition.
enum Requirement {
    static func isFulfilled(_ requirement: TextRequirement, _ payload: [UInt8]) -> Bool {
        switch requirement {
        case .nothing: true
        case .all(let parts): parts.allSatisfy { isFulfilled($0, payload) }
        case .any(let parts): parts.contains { isFulfilled($0, payload) }
        case .combination(let parts, let judge): judge(parts.map { isFulfilled($0, payload) })
        case .text(let text, let startsToken, let endsToken):
            [payload, unescaped(payload)].contains { holds($0, text, startsToken, endsToken) }
        }
    }

    private static func holds(_ bytes: [UInt8], _ text: [UInt8], _ startsToken: Bool, _ endsToken: Bool)
        -> Bool
    {
        func lowered(_ bytes: [UInt8]) -> [UInt8] { bytes.map { (65...90).contains($0) ? $0 + 32 : $0 } }
        let (bytes, text) = (lowered(bytes), lowered(text))
        guard bytes.count >= text.count else { return false }
        return (0...bytes.count - text.count).contains { start in
            Array(bytes[start..<start + text.count]) == text
                && (!startsToken || WhereModel.isBoundary(bytes, start))
                && (!endsToken || WhereModel.isBoundary(bytes, start + text.count))
        }
    }

    /// With the escapes of JSON undone.
    private static func unescaped(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var units: [UInt16] = []
        var index = 0
        func flush() {
            result += Array(String(decoding: units, as: UTF16.self).utf8)
            units = []
        }
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count else {
                flush()
                result.append(bytes[index])
                index += 1
                continue
            }
            if bytes[index + 1] == UInt8(ascii: "u"), index + 6 <= bytes.count,
                let unit = UInt16(String(decoding: bytes[index + 2..<index + 6], as: UTF8.self), radix: 16)
            {
                units.append(unit)
                index += 6
                continue
            }
            flush()
            let plain: [UInt8: UInt8] = [98: 8, 102: 12, 110: 10, 114: 13, 116: 9]
            result.append(plain[bytes[index + 1]] ?? bytes[index + 1])
            index += 2
        }
        flush()
        return result
    }
}
