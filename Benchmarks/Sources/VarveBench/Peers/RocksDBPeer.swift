#if canImport(CRocksDB)
import CRocksDB

/// RocksDB by its C interface: keys of events and of times in one ordered space.
final class RocksDBPeer: Peer {
    let name = "RocksDB"
    let settings =
        "LZ4, blocks of 16 KiB, write buffer of 64 MiB, cache of 64 MiB, two background threads, checksums verified, no Bloom filter, read uncompacted; no WAL and one flush at the end, 1,000 events or 16 MiB a batch; durable appends: WAL, a synced batch each"

    func append(_ data: Dataset, in directory: String) throws {
        let base = try RocksDBBase(directory, isNew: true)
        let options = rocksdb_writeoptions_create()
        defer { rocksdb_writeoptions_destroy(options) }
        rocksdb_writeoptions_disable_WAL(options, 1)
        for part in data.parts(of: 1_000) { try base.write(data, part, options) }
        try base.flush()
        base.close()
    }

    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double {
        let base = try RocksDBBase(directory, isNew: true)
        defer { base.close() }
        let options = rocksdb_writeoptions_create()
        defer { rocksdb_writeoptions_destroy(options) }
        rocksdb_writeoptions_set_sync(options, 1)
        return try seconds {
            for number in 0..<batches {
                try base.write(data, number * batch..<(number + 1) * batch, options)
            }
        }
    }

    func open(_ directory: String) throws -> any PeerReader {
        RocksDBReader(try RocksDBBase(directory, isNew: false))
    }
}

private final class RocksDBBase {
    let handle: OpaquePointer
    private let options: OpaquePointer?
    private let cache: OpaquePointer?
    private let batch = rocksdb_writebatch_create()
    private var record: UnsafeMutableRawBufferPointer = .allocate(byteCount: 1 << 16, alignment: 16)

    init(_ directory: String, isNew: Bool) throws {
        options = rocksdb_options_create()
        rocksdb_options_set_create_if_missing(options, isNew ? 1 : 0)
        rocksdb_options_set_compression(options, Int32(rocksdb_lz4_compression))
        rocksdb_options_set_write_buffer_size(options, 64 << 20)
        rocksdb_options_increase_parallelism(options, 2)
        cache = rocksdb_cache_create_lru(64 << 20)
        let table = rocksdb_block_based_options_create()
        rocksdb_block_based_options_set_block_size(table, 16 << 10)
        rocksdb_block_based_options_set_block_cache(table, cache)
        rocksdb_options_set_block_based_table_factory(options, table)
        rocksdb_block_based_options_destroy(table)
        var failure: UnsafeMutablePointer<CChar>?
        let opened =
            isNew
            ? rocksdb_open(options, directory, &failure)
            : rocksdb_open_for_read_only(options, directory, 0, &failure)
        guard let opened else { throw PeerFailure(RocksDBBase.text(failure)) }
        handle = opened
    }

    static func text(_ failure: UnsafeMutablePointer<CChar>?) -> String {
        guard let failure else { return "no reason" }
        defer { rocksdb_free(failure) }
        return String(cString: failure)
    }

    func close() {
        rocksdb_close(handle)
        rocksdb_writebatch_destroy(batch)
        rocksdb_options_destroy(options)
        rocksdb_cache_destroy(cache)
        record.deallocate()
    }

    func write(_ data: Dataset, _ positions: Range<Int>, _ options: OpaquePointer?) throws {
        rocksdb_writebatch_clear(batch)
        for position in positions {
            let bytes = PeerRecord.headBytes + data.payload(position).count
            if bytes > record.count {
                record.deallocate()
                record = .allocate(byteCount: bytes * 2, alignment: 16)
            }
            guard let start = record.baseAddress else { throw PeerFailure("no memory") }
            PeerRecord.write(data, position, to: start)
            KeyBytes.event(UInt64(position)) { key in
                rocksdb_writebatch_put(
                    batch, key, KeyBytes.eventCount, start.assumingMemoryBound(to: CChar.self), bytes)
            }
            KeyBytes.time(data.timestamps[position], UInt64(position)) { time in
                rocksdb_writebatch_put(batch, time, KeyBytes.timeCount, time, 0)
            }
        }
        var failure: UnsafeMutablePointer<CChar>?
        rocksdb_write(handle, options, batch, &failure)
        if failure != nil { throw PeerFailure(RocksDBBase.text(failure)) }
    }

