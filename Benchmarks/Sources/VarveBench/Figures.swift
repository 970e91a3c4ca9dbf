/// What is measured. The raw value is the key in JSON and for `--only`.
enum Figure: String, CaseIterable {
    // Limits of the machine, on the same data.
    case lz4Compress = "limit-lz4-compress"
    case lz4Decompress = "limit-lz4-decompress"
    case crc = "limit-crc32c"
    case memcpy = "limit-memcpy"
    case memmem = "limit-memmem"
    case pageCacheWrite = "limit-page-cache-write"
    case syncedWrite = "limit-write-fdatasync"
    case appendSync = "limit-append-fdatasync"
    case overwriteSync = "limit-overwrite-fdatasync"

    // Append.
    case appendWithoutTail = "append-without-tail"
    case appendWithTail = "append-with-tail"
    case append
    case appendOneEncoder = "append-1-encoder"
    case appendRecorded = "append-to-recorded"
    case appendCompacting = "append-compacting"
    case appendP50 = "append-latency-p50"
    case appendP999 = "append-latency-p99.9"
    case appendP9999 = "append-latency-p99.99"
    case appendMemory = "append-memory"
    case storedBytes = "stored-bytes"
    case durable1 = "durable-batch-1"
    case durable64Callers = "durable-batch-1-64-callers"
    case durable100 = "durable-batch-100"
    case durable1000 = "durable-batch-1000"
    case recordLines = "record-lines"

    // Read.
    case open
    case scan
    case scanChecksum = "scan-checksum"
    case scanMemory = "scan-memory"
    case point = "point-by-sequence-p50"
    case time1000 = "time-1000-p50"
    case time100000 = "time-100000-p50"
    case countKind = "count-kind-p50"

    // Search.
    case grepLive = "grep-live"
    case grepLiveAhead = "grep-live-ahead"
    case grepLiveIgnoringCase = "grep-live-ignoring-case"
    case regexLive = "regex-live"
    case grepSettled = "grep-settled-p50"
    case regexSettled = "regex-settled-p50"
    case whereSettled = "where-settled-p50"
    case filterBuild = "filter-build"
    case filterBytes = "filter-bytes"
    case whereNumber = "where-number"
    case whereParsed = "where-parsed"
    case histogram
    case follow = "follow-p50"

    // Compaction.
    case compact
    case compactMemory = "compact-memory"
    case settledBytes = "settled-bytes"

    // Replay and time travel.
    case replay
    case replayAhead = "replay-ahead"
    case replayAheadChecksum = "replay-ahead-checksum"
    case replayPartitions = "replay-2-partitions"
    case fold = "fold-p50"
    case compareEqual = "compare-equal"
    case sessionImport = "session-import"
    case sessionImportMemory = "session-import-memory"
    case sessionExport = "session-export"
    case sessionExportMemory = "session-export-memory"

    /// What stands in the table.
    var title: String {
        switch self {
        case .lz4Compress: "LZ4 compress, 64 KiB pieces, one core"
        case .lz4Decompress: "LZ4 decompress, the same"
        case .crc: "CRC-32C, 64 KiB pieces"
        case .memcpy: "memcpy, 64 KiB pieces"
        case .memmem: "memmem of the rare text, 64 KiB pieces"
        case .pageCacheWrite: "write to the page cache"
        case .syncedWrite: "write + fdatasync"
        case .appendSync: "append 4 KiB + fdatasync"
        case .overwriteSync: "overwrite 4 KiB + fdatasync"
        case .appendWithoutTail: "append, batches in memory of their own"
        case .appendWithTail: "append, batches in TAIL (the default)"
        case .append: "append, interval durability, close included"
        case .appendOneEncoder: "the same, one encoder thread"
        case .appendRecorded: "append to a store that has as much already"
        case .appendCompacting: "the same, that is compacted meanwhile (the default)"
        case .appendP50: "append latency p50 (clock included)"
        case .appendP999: "append latency p99.9"
        case .appendP9999: "append latency p99.99"
        case .appendMemory: "memory of a process that appends, peak, mapped files apart"
        case .storedBytes: "bytes on disk"
        case .durable1: "durable append, batch 1, one caller"
        case .durable64Callers: "durable append, batch 1, 64 callers"
        case .durable100: "durable append, batch 100"
        case .durable1000: "durable append, batch 1,000"
        case .recordLines: "varve record of a file of JSON Lines, the whole command"
        case .open: "open (read-only) and close"
        case .scan: "scan, one view an event"
        case .scanChecksum: "scan, every payload checksummed by the caller"
        case .scanMemory: "memory of a process that scans, the same"
        case .point: "point by sequence, random, p50"
        case .time1000: "1,000 events by time, p50"
        case .time100000: "100,000 events by time, p50"
        case .countKind: "count one kind over a random time range, p50"
        case .grepLive: "grep for a rare text, no filters"
        case .grepLiveAhead: "the same, a second thread decodes and searches ahead"
        case .grepLiveIgnoringCase: "the same on one thread, ignoring case"
        case .regexLive: "the same by a regular expression"
        case .grepSettled: "grep for a rare text, filters built, p50"
        case .regexSettled: "the same by a regular expression, p50"
        case .whereSettled: "the same by --where '** contains', p50"
        case .filterBuild: "filters built"
        case .filterBytes: "bytes of the filters"
        case .whereNumber: "--where with a number, of a field that one kind has"
        case .whereParsed: "--where that has every payload parsed"
        case .histogram: "histogram of 60 buckets by kind"
        case .follow: "from a synced append to a follower beside it, p50"
        case .compact: "compaction of everything, filters included"
        case .compactMemory: "memory of a process that compacts, peak, mapped files apart"
        case .settledBytes: "bytes on disk, compacted, with filters"
        case .replay: "replay, one thread"
        case .replayAhead: "replay, a second thread decodes ahead"
        case .replayAheadChecksum: "the same, every payload checksummed by the caller"
        case .replayPartitions: "replay of 2 partitions on 2 threads"
        case .fold: "fold at a random index from the nearest of 1,000 checkpoints, p50"
        case .compareEqual: "comparison with a copy of the session, equal"
        case .sessionImport: "import of session JSON, 1,000,000 events"
        case .sessionImportMemory: "memory of a process that imports it, the same"
        case .sessionExport: "export as session JSON, 1,000,000 events"
        case .sessionExportMemory: "memory of a process that exports it, the same"
        }
    }

