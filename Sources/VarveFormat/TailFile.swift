/// The header of `TAIL`. `Formats/store.md#tail`.
public struct TailHeader: Hashable, Sendable {
    static let magic: StaticString = "VARVETAI"
    static let checksumOffset = 92
    /// Bytes of the header with its zeros.
    public static let byteCount = 4096

    /// How many batches the file can hold at a time, 1...64.
    public var slotCount: UInt32
    /// UUID of the store whose batches these are.
    public var store: UniqueID
    /// 16 bytes.
    public var boot: [UInt8]
    /// The opening for writing, counted from 1, that made the file; slots' checksums are seeded with it.
    public var epoch: UInt64
    /// From one slot to the next: a multiple of 4096, at most 256 MiB.
    public var slotBytes: UInt64
    /// Events that a slot has room for, 1...65,536.
    public var slotRows: UInt32
    /// Bytes of payloads that a slot has room for, at most 64 MiB.
    public var slotPayloadBytes: UInt32
    /// Bytes of the region of kind definitions before the slots: a multiple of 4096, at most 64 MiB.
    public var kindsBytes: UInt32
    /// When the file was made, in nanoseconds since the Unix epoch.
    public var createdAt: Int64

    /// Takes the fields as given: that the sizes fit each other is checked when decoding.
    public init(
        slotCount: UInt32, store: UniqueID, boot: [UInt8], epoch: UInt64, slotBytes: UInt64, slotRows: UInt32,
        slotPayloadBytes: UInt32, kindsBytes: UInt32, createdAt: Int64
    ) {
        self.slotCount = slotCount
        self.store = store
        self.boot = boot
        self.epoch = epoch
        self.slotBytes = slotBytes
        self.slotRows = slotRows
        self.slotPayloadBytes = slotPayloadBytes
        self.kindsBytes = kindsBytes
        self.createdAt = createdAt
    }

