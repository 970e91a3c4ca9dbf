/// The benchmark workload A: events of a desktop app's inspector as JSON, about 130 to 510 bytes (mean 205) in eight
/// kinds, 1 to 2,000 µs apart. And workload B, whose events hold many of A's payloads each (``Shape``).
///
/// Deterministic: the same parameters give the same bytes on every machine. One payload of 10,000 contains
/// ``rareText``. Text repeats the way logs do (templates, paths, URLs, selectors), so that it compresses like
/// real ones.
///
/// Not `Sendable`: it owns the memory of the payload under construction.
public struct WorkloadA: ~Copyable {
    /// The eight kinds; ``Event/kind`` counts from 0 in this order.
    public static let kindNames = [
        "ipc.call", "ipc.result", "state.change", "console.log", "dom.mutation", "net.request",
        "net.response",
        "ui.input",
    ]
    /// Stands in one payload of 10,000.
    public static let rareText = "E_QUOTA_EXCEEDED"
    /// The seed of the published figures.
    public static let defaultSeed: UInt64 = 0x5EED_2026
    /// The timestamp before the first event's: 2026-01-01T00:00:00Z.
    public static let startTimestamp: Int64 = 1_767_225_600_000_000_000

    /// What an event's payload is.
    public enum Shape: Sendable {
        /// One object: workload A.
        case single
        /// A snapshot of some twenty such objects, about 4 KiB (3.4 to 4.8 KB): workload B.
        case snapshot
    }

    /// What stands beside a payload.
    public struct Event: Hashable, Sendable {
        /// Position in the workload, from 0.
        public let number: UInt64
        /// Nanoseconds since the Unix epoch; ascending.
        public let timestamp: Int64
        /// Position in ``kindNames``.
        public let kind: Int
    }

    /// Kinds by their frequency.
    private static let kindsWeighted: [UInt8] = [
        0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 6, 7, 7, 7,
    ]
    /// Kinds whose payloads can hold the rare text.
    private static let kindsWithRareText: [UInt8] = [1, 3, 6]

    private let shape: Shape
    private var maker: PayloadMaker
    private var number: UInt64 = 0
    private var timestamp = WorkloadA.startTimestamp

    /// The workload from its first event on.
    public init(_ shape: Shape = .single, seed: UInt64 = WorkloadA.defaultSeed) {
        self.shape = shape
        maker = PayloadMaker(seed: seed)
    }

    /// Makes the next event and its ``payload``. About 0.3 µs; a snapshot takes 6 µs.
    public mutating func next() -> Event {
        timestamp += 1_000 * (1 + Int64(maker.draw(below: 2_000)))
        let isRare = number % 10_000 == (number / 10_000 * 7_919 + 1_234) % 10_000
        let choices = isRare ? WorkloadA.kindsWithRareText : WorkloadA.kindsWeighted
        let kind = Int(choices[Int(maker.draw(below: UInt32(choices.count)))])
        switch shape {
        case .single: maker.make(kind: kind, isRare: isRare)
        case .snapshot:
            maker.makeSnapshot(kind: kind, isRare: isRare, otherKinds: WorkloadA.kindsWeighted)
        }
        defer { number += 1 }
        return Event(number: number, timestamp: timestamp, kind: kind)
    }

    /// The payload of the last event; empty before the first. Valid until the next call of ``next()`` or the
    /// end of the workload.
    public var payload: UnsafeRawBufferPointer { maker.text.bytes }

    /// Appends the last event as one line of JSON, its newline included:
    /// `{"seq":0,"ts":1767225600000123000,"kind":"ipc.call","payload":{…}}`.
    public func appendLine(of event: Event, to lines: inout [UInt8]) {
        lines.append(contentsOf: "{\"seq\":\(event.number),\"ts\":\(event.timestamp),\"kind\":\"".utf8)
        lines.append(contentsOf: WorkloadA.kindNames[event.kind].utf8)
        lines.append(contentsOf: "\",\"payload\":".utf8)
        lines.append(contentsOf: payload)
        lines.append(contentsOf: "}\n".utf8)
    }
}
