public import Foundation
public import Varve

/// Makes values of a type of one's own out of events, by their kinds.
///
/// ```swift
/// enum Message { case order(Order), tick(Tick) }
/// let messages = KindDecoder<Message>()
///     .kind("order.placed", as: Order.self) { .order($0) }
///     .kind("tick", as: Tick.self) { .tick($0) }
/// try snapshot.replay(messages.query()) { event in
///     switch try messages.decode(event) { … }
/// }
/// ```
///
/// One thread at a time uses it.
public struct KindDecoder<Value> {
    private let decoder: JSONDecoder
    private var decoders: [String: (JSONDecoder, Data) throws -> Value] = [:]

    /// No kinds yet. `decoder` decodes the payloads.
    public init(decoder: JSONDecoder = JSONDecoder()) { self.decoder = decoder }

    /// With events of this kind, whose payloads are JSON, as a value. The last call for a name counts.
    public func kind<Payload: Decodable>(
        _ name: String, as type: Payload.Type, _ make: @escaping (Payload) -> Value
    ) -> KindDecoder {
        var copy = self
        copy.decoders[name] = { decoder, data in make(try decoder.decode(type, from: data)) }
        return copy
    }

    /// A query with only events of the kinds that are known.
    public func query(_ query: Query = Query()) -> Query {
        var query = query
        query.kindNames = query.kindNames.map { $0.intersection(decoders.keys) } ?? Set(decoders.keys)
        return query
    }

    /// The event's value; nil for one of another kind. Throws `EventDecodingError`. O(payload).
    public func decode(_ event: EventView) throws(EventDecodingError) -> Value? {
        let kind = event.kind
        guard let decode = decoders[kind.name] else { return nil }
        do {
            return try event.withUnsafeBytes { bytes in try decode(decoder, Data.borrowing(bytes)) }
        } catch {
            throw EventDecodingError(sequence: event.sequence, kind: kind.name, underlyingError: error)
        }
    }

    /// The same for an event with its own copy of everything.
    public func decode(_ event: Event) throws(EventDecodingError) -> Value? {
        guard let decode = decoders[event.kind.name] else { return nil }
        do {
            return try decode(decoder, Data(event.payload))
        } catch {
            throw EventDecodingError(
                sequence: event.sequence, kind: event.kind.name, underlyingError: error)
        }
    }
}

/// An event whose payload is not what was asked for.
public struct EventDecodingError: Error, CustomStringConvertible {
    /// The event.
    public let sequence: UInt64
    /// The name of its kind.
    public let kind: String
    /// What the decoder said: mostly a `DecodingError`.
    public let underlyingError: any Error

    /// One line of text.
    public var description: String {
        "the event with sequence number \(sequence), of kind \(kind), can't be decoded: \(underlyingError)"
    }
}

extension EventView {
    /// The payload, which is JSON, as a value. Throws `EventDecodingError`. O(payload).
    public func decode<Payload: Decodable>(
        _ type: Payload.Type = Payload.self, with decoder: JSONDecoder = JSONDecoder()
    ) throws(EventDecodingError) -> Payload {
        do {
            return try withUnsafeBytes { bytes in try decoder.decode(type, from: Data.borrowing(bytes)) }
        } catch {
            throw EventDecodingError(sequence: sequence, kind: kind.name, underlyingError: error)
        }
    }
}

extension Event {
    /// The payload, which is JSON, as a value. Throws `EventDecodingError`. O(payload).
    public func decode<Payload: Decodable>(
        _ type: Payload.Type = Payload.self, with decoder: JSONDecoder = JSONDecoder()
    ) throws(EventDecodingError) -> Payload {
        do {
            return try decoder.decode(type, from: Data(payload))
        } catch {
            throw EventDecodingError(sequence: sequence, kind: kind.name, underlyingError: error)
        }
    }
}

extension Data {
    /// The bytes where they are. SAFETY: used by a decoder within the closure that they are lent to; what it returns has its own copies.
    fileprivate static func borrowing(_ bytes: UnsafeRawBufferPointer) -> Data {
        guard let start = bytes.baseAddress else { return Data() }
        return Data(
            bytesNoCopy: UnsafeMutableRawPointer(mutating: start), count: bytes.count, deallocator: .none)
    }
}
