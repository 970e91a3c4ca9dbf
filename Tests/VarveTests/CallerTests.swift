import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("A store and its callers")
struct CallerTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    // MARK: Opening

    @Test("Opening a closed store for writing reads footers and no data")
    func openingForWriting() throws {
        var options = smallBlocks()
        options.blockBytes = 64 << 10
        options.subBlockBytes = 16 << 10
        options.segmentBytes = 1 << 20
        let first = try EventStore.open(path, options: options)
        let kind = try first.kind("noise", .binary)
        let session = try first.startSession("s")
        for number in 0..<UInt64(1000) { try session.append(noise(number, 4 << 10), kind: kind) }
        try first.close()
        let stored = try segments(of: path).map { try Data(contentsOf: URL(filePath: $0)).count }.reduce(0, +)
        let system = CountingFileSystem()
        options.fileSystem = system
        let store = try EventStore.open(path, options: options)
        let opening = system.total { $0.hasSuffix(".seg") }
        #expect(opening.bytesRead > 0 && opening.bytesRead < UInt64(stored / 50))
        #expect(opening.bytesPopulated < UInt64(stored / 50))
        #expect(store.recovery == nil)
        try store.close()
    }

    @Test("A read-only store refuses what writes, and writes nothing")
    func readOnly() async throws {
        let writer = try EventStore.open(path)
        let kind = try writer.kind("k", .utf8)
        try writer.startSession("s").append("event", kind: kind)
        try writer.close()
        let before = try contents(of: path)
        let system = CountingFileSystem()
        let reader = try EventStore.openReadOnly(path, options: smallBlocks(on: system))
        #expect(throws: StoreError.readOnly) { try reader.kind("k", .utf8) }
        #expect(throws: StoreError.readOnly) { try reader.startSession("no") }
        #expect(throws: StoreError.readOnly) { try reader.startImportedSession("no", at: 0) }
        #expect(throws: StoreError.readOnly) { try reader.resume(session: 1) }
        #expect(throws: StoreError.readOnly) { try reader.flush() }
        #expect(throws: StoreError.readOnly) { try reader.blockUntilDurable(through: 0) }
        await #expect(throws: StoreError.readOnly) { try await reader.waitUntilDurable(through: 0) }
        #expect(reader.activeSession == nil && reader.durableThrough == 0 && reader.nextSequence == 1)
        #expect(try reader.collect().map(\.payload) == [Array("event".utf8)])
        try reader.close()
        #expect(system.total().bytesWritten == 0 && system.total().syncs == 0)
        #expect(try contents(of: path) == before)
    }

    // MARK: Durability

    /// A synced store with one event and its kind, whose next syncs are held.
    private func held() throws -> (SyncGateFileSystem, EventStore, Session, EventKind) {
        let system = SyncGateFileSystem()
        var options = StoreOptions()
        options.fileSystem = system
        options.durability = .synced
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        try session.append("the kind is written with it", kind: kind)
        system.hold()
        return (system, store, session, kind)
    }

    @Test("Appends that wait for the disk while it syncs share the next sync")
    func groupCommit() throws {
        let (system, store, session, kind) = try held()
        defer { system.release() }
        let failures = Locked<[String]>([])
        let group = DispatchGroup()
        // Threads of their own: Dispatch would run no more at a time than there are cores.
        for number in 0..<8 {
            // The first one waits for its sync when the others come.
            if number == 1 { system.waitForSync() }
            group.enter()
            Thread.detachNewThread {
                defer { group.leave() }
                do {
                    let sequence = try session.append("\(number)", kind: kind)
                    let durable = store.durableThrough
                    if durable.map({ $0 < sequence }) ?? true {
                        failures.withLock { $0.append("\(sequence) is not durable: \(durable as Any)") }
                    }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
        }
        try #require(comesTrue { store.nextSequence == 9 })
        #expect(system.syncs == 1 && system.writes == 1 && store.durableThrough == 0)
        system.release()
        group.wait()
        #expect(failures.withLock { $0 } == [])
        #expect(store.durableThrough == 8)
        // The one that was held, one for the rest, and one for those that had not begun to wait by then.
        #expect((2...3).contains(system.syncs) && (2...3).contains(system.writes))
        try store.close()
    }

    @Test(
        "Tasks that wait for the disk while it syncs share the next block and sync", .timeLimit(.minutes(60)))
    func asynchronousGroupCommit() async throws {
        let (system, store, session, kind) = try held()
        defer { system.release() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                if number == 1 { while system.syncs == 0 { await Task.yield() } }
                group.addTask {
                    let sequence = try await session.appendWhenReady(Array("\(number)".utf8), kind: kind)
                    let durable = store.durableThrough
                    #expect(durable.map { $0 >= sequence } ?? false)
                }
            }
            while store.nextSequence < 9 { await Task.yield() }
            #expect(system.syncs == 1 && system.writes == 1 && store.durableThrough == 0)
            system.release()
            try await group.waitForAll()
        }
        #expect(store.durableThrough == 8)
        #expect((2...3).contains(system.syncs) && (2...3).contains(system.writes))
        try store.close()
    }

    @Test("Where the sync fails for which others wait all of them are refused, and nothing is taken after")
    func groupFails() throws {
        let (system, store, session, kind) = try held()
        defer { system.release() }
        let refused = Locked(0)
        let group = DispatchGroup()
        for number in 0..<8 {
            if number == 1 { system.waitForSync() }
            group.enter()
            Thread.detachNewThread {
                defer { group.leave() }
                do {
                    try session.append("\(number)", kind: kind)
                } catch {
                    refused.withLock { $0 += 1 }
                }
            }
        }
        try #require(comesTrue { store.nextSequence == 9 })
        system.release(failing: true)
        group.wait()
        #expect(refused.withLock { $0 } == 8 && store.durableThrough == 0)
        let next = store.nextSequence
        #expect(throws: StoreError.self) { try session.append("after", kind: kind) }
        #expect(store.nextSequence == next)
    }

    @Test("Waiting for an event is over once it is durable; for a number not given it is refused")
    func waiting() async throws {
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        try session.append("0", kind: kind)
        #expect(store.durableThrough == nil)
        try await store.waitUntilDurable(through: 0)
        #expect(store.durableThrough == 0)
        try session.append("1", kind: kind)
        #expect(store.durableThrough == 0)
        try store.blockUntilDurable(through: 1)
        #expect(store.durableThrough == 1)
        try await store.waitUntilDurable(through: 0)
        let notGiven = StoreError.invalid(what: "sequence number 2", reason: "was not given yet")
        #expect(throws: notGiven) { try store.blockUntilDurable(through: 2) }
        await #expect(throws: notGiven) { try await store.waitUntilDurable(through: 2) }
        try store.close()
        await #expect(throws: StoreError.closed) { try await store.waitUntilDurable(through: 0) }
    }

    // MARK: Asynchronous appends

    @Test(
        "Asynchronous appends wait for room, whatever a full queue does to others, and hold no thread",
        .timeLimit(.minutes(60)), arguments: [WhenFull.wait, .fail, .dropAndCount])
    func appendWhenReady(whenFull: WhenFull) async throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.whenFull = whenFull
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        let sequences = try await withThrowingTaskGroup(of: UInt64?.self) { group in
            for number in 0..<UInt64(200) {
                group.addTask { try await session.appendWhenReady(noise(number, 1000), kind: kind, at: 0) }
            }
            // It gets its turn only when those that found no room have given up their threads.
            group.addTask {
                while store.nextSequence < 8 { await Task.yield() }
                system.openGate()
                return nil
            }
            var given: [UInt64] = []
            for try await sequence in group { if let sequence { given.append(sequence) } }
            return given
        }
        #expect(sequences.sorted() == Array(0..<200))
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        let events = try reader.collect()
        #expect(events.map(\.sequence) == Array(0..<200) && events.map(\.index) == Array(0..<200))
        #expect(Set(events.map(\.payload)) == Set((0..<200).map { noise($0, 1000) }))
        #expect(try reader.info().drops == [] && reader.info().gaps == [])
    }

    @Test("An asynchronous append to a synced store returns once it is durable")
    func appendWhenReadySynced() async throws {
        var options = StoreOptions()
        options.durability = .synced
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        let undurable = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<50 {
                group.addTask {
                    let sequence = try await session.appendWhenReady(Array("\(number)".utf8), kind: kind)
                    return store.durableThrough.map { $0 < sequence } ?? true
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(undurable == 0 && store.durableThrough == 49)
        try session.end()
        await #expect(throws: StoreError.sessionEnded(id: "s")) {
            try await session.appendWhenReady([], kind: kind)
        }
        try store.close()
        await #expect(throws: StoreError.closed) { try await session.appendWhenReady([], kind: kind) }
    }

    @Test("The asynchronous sequence shows what was there when it was made")
    func asynchronousSnapshot() async throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(600) { try session.append(noise(number, 20), kind: kind) }
        let sequence = try store.events()
        var next: UInt64 = 0
        for try await event in sequence {
            #expect(event.sequence == next && event.payload == noise(next, 20))
            next += 1
            // More than one of its chunks after the other.
            try session.append("later", kind: kind)
        }
        #expect(next == 600)
        #expect(try store.count() == 1200)
        try store.close()
    }

    // MARK: Sessions

    @Test("A rebuilt session gives back its events, checkpoints and states, and says that it is complete")
    func rebuild() async throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        for id in ["first", "second"] {
            let session = try store.startSession(id, at: -5, metadata: ["id": id])
            for number in 0..<UInt64(30) {
                if number % 10 == 5 { try session.checkpoint("cp", state: noise(number, 2000)) }
                try session.append(noise(number, 300) + Array(id.utf8), kind: kind, at: Int64(number))
            }
            if id == "first" { try session.end(at: 77) }
        }
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        for (ordinal, id) in [(UInt64(1), "first"), (2, "second")] {
            let rebuilt = try reader.rebuild(session: ordinal)
            let payloads = (0..<30).map { noise($0, 300) + Array(id.utf8) }
            var fromCursor: [Event] = []
            var cursor = try rebuilt.cursor()
            while let event = try cursor.nextEvent() { fromCursor.append(event) }
            #expect(fromCursor.map(\.payload) == payloads && fromCursor.map(\.index) == Array(0..<30))
            var fromSequence: [Event] = []
            for try await event in rebuilt.events() { fromSequence.append(event) }
            #expect(fromSequence == fromCursor)
            #expect(rebuilt.checkpoints.map(\.eventIndex) == [5, 15, 25])
            for (checkpoint, number) in zip(rebuilt.checkpoints, [UInt64(5), 15, 25]) {
                #expect(try rebuilt.state(of: checkpoint) == noise(number, 2000))
            }
            #expect(try rebuilt.coverage().isComplete)
            #expect(rebuilt.info.id == id && rebuilt.info.metadata == ["id": id])
            #expect(rebuilt.info.startedAt == -5 && rebuilt.info.eventCount == 30)
            #expect(rebuilt.info.timeRange == 0...29)
        }
        #expect(try reader.rebuild(session: 1).info.endedAt == 77)
        #expect(throws: StoreError.noSuchSession(ordinal: 3)) { try reader.rebuild(session: 3) }
    }

    @Test("A writer that is let go without closing frees the lock, and leaves its session interrupted")
    func abandoned() throws {
        try abandon()
        let store = try EventStore.open(path)
        #expect(store.recovery?.interruptedSession == 1 && store.activeSession == nil)
        let info = try #require(try store.sessions().first)
        #expect(info.state == .interrupted && info.endedAt == 9 && info.eventCount == 10)
        #expect(try store.collect().map(\.payload) == (0..<10).map { noise($0, 100) })
        try store.close()
    }

    private func abandon() throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("noise", .binary)
        for number in 0..<UInt64(10) { try session.append(noise(number, 100), kind: kind, at: Int64(number)) }
        try store.flush()
    }

    @Test("A copy taken while batches wait for the disk shows a prefix that holds all that was flushed")
    func copiedWithoutFlush() throws {
        let copy = directory.path("copy")
        let system = ControlledFileSystem()
        let store = try EventStore.open(path, options: smallBlocks(on: system))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 10)
        for number in 0..<UInt64(20) {
            try session.append(noise(number, 300), kind: kind, at: 100 + Int64(number))
        }
        try session.checkpoint("cp", state: noise(0, 50))
        try store.flush()
        system.closeGate()
        defer { system.openGate() }
        for number in UInt64(20)..<40 {
            try session.append(noise(number, 300), kind: kind, at: 100 + Int64(number))
        }
        try copyLive(path, to: copy)
        let reader = try EventStore.openReadOnly(copy)
        let events = try reader.collect()
        #expect((20...40).contains(events.count))
        #expect(events.map(\.payload) == (0..<UInt64(events.count)).map { noise($0, 300) })
        let info = try #require(try reader.sessions().first)
        #expect(info.state == .interrupted && info.endedAt == events.last?.timestamp)
        #expect(try reader.checkpoints().map(\.eventIndex) == [20])
        system.openGate()
        try store.close()
        #expect(try EventStore.openReadOnly(path).count() == 40)
    }

    @Test("An interrupted session without events ends when it started")
    func interruptedEmpty() throws {
        let copy = directory.path("copy")
        let store = try EventStore.open(path)
        let session = try store.startSession("empty", at: 123)
        #expect(session.nextIndex == 0)
        try store.flush()
        try copyLive(path, to: copy)
        try store.close()
        for opened in [try EventStore.openReadOnly(copy), try EventStore.open(copy)] {
            let info = try #require(try opened.sessions().first)
            #expect(info.state == .interrupted && info.endedAt == 123 && info.eventCount == 0)
            #expect(info.firstSequence == nil && info.timeRange == nil)
            try opened.close()
        }
    }

    // MARK: Limits

    @Test("Metadata of a store or a kind beyond the limit are refused, and nothing is made of them")
    func metadataLimits() throws {
        let large = ["key": String(repeating: "x", count: 64 << 10)]
        func isRefused(_ body: () throws -> Void) {
            let failure = #expect(throws: StoreError.self) { try body() }
            guard case .beyondLimit(_, let value, 64 << 10) = failure else {
                Issue.record("\(failure as Any)")
                return
            }
            #expect(value > 64 << 10)
        }
        var options = StoreOptions()
        options.metadata = large
        isRefused { _ = try EventStore.open(path, options: options) }
        #expect(!FileManager.default.fileExists(atPath: path))
        options.metadata = ["key": String(repeating: "x", count: 60 << 10)]
        let store = try EventStore.open(path, options: options)
        isRefused { _ = try store.kind("k", .utf8, metadata: large) }
        // The name was not taken by the refused one.
        try store.startSession("s").append("event", kind: store.kind("k", .utf8, metadata: ["a": "b"]))
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(reader.metadata == options.metadata)
        #expect(try reader.info().kinds.map(\.metadata) == [["a": "b"]])
    }
}
