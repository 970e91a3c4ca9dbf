#if canImport(CSQLite)
import CSQLite

/// SQLite by its C interface: a table with the sequence number as its key, and an index by time.
final class SQLitePeer: Peer {
    let name = "SQLite \(String(cString: sqlite3_libversion()))"
    let settings =
        "WAL, no checksums, pages of 8 KiB, 64 MiB of cache, mapped, a checkpoint each 8,192 pages; 10,000 events or 16 MiB a transaction, synchronous=OFF, and one checkpoint and a sync of its files at the end; durable appends: synchronous=FULL"

    static let file = "events.sqlite"

    func append(_ data: Dataset, in directory: String) throws {
        let base = try SQLiteBase("\(directory)/\(Self.file)", isNew: true)
        try base.execute("PRAGMA synchronous=OFF")
        let insert = try base.prepare("INSERT INTO events VALUES (?, ?, ?, ?)")
        for part in data.parts(of: 10_000) {
            try base.execute("BEGIN")
            for position in part { try base.insert(data, position, insert) }
            try base.execute("COMMIT")
        }
        sqlite3_finalize(insert)
        try base.execute("PRAGMA synchronous=FULL")
        try base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        base.close()
        // A checkpoint with nothing left to do syncs nothing.
        try syncFiles(in: directory)
    }

    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double {
        let base = try SQLiteBase("\(directory)/\(Self.file)", isNew: true)
        defer { base.close() }
        try base.execute("PRAGMA synchronous=FULL")
        let insert = try base.prepare("INSERT INTO events VALUES (?, ?, ?, ?)")
        defer { sqlite3_finalize(insert) }
        return try seconds {
            for number in 0..<batches {
                try base.execute("BEGIN")
                for position in number * batch..<(number + 1) * batch {
                    try base.insert(data, position, insert)
                }
                try base.execute("COMMIT")
            }
        }
    }

    func open(_ directory: String) throws -> any PeerReader {
        try SQLiteReader(SQLiteBase("\(directory)/\(Self.file)", isNew: false))
    }
}

private final class SQLiteBase {
    private let handle: OpaquePointer

    init(_ path: String, isNew: Bool) throws {
        var handle: OpaquePointer?
        let flags =
            isNew ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY
        guard sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_NOMUTEX, nil) == SQLITE_OK, let handle
        else { throw PeerFailure("can't open \(path)") }
        self.handle = handle
        if isNew {
            try execute("PRAGMA page_size=8192")
            try execute("PRAGMA journal_mode=WAL")
            try execute("PRAGMA wal_autocheckpoint=8192")
            try execute(
                "CREATE TABLE events (seq INTEGER PRIMARY KEY, ts INTEGER, kind INTEGER, payload BLOB)")
            try execute("CREATE INDEX by_time ON events (ts)")
        }
        try execute("PRAGMA cache_size=-65536")
        try execute("PRAGMA mmap_size=17179869184")
    }

    func close() { sqlite3_close(handle) }

    private func failure(_ what: String) -> PeerFailure {
        PeerFailure("\(what): \(String(cString: sqlite3_errmsg(handle)))")
    }

    func execute(_ text: String) throws {
        guard sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK else { throw failure(text) }
    }

    func prepare(_ text: String) throws -> OpaquePointer {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, text, -1, &statement, nil) == SQLITE_OK, let statement else {
            throw failure(text)
        }
        return statement
    }

    @inline(__always)
    func insert(_ data: Dataset, _ position: Int, _ statement: OpaquePointer) throws {
        let payload = data.payload(position)
        sqlite3_bind_int64(statement, 1, Int64(position))
        sqlite3_bind_int64(statement, 2, data.timestamps[position])
        sqlite3_bind_int64(statement, 3, Int64(data.kinds[position]))
        // Not copied: the bytes outlive the statement.
        sqlite3_bind_blob(statement, 4, payload.baseAddress, Int32(payload.count), nil)
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure("INSERT") }
        sqlite3_reset(statement)
    }

    /// Whether there is another row.
    @inline(__always)
    func next(_ statement: OpaquePointer) throws -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure("SELECT")
        }
    }
}

private final class SQLiteReader: PeerReader {
    private let base: SQLiteBase
    private let all, one, range, kind, payloads: OpaquePointer

    init(_ base: SQLiteBase) throws {
        self.base = base
        all = try base.prepare("SELECT seq, ts, payload FROM events ORDER BY seq")
        one = try base.prepare("SELECT seq, ts, payload FROM events WHERE seq = ?")
        range = try base.prepare("SELECT seq, ts, payload FROM events WHERE ts BETWEEN ? AND ? ORDER BY ts")
        kind = try base.prepare("SELECT count(*) FROM events WHERE kind = ?")
        payloads = try base.prepare("SELECT payload FROM events ORDER BY seq")
    }

    func close() {
        for statement in [all, one, range, kind, payloads] { sqlite3_finalize(statement) }
        base.close()
    }

    @inline(__always)
    private func blob(_ statement: OpaquePointer, _ column: Int32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: sqlite3_column_blob(statement, column), count: Int(sqlite3_column_bytes(statement, column))
        )
    }

    private func answer(_ statement: OpaquePointer) throws -> Answer {
        defer { sqlite3_reset(statement) }
        var answer = Answer()
        while try base.next(statement) {
            answer.add(
                UInt64(bitPattern: sqlite3_column_int64(statement, 0)), sqlite3_column_int64(statement, 1),
                blob(statement, 2))
        }
        return answer
    }

    func scan() throws -> Answer { try answer(all) }

    func event(_ sequence: UInt64) throws -> Answer {
        sqlite3_bind_int64(one, 1, Int64(sequence))
        return try answer(one)
    }

    func events(in times: ClosedRange<Int64>) throws -> Answer {
        sqlite3_bind_int64(range, 1, times.lowerBound)
        sqlite3_bind_int64(range, 2, times.upperBound)
        return try answer(range)
    }

    func count(kind number: Int, named _: String) throws -> Int {
        defer { sqlite3_reset(kind) }
        sqlite3_bind_int64(kind, 1, Int64(number))
        return try base.next(kind) ? Int(sqlite3_column_int64(kind, 0)) : 0
    }

    func count(text: String) throws -> Int {
        defer { sqlite3_reset(payloads) }
        let needle = Needle(text)
        var count = 0
        while try base.next(payloads) { if needle.stands(in: blob(payloads, 0)) { count += 1 } }
        return count
    }
}
#endif
