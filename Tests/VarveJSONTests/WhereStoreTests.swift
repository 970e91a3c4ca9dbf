import Foundation
import Testing
import Varve

@testable import VarveJSON

@Suite("A condition on the events of a store")
struct WhereStoreTests {
    static let seeds: [UInt64] = [1, 2, UInt64.random(in: 3...UInt64.max)]

    /// A store with random payloads, and what is in it.
    private func withStore(
        _ random: inout WhereRandom, _ body: (EventStore, [Event], inout WhereRandom) throws -> Void
    ) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("varve-where-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try EventStore.open(path)
        for id in ["s1", "s2"] {
            let session = try store.startSession(id)
            let kinds = [try store.kind("Login", .json), try store.kind("line", .utf8)]
            for _ in 0..<500 {
                let kind = random.pick(kinds)
                let payload = random.payload()
                _ = try session.append(
                    payload, kind: kind,
                    at: 1_778_416_496_000_000_000 + Int64(random.random.next() % 2_000_000_000))
            }
            _ = try session.end()
        }
        let snapshot = try store.snapshot()
        var events: [Event] = []
        var cursor = try snapshot.cursor(Query())
        while let event = try cursor.next() { events.append(event.event) }
        try body(store, events, &random)
        try store.close()
    }

    // A decimal that no document has was looked for in one: before any was parsed, that was no memory.
    @Test(
        "judges decimals in the condition before and after payloads are parsed",
        arguments: [
            "timestamp > time(number(1.5))", "timestamp < time(number(1.5))",
            "a == 1 and timestamp > time(number(1.5))", "a == 1 or timestamp < time(number(1.5))",
            "a == 1 or time(1.5) == time(1.5)", "a exists or number(1.5) == 1.5",
        ])
    func decimals(expression: String) throws {
        var random = WhereRandom(seed: 1)
        try withStore(&random) { store, events, _ in
            let predicate = try WherePredicate(expression)
            let expected = events.filter { event in
                WhereModel(Array(event.payload), .init(timestamp: event.timestamp)).matches(predicate.test)
            }
            var found: [UInt64] = []
            var cursor = try store.snapshot().cursor(Query().matching(predicate))
            while let event = try cursor.next() { found.append(event.sequence) }
            #expect(found == expected.map(\.sequence))
        }
    }

    // Attributes that were compared with the payload, and with nothing else, were those of no event.
    @Test("yields those that the model matches, in both directions", arguments: seeds)
    func query(seed: UInt64) throws {
        print("seed \(seed)")
        var random = WhereRandom(seed: seed)
        try withStore(&random) { store, events, random in
            let snapshot = try store.snapshot()
            for _ in 0..<60 {
                let predicate = try WherePredicate(random.test().description)
                let expected = events.filter { event in
                    WhereModel(
                        Array(event.payload),
                        .init(
                            kind: event.kind.name, session: event.sessionID, sequence: event.sequence,
                            index: event.index,
                            timestamp: event.timestamp)
                    ).matches(predicate.test)
                }.map(\.sequence)
                for query in [Query(), Query().reversed()] {
                    var found: [UInt64] = []
                    var cursor = try snapshot.cursor(predicate.narrowing(query.matching(predicate)))
                    while let event = try cursor.next() { found.append(event.sequence) }
                    #expect(
                        found == (query.isReversed ? expected.reversed() : expected),
                        "seed \(seed): \(predicate)")
                }
            }
        }
    }
}