    /// The header as it is stored, with its checksum and the zeros: `byteCount` bytes.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.putMagic(TailHeader.magic)
        writer.put(Limits.formatVersion)
        writer.put(UInt16(0))
        writer.put(slotCount)
        writer.put(store)
        writer.putRaw(boot)
        writer.put(epoch)
        writer.put(slotBytes)
        writer.put(slotRows)
        writer.put(slotPayloadBytes)
        writer.put(kindsBytes)
        writer.put(UInt32(0))
        writer.put(createdAt)
        writer.put(UInt32(0))
        writer.put(writer.bytes.withUnsafeBytes { Checksum.crc($0) })
        writer.putZeros(TailHeader.byteCount - writer.count)
        return writer.bytes
    }

    /// Reads the header from the file's first bytes. Throws where they are not as specified.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let what = "TAIL"
        guard bytes.count >= TailHeader.byteCount else { throw .truncated(what) }
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[..<TailHeader.byteCount]), what)
        guard magicMatches(try reader.take(8), TailHeader.magic) else { throw .notFound("TAIL header") }
        try Checksum.verify(bytes, storedAt: TailHeader.checksumOffset, what, .tailHeaderChecksum)
        let version = try reader.u16()
        guard version == Limits.formatVersion else { throw .unknownVersion(version, of: what) }
        try reader.takeZeros(2)
        slotCount = try reader.u32()
        store = try reader.uniqueID()
        boot = Array(try reader.take(16))
        epoch = try reader.u64()
        slotBytes = try reader.u64()
        slotRows = try reader.u32()
        slotPayloadBytes = try reader.u32()
        kindsBytes = try reader.u32()
        try reader.takeZeros(4)
        createdAt = try reader.i64()
        try reader.takeZeros(4)
        _ = try reader.u32()
        try reader.takeZeros(reader.remaining)
        guard Safeguard.tailSizes.isLeftOut || sizesFit else {
            throw .invalid(what, reason: "its sizes do not fit each other")
        }
    }

    private var sizesFit: Bool {
        (1...64).contains(slotCount) && slotBytes <= 256 << 20 && slotBytes % 4096 == 0
            && (1...65_536).contains(slotRows) && kindsBytes >= 8 && kindsBytes <= 64 << 20
            && kindsBytes % 4096 == 0 && slotPayloadBytes <= UInt32(Limits.payloadBytesMax)
            && UInt64(slotCount) * slotBytes <= 1 << 30
            && TailHeader.slotBytes(rows: Int(slotRows), payloadBytes: Int(slotPayloadBytes))
                <= Int(slotBytes)
    }

    /// Where slot `number` starts.
    public func slotOffset(_ number: Int) -> Int {
        TailHeader.byteCount + Int(kindsBytes) + number * Int(slotBytes)
    }

    /// Bytes of the file.
    public var fileBytes: Int { slotOffset(Int(slotCount)) }

    /// The least bytes for a slot with so much room.
    public static func slotBytes(rows: Int, payloadBytes: Int) -> Int {
        (TailSlot.payloadOffset(rows: rows) + payloadBytes + 4095) / 4096 * 4096
    }

    /// A kind as the kinds region holds it: its id and definition, and their checksum.
    public func encode(_ definition: KindDefinition, id: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.put(id)
        definition.encode(to: &writer)
        writer.put(writer.bytes.withUnsafeBytes { Checksum.crc($0, after: TailHeader.seed(epoch)) })
        return writer.bytes
    }

    /// The checksum of an epoch: the seed of what stands beyond the header.
    static func seed(_ epoch: UInt64) -> UInt32 {
        var epoch = epoch.littleEndian
        return withUnsafeBytes(of: &epoch) { Checksum.crc($0) }
    }

    /// The definitions in the kinds region with their ids; stops where they make no sense.
    public func kinds(in file: UnsafeRawBufferPointer) -> [(id: UInt32, definition: KindDefinition)] {
        let end = TailHeader.byteCount + Int(kindsBytes)
        guard file.count >= end, kindsBytes >= 8 else { return [] }
        let region = UnsafeRawBufferPointer(rebasing: file[TailHeader.byteCount..<end])
        let committed = UInt32(littleEndian: region.loadUnaligned(as: UInt32.self))
        guard Safeguard.tailKindsLength.isLeftOut || Int(committed) <= region.count - 8 else { return [] }
        let entries = UnsafeRawBufferPointer(rebasing: region[8..<8 + Int(committed)])
        var reader = ByteReader(entries, "TAIL's kinds")
        var kinds: [(UInt32, KindDefinition)] = []
        while reader.remaining > 0 {
            let start = reader.position
            guard let id = try? reader.u32(), let kind = try? KindDefinition(from: &reader) else { break }
            let covered = UnsafeRawBufferPointer(rebasing: entries[start..<reader.position])
            guard let checksum = try? reader.u32(),
                Safeguard.tailKindChecksum.isLeftOut
                    || Checksum.crc(covered, after: TailHeader.seed(epoch)) == checksum
            else { break }
            kinds.append((id, kind))
        }
        return kinds
    }
}

/// A slot of `TAIL`, decoded as hostile bytes.
public struct TailSlot: Hashable, Sendable {
    /// Where a slot counts its committed rows: a `u32` that is stored after each row and its payload.
    public static let committedOffset = 40
    static let checksumOffset = 44
    /// Bytes from the start of a slot to its first row.
    public static let rowsOffset = 64
    /// Bytes of a row: timestamp, index, payload length, kind id.
    public static let rowBytes = 24

    /// Bytes from the start of a slot with room for so many rows to its payloads.
    public static func payloadOffset(rows: Int) -> Int { rowsOffset + rows * rowBytes }