    enum Unit: String {
        case eventsPerSecond = "events/s"
        case perSecond = "1/s"
        case bytesPerSecond = "bytes/s"
        case nanoseconds = "ns"
        case bytes

        func text(_ value: Double) -> String {
            switch self {
            case .eventsPerSecond:
                value >= 1e6
                    ? String(format: "%.2f M events/s", value / 1e6) : String(format: "%.0f events/s", value)
            case .perSecond: String(format: "%.0f /s", value)
            case .bytesPerSecond: String(format: "%.0f MB/s", value / 1e6)
            case .nanoseconds:
                value >= 1e6
                    ? String(format: "%.2f ms", value / 1e6)
                    : value >= 1e3 ? String(format: "%.1f µs", value / 1e3) : String(format: "%.0f ns", value)
            case .bytes: String(format: "%.1f MB", value / 1e6)
            }
        }
    }

    var unit: Unit {
        switch self {
        case .appendSync, .overwriteSync: .perSecond
        case .recordLines: .bytesPerSecond
        case .appendP50, .appendP999, .appendP9999, .open, .point, .time1000, .time100000, .countKind,
            .fold, .grepLive, .grepLiveAhead, .grepLiveIgnoringCase, .regexLive, .grepSettled, .regexSettled,
            .whereSettled,
            .histogram, .follow:
            .nanoseconds
        case .appendMemory, .storedBytes, .settledBytes, .compactMemory, .filterBytes, .scanMemory,
            .sessionImportMemory,
            .sessionExportMemory:
            .bytes
        default: .eventsPerSecond
        }
    }

    /// The limit, or the other figure, that it is compared with.
    var comparedWith: Figure? {
        switch self {
        case .append, .appendOneEncoder: .lz4Compress
        case .appendCompacting: .appendRecorded
        case .settledBytes: .storedBytes
        case .appendWithTail: .appendWithoutTail
        case .scan, .scanChecksum, .whereNumber, .whereParsed: .lz4Decompress
        case .replay, .replayAhead, .replayPartitions, .compareEqual: .scan
        case .replayAheadChecksum: .scanChecksum
        case .durable1: .appendSync
        case .grepLiveAhead: .grepLive
        case .durable64Callers, .durable100, .durable1000: .durable1
        default: nil
        }
    }

    /// Whether it passes over all payloads, so that bytes a second can be told as well.
    var isThroughput: Bool {
        switch self {
        case .lz4Compress, .lz4Decompress, .crc, .memcpy, .memmem, .whereNumber, .whereParsed, .filterBuild,
            .compact, .appendRecorded, .appendCompacting,
            .pageCacheWrite, .syncedWrite, .append,
            .appendWithoutTail, .appendWithTail, .appendOneEncoder, .scan, .scanChecksum,
            .replay, .replayAhead, .replayAheadChecksum, .replayPartitions, .compareEqual:
            true
        default: false
        }
    }
}

/// Samples of every figure, and each one's ratio to the last sample of what it is compared with.
struct Samples {
    private(set) var values: [Figure: [Double]] = [:]
    private var ratios: [Figure: [Double]] = [:]
    /// What could not be measured, and why: the first reason of each.
    private(set) var failures: [String: String] = [:]

    mutating func add(_ figure: Figure, _ value: Double) {
        values[figure, default: []].append(value)
        if let base = figure.comparedWith.flatMap({ values[$0]?.last }), base > 0 {
            ratios[figure, default: []].append(value / base)
        }
    }

    /// Measures something; where that fails it is told, and the rest goes on.
    mutating func attempt(_ what: String, _ body: (inout Samples) throws -> Void) {
        do {
            try body(&self)
        } catch {
            note("\(what) can't be measured: \(error)")
            if failures[what] == nil { failures[what] = "\(error)" }
        }
    }

    func medianRatio(_ figure: Figure) -> Double? { ratios[figure].map { $0.percentile(0.5) } }

    func median(_ figure: Figure) -> Double? { values[figure].map { $0.percentile(0.5) } }
}
