public import VarveFormat
public import VarveIO

/// What a payload's bytes are: `json`, `utf8` or `binary`.
public typealias PayloadEncoding = VarveFormat.PayloadEncoding
/// A UUID of a store or segment.
public typealias UniqueID = VarveFormat.UniqueID

/// What a store keeps at most; nil: not limited.
public typealias RetentionLimits = VarveFormat.RetentionLimits
/// Which of a store's limits.
public typealias RetentionLimit = VarveFormat.RetentionLimit

/// When an append counts as durable.
public enum Durability: Hashable, Sendable {
    /// Synced when the session ends or the store is closed. Idle batches are still written within 200 ms.
    case none
    /// Synced by a background thread at least this often while there is something to sync.
    case interval(nanoseconds: UInt64)
    /// Each append or batch returns after its sync; concurrent callers share one.
    case synced
}

/// What an append does when the queue to the disk is full.
///
/// The same with `StoreOptions.keepsTail` while something that `TAIL` does not hold is being written: a checkpoint, the beginning or
/// the end of a session, a payload larger than a block. An event that came after it must not outlive it when the process is killed, so
/// nothing is taken before it is written.
///
/// `dropAndCount` and `fail` never block an append on the disk, except with `Durability.synced`, which asks for it. Checkpoints,
/// beginnings and ends of sessions, and kinds that `TAIL` has no room for wait for the disk whatever is chosen here; asynchronous
/// appends suspend.
public enum WhenFull: Hashable, Sendable {
    /// Blocks the calling thread until there is room. An append of a payload larger than a block returns once it is written.
    case wait
    /// Refuses the event with `StoreError.dropped`; a ledger record counts it. It takes no sequence number.
    ///
    /// The record is queued within 200 ms or before the next event, and is no part of `TAIL`: counts of which no record was
    /// written when the process is killed are lost. A payload larger than a block is lost by a kill until it is written, and
    /// what is appended meanwhile is dropped.
    case dropAndCount
    /// Refuses the event with `StoreError.queueFull`, and leaves no trace.
    ///
    /// A payload larger than a block is lost by a kill until it is written, and what is appended meanwhile is refused.
    case fail
}

/// Something the library did on its own that an operator may want to know.
public enum Diagnostic: Hashable, Sendable {
    /// The store was not closed in order; this is what opening found.
    case recovered(RecoveryReport)
    /// A segment was sealed.
    case sealed(segment: UInt64, bytes: UInt64)
    /// Writing is stalled by this failure; appends are refused until it passes.
    case stalled(String)
    /// Writing goes on after a stall.
    case resumed
    /// A sync failed: the store takes nothing more until it is opened again.
    case poisoned(String)
    /// The file system has no shared mappings, or the limit of bytes no room for one: what a killed process had not written yet would be
    /// lost.
    case withoutTail(String)
    /// A segment was removed: the limits have dropped all that it held. The bytes are those of its file.
    case dropped(segment: UInt64, bytes: UInt64)
    /// Segments were written anew as one, or removed where nothing in them was retained. Their ordinals, and bytes of the files.
    case compacted(segments: [UInt64], bytesBefore: UInt64, bytesAfter: UInt64)
    /// A limit can't be kept: what is left is pinned, or needed. Said once.
    case limitUnreachable(RetentionLimit)
    /// Work in the background that can be repeated failed.
    case maintenanceFailed(String)
}

/// How a store is opened and written.
public struct StoreOptions: Sendable {
    /// Whether opening for writing creates a store where there is none.
    public var create = true
    /// User metadata of a store that this opening creates; at most 64 KiB encoded.
    public var metadata: [String: String] = [:]
    /// When an append counts as durable.
    public var durability = Durability.interval(nanoseconds: 200_000_000)
    /// What an append does when the queue is full.
    public var whenFull = WhenFull.wait
    /// Payload bytes at which a block is closed; 4 KiB...64 MiB.
    public var blockBytes = 256 << 10
    /// Payload bytes at which a sub-block is closed; 1 KiB...`blockBytes`.
    public var subBlockBytes = 64 << 10
    /// File bytes at which a segment is sealed.
    public var segmentBytes: UInt64 = 64 << 20
    /// Blocks at which a segment is sealed; 8...8,000, so that two segments' blocks fit one when they are recovered.
    public var segmentBlocksMax = 8_000
    /// Age in nanoseconds at which a segment is sealed; nil: never for its age.
    public var segmentAgeNanoseconds: UInt64?
    /// LZ4 level: below 3 the fast compressor, 3...12 HC.
    public var compressionLevel: Int32 = 0
    /// Whether segments get a dictionary, sampled from the data already recorded.
    public var usesDictionary = false
    /// Whether batches live in a shared mapping (`TAIL`, about 0.7 MiB for each of the queue's batches), so that a killed process
    /// loses nothing that `append` returned. Checkpoints, beginnings of sessions and payloads larger than a block, which it
    /// does not hold, then return once they are written, and other threads' appends come after them: see `WhenFull`,
    /// also for what a payload larger than a block may cost callers that never wait.
    public var keepsTail = true
    /// Threads that compress and write; 1...16.
    public var encoderThreads = 2
    /// Batches between the callers and the disk; 2...64, and no more than 1 GiB in all.
    public var queueBatches = 8
    /// Whether a store on a network file system may be written.
    public var allowsNetworkFileSystem = false
    /// Whether sealed segments are compacted in the background, rewritten on a thread of the lowest priority: what the limits dropped of them is
    /// removed, small ones are joined, and all are compressed better and get text filters. `EventStore.compact` does it at any rate.
    public var compactsInBackground = true
    /// Bytes a second that compaction in the background writes at most; nil: as many as it can.
    public var compactionBytesPerSecond: UInt64?
    /// What the store keeps at most, from this opening on; nil: what it was given before. The oldest goes first, except what is
    /// pinned. All that is not limited is nil in `RetentionLimits()`, which takes the limits away.
    ///
    /// - `events`, `checkpoints`: kept exactly, each apart from the other: a checkpoint outlives the events around it. An import counts
    ///   from its end on, and displaces nothing before.
    /// - `bytes`, at least 1 MiB: all files in the directory, at any moment. A segment is sealed at an eighth of it at the latest, batches
    ///   are made smaller where it is low, and no payload or state may be larger than an eighth of it. An eighth stays free for segments
    ///   that are written anew. Whole segments go; the checkpoint from which the oldest event left can be reached goes last.
    /// - `ageNanoseconds`: since the time of writing, whatever timestamps say. Blocks go whole, two minutes late at most; those that compaction
    ///   has joined, a 64th of the limit late at most.
    /// - `freeBytes`: of the disk, for others. Looked at with each segment, and every second while something is recorded.
    ///
    /// Where nothing more may be dropped appends fail with `StoreError.limitReached`, until something is unpinned; so they do where pins
    /// keep more than an eighth of the limit in one segment, from the time of a higher limit, that has to be written anew. A store whose pins
    /// take more than the limit opens without `TAIL` (`Diagnostic.withoutTail`). Opening with limits
    /// below what the store has drops the rest before it returns; a segment that is large beside the limit is written anew then, so that
    /// its newest part stays, for which the directory may once take up to the limit more than it did.
    public var limits: RetentionLimits?
    /// Disk, clock and randomness.
    public var fileSystem: any FileSystem = POSIXFileSystem()
    /// Called with what the library did on its own, on one of its threads: return soon, and do not call the
    /// store from it.
    public var diagnostics: (@Sendable (Diagnostic) -> Void)?

