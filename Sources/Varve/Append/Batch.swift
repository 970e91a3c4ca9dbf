internal import Synchronization
internal import VarveFormat

/// A block's worth of events on its way to the disk: rows and payloads as the caller gave them.
///
/// It is laid out as a slot of `TAIL`, and stands in one unless it is a snapshot's copy, or made for a large payload.
/// While it is open its tail's lock guards it; once it is handed over it never changes until it is recycled.
final class Batch: @unchecked Sendable {
    /// Rows that a batch with room for so many bytes has room for.
    static func rowCapacity(payloadCapacity: Int) -> Int { min(max(payloadCapacity / 16, 256), 16_384) }

    let rowCapacity: Int
    let payloadCapacity: Int
    // SAFETY: all three lie in memory with the capacities above, which is the mapping's or freed in deinit.
    private let slot: UnsafeMutableRawPointer
    let rows: UnsafeMutablePointer<EventRow>
    let payload: UnsafeMutableRawPointer
    /// Keeps the memory alive; nil when it is the batch's own.
    private let mapping: TailMapping?
    /// Where an encoder puts the block, so that a hand-over copies nothing.
    let encoded = EncodedBlock()

    var count = 0
    var payloadBytes = 0
    /// The largest kind number, so that the writer knows which definitions must come first.
    var kindMax: UInt32 = 0
    var hasExplicitIndices = false
    /// The seed of its rows' checksums.
    private var seed: UInt32 = 0
    /// Rows outlive the process only with their checksums: what a torn file system left of them is no event.
    private var hasChecksums = false
    /// The log before the first row.
    var start = LogPosition()
    /// Snapshots that copy it; guarded by the pipeline's monitor. A pinned batch is not used again until it is unpinned.
    var pins = 0
    /// It is free once it is unpinned. Guarded by the pipeline's monitor.
    var isReleased = false
    /// Made for one large payload; not recycled.
    let isOversized: Bool

    /// One for many events, in slot `number` of a mapping, or in memory of its own.
    convenience init(payloadCapacity: Int, in mapping: TailMapping?, slot number: Int) {
        let rows = Batch.rowCapacity(payloadCapacity: payloadCapacity)
        if let mapping, let memory = mapping.slot(number) {
            self.init(rows, payloadCapacity, isOversized: false, in: mapping, at: memory)
            return
        }
        self.init(rowCapacity: rows, payloadCapacity: payloadCapacity, isOversized: false)
        // Touched now: the first touch of a page must not happen under a caller's append.
        slot.initializeMemory(
            as: UInt8.self, repeating: 0, count: TailSlot.payloadOffset(rows: rows) + payloadCapacity)
    }

    /// One in memory of its own, with room for just so much.
    convenience init(rowCapacity: Int, payloadCapacity: Int, isOversized: Bool) {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: TailSlot.payloadOffset(rows: rowCapacity) + payloadCapacity, alignment: 64)
        self.init(rowCapacity, payloadCapacity, isOversized: isOversized, in: nil, at: memory)
    }

    private init(
        _ rowCapacity: Int, _ payloadCapacity: Int, isOversized: Bool, in mapping: TailMapping?,
        at slot: UnsafeMutableRawPointer
    ) {
        self.rowCapacity = rowCapacity
        self.payloadCapacity = payloadCapacity
        self.isOversized = isOversized
        self.mapping = mapping
        self.slot = slot
        rows = (slot + TailSlot.rowsOffset).bindMemory(to: EventRow.self, capacity: rowCapacity)
        payload = slot + TailSlot.payloadOffset(rows: rowCapacity)
    }

    deinit {
        if mapping == nil { slot.deallocate() }
    }

    /// Empties it for events that come at `start`. `number` counts the batches of this opening, from 1.
    func reset(start: LogPosition, explicitIndices: Bool, number: UInt64) {
        self.start = start
        hasExplicitIndices = explicitIndices
        count = 0
        payloadBytes = 0
        kindMax = 0
        // Whatever the moment of a kill, the slot holds its old rows, none, or new ones: no store to the header, and none to a
        // row, may be seen before this one.
        Committed.store(0, at: slot + TailSlot.committedOffset)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        hasChecksums = mapping != nil && !explicitIndices
        guard let mapping else { return }
        seed = TailSlot.putHeader(
            at: slot, number: number, firstSequence: start.nextSequence, session: start.sessionOrdinal,
            firstIndex: start.nextIndex, hasExplicitIndices: explicitIndices, epoch: mapping.epoch)
    }

    /// Whether one more event of `byteCount` payload bytes fits.
    @inline(__always)
    func hasRoom(for byteCount: Int) -> Bool {
        count < rowCapacity && payloadBytes &+ byteCount <= payloadCapacity
    }

    /// Adds a row. The caller holds the tail's lock and has checked `hasRoom`.
    @inline(__always)
    func add(_ bytes: UnsafeRawBufferPointer, timestamp: Int64, index: UInt64, kind: UInt32) {
        var index = index
        if hasChecksums {
            // Its place is free: an index that is implied is not stored.
            index = UInt64(TailSlot.checksum(bytes, timestamp: timestamp, kind: kind, after: seed))
        }
        // SAFETY: `hasRoom` held for exactly this payload.
        rows[count] = EventRow(
            timestamp: timestamp, index: index, length: UInt32(truncatingIfNeeded: bytes.count), kind: kind)
        if let source = bytes.baseAddress {
            payload.advanced(by: payloadBytes).copyMemory(from: source, byteCount: bytes.count)
        }
        count &+= 1
        payloadBytes &+= bytes.count
        if kind > kindMax { kindMax = kind }
        Committed.store(UInt32(truncatingIfNeeded: count), at: slot + TailSlot.committedOffset)
    }

    /// The index after its last row.
    var nextIndex: UInt64 {
        hasExplicitIndices && count > 0 ? rows[count - 1].index &+ 1 : start.nextIndex &+ UInt64(count)
    }

    /// From the smallest to the largest timestamp; nil: it is empty.
    var timeRange: ClosedRange<Int64>? {
        let times = UnsafeBufferPointer(start: rows, count: count).lazy.map(\.timestamp)
        guard let first = times.min(), let last = times.max() else { return nil }
        return first...last
    }

    /// A copy of the first `count` rows. The batch must be pinned, or not in use.
    func copy(count: Int) -> Batch {
        var byteCount = 0
        for row in 0..<count { byteCount += Int(rows[row].length) }
        let copy = Batch(rowCapacity: count, payloadCapacity: byteCount, isOversized: false)
        // SAFETY: the copy has room for just that; rows below a count that was read under the tail's lock never change.
        copy.rows.update(from: rows, count: count)
        copy.payload.copyMemory(from: payload, byteCount: byteCount)
        copy.count = count
        copy.payloadBytes = byteCount
        copy.hasExplicitIndices = hasExplicitIndices
        copy.start = start
        return copy
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
    /// The kinds that the segment does not define yet.
    case kinds

    /// Whether an event that comes after it would stand in a wrong place without it. Kinds are waited for by whoever uses them;
    /// without a record of drops every event still is where it was.
    var holdsBackEvents: Bool {
        switch self {
        case .sessionBegin, .sessionEnd, .checkpoint: true
        case .ledger, .kinds: false
        }
    }
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
