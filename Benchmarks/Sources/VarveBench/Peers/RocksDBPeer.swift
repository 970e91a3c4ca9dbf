#if canImport(CRocksDB)
import CRocksDB
import Foundation

/// RocksDB by its C interface: events in the default column family and times in one of their own. In each of them keys come in order:
/// with both in one, its memtable looks for the place of every key anew, and an append takes twice as long.
final class RocksDBPeer: Peer {
    let name = "RocksDB\(RocksDBBase.version)"
    let settings =
        "LZ4, blocks of 16 KiB, a column family for events and one for times, write buffers of 64 MiB, cache of 64 MiB, two background threads, no counters, checksums verified, no Bloom filter, not compacted by hand; no WAL and one flush at the end, 1,000 events or 16 MiB a batch; durable appends: WAL, a synced batch each"

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
    /// The column families.
    let events: OpaquePointer?, times: OpaquePointer?
    private let options: OpaquePointer?
    private let cache: OpaquePointer?
    private let batch = rocksdb_writebatch_create()
    private var record: UnsafeMutableRawBufferPointer = .allocate(byteCount: 1 << 16, alignment: 16)

    init(_ directory: String, isNew: Bool) throws {
        options = rocksdb_options_create()
        rocksdb_options_set_create_if_missing(options, isNew ? 1 : 0)
        rocksdb_options_set_create_missing_column_families(options, isNew ? 1 : 0)
        // Of this thread: counting takes a tenth of an append.
        rocksdb_set_perf_level(Int32(rocksdb_disable))
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
        var families: [OpaquePointer?] = [nil, nil]
        let settings = options
        let opened = "default".withCString { first in
            "times".withCString { second in
                var names: [UnsafePointer<CChar>?] = [first, second]
                let both = [settings, settings]
                return isNew
                    ? rocksdb_open_column_families(
                        settings, directory, 2, &names, both, &families, &failure)
                    : rocksdb_open_for_read_only_column_families(
                        settings, directory, 2, &names, both, &families, 0, &failure)
            }
        }
        guard let opened else { throw PeerFailure(RocksDBBase.text(failure)) }
        handle = opened
        (events, times) = (families[0], families[1])
    }

    /// What the name of the library's file says; nothing where the system does not tell which files are mapped.
    static let version: String = {
        let files = (try? FileHandle(forReadingFrom: URL(filePath: "/proc/self/maps")).readToEnd()) ?? Data()
        return String(decoding: files, as: UTF8.self).firstMatch(of: /librocksdb\.so(\.[0-9.]+)/).map {
            " \($0.1.dropFirst())"
        } ?? ""
    }()

    static func text(_ failure: UnsafeMutablePointer<CChar>?) -> String {
        guard let failure else { return "no reason" }
        defer { rocksdb_free(failure) }
        return String(cString: failure)
    }

    func close() {
        rocksdb_column_family_handle_destroy(events)
        rocksdb_column_family_handle_destroy(times)
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
                rocksdb_writebatch_put_cf(
                    batch, events, key, KeyBytes.eventCount, start.assumingMemoryBound(to: CChar.self), bytes)
            }
            KeyBytes.time(data.timestamps[position], UInt64(position)) { time in
                rocksdb_writebatch_put_cf(batch, times, time, KeyBytes.timeCount, time, 0)
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
        for family in [events, times] {
            rocksdb_flush_cf(handle, options, family, &failure)
            if failure != nil { throw PeerFailure(RocksDBBase.text(failure)) }
        }
    }
}

private final class RocksDBReader: RecordReader {
    private let base: RocksDBBase
    private let options: OpaquePointer?
    /// For passing over everything: leaves the cache as it is.
    private let passing: OpaquePointer?

    init(_ base: RocksDBBase) {
        self.base = base
        options = rocksdb_readoptions_create()
        passing = rocksdb_readoptions_create()
        // As Varve does: a checksum is verified wherever something is read.
        rocksdb_readoptions_set_verify_checksums(options, 1)
        rocksdb_readoptions_set_verify_checksums(passing, 1)
        rocksdb_readoptions_set_fill_cache(passing, 0)
    }

    func close() {
        rocksdb_readoptions_destroy(options)
        rocksdb_readoptions_destroy(passing)
        base.close()
    }

    func forEach(_ body: (UInt64, UnsafeRawBufferPointer) -> Void) throws {
        let iterator = rocksdb_create_iterator(base.handle, passing)
        defer { rocksdb_iter_destroy(iterator) }
        KeyBytes.event(0) { rocksdb_iter_seek(iterator, $0, KeyBytes.eventCount) }
        while rocksdb_iter_valid(iterator) != 0 {
            var (keyBytes, valueBytes) = (0, 0)
            guard let key = rocksdb_iter_key(iterator, &keyBytes), keyBytes == KeyBytes.eventCount
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
        let times = rocksdb_create_iterator_cf(base.handle, options, base.times)
        defer { rocksdb_iter_destroy(times) }
        KeyBytes.time(range.lowerBound, 0) { rocksdb_iter_seek(times, $0, KeyBytes.timeCount) }
        let events = rocksdb_create_iterator_cf(base.handle, options, base.events)
        defer { rocksdb_iter_destroy(events) }
        var isPlaced = false
        while rocksdb_iter_valid(times) != 0 {
            var keyBytes = 0
            guard let key = rocksdb_iter_key(times, &keyBytes), keyBytes == KeyBytes.timeCount,
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