    /// Every option at its default.
    public init() {}

    /// How blocks are built with these options. Call on clamped ones.
    var encodingSettings: EncodingSettings {
        EncodingSettings(
            blockBytes: UInt32(blockBytes), subBlockBytes: UInt32(subBlockBytes), level: compressionLevel)
    }

    /// How compaction writes segments.
    var rewriteSettings: RewriteSettings {
        var settings = RewriteSettings()
        // What is joined to one block is dropped together.
        settings.spanMax = limits?.ageNanoseconds.map { max($0 / 64, 1) }
        return settings
    }

    /// Least limit of a store's bytes.
    static let limitBytesMin: UInt64 = 1 << 20

    /// Bytes of `TAIL` for definitions of kinds.
    var tailKindsBytes = 64 << 10
    /// Largest payload or state.
    var payloadBytesMax = Limits.payloadBytesMax

    /// The options with these limits, and what follows from them. Call on clamped ones.
    func keeping(_ limits: RetentionLimits) -> StoreOptions {
        var options = self
        options.limits = limits
        guard let bytes = limits.bytes else { return options }
        let eighth = Int(clamping: bytes / 8)
        options.segmentBytes = min(segmentBytes, UInt64(eighth))
        options.payloadBytesMax = min(Limits.payloadBytesMax, eighth)
        options.blockBytes = min(blockBytes, max(eighth / 8, 4 << 10))
        options.subBlockBytes = min(subBlockBytes, options.blockBytes)
        options.tailKindsBytes = min(tailKindsBytes, max(eighth / 8, 4 << 10) & ~4095)
        // `TAIL` takes no more than another eighth.
        let room = eighth - options.tailKindsBytes - TailHeader.byteCount
        options.queueBatches = min(queueBatches, max(room / options.slotBytes, 2))
        return options
    }

    /// Bytes of a batch in `TAIL`.
    var slotBytes: Int {
        TailHeader.slotBytes(
            rows: Batch.rowCapacity(payloadCapacity: blockBytes), payloadBytes: blockBytes)
    }

    /// Bytes of `TAIL`.
    var tailBytes: Int {
        guard keepsTail else { return 0 }
        return TailHeader.byteCount + tailKindsBytes + queueBatches * slotBytes
    }

    /// Refuses limits that nobody can keep.
    static func check(_ limits: RetentionLimits, on disk: DiskSpace?) throws(StoreError) {
        let named: [(String, UInt64?)] = [
            ("the limit of events", limits.events), ("the limit of checkpoints", limits.checkpoints),
            ("the limit of bytes", limits.bytes), ("the limit of age", limits.ageNanoseconds),
            ("the disk space to leave free", limits.freeBytes),
        ]
        for (what, value) in named where value == 0 {
            throw .invalid(what: what, reason: "is 0: nil is no limit")
        }
        if let bytes = limits.bytes, bytes < limitBytesMin {
            throw .invalid(
                what: "the limit of bytes", reason: "is \(bytes), less than the least of \(limitBytesMin)")
        }
        if let free = limits.freeBytes, let disk, free >= disk.totalBytes {
            throw .invalid(
                what: "the disk space to leave free",
                reason: "is \(free) bytes, and the whole disk has \(disk.totalBytes)")
        }
    }

    /// The options with every number inside its range.
    var clamped: StoreOptions {
        var options = self
        options.blockBytes = min(max(blockBytes, 4 << 10), Limits.payloadBytesMax)
        options.subBlockBytes = min(max(subBlockBytes, 1 << 10), options.blockBytes)
        options.segmentBytes = max(segmentBytes, 16 << 10)
        options.segmentBlocksMax = min(max(segmentBlocksMax, 8), 8_000)
        options.encoderThreads = min(max(encoderThreads, 1), 16)
        options.queueBatches = min(max(queueBatches, 2), 64, (1 << 30) / options.slotBytes)
        options.compressionLevel = min(max(compressionLevel, 0), 12)
        return options
    }
}
