import Testing
import Varve
import VarveTestKit

@Suite("What waits for the disk is shown like what is on it")
struct QueuedRecordTests {
    @Test("Sessions, checkpoints and their states that are still queued are there for a snapshot")
    func queued() throws {
        let directory = try TemporaryDirectory()
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        // Without it nothing waits until a checkpoint is written.
        options.keepsTail = false
        options.queueBatches = 8
        let store = try EventStore.open(directory.path("store"), options: options)
        let kind = try store.kind("noise", .binary)
        system.closeGate()
        defer { system.openGate() }
        let session = try store.startSession("queued", at: 1)
        try session.append(noise(0, 50), kind: kind, at: 2)
        try session.append(noise(1, 50), kind: kind, at: 3)
        let checkpoint = try session.checkpoint("queued", label: "l", state: noise(9, 80), at: 4)
        try session.append(noise(2, 50), kind: kind, at: 5)
        let snapshot = try store.snapshot()
        func check(_ snapshot: Snapshot) throws {
            let info = try #require(try snapshot.sessions().first)
            #expect(info.id == "queued" && info.state == .active)
            #expect(info.eventCount == 3 && info.checkpointCount == 1 && info.nextIndex == 3)
            #expect(try snapshot.checkpoints() == [checkpoint])
            #expect(try snapshot.state(of: checkpoint) == noise(9, 80))
            #expect(try snapshot.count() == 3)
        }
        try check(snapshot)
        system.openGate()
        try store.flush()
        // An older snapshot does not change.
        try check(snapshot)
        try check(try store.snapshot())
        try store.close()
    }

    @Test("A span of bytes is appended like an array, and a batch knows its bytes")
    func spans() throws {
        let directory = try TemporaryDirectory()
        let store = try EventStore.open(directory.path("store"), options: smallBlocks())
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("noise", .binary)
        let bytes = noise(3, 40)
        #expect(try session.append(bytes.span.bytes, kind: kind, at: 1) == 0)
        #expect(try store.collect().map(\.payload) == [bytes])
        #expect(throws: StoreError.self) {
            try session.append(bytes, kind: kind, at: 1, index: 4)
        }
        #expect(throws: StoreError.self) {
            try session.checkpoint("c", state: [], eventIndex: 4)
        }
        let batch = EventBatch()
        for count in [3, 0, 5] { try batch.add(noise(1, count), kind: kind, at: 2) }
        #expect((0...4).map(batch.byteCount(ofFirst:)) == [0, 3, 3, 8, 8])
        try store.close()
    }
}