    /// An event as a batch holds it that is not yet written to a segment.
    public struct Row: Hashable, Sendable {
        /// Nanoseconds since the Unix epoch.
        public var timestamp: Int64
        /// As it counts: implied, or explicit.
        public var index: UInt64
        /// Id that the kinds region gives the event's kind.
        public var kind: UInt32
        /// The event's bytes, not compressed.
        public var payload: [UInt8]

        /// A row with a copy of everything.
        public init(timestamp: Int64, index: UInt64, kind: UInt32, payload: [UInt8]) {
            self.timestamp = timestamp
            self.index = index
            self.kind = kind
            self.payload = payload
        }
    }

    /// Of the batch: from 1, ascending in the order of recording.
    public var number: UInt64
    /// Sequence number of the first row; those of the others follow without a gap.
    public var firstSequence: UInt64
    /// Ordinal of the session that the events belong to.
    public var session: UInt64
    /// Index of the first row in the session, unless indices are explicit.
    public var firstIndex: UInt64
    /// Whether each row's index is stored; otherwise they go up by one from the first.
    public var hasExplicitIndices: Bool
    /// Those that have their checksums, up to the first that has not, in the order of recording.
    public var rows: [Row]
    /// How many more were committed.
    public var lostRows = 0

    /// Takes the fields as given: whether they fit a file's slots depends on its header.
    public init(
        number: UInt64, firstSequence: UInt64, session: UInt64, firstIndex: UInt64, hasExplicitIndices: Bool,
        rows: [Row]
    ) {
        self.number = number
        self.firstSequence = firstSequence
        self.session = session
        self.firstIndex = firstIndex
        self.hasExplicitIndices = hasExplicitIndices
        self.rows = rows
    }

    /// Reads a slot; nil for an unused one, and for one that was about to be used again. Throws when it is neither: then what it
    /// held is lost. Allocates no more than the rows that have their checksums.
    public static func decode(_ bytes: UnsafeRawBufferPointer, header: TailHeader) throws(FormatError)
        -> TailSlot?
    {
        let what = "a slot of TAIL"
        guard Safeguard.tailSlotLength.isLeftOut || bytes.count >= Int(header.slotBytes) else {
            throw .truncated(what)
        }
        if allZero(UnsafeRawBufferPointer(rebasing: bytes[..<rowsOffset])) { return nil }
        var reader = ByteReader(bytes, what)
        let number = try reader.u64()
        do throws(FormatError) {
            try Checksum.verify(
                bytes, upTo: committedOffset, storedAt: checksumOffset, after: TailHeader.seed(header.epoch),
                what, .tailSlotChecksum)
        } catch {
            let committed = bytes.loadUnaligned(fromByteOffset: committedOffset, as: UInt32.self)
            if committed == 0 { return nil }
            throw error
        }
        let firstSequence = try reader.u64()
        let session = try reader.u64()
        let firstIndex = try reader.u64()
        let flags = try reader.u32()
        try reader.takeZeros(4)
        let committed = try reader.u32()
        let seed = try reader.u32()
        try reader.takeZeros(16)
        guard number > 0, flags <= 1, Safeguard.tailRowCount.isLeftOut || committed <= header.slotRows else {
            throw .invalid(what, reason: "reserved flags are set, or it has too many rows")
        }
        guard
            Safeguard.tailNumbers.isLeftOut
                || !firstSequence.addingReportingOverflow(UInt64(header.slotRows)).overflow
                    && (flags == 1 || !firstIndex.addingReportingOverflow(UInt64(header.slotRows)).overflow)
        else { throw .invalid(what, reason: "its numbers overflow") }
        var slot = TailSlot(
            number: number, firstSequence: firstSequence, session: session, firstIndex: firstIndex,
            hasExplicitIndices: flags == 1, rows: [])
        var offset = payloadOffset(rows: Int(header.slotRows))
        let end = offset + Int(header.slotPayloadBytes)
        // A row proves itself; the count says only how many there must be.
        for position in 0..<Int(slot.hasExplicitIndices ? committed : header.slotRows) {
            let timestamp = try reader.i64()
            let index = try reader.u64()
            let length = Int(try reader.u32())
            let kind = try reader.u32()
            guard
                Safeguard.tailPayloadLength.isLeftOut
                    || length <= min(end - offset, Limits.payloadBytesMax)
            else {
                if slot.hasExplicitIndices { throw .invalid(what, reason: "a payload does not fit in it") }
                break
            }
            let stored = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
            if !Safeguard.tailRowChecksum.isLeftOut, flags == 0,
                index != UInt64(checksum(stored, timestamp: timestamp, kind: kind, after: seed))
            {
                break
            }
            slot.rows.append(
                Row(
                    timestamp: timestamp,
                    index: slot.hasExplicitIndices ? index : firstIndex + UInt64(position), kind: kind,
                    payload: Array(stored)))
            offset += length
        }
        slot.lostRows = max(0, Int(committed) - slot.rows.count)
        return slot
    }

