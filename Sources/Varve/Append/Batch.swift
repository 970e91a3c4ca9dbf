internal import VarveFormat

/// A block's worth of events on its way to the disk: rows and payloads as the caller gave them.
///
/// While it is open its tail's lock guards it; once it is handed over it never changes until it is recycled.
/// Snapshots read it in place: rows below a count that was read under the tail's lock never change.
final class Batch: @unchecked Sendable {
    /// Rows that every batch has room for.
    static let rowsMax = 16_384

    let rowCapacity: Int
    let payloadCapacity: Int
    // SAFETY: allocated here with the capacities above and freed in deinit.
    let rows: UnsafeMutablePointer<EventRow>
    let payload: UnsafeMutableRawPointer
    /// Where an encoder puts the block, so that a hand-over copies nothing.
    let encoded = EncodedBlock()

    var count = 0
    var payloadBytes = 0
    /// The largest kind number, so that the writer knows which definitions must come first.
    var kindMax: UInt32 = 0
    var hasExplicitIndices = false
    /// The log before the first row.
    var start = LogPosition()
    /// Snapshots that read it; guarded by the pipeline's monitor. A pinned batch is not recycled.
    var pins = 0
    /// Made for one large payload; not recycled.
    let isOversized: Bool

    init(payloadCapacity: Int, isOversized: Bool = false) {
        self.isOversized = isOversized
        self.payloadCapacity = max(payloadCapacity, 1)
        rowCapacity = isOversized ? 1 : Batch.rowsMax
        rows = .allocate(capacity: rowCapacity)
        payload = .allocate(byteCount: self.payloadCapacity, alignment: 64)
        if !isOversized {
            // Touched now: the first touch of a page must not happen under a caller's append.
            payload.initializeMemory(as: UInt8.self, repeating: 0, count: self.payloadCapacity)
            UnsafeMutableRawPointer(rows)
                .initializeMemory(
                    as: UInt8.self, repeating: 0, count: rowCapacity * MemoryLayout<EventRow>.stride)
        }
    }

    deinit {
        rows.deallocate()
        payload.deallocate()
    }

    func reset(start: LogPosition, explicitIndices: Bool) {
        self.start = start
        hasExplicitIndices = explicitIndices
        count = 0
        payloadBytes = 0
        kindMax = 0
    }

    /// Whether one more event of `byteCount` payload bytes fits.
    @inline(__always)
    func hasRoom(for byteCount: Int) -> Bool {
        count < rowCapacity && payloadBytes &+ byteCount <= payloadCapacity
    }

    /// Adds a row. The caller holds the tail's lock and has checked `hasRoom`.
    @inline(__always)
    func add(_ bytes: UnsafeRawBufferPointer, timestamp: Int64, index: UInt64, kind: UInt32) {
        // SAFETY: `hasRoom` held for exactly this payload.
        rows[count] = EventRow(
            timestamp: timestamp, index: index, length: UInt32(truncatingIfNeeded: bytes.count), kind: kind)
        if let source = bytes.baseAddress {
            payload.advanced(by: payloadBytes).copyMemory(from: source, byteCount: bytes.count)
        }
        count &+= 1
        payloadBytes &+= bytes.count
        if kind > kindMax { kindMax = kind }
    }
}

/// A place in the log, in terms of what was recorded before it.
struct LogPosition: Hashable, Sendable {
    var epoch: UInt64 = 0
    /// The number that the next event gets.
    var nextSequence: UInt64 = 0
    /// The session that is active; 0: none.
    var sessionOrdinal: UInt64 = 0
    /// The index that its next event gets.
    var nextIndex: UInt64 = 0
    /// Sessions begun in the store.
    var sessionsBegun: UInt64 = 0
    /// Checkpoints made in the store.
    var checkpointsMade: UInt64 = 0
}

/// A record that takes a block of its own.
enum ControlRecord: Sendable {
    case sessionBegin(SessionBegin)
    case sessionEnd(SessionEnd)
    case checkpoint(CheckpointRecord, state: [UInt8])
    case ledger([LedgerRecord])
}

/// Something handed over to the pipeline, in its place in the order of recording.
final class PendingItem: @unchecked Sendable {
    enum Content {
        case batch(Batch)
        case control(ControlRecord)
    }

    /// What an encoder has done with it.
    enum Stage {
        case queued, encoding, ready
    }

    /// From 1, dense.
    let number: UInt64
    let content: Content
    /// The log before the item, except that a begin record's session and a checkpoint's ordinal are counted.
    let position: LogPosition
    /// Guarded by the pipeline's monitor.
    var stage: Stage

    init(number: UInt64, batch: Batch) {
        self.number = number
        content = .batch(batch)
        position = batch.start
        stage = .queued
    }

    init(number: UInt64, record: ControlRecord, position: LogPosition) {
        self.number = number
        content = .control(record)
        self.position = position
        stage = .ready
    }

    var batch: Batch? {
        if case .batch(let batch) = content { batch } else { nil }
    }
}
