import Testing
import Varve
import VarveJSON
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

    @Test("Conditions on payloads")
    func predicates() async throws {
        let access = try store.kind("access", .json)
        for status in [200, 503] {
            for path in ["/health/live", "/order"] {
                try session.append(
                    #"{"status":\#(status),"path":"\#(path)","note":"Access Denied"}"#, kind: access, at: 600)
            }
        }

        let denied = try TextPredicate("access denied", ignoringCase: true)
        let slow = try WherePredicate(#"status >= 500 and not (path startswith "/health")"#)
        let query = slow.narrowing(Query().matching(slow).matching(denied))
        for try await event in try store.events(query) {
            print(event.sequence, String(decoding: event.payload, as: UTF8.self))
        }

        #expect(output.lines == [#"503 {"status":503,"path":"/order","note":"Access Denied"}"#])
    }

    @Test("Counts by time and kind")
    func counting() throws {
        let query = Query().kinds("request")

        let snapshot = try store.snapshot()
        let tally = try snapshot.tally(query, bucketNanoseconds: 100, by: .kind)
        for (bucket, groups) in tally.counts.sorted(by: { $0.key < $1.key }) {
            for case (.kind(let kind), let count) in groups {
                print(tally.times(ofBucket: bucket).lowerBound, kind.name, count)
            }
        }

        #expect(output.lines == (0..<5).map { "\($0 * 100) request 10" })
    }

    @Test("A store is followed")
    func following() async throws {
        let request = try store.kind("request", .json)
        try session.append("{}", kind: request)

        for try await event in try store.follow(Query().kinds("request"), from: .last(3)) {
            print(event.index)
            if event.index == 500 { break }
        }

        #expect(output.lines == ["480", "490", "500"])
    }

    @Test("Several stores in the order of time")
    func merging() throws {
        let other = try EventStore.open(directory.path("other"), options: smallBlocks())
        let remote = try other.startSession("remote", at: 0)
        try remote.append("{}", kind: try other.kind("query", .json), at: 1_007)

        let merged = try MergedEvents([
            .init(label: "web", snapshot: try store.snapshot(), query: Query().limit(1)),
            .init(label: "db", snapshot: try other.snapshot(), query: Query().limit(1), shift: -1_000),
        ])
        while let found = try merged.next() {
            print(found.timestamp, merged.sources[found.source].label, found.event.kind.name)
        }

        #expect(output.lines == ["0 web request", "7 db query"])
    }

    @Test("An excerpt is a store of its own")
    func excerpt() throws {
        let excerpt = directory.path("excerpt")

        let report = try store.snapshot().copy(Query().time(start...end), to: excerpt)
        print(report.events, report.leftOut)

        #expect(output.lines == ["100 400"])
        #expect(try EventStore.openReadOnly(excerpt).snapshot().count() == 100)
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
