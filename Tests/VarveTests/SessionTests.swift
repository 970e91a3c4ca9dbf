import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("Sessions, kinds, and the end of a writer")
struct SessionTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    // MARK: Kinds and limits

    @Test("A kind is its name and its encoding")
    func kindIdentity() throws {
        let store = try EventStore.open(path)
        let text = try store.kind("k", .utf8, metadata: ["first": "stands"])
        let json = try store.kind("k", .json)
        #expect(text != json)
        #expect(try store.kind("k", .utf8, metadata: ["second": "does not"]) == text)
        let session = try store.startSession("s")
        try session.append("text", kind: text)
        try session.append("{}", kind: json)
        try session.append("more text", kind: text)
        try store.close()
        let info = try EventStore.openReadOnly(path).info()
        #expect(info.kinds.map(\.kind) == [text, json])
        #expect(info.kinds.map(\.events) == [2, 1])
        #expect(info.kinds.map(\.metadata) == [["first": "stands"], [:]])
    }

    @Test("Names that differ only in their Unicode form are two kinds")
    func kindNormalisation() throws {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        let store = try EventStore.open(path)
        let first = try store.kind(composed, .utf8)
        let second = try store.kind(decomposed, .utf8)
        #expect(first != second)
        let session = try store.startSession("s")
        try session.append("composed", kind: first)
        try session.append("decomposed", kind: second)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(
            try reader.info().kinds.map { Array($0.kind.name.utf8) }
                == [composed, decomposed].map { Array($0.utf8) })
        #expect(try reader.collect().map(\.kind) == [first, second])
    }

    @Test("A kind of another store, of an earlier opening, or of a cursor is refused")
    func foreignKind() throws {
        let store = try EventStore.open(path)
        let other = try EventStore.open(directory.path("other"))
        let session = try store.startSession("s")
        try session.append("event", kind: store.kind("k", .utf8))
        let strange = [
            try other.kind("k", .utf8), try store.collect()[0].kind,
        ]
        for kind in strange {
            #expect(throws: StoreError.foreignKind(name: "k")) { try session.append("no", kind: kind) }
            let batch = EventBatch()
            try batch.add(Array("no".utf8), kind: kind, at: 0)
            #expect(throws: StoreError.self) { try session.append(batch) }
        }
        #expect(store.nextSequence == 1)
        let old = try store.kind("k", .utf8)
        try store.close()
        let again = try EventStore.open(path)
        let later = try again.startSession("later")
        #expect(throws: StoreError.foreignKind(name: "k")) { try later.append("no", kind: old) }
        try again.close()
        try other.close()
    }

    @Test("A kind's name has 1 to 255 bytes")
    func kindNames() throws {
        let store = try EventStore.open(path)
        #expect(throws: StoreError.self) { try store.kind("", .utf8) }
        // Bytes count, not characters.
        let long = String(repeating: "é", count: 128)
        let failure = #expect(throws: StoreError.self) { try store.kind(long, .utf8) }
        #expect(failure?.isBeyondLimit(of: 255, with: 256) == true)
        #expect(try store.kind(String(repeating: "x", count: 255), .utf8).name.utf8.count == 255)
        try store.close()
    }

    @Test("What is beyond a limit is refused, and nothing of it is recorded")
    func limits() throws {
        let store = try EventStore.open(path)
        let kind = try store.kind("k", .binary)
        let (id, longID) = (
            String(repeating: "x", count: 64 << 10), String(repeating: "x", count: (64 << 10) + 1)
        )
        let large = [UInt8](repeating: 0, count: (64 << 20) + 1)
        func isRefused(_ limit: UInt64, _ value: UInt64? = nil, _ body: () throws -> Void) {
            let failure = #expect(throws: StoreError.self) { try body() }
            #expect(failure?.isBeyondLimit(of: limit, with: value ?? limit + 1) == true, "\(failure as Any)")
        }
        isRefused(64 << 10) { _ = try store.startSession(longID) }
        let failure = #expect(throws: StoreError.self) {
            try store.startSession("s", metadata: ["key": longID])
        }
        #expect(failure?.isBeyondLimit(of: 64 << 10, with: nil) == true)
        #expect(store.activeSession == nil)
        let session = try store.startSession(id)
        isRefused(64 << 20) { try session.append(large, kind: kind) }
        isRefused(64 << 20) { try EventBatch().add(large, kind: kind, at: 0) }
        isRefused(64 << 20) { try session.checkpoint("cp", state: large) }
        isRefused(64 << 10) { try session.checkpoint(longID, state: []) }
        isRefused(64 << 10) { try session.checkpoint("cp", label: longID, state: []) }
        #expect(store.nextSequence == 0 && session.nextIndex == 0)
        try session.checkpoint(id, label: id, state: [])
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.checkpoints().map(\.label) == [id])
        #expect(try reader.sessions().map(\.id) == [id])
        #expect(try reader.count() == 0)
    }

    // MARK: Life

    @Test("One session is active at a time")
    func alreadyActive() throws {
        let store = try EventStore.open(path)
        let first = try store.startSession("first")
        try first.append("event", kind: store.kind("k", .utf8))
        let active = StoreError.sessionAlreadyActive(id: "first")
        #expect(throws: active) { try store.startSession("second") }
        #expect(throws: active) { try store.startImportedSession("second", at: 0) }
        #expect(throws: active) { try store.resume(session: 1) }
        #expect(first.isActive && store.activeSession?.ordinal == first.ordinal)
        try first.end()
        #expect(!first.isActive && store.activeSession == nil)
        #expect(try store.startSession("second").ordinal == 2)
        try store.close()
    }

    @Test("A resumed session goes on at its last index + 1, and the old handle stays ended")
    func resume() throws {
        let store = try EventStore.open(path)
        let kind = try store.kind("k", .utf8)
        let old = try store.startSession("s", at: 5, metadata: ["a": "b"])
        try old.append("0", kind: kind)
        try old.append("1", kind: kind)
        try old.end()
        let between = try store.startSession("between")
        try between.append("other", kind: kind)
        try between.end()
        let resumed = try store.resume(session: old.ordinal)
        #expect(resumed.ordinal == old.ordinal && resumed.nextIndex == 2 && resumed.startedAt == 5)
        let ended = StoreError.sessionEnded(id: "s")
        #expect(throws: ended) { try old.append("no", kind: kind) }
        #expect(throws: ended) { try old.checkpoint("no", state: []) }
        #expect(throws: ended) { try old.end() }
        #expect(!old.isActive && old.nextIndex == nil && resumed.isActive)
        #expect(try resumed.append("2", kind: kind) == 3)
        #expect(throws: ended) { try old.append("no", kind: kind) }
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        let events = try reader.collect(Query().session(ordinal: old.ordinal))
        #expect(events.map(\.index) == [0, 1, 2] && events.map(\.sequence) == [0, 1, 3])
        #expect(try reader.sessions().map(\.eventCount) == [3, 1])
        #expect(try reader.sessions().first?.metadata == ["a": "b"])
    }

    // It was an import once more, which counts with its end alone: a crash took the whole session out of sight.
    @Test(
        "An import that goes on as a session is there after a crash, with what it has got since",
        arguments: [false, true])
    func resumedImport(isRepaired: Bool) throws {
        let store = try EventStore.open(path)
        let kind = try store.kind("k", .utf8)
        let imported = try store.startImportedSession("s", at: 5)
        try imported.append(Array("7".utf8), kind: kind, at: 1, index: 7)
        try imported.end()
        let session = try store.resume(session: 1)
        #expect(session.nextIndex == 8)
        #expect(throws: StoreError.self) { try session.append([], kind: kind, at: 1, index: 3) }
        try session.append("8", kind: kind)
        try store.flush()
        var crashed = directory.path("crashed")
        try copyLive(path, to: crashed)
        try store.close()
        if isRepaired {
            _ = try EventStore.repair(crashed, into: directory.path("repaired"))
            crashed = directory.path("repaired")
        }
        for _ in 0..<2 {
            let reader = try EventStore.openReadOnly(crashed)
            #expect(try reader.collect().map(\.index) == [7, 8])
            #expect(try reader.sessions().map(\.state) == [.interrupted])
            #expect(try reader.sessions().map(\.isImported) == [true])
            try EventStore.open(crashed).close()
        }
    }

    @Test("A session can be resumed in a later opening, and one that there is not can't")
    func resumeLater() throws {
        let first = try EventStore.open(path)
        try first.startSession("s").append("0", kind: first.kind("k", .utf8))
        try first.close()
        let store = try EventStore.open(path)
        #expect(store.activeSession == nil)
        #expect(throws: StoreError.noSuchSession(ordinal: 2)) { try store.resume(session: 2) }
        let session = try store.resume(session: 1)
        #expect(session.nextIndex == 1)
        #expect(try session.append("1", kind: store.kind("k", .utf8)) == 1)
        try store.close()
        #expect(try EventStore.openReadOnly(path).sessions().map(\.eventCount) == [2])
    }

    @Test("Ids may repeat: ordinals tell sessions apart")
    func repeatedIDs() throws {
        let store = try EventStore.open(path)
        let kind = try store.kind("k", .utf8)
        for number in 1...3 {
            let session = try store.startSession("same")
            #expect(session.ordinal == UInt64(number))
            try session.append("\(number)", kind: kind)
            try session.end()
        }
        #expect(try store.collect(Query().session("same")).count == 3)
        let second = try store.collect(Query().session(ordinal: 2))
        #expect(second.map(\.payload) == [Array("2".utf8)] && second.map(\.index) == [0])
        try store.close()
    }

    @Test("Closing ends the active session as closed; closing twice is fine; later use is refused")
    func closing() throws {
        let store = try EventStore.open(path)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        try session.append("event", kind: kind)
        try store.close()
        try store.close()
        #expect(throws: StoreError.closed) { try store.kind("other", .utf8) }
        #expect(throws: StoreError.closed) { try store.startSession("again") }
        #expect(throws: StoreError.closed) { try store.resume(session: 1) }
        #expect(throws: StoreError.closed) { try store.flush() }
        #expect(throws: StoreError.closed) { try store.blockUntilDurable(through: 0) }
        #expect(throws: StoreError.closed) { try session.append("no", kind: kind) }
        #expect(throws: StoreError.closed) { try session.checkpoint("no", state: []) }
        #expect(throws: StoreError.closed) { try session.end() }
        let info = try #require(try EventStore.openReadOnly(path).sessions().first)
        #expect(info.state == .closed && info.endedAt != nil && info.eventCount == 1)
    }

    // MARK: A writer that goes away

    @Test(
        "A store copied while it is open shows its session as interrupted, and changes only when it is written"
    )
    func interrupted() throws {
        let copy = directory.path("copy")
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 10)
        for number in 0..<UInt64(50) {
            try session.append(noise(number, 300), kind: kind, at: 100 + Int64(number))
            if number % 20 == 9 { try session.checkpoint("cp", state: noise(number, 50)) }
        }
        try store.flush()
        try copyLive(path, to: copy)
        let made = try store.checkpoints()
        try store.close()

        let before = try contents(of: copy)
        let reader = try EventStore.openReadOnly(copy)
        try check(reader, made)
        try reader.close()
        #expect(try contents(of: copy) == before)

        let writer = try EventStore.open(copy, options: smallBlocks())
        #expect(writer.recovery?.interruptedSession == 1)
        #expect(writer.recovery?.gaps == [])
        try check(writer, made)
        let next = try writer.startSession("next")
        #expect(next.ordinal == 2)
        #expect(try next.append("goes on", kind: writer.kind("k", .utf8)) == 50)
        #expect(try next.checkpoint("cp", state: []).ordinal == UInt64(made.count) + 1)
        try writer.close()
        let again = try EventStore.openReadOnly(copy)
        #expect(try again.sessions().map(\.state) == [.interrupted, .closed])
        #expect(try again.count() == 51 && again.verify().isIntact)
    }

    private func check(_ store: EventStore, _ checkpoints: [Checkpoint]) throws {
        let info = try #require(try store.sessions().first)
        #expect(info.state == .interrupted && info.endedAt == 149 && info.eventCount == 50)
        #expect(try store.collect().map(\.payload) == (0..<50).map { noise($0, 300) })
        #expect(try store.checkpoints() == checkpoints && checkpoints.count == 3)
        for (checkpoint, number) in zip(checkpoints, [UInt64(9), 29, 49]) {
            #expect(try store.state(of: checkpoint) == noise(number, 50))
        }
    }
}

extension StoreError {
    fileprivate func isBeyondLimit(of limit: UInt64, with value: UInt64?) -> Bool {
        guard case .beyondLimit(_, let found, limit) = self else { return false }
        return value.map { $0 == found } ?? (found > limit)
    }
}