    /// Writes what is in memory to synced files.
    func flush() throws {
        let options = rocksdb_flushoptions_create()
        defer { rocksdb_flushoptions_destroy(options) }
        rocksdb_flushoptions_set_wait(options, 1)
        var failure: UnsafeMutablePointer<CChar>?
        rocksdb_flush(handle, options, &failure)
        if failure != nil { throw PeerFailure(RocksDBBase.text(failure)) }
    }
}

private final class RocksDBReader: RecordReader {
    private let base: RocksDBBase
    private let options: OpaquePointer?

    init(_ base: RocksDBBase) {
        self.base = base
        options = rocksdb_readoptions_create()
        // As Varve does: a checksum is verified wherever something is read.
        rocksdb_readoptions_set_verify_checksums(options, 1)
    }

    func close() {
        rocksdb_readoptions_destroy(options)
        base.close()
    }

    func forEach(_ body: (UInt64, UnsafeRawBufferPointer) -> Void) throws {
        let iterator = rocksdb_create_iterator(base.handle, options)
        defer { rocksdb_iter_destroy(iterator) }
        KeyBytes.event(0) { rocksdb_iter_seek(iterator, $0, KeyBytes.eventCount) }
        while rocksdb_iter_valid(iterator) != 0 {
            var (keyBytes, valueBytes) = (0, 0)
            guard let key = rocksdb_iter_key(iterator, &keyBytes), keyBytes == KeyBytes.eventCount,
                key[0] == CChar(UInt8(ascii: "e"))
            else { break }
            let value = rocksdb_iter_value(iterator, &valueBytes)
            body(KeyBytes.number(key), UnsafeRawBufferPointer(start: value, count: valueBytes))
            rocksdb_iter_next(iterator)
        }
        try check(iterator)
    }

    private func check(_ iterator: OpaquePointer?) throws {
        var failure: UnsafeMutablePointer<CChar>?
        rocksdb_iter_get_error(iterator, &failure)
        if failure != nil { throw PeerFailure(RocksDBBase.text(failure)) }
    }

    func event(_ sequence: UInt64) throws -> Answer {
        var answer = Answer()
        var failure: UnsafeMutablePointer<CChar>?
        KeyBytes.event(sequence) { key in
            var bytes = 0
            guard
                let value = rocksdb_get(base.handle, options, key, KeyBytes.eventCount, &bytes, &failure)
            else { return }
            let record = UnsafeRawBufferPointer(start: value, count: bytes)
            answer.add(sequence, PeerRecord.timestamp(record), PeerRecord.payload(record))
            rocksdb_free(value)
        }
        if failure != nil { throw PeerFailure(RocksDBBase.text(failure)) }
        return answer
    }

    /// The first number of the range by the times, and then the events themselves: both have one order here.
    func events(in range: ClosedRange<Int64>) throws -> Answer {
        var answer = Answer()
        let times = rocksdb_create_iterator(base.handle, options)
        defer { rocksdb_iter_destroy(times) }
        KeyBytes.time(range.lowerBound, 0) { rocksdb_iter_seek(times, $0, KeyBytes.timeCount) }
        let events = rocksdb_create_iterator(base.handle, options)
        defer { rocksdb_iter_destroy(events) }
        var isPlaced = false
        while rocksdb_iter_valid(times) != 0 {
            var keyBytes = 0
            guard let key = rocksdb_iter_key(times, &keyBytes), keyBytes == KeyBytes.timeCount,
                key[0] == CChar(UInt8(ascii: "t")),
                Int64(bitPattern: KeyBytes.number(key)) <= range.upperBound
            else { break }
            let sequence = KeyBytes.sequence(ofTime: key)
            if isPlaced {
                rocksdb_iter_next(events)
            } else {
                KeyBytes.event(sequence) { rocksdb_iter_seek(events, $0, KeyBytes.eventCount) }
                isPlaced = true
            }
            var (eventBytes, recordBytes) = (0, 0)
            guard rocksdb_iter_valid(events) != 0, let event = rocksdb_iter_key(events, &eventBytes),
                KeyBytes.number(event) == sequence
            else { throw PeerFailure("event \(sequence) is not where it should be") }
            let value = rocksdb_iter_value(events, &recordBytes)
            let record = UnsafeRawBufferPointer(start: value, count: recordBytes)
            answer.add(sequence, PeerRecord.timestamp(record), PeerRecord.payload(record))
            rocksdb_iter_next(times)
        }
        try check(times)
        try check(events)
        return answer
    }
}
#endif
