#if canImport(CLMDB)
import CLMDB

/// LMDB: integer keys in ascending order, appended; a second tree from time to sequence number.
final class LMDBPeer: Peer {
    let name = "LMDB \(MDB_VERSION_MAJOR).\(MDB_VERSION_MINOR).\(MDB_VERSION_PATCH)"
    let settings =
        "no checksums; MDB_APPEND, MDB_NOSYNC and one sync at the end, 10,000 events or 16 MiB a transaction; durable appends: a synced commit a batch"

    /// Without MDB_WRITEMAP, with which it was slower where both were tried.
    func append(_ data: Dataset, in directory: String) throws {
        let base = try LMDBBase(directory, flags: UInt32(MDB_NOSYNC), makingRoomFor: data)
        for part in data.parts(of: 10_000) { try base.append(data, part) }
        try check(mdb_env_sync(base.environment, 1), "mdb_env_sync")
        base.close()
    }

    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double {
        let base = try LMDBBase(directory, flags: 0, makingRoomFor: data)
        defer { base.close() }
        return try seconds {
            for number in 0..<batches { try base.append(data, number * batch..<(number + 1) * batch) }
        }
    }

    func open(_ directory: String) throws -> any PeerReader {
        try LMDBReader(LMDBBase(directory, flags: UInt32(MDB_RDONLY)))
    }
}

private func check(_ code: Int32, _ what: String) throws {
    guard code == 0 else { throw PeerFailure("\(what): \(String(cString: mdb_strerror(code)))") }
}

private final class LMDBBase {
    let environment: OpaquePointer
    private(set) var events: MDB_dbi = 0, times: MDB_dbi = 0

    /// - Parameter data: the events that a new one is to hold; nil opens one that is there.
    init(_ directory: String, flags: UInt32, makingRoomFor data: Dataset? = nil) throws {
        let isNew = data != nil
        var made: OpaquePointer?
        try check(mdb_env_create(&made), "mdb_env_create")
        guard let made else { throw PeerFailure("mdb_env_create") }
        environment = made
        if let data {
            // Up to two pages an event of 4 KiB; whole ones. An empty part of the file takes nothing.
            let bytes = (max(16 << 30, 4 * data.byteCount) + 0xffff) & ~0xffff
            try check(mdb_env_set_mapsize(made, bytes), "mdb_env_set_mapsize")
        }
        try check(mdb_env_set_maxdbs(made, 2), "mdb_env_set_maxdbs")
        try check(mdb_env_open(made, directory, flags, 0o644), "mdb_env_open")
        let transaction = try begin(isReading: !isNew)
        let create = UInt32(MDB_INTEGERKEY | (isNew ? MDB_CREATE : 0))
        try check(mdb_dbi_open(transaction, "events", create, &events), "mdb_dbi_open")
        // Several numbers of one time cost something, and so are allowed only where there are any. Opening finds it in the file.
        let numbers = data?.hasEqualTimes == true ? UInt32(MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP) : 0
        try check(mdb_dbi_open(transaction, "times", create | numbers, &times), "mdb_dbi_open")
        try check(mdb_txn_commit(transaction), "mdb_txn_commit")
    }

    func close() { mdb_env_close(environment) }

    func begin(isReading: Bool) throws -> OpaquePointer {
        var transaction: OpaquePointer?
        try check(
            mdb_txn_begin(environment, nil, isReading ? UInt32(MDB_RDONLY) : 0, &transaction), "mdb_txn_begin"
        )
        guard let transaction else { throw PeerFailure("mdb_txn_begin") }
        return transaction
    }

