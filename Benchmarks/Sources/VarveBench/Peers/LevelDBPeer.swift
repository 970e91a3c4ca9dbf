#if canImport(CLevelDB)
import CLevelDB

/// LevelDB by its C interface: keys of events and of times in one ordered space.
final class LevelDBPeer: Peer {
    let name = "LevelDB \(leveldb_major_version()).\(leveldb_minor_version())"
    let settings =
        "Snappy, blocks of 16 KiB, write buffer of 64 MiB, cache of 64 MiB, checksums verified, no Bloom filter; 1,000 events or 16 MiB a batch, all files synced after closing; durable appends: a synced batch each; read as it was left, its compaction goes on beside"

    func append(_ data: Dataset, in directory: String) throws {
        let base = try LevelDBBase(directory, isNew: true)
        let options = leveldb_writeoptions_create()
        defer { leveldb_writeoptions_destroy(options) }
        for part in data.parts(of: 1_000) { try base.write(data, part, options) }
        base.close()
        // What was being written out of memory when it was closed is in logs that nobody has synced.
        try syncFiles(in: directory)
    }

    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double {
        let base = try LevelDBBase(directory, isNew: true)
        defer { base.close() }
        let options = leveldb_writeoptions_create()
        defer { leveldb_writeoptions_destroy(options) }
        leveldb_writeoptions_set_sync(options, 1)
        return try seconds {
            for number in 0..<batches {
                try base.write(data, number * batch..<(number + 1) * batch, options)
            }
        }
    }

    func open(_ directory: String) throws -> any PeerReader {
        LevelDBReader(try LevelDBBase(directory, isNew: false))
    }
}

private final class LevelDBBase {
    let handle: OpaquePointer
    private let options: OpaquePointer?
    private let cache: OpaquePointer?
    private let batch = leveldb_writebatch_create()
    private var record: UnsafeMutableRawBufferPointer = .allocate(byteCount: 1 << 16, alignment: 16)

    init(_ directory: String, isNew: Bool) throws {
        options = leveldb_options_create()
        leveldb_options_set_create_if_missing(options, isNew ? 1 : 0)
        leveldb_options_set_compression(options, Int32(leveldb_snappy_compression))
        leveldb_options_set_block_size(options, 16 << 10)
        leveldb_options_set_write_buffer_size(options, 64 << 20)
        cache = leveldb_cache_create_lru(64 << 20)
        leveldb_options_set_cache(options, cache)
        var failure: UnsafeMutablePointer<CChar>?
        let opened = leveldb_open(options, directory, &failure)
        guard let opened else { throw PeerFailure(LevelDBBase.text(failure)) }
        handle = opened
    }

    static func text(_ failure: UnsafeMutablePointer<CChar>?) -> String {
        guard let failure else { return "no reason" }
        defer { leveldb_free(failure) }
        return String(cString: failure)
    }

    func close() {
        leveldb_close(handle)
        leveldb_writebatch_destroy(batch)
        leveldb_options_destroy(options)
        leveldb_cache_destroy(cache)
        record.deallocate()
    }

    func write(_ data: Dataset, _ positions: Range<Int>, _ options: OpaquePointer?) throws {
        leveldb_writebatch_clear(batch)
        for position in positions {
            let bytes = PeerRecord.headBytes + data.payload(position).count
            if bytes > record.count {
                record.deallocate()
                record = .allocate(byteCount: bytes * 2, alignment: 16)
            }
            guard let start = record.baseAddress else { throw PeerFailure("no memory") }
            PeerRecord.write(data, position, to: start)
            KeyBytes.event(UInt64(position)) { key in
                leveldb_writebatch_put(
                    batch, key, KeyBytes.eventCount, start.assumingMemoryBound(to: CChar.self), bytes)
            }
            KeyBytes.time(data.timestamps[position], UInt64(position)) { time in
                leveldb_writebatch_put(batch, time, KeyBytes.timeCount, time, 0)
            }
        }
        var failure: UnsafeMutablePointer<CChar>?
        leveldb_write(handle, options, batch, &failure)
        if failure != nil { throw PeerFailure(LevelDBBase.text(failure)) }
    }
}

