import Foundation
import Varve
import VarveJSON
import VarveTestKit

/// Varve itself, as it was recorded or compacted.
final class VarvePeer: Peer {
    let isCompacted: Bool
    var name: String { isCompacted ? "Varve, compacted" : "Varve" }
    let settings: String

    init(isCompacted: Bool) {
        self.isCompacted = isCompacted
        settings =
            isCompacted
            ? "what `varve compact` makes of it: LZ4 HC with a dictionary, text filters"
            : "its own defaults, with which two threads compress, but no compaction in the background; durable appends: `synced`"
    }

    private static func path(_ directory: String) -> String { "\(directory)/events.varve" }

    func append(_ data: Dataset, in directory: String) throws {
        let store = try EventStore.open(Self.path(directory), options: .recording)
        try data.append(to: store)
        try store.close()
    }

    func compact(_ directory: String) throws {
        let store = try EventStore.open(Self.path(directory), options: .recording)
        guard try store.compact().isComplete else { throw PeerFailure("compaction was cut off") }
        try store.close()
    }

    func appendDurably(_ data: Dataset, batch batchCount: Int, batches: Int, in directory: String) throws
        -> Double
    {
        var options = StoreOptions.recording
        options.durability = .synced
        let store = try EventStore.open(Self.path(directory), options: options)
        let kinds = try data.kinds(in: store)
        let session = try data.startSession(in: store)
        let batch = EventBatch()
        let duration = try seconds {
            for number in 0..<batches {
                if batchCount == 1 {
                    try session.append(
                        data.payload(number), kind: kinds[Int(data.kinds[number])],
                        at: data.timestamps[number])
                    continue
                }
                batch.removeAll()
                for position in number * batchCount..<(number + 1) * batchCount {
                    try batch.add(
                        data.payload(position), kind: kinds[Int(data.kinds[position])],
                        at: data.timestamps[position])
                }
                _ = try session.append(batch)
            }
        }
        try store.close()
        return duration
    }

    func open(_ directory: String) throws -> any PeerReader {
        VarveReader(try EventStore.openReadOnly(Self.path(directory), options: StoreOptions()))
    }
}

private final class VarveReader: PeerReader {
    private let store: EventStore
    private let snapshot: Snapshot?

    init(_ store: EventStore) {
        self.store = store
        snapshot = try? store.snapshot()
    }

    func close() throws { try store.close() }

    private func answer(_ query: Query) throws -> Answer {
        guard let snapshot else { throw PeerFailure("no snapshot") }
        var answer = Answer()
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            let (sequence, timestamp) = (event.sequence, event.timestamp)
            event.withUnsafeBytes { answer.add(sequence, timestamp, $0) }
        }
        guard cursor.coverage.isComplete else { throw PeerFailure("gaps: \(cursor.coverage.gaps)") }
        return answer
    }

    func scan() throws -> Answer { try answer(Query()) }

    func event(_ sequence: UInt64) throws -> Answer { try answer(Query().sequences(sequence...sequence)) }

    func events(in range: ClosedRange<Int64>) throws -> Answer { try answer(Query().time(range)) }

    private func count(_ query: Query) throws -> Int {
        guard let snapshot else { throw PeerFailure("no snapshot") }
        return Int(try snapshot.count(query))
    }

    func count(kind _: Int, named name: String) throws -> Int { try count(Query().kinds(name)) }

    func count(text: String) throws -> Int { try count(Query().matching(try TextPredicate(text))) }
}