    func append(_ data: Dataset, _ positions: Range<Int>) throws {
        let transaction = try begin(isReading: false)
        let append = UInt32(MDB_APPEND)
        for position in positions {
            var sequence = UInt64(position)
            var time = UInt64(bitPattern: data.timestamps[position])
            try withUnsafeMutableBytes(of: &sequence) { sequence in
                try withUnsafeMutableBytes(of: &time) { time in
                    var key = MDB_val(mv_size: 8, mv_data: sequence.baseAddress)
                    var value = MDB_val(
                        mv_size: PeerRecord.headBytes + data.payload(position).count, mv_data: nil)
                    try check(
                        mdb_put(transaction, events, &key, &value, append | UInt32(MDB_RESERVE)), "mdb_put")
                    // SAFETY: the library has made room for as many bytes as were asked for.
                    if let room = value.mv_data { PeerRecord.write(data, position, to: room) }
                    var timeKey = MDB_val(mv_size: 8, mv_data: time.baseAddress)
                    // MDB_APPEND takes no key that is there already.
                    let isNewTime =
                        position == 0 || data.timestamps[position] > data.timestamps[position - 1]
                    try check(
                        mdb_put(
                            transaction, times, &timeKey, &key, isNewTime ? append : UInt32(MDB_APPENDDUP)),
                        "mdb_put")
                }
            }
        }
        try check(mdb_txn_commit(transaction), "mdb_txn_commit")
    }
}

private final class LMDBReader: RecordReader {
    private let base: LMDBBase
    private let transaction: OpaquePointer

    init(_ base: LMDBBase) throws {
        self.base = base
        transaction = try base.begin(isReading: true)
    }

    func close() {
        mdb_txn_abort(transaction)
        base.close()
    }

    @inline(__always)
    private func bytes(_ value: MDB_val) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
    }

    private func withCursor<R>(_ tree: MDB_dbi, _ body: (OpaquePointer) throws -> R) throws -> R {
        var cursor: OpaquePointer?
        try check(mdb_cursor_open(transaction, tree, &cursor), "mdb_cursor_open")
        guard let cursor else { throw PeerFailure("mdb_cursor_open") }
        defer { mdb_cursor_close(cursor) }
        return try body(cursor)
    }

    func forEach(_ body: (UInt64, UnsafeRawBufferPointer) -> Void) throws {
        try withCursor(base.events) { cursor in
            var (key, value) = (MDB_val(), MDB_val())
            var code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)
            while code == 0 {
                body(bytes(key).loadUnaligned(as: UInt64.self), bytes(value))
                code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
            }
            guard code == MDB_NOTFOUND else { return try check(code, "mdb_cursor_get") }
        }
    }

    private func add(_ number: UInt64, to answer: inout Answer) throws {
        var sequence = number
        try withUnsafeMutableBytes(of: &sequence) { sequence in
            var key = MDB_val(mv_size: 8, mv_data: sequence.baseAddress)
            var value = MDB_val()
            try check(mdb_get(transaction, base.events, &key, &value), "mdb_get")
            let record = bytes(value)
            answer.add(number, PeerRecord.timestamp(record), PeerRecord.payload(record))
        }
    }

    func event(_ sequence: UInt64) throws -> Answer {
        var answer = Answer()
        try add(sequence, to: &answer)
        return answer
    }

    /// The first number of the range by the times, and then the events themselves: both have one order here.
    func events(in range: ClosedRange<Int64>) throws -> Answer {
        try withCursor(base.times) { times in
            try withCursor(base.events) { events in
                var answer = Answer()
                var first = UInt64(bitPattern: range.lowerBound)
                try withUnsafeMutableBytes(of: &first) { first in
                    var time = MDB_val(mv_size: 8, mv_data: first.baseAddress)
                    var found = MDB_val()
                    var (key, value) = (MDB_val(), MDB_val())
                    var code = mdb_cursor_get(times, &time, &found, MDB_SET_RANGE)
                    while code == 0, bytes(time).loadUnaligned(as: Int64.self) <= range.upperBound {
                        let sequence = bytes(found).loadUnaligned(as: UInt64.self)
                        if answer.events == 0 { key = found }
                        try check(
                            mdb_cursor_get(events, &key, &value, answer.events == 0 ? MDB_SET_KEY : MDB_NEXT),
                            "mdb_cursor_get")
                        guard bytes(key).loadUnaligned(as: UInt64.self) == sequence else {
                            throw PeerFailure("event \(sequence) is not where it should be")
                        }
                        let record = bytes(value)
                        answer.add(sequence, PeerRecord.timestamp(record), PeerRecord.payload(record))
                        code = mdb_cursor_get(times, &time, &found, MDB_NEXT)
                    }
                }
                return answer
            }
        }
    }
}
#endif
