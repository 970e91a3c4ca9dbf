import Foundation
import Testing
import Varve
import VarveJSON

@Suite("Decoding by kind")
struct KindDecoderTests {
    private struct Order: Codable, Equatable { var id: Int, placedAt: Date }
    private struct Tick: Codable, Equatable { var price: Double }
    private enum Message: Equatable { case order(Order), tick(Double) }

    private let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
        "varve-kinds-\(UUID().uuidString)")

    private func messages() -> KindDecoder<Message> {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .secondsSince1970
        return KindDecoder(decoder: decoder)
            .kind("order", as: Order.self) { .order($0) }
            .kind("tick", as: Tick.self) { .tick($0.price) }
    }

    private func withStore(_ body: (EventStore) throws -> Void) throws {
        let store = try EventStore.open(directory.path)
        defer {
            try? store.close()
            try? FileManager.default.removeItem(at: directory)
        }
        let session = try store.startSession("s")
        for (kind, payload) in [
            ("order", #"{"id":1,"placedAt":10}"#), ("note", "\"hello\""), ("tick", #"{"price":2.5}"#),
            ("tick", #"{"cost":2.5}"#),
        ] {
            try session.append(payload, kind: store.kind(kind, .json))
        }
        try body(store)
    }

    @Test("Events become values of the types of their kinds, others are passed over")
    func values() throws {
        try withStore { store in
            let expected = [
                Message.order(Order(id: 1, placedAt: Date(timeIntervalSince1970: 10))), nil, .tick(2.5),
            ]
            let messages = messages()
            var values: [Message?] = []
            var cursor = try store.cursor(Query().limit(3))
            while let event = try cursor.next() { values.append(try messages.decode(event)) }
            #expect(values == expected)
            var owned = try store.cursor(Query().limit(3))
            values = []
            while let event = try owned.nextEvent() { values.append(try messages.decode(event)) }
            #expect(values == expected)
            #expect(messages.query().kindNames == ["order", "tick"])
            #expect(messages.query(Query().kinds("tick", "note")).kindNames == ["tick"])
        }
    }

    @Test("A payload that does not fit is an error that names the event")
    func misfit() throws {
        try withStore { store in
            let messages = messages()
            var cursor = try store.cursor(messages.query())
            _ = try (cursor.nextEvent(), cursor.nextEvent())
            let event = try #require(try cursor.nextEvent())
            #expect { try messages.decode(event) } throws: { error in
                guard let error = error as? EventDecodingError else { return false }
                return error.sequence == 3 && error.kind == "tick" && error.underlyingError is DecodingError
            }
            #expect(throws: EventDecodingError.self) { try event.decode(Tick.self) }
        }
    }

    @Test("One event becomes a value of the type asked for")
    func single() throws {
        try withStore { store in
            var cursor = try store.cursor(Query().sequences(2...2))
            if let view = try cursor.next() { #expect(try view.decode(Tick.self) == Tick(price: 2.5)) }
            let event = try #require(try store.snapshot().event(sequence: 2))
            #expect(try event.decode() as Tick == Tick(price: 2.5))
        }
    }
}
