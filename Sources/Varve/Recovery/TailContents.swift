internal import VarveFormat
internal import VarveIO

/// What a killed writer left in `TAIL`: the batches of its last slots, written to a segment or not.
struct TailContents: Sendable {
    /// Whose batches these are; nil: its header can't be read.
    let store: UniqueID?
    let epoch: UInt64
    /// The kinds that its opening added, with their ids.
    let kinds: [(id: UInt32, definition: KindDefinition)]
    /// In the order of recording.
    let slots: [TailSlot]
    /// Bytes of it that are damaged: what they held is not known.
    var damagedBytes: UInt64 = 0

    /// Reads a store's `TAIL`; nil when there is none that means anything on this boot. Allocates one slot at a time, and no more
    /// than the file's 1 GiB in all. Throws when the system refuses to read it.
    static func read(
        _ directory: String, fileSystem: any FileSystem
    ) throws(StoreError) -> TailContents? {
        let path = directory + "/TAIL"
        do throws(IOFailure) {
            guard try fileSystem.kind(of: path) == .regular else { return nil }
            let file = try fileSystem.open(path, .read)
            defer { file.close() }
            let fixed = try file.read(at: 0, count: TailHeader.byteCount)
            // After a power cut it may be anything; most often zeros.
            if fixed.allSatisfy({ $0 == 0 }) { return nil }
            let size = try file.size()
            guard let header = fixed.withUnsafeBytes({ try? TailHeader(decoding: $0) }) else {
                return TailContents(store: nil, epoch: .max >> 2, kinds: [], slots: [], damagedBytes: size)
            }
            guard header.boot == fileSystem.bootIdentity() else { return nil }
            // No writer leaves it longer or shorter, however it ends.
            guard size == UInt64(header.fileBytes) else {
                return TailContents(
                    store: header.store, epoch: header.epoch, kinds: [], slots: [], damagedBytes: size)
            }
            let beginning = try file.read(at: 0, count: header.slotOffset(0))
            let kinds = beginning.withUnsafeBytes { header.kinds(in: $0) }
            var slots: [TailSlot] = []
            var damagedBytes: UInt64 = 0
            for number in 0..<Int(header.slotCount) {
                let bytes = try file.read(at: UInt64(header.slotOffset(number)), count: Int(header.slotBytes))
                do throws(FormatError) {
                    let slot = try bytes.withBytes { bytes throws(FormatError) in
                        try TailSlot.decode(bytes, header: header)
                    }
                    if let slot { slots.append(slot) }
                } catch {
                    damagedBytes += header.slotBytes
                }
            }
            return TailContents(
                store: header.store, epoch: header.epoch, kinds: kinds,
                slots: slots.sorted { $0.number < $1.number },
                damagedBytes: damagedBytes)
        } catch {
            throw .reading(error)
        }
    }

    /// nil for one of another store.
    func belonging(to store: UniqueID) -> TailContents? { self.store ?? store == store ? self : nil }
}

/// Where a log ends, as far as what comes next must fit it.
struct LogEnd: Sendable {
    /// The number that the next event gets.
    var nextSequence: UInt64 = 0
    /// The active session's ordinal; 0: none.
    var session: UInt64 = 0
    /// The highest epoch in the log.
    var epoch: UInt64 = 0
    var kinds: [KindDefinition] = []

    init(nextSequence: UInt64, session: UInt64, epoch: UInt64, kinds: [KindDefinition]) {
        self.nextSequence = nextSequence
        self.session = session
        self.epoch = epoch
        self.kinds = kinds
    }

    /// The end of the log that these segments make.
    init(_ entries: [Catalog.Entry]) {
        for entry in entries {
            nextSequence = max(nextSequence, entry.summary.nextSequence)
            epoch = max(epoch, entry.summary.lastEpoch)
        }
        // Without its index nobody knows session and kinds: then nothing fits.
        guard let index = (try? entries.last?.load())?.index else { return }
        session = index.activeSession?.begin.ordinal ?? 0
        kinds = index.kinds.map(\.definition)
    }
}

