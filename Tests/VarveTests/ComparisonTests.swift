import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("A comparison of two sessions")
struct ComparisonTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private struct Item: Equatable {
        var kind = "a"
        var payload: [UInt8]
        var timestamp: Int64 = 0
    }

    /// A store that is closed, whose blocks end where its events say.
    private func store(_ name: String, _ sessions: [[Item]], _ options: StoreOptions? = nil) throws
        -> Snapshot
    {
        let path = directory.path(name)
        let store = try EventStore.open(path, options: options ?? smallBlocks(on: ControlledFileSystem()))
        for items in sessions {
            let session = try store.startSession("s", at: 0)
            for item in items {
                try session.append(item.payload, kind: store.kind(item.kind, .binary), at: item.timestamp)
            }
            try session.end()
        }
        try store.close()
        return try EventStore.openReadOnly(path).snapshot()
    }

    private func items(_ count: Int, seed: UInt64 = 0) -> [Item] {
        (0..<count).map { Item(kind: $0 % 3 == 0 ? "b" : "a", payload: noise(seed + UInt64($0), 100)) }
    }

    private let one = Query().session(ordinal: 1)

    @Test("Equal sessions are equal, and of what is stored alike nothing is decompressed")
    func equal() throws {
        let items = items(1000)
        let later = items.enumerated().map { Item(kind: $1.kind, payload: $1.payload, timestamp: Int64($0)) }
        let (first, second) = (try store("1", [items]), try store("2", [later]))
        let result = try first.compare(one, with: second, one)
        #expect(result.divergence == nil)
        #expect(result.equalEvents == 1000)
        #expect(result.firstStatistics.subBlocksDecoded == 0 && result.secondStatistics.subBlocksDecoded == 0)
        #expect(result.firstCoverage.isComplete && result.secondCoverage.isComplete)
        let timed = try first.compare(one, with: second, one, comparesTime: true)
        #expect(timed.divergence?.equalEvents == 1)
    }

    @Test(
        "The first event that differs is found, in whichever way it does", arguments: [0, 1, 499, 998, 999],
        0..<5)
    func divergence(position: Int, way: Int) throws {
        let items = items(1000)
        var other = items
        switch way {
        case 0: other[position].payload[50] ^= 1
        case 1: other[position].kind = "c"
        case 2: other.remove(at: position)
        case 3: other.insert(Item(payload: [1, 2, 3]), at: position)
        default: other.removeSubrange(position...)
        }
        let (first, second) = (try store("1", [items]), try store("2", [other]))
        for (left, right) in [(first, second), (second, first)] {
            let result = try left.compare(one, with: right, one)
            let divergence = try #require(result.divergence)
            #expect(divergence.equalEvents == UInt64(position) && result.equalEvents == UInt64(position))
            #expect(try divergence.first == left.event(sequence: UInt64(position)))
            #expect(try divergence.second == right.event(sequence: UInt64(position)))
            // Most of what comes before is stored alike.
            #expect(result.firstStatistics.subBlocksDecoded <= 3)
        }
    }

    @Test("Blocks that end elsewhere, other kind numbers and other compression change nothing")
    func otherLayout() throws {
        let items = items(1000)
        var options = StoreOptions()
        options.blockBytes = 16 << 10
        options.subBlockBytes = 3000
        let before = [Item(kind: "b", payload: [0]), Item(kind: "z", payload: noise(1, 777))]
        let (first, second) = (try store("1", [items]), try store("2", [before, items], options))
        let result = try first.compare(one, with: second, Query().session(ordinal: 2))
        #expect(result.divergence == nil && result.equalEvents == 1000)
    }

    @Test("Sessions of one store are compared, also while they are recorded")
    func sameStore() throws {
        let items = items(200)
        let store = try EventStore.open(directory.path("s"), options: smallBlocks(on: ControlledFileSystem()))
        for _ in 0..<2 {
            let session = try store.startSession("s", at: 0)
            for item in items {
                try session.append(item.payload, kind: store.kind(item.kind, .binary), at: 0)
            }
            if try store.info().sessionCount == 1 { try session.end() }
        }
        let snapshot = try store.snapshot()
        let result = try snapshot.compare(one, with: snapshot, Query().session(ordinal: 2))
        #expect(result.divergence == nil && result.equalEvents == 200)
    }

    @Test("Queries choose what is compared")
    func queries() throws {
        var other = items(300)
        for position in other.indices where other[position].kind == "a" { other[position].payload = [9] }
        let (first, second) = (try store("1", [items(300)]), try store("2", [other]))
        let kinds = one.kinds("b")
        #expect(try first.compare(kinds, with: second, kinds).equalEvents == 100)
        #expect(try first.compare(kinds, with: second, kinds).divergence == nil)
        #expect(throws: StoreError.self) { try first.compare(one.reversed(), with: second, one) }
    }

    @Test("Payloads that differ as bytes are left to the caller")
    func sameByTheCaller() throws {
        var other = items(50)
        other[10].payload = noise(99, 30)
        other[20].payload = noise(98, 100)
        let (first, second) = (try store("1", [items(50)]), try store("2", [other]))
        var asked: [UInt64] = []
        let result = try first.compare(one, with: second, one) { left, right in
            asked.append(left.sequence)
            return right.sequence == 10
        }
        #expect(asked == [10, 20])
        #expect(result.divergence?.equalEvents == 20)
    }

    @Test("Random sessions: what is found is what a comparison of arrays finds", arguments: UInt64(0)..<20)
    func random(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let items = (0..<400).map { _ in
            Item(
                kind: ["a", "b", "c"][Int(random.below(3))],
                payload: [UInt8](repeating: UInt8(random.below(2)), count: Int(random.below(60))))
        }
        var other = items
        for _ in 0..<random.below(3) {
            let position = Int(random.below(UInt32(other.count)))
            switch random.below(3) {
            case 0: other[position].payload.append(7)
            case 1: other.remove(at: position)
            default: other.insert(Item(kind: "b", payload: []), at: position)
            }
        }
        let (first, second) = (try store("1", [items]), try store("2", [other]))
        let result = try first.compare(one, with: second, one)
        let expected = zip(items, other).prefix { $0 == $1 }.count
        #expect(result.equalEvents == UInt64(expected), "seed \(seed)")
        #expect((result.divergence == nil) == (items == other), "seed \(seed)")
    }

    @Test("Damage in what is stored alike on both sides is not passed over")
    func damage() throws {
        let items = items(400)
        _ = try (store("1", [items]), store("2", [items]))
        for name in ["1", "2"] {
            let file = try #require(try segments(of: directory.path(name)).first)
            var bytes = try Data(contentsOf: URL(filePath: file))
            bytes[bytes.count / 3] ^= 4
            try bytes.write(to: URL(filePath: file))
        }
        let (first, second) = (
            try EventStore.openReadOnly(directory.path("1")).snapshot(),
            try EventStore.openReadOnly(directory.path("2")).snapshot()
        )
        let result = try first.compare(one, with: second, one)
        #expect(!result.firstCoverage.isComplete && !result.secondCoverage.isComplete)
    }
}
