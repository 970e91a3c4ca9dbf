import Testing
import Varve
import VarveRecorder
import VarveTestKit

@Suite("Recording, as its article shows it")
struct RecordingExamples {
    private let directory: TemporaryDirectory
    private let output = Output()
    private var path: String { directory.path("store") }
    private let now: Int64 = 1_778_414_400_000_000_000

    init() throws { directory = try TemporaryDirectory() }

    private func print(_ items: Any...) { output.print(items) }

    @Test("A store, a session, kinds and events of each encoding")
    func events() throws {
        var options = StoreOptions()
        options.metadata = ["service": "checkout"]
        options.diagnostics = { print("store: \($0)") }
        let store = try EventStore.open(path, options: options)

        let session = try store.startSession("boot-7", metadata: ["version": "2.1"])
        let request = try store.kind("request", .json)
        let line = try store.kind("stdout", .utf8)
        let frame = try store.kind("frame", .binary)

        let number = try session.append(#"{"path":"/","ms":4}"#, kind: request)
        try session.append("listening on port 80", kind: line, at: 1_778_414_400_000_000_000)
        try session.append([0x89, 0x50, 0x4e, 0x47], kind: frame)

        #expect(number == 0 && store.nextSequence == 3)
        var cursor = try store.cursor(Query().time(now...now))
        #expect(try cursor.nextEvent()?.kind == line)
        #expect(try cursor.nextEvent() == nil)
        try store.close()
        #expect(output.lines.contains { $0.hasPrefix("store: sealed") })
        #expect(try EventStore.openReadOnly(path).metadata == ["service": "checkout"])
    }

    @Test("A batch, and a call for tasks")
    func batchesAndTasks() async throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("boot-7")
        let line = try store.kind("stdout", .utf8)
        let request = try store.kind("request", .json)
        let lines = ["a", "b", "c"]
        let body = "{}"

        let batch = EventBatch()
        for text in lines { try batch.add(Array(text.utf8), kind: line, at: now) }
        let numbers = try session.append(batch)
        batch.removeAll()  // its memory is kept for the next ones
        #expect(numbers == 0..<3)

        let number = try await session.appendWhenReady(Array(body.utf8), kind: request)
        try await store.waitUntilDurable(through: number)
        #expect(number == 3 && store.durableThrough == 3)
        try store.close()
    }

    @Test("What is dropped is counted")
    func drops() throws {
        var dropped: UInt64 = 0
        let bytes = [UInt8](repeating: 0, count: 1000)

        var options = StoreOptions()
        options.whenFull = .dropAndCount
        options.queueBatches = 2
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("boot-7")
        let frame = try store.kind("frame", .binary)
        // Far faster than any disk: it is a matter of time.
        while dropped == 0 {
            do {
                try session.append(bytes, kind: frame)
            } catch StoreError.dropped {
                dropped += 1
            }
        }
        try store.close()

        let capture = try EventStore.openReadOnly(path)
        for drop in try capture.info().drops {
            print("\(drop.events) dropped before number \(drop.before), at \(drop.time)")
        }
        #expect(output.lines.count == 1 && output.lines[0].hasPrefix("1 dropped before number "))
        #expect(try capture.count() > 0)
    }

    @Test("A checkpoint, an end, and a session that goes on")
    func lifecycle() throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("boot-7")
        let line = try store.kind("stdout", .utf8)
        try session.append("one", kind: line)
        let state: [UInt8] = [1, 2, 3]

        let checkpoint = try session.checkpoint("cp-1", label: "catalogue loaded", state: state)
        print("the next event has index \(checkpoint.eventIndex)")
        #expect(try store.state(of: checkpoint) == state)

        let info = try session.end()
        print("\(info.eventCount) events, \(info.checkpointCount) checkpoints")
        let again = try store.resume(session: info.ordinal)
        try again.append("two", kind: line)
        try store.close()

        #expect(output.lines == ["the next event has index 1", "1 events, 1 checkpoints"])
        let sessions = try EventStore.openReadOnly(path).sessions()
        #expect(sessions.map(\.eventCount) == [2] && sessions.map(\.state) == [.closed])
    }

    @Test("A recorder of typed events, and session JSON out and in")
    func recorder() throws {
        let store = try EventStore.open(path)

        let recorder = EventRecorder(store: store, maxEvents: 10_000)
        try recorder.start("s1")
        try recorder.record(.console(Console(level: "info", message: "hello", timestamp: now)))
        try recorder.checkpoint("cp-1", state: RawJSON(#"{"windows":1}"#))
        guard let session = try recorder.stop() else { return }
        print("\(session.eventCount) events retained, \(session.evictedEvents) evicted")

        var json: [UInt8] = []
        try session.writeJSON { json.append(contentsOf: $0) }
        let other = try EventRecorder()  // on a temporary store, which goes with it
        try other.importSession(json)
        try other.record(.console(Console(level: "info", message: "and on", timestamp: now)))
        print("\(other.eventCount) events")

        #expect(output.lines == ["1 events retained, 0 evicted", "2 events"])
        try store.close()
    }
}