/// The events of `TAIL` that the log does not hold. Pure.
struct TailPlan: Sendable {
    /// In order; their rows follow the log's end.
    var slots: [TailSlot] = []
    /// The log's kinds, and those that `TAIL` adds.
    var kinds: [KindDefinition]
    /// Numbers between the log's end and what `TAIL` holds: lost, and it is known that they are.
    var gaps: [Gap] = []
    /// Whether `TAIL` is whole, and holds events that follow the log's end without a gap.
    var goesOn = false
    /// Bytes of it that may have held events, and are of no use.
    var unreadableBytes: UInt64 = 0
    let epoch: UInt64

    /// Events in it.
    var eventCount: UInt64 { slots.reduce(0) { $0 + UInt64($1.rows.count) } }
    /// The number after its last event, kept or lost; nil: none.
    private(set) var nextSequence: UInt64?

    init(_ contents: TailContents?, after end: LogEnd) {
        kinds = end.kinds
        epoch = contents?.epoch ?? 0
        // One of an earlier opening: what it held was recovered.
        guard let contents, contents.epoch >= end.epoch, contents.epoch < .max >> 1 else { return }
        unreadableBytes = contents.damagedBytes
        for (id, definition) in contents.kinds where id == kinds.count && id < Limits.segmentKindsMax {
            kinds.append(definition)
        }
        var next = end.nextSequence
        for var slot in contents.slots {
            let reached = slot.firstSequence + UInt64(slot.rows.count + slot.lostRows)
            guard reached > next else { continue }
            let isFirst = nextSequence == nil && contents.damagedBytes == 0
            // An import that was cut off does not exist, nor does what follows in it.
            if slot.hasExplicitIndices {
                if isFirst, slot.firstSequence <= next { goesOn = true }
                return
            }
            // Bytes that no writer leaves: nothing after them can be trusted either.
            guard slot.session == end.session, end.session > 0, reached < .max >> 2,
                slot.firstIndex < .max >> 1, slot.rows.allSatisfy({ $0.kind < kinds.count })
            else {
                goesOn = false
                unreadableBytes += slot.rows.reduce(0) { $0 + UInt64(TailSlot.rowBytes + $1.payload.count) }
                return
            }
            if slot.firstSequence < next {
                let known = min(Int(next - slot.firstSequence), slot.rows.count)
                slot.rows.removeFirst(known)
                slot.firstSequence += UInt64(known)
                slot.firstIndex += UInt64(known)
            }
            if isFirst, slot.firstSequence == next, !slot.rows.isEmpty { goesOn = true }
            addGap(from: next, to: slot.firstSequence)
            next = max(next, slot.firstSequence + UInt64(slot.rows.count))
            addGap(from: next, to: reached)
            next = reached
            nextSequence = reached
            if !slot.rows.isEmpty { slots.append(slot) }
        }
    }

    private mutating func addGap(from first: UInt64, to end: UInt64) {
        guard end > first else { return }
        gaps.append(
            Gap(
                sequences: first...end - 1, reason: .unconfirmedTail,
                note: "what was written of them can't be read"))
    }

    /// The slots as batches that a snapshot can read.
    func batches() -> [Batch] {
        slots.map { slot in
            var start = LogPosition()
            start.epoch = epoch
            start.nextSequence = slot.firstSequence
            start.sessionOrdinal = slot.session
            start.nextIndex = slot.firstIndex
            return Batch(slot, at: start)
        }
    }
}

extension Batch {
    /// A batch that was found in `TAIL`.
    convenience init(_ slot: TailSlot, at start: LogPosition) {
        self.init(
            rowCapacity: slot.rows.count, payloadCapacity: slot.rows.reduce(0) { $0 + $1.payload.count },
            isOversized: false)
        reset(start: start, explicitIndices: slot.hasExplicitIndices, number: slot.number)
        for row in slot.rows {
            row.payload.withUnsafeBytes {
                add($0, timestamp: row.timestamp, index: row.index, kind: row.kind)
            }
        }
    }
}
