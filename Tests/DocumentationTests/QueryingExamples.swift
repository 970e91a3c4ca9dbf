import Testing
import Varve
import VarveTestKit

@Suite("Querying, as its article shows it")
struct QueryingExamples {
    private let directory: TemporaryDirectory
    private let output = Output()
    private let store: EventStore
    private let session: Session
    private let line: EventKind
    private var path: String { directory.path("store") }
    private let start: Int64 = 100
    private let end: Int64 = 199

    /// 500 events: one a nanosecond, every tenth a request.
    init() throws {
        directory = try TemporaryDirectory()
        store = try EventStore.open(directory.path("store"), options: smallBlocks())
        session = try store.startSession("boot-7", at: 0)
        line = try store.kind("stdout", .utf8)
        let request = try store.kind("request", .json)
        for number in 0..<500 {
            try session.append(
                "\(1000 + number)", kind: number % 10 == 0 ? request : line, at: Int64(number))
        }
    }

    private func print(_ items: Any...) { output.print(items) }

    @Test("A cursor lends its events")
    func cursor() throws {
        let query = Query().session("boot-7").kinds("request", "error").time(start...end)

        var bytes = 0
        var cursor = try store.cursor(query)
        while let event = try cursor.next() {
            bytes += event.payloadByteCount
        }
        print("\(bytes) bytes, complete: \(cursor.coverage.isComplete)")

        #expect(output.lines == ["40 bytes, complete: true"])
    }

    @Test("An asynchronous sequence gives events of their own")
    func asynchronous() async throws {
        for try await event in try store.events(Query().reversed().limit(2)) {
            print(event.index, event.kind.name, String(decoding: event.payload, as: UTF8.self))
        }

        #expect(output.lines == ["499 stdout 1499", "498 stdout 1498"])
    }

    @Test("What is missing is named")
    func coverage() throws {
        try store.close()
        try damage(try #require(try segments(of: path).first))
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let query = Query()

        let coverage = try snapshot.replay(query) { event in
            print("event \(event.sequence)")
        }
        for gap in coverage.gaps {
            print("\(gap.sequences): \(gap.reason.rawValue), \(gap.note)")
        }

        let events = output.lines.filter { $0.hasPrefix("event ") }
        #expect(events.count < 500 && output.lines.count > events.count)
        #expect(output.lines.last?.contains("damage") == true)
    }

    @Test("A snapshot stays as it is")
    func snapshots() throws {
        let snapshot = try store.snapshot()
        try session.append("later", kind: line)
        print(try snapshot.count(), try store.snapshot().count())

        for session in try snapshot.sessions() {
            print(session.ordinal, session.id, session.state, session.eventCount)
        }
        if let event = try snapshot.event(sequence: 17) {
            print(String(decoding: event.payload, as: UTF8.self))
        }

        #expect(output.lines == ["500 501", "1 boot-7 active 500", "1017"])
        let (events, coverage) = try snapshot.countWithCoverage(Query().kinds("request"))
        #expect(events == 50 && coverage.isComplete)
    }

    @Test("A position goes on")
    func positions() throws {
        var cursor = try store.cursor(Query().kinds("request").limit(10))
        var position: CursorPosition?
        while let event = try cursor.next() { position = event.position }
        let kept = position?.description  // text, for a file, a column or a header

        if let kept, let position = CursorPosition(kept) {
            let snapshot = try store.snapshot()
            let rest = try snapshot.query(Query().kinds("request"), after: position)
            print(try snapshot.count(rest))
        }

        #expect(output.lines == ["40"])
    }

    @Test("Parts of a query for several threads")
    func partitions() async throws {
        let snapshot = try store.snapshot()
        let parts = try snapshot.partitions(4, of: Query().kinds("stdout"))
        let bytes = try await withThrowingTaskGroup(of: Int.self) { group in
            for part in parts {
                group.addTask {
                    var bytes = 0
                    try snapshot.replay(part) { bytes += $0.payloadByteCount }
                    return bytes
                }
            }
            return try await group.reduce(0, +)
        }
        print("\(bytes) bytes")

        #expect(output.lines == ["1800 bytes"])
        #expect((1...4).contains(parts.count))
    }
}