    /// A row's checksum, over its timestamp, length, kind and payload; `seed` is its slot's.
    @inline(__always)
    public static func checksum(
        _ payload: UnsafeRawBufferPointer, timestamp: Int64, kind: UInt32, after seed: UInt32
    ) -> UInt32 {
        let sizes = UInt64(UInt32(truncatingIfNeeded: payload.count)) | UInt64(kind) << 32
        return Checksum.crc(UInt64(bitPattern: timestamp), sizes, payload, after: seed)
    }

    /// Writes all that stands before the rows, but for their count, at the start of a slot. That count must be zero
    /// meanwhile. Returns the slot's checksum: the seed of its rows'.
    @discardableResult
    public static func putHeader(
        at slot: UnsafeMutableRawPointer, number: UInt64, firstSequence: UInt64, session: UInt64,
        firstIndex: UInt64, hasExplicitIndices: Bool, epoch: UInt64
    ) -> UInt32 {
        for (position, value) in [number, firstSequence, session, firstIndex].enumerated() {
            slot.storeBytes(of: value.littleEndian, toByteOffset: 8 * position, as: UInt64.self)
        }
        slot.storeBytes(
            of: UInt64(hasExplicitIndices ? 1 : 0).littleEndian, toByteOffset: 32, as: UInt64.self)
        let checksum = Checksum.crc(
            UnsafeRawBufferPointer(start: slot, count: committedOffset), after: TailHeader.seed(epoch))
        slot.storeBytes(of: checksum.littleEndian, toByteOffset: checksumOffset, as: UInt32.self)
        return checksum
    }

    /// The slot's bytes as a writer lays them out.
    public func encode(header: TailHeader) -> [UInt8] {
        var fixed = [UInt8](repeating: 0, count: TailSlot.rowsOffset)
        var seed: UInt32 = 0
        fixed.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            seed = TailSlot.putHeader(
                at: base, number: number, firstSequence: firstSequence, session: session,
                firstIndex: firstIndex, hasExplicitIndices: hasExplicitIndices, epoch: header.epoch)
            base.storeBytes(
                of: UInt32(rows.count + lostRows).littleEndian, toByteOffset: TailSlot.committedOffset,
                as: UInt32.self)
        }
        var writer = ByteWriter()
        writer.putRaw(fixed)
        for row in rows {
            writer.put(row.timestamp)
            let checksum = row.payload.withUnsafeBytes {
                TailSlot.checksum($0, timestamp: row.timestamp, kind: row.kind, after: seed)
            }
            writer.put(hasExplicitIndices ? row.index : UInt64(checksum))
            writer.put(UInt32(row.payload.count))
            writer.put(row.kind)
        }
        writer.putZeros((Int(header.slotRows) - rows.count) * TailSlot.rowBytes)
        for row in rows { writer.putRaw(row.payload) }
        writer.putZeros(Int(header.slotBytes) - writer.count)
        return writer.bytes
    }
}