private final class LevelDBReader: RecordReader {
    private let base: LevelDBBase
    private let options: OpaquePointer?

    init(_ base: LevelDBBase) {
        self.base = base
        options = leveldb_readoptions_create()
        // As Varve does: a checksum is verified wherever something is read.
        leveldb_readoptions_set_verify_checksums(options, 1)
    }

    func close() {
        leveldb_readoptions_destroy(options)
        base.close()
    }

    func forEach(_ body: (UInt64, UnsafeRawBufferPointer) -> Void) throws {
        let iterator = leveldb_create_iterator(base.handle, options)
        defer { leveldb_iter_destroy(iterator) }
        KeyBytes.event(0) { leveldb_iter_seek(iterator, $0, KeyBytes.eventCount) }
        while leveldb_iter_valid(iterator) != 0 {
            var (keyBytes, valueBytes) = (0, 0)
            guard let key = leveldb_iter_key(iterator, &keyBytes), keyBytes == KeyBytes.eventCount,
                key[0] == CChar(UInt8(ascii: "e"))
            else { break }
            let value = leveldb_iter_value(iterator, &valueBytes)
            body(KeyBytes.number(key), UnsafeRawBufferPointer(start: value, count: valueBytes))
            leveldb_iter_next(iterator)
        }
        try check(iterator)
    }

    private func check(_ iterator: OpaquePointer?) throws {
        var failure: UnsafeMutablePointer<CChar>?
        leveldb_iter_get_error(iterator, &failure)
        if failure != nil { throw PeerFailure(LevelDBBase.text(failure)) }
    }

    func event(_ sequence: UInt64) throws -> Answer {
        var answer = Answer()
        var failure: UnsafeMutablePointer<CChar>?
        KeyBytes.event(sequence) { key in
            var bytes = 0
            guard
                let value = leveldb_get(base.handle, options, key, KeyBytes.eventCount, &bytes, &failure)
            else { return }
            let record = UnsafeRawBufferPointer(start: value, count: bytes)
            answer.add(sequence, PeerRecord.timestamp(record), PeerRecord.payload(record))
            leveldb_free(value)
        }
        if failure != nil { throw PeerFailure(LevelDBBase.text(failure)) }
        return answer
    }

    /// The first number of the range by the times, and then the events themselves: both have one order here.
    func events(in range: ClosedRange<Int64>) throws -> Answer {
        var answer = Answer()
        let times = leveldb_create_iterator(base.handle, options)
        defer { leveldb_iter_destroy(times) }
        KeyBytes.time(range.lowerBound, 0) { leveldb_iter_seek(times, $0, KeyBytes.timeCount) }
        let events = leveldb_create_iterator(base.handle, options)
        defer { leveldb_iter_destroy(events) }
        var isPlaced = false
        while leveldb_iter_valid(times) != 0 {
            var keyBytes = 0
            guard let key = leveldb_iter_key(times, &keyBytes), keyBytes == KeyBytes.timeCount,
                key[0] == CChar(UInt8(ascii: "t")),
                Int64(bitPattern: KeyBytes.number(key)) <= range.upperBound
            else { break }
            let sequence = KeyBytes.sequence(ofTime: key)
            if isPlaced {
                leveldb_iter_next(events)
            } else {
                KeyBytes.event(sequence) { leveldb_iter_seek(events, $0, KeyBytes.eventCount) }
                isPlaced = true
            }
            var (eventBytes, recordBytes) = (0, 0)
            guard leveldb_iter_valid(events) != 0, let event = leveldb_iter_key(events, &eventBytes),
                KeyBytes.number(event) == sequence
            else { throw PeerFailure("event \(sequence) is not where it should be") }
            let value = leveldb_iter_value(events, &recordBytes)
            let record = UnsafeRawBufferPointer(start: value, count: recordBytes)
            answer.add(sequence, PeerRecord.timestamp(record), PeerRecord.payload(record))
            leveldb_iter_next(times)
        }
        try check(times)
        try check(events)
        return answer
    }
}
#endif
