internal import VarveFormat

/// A checksum over events and checkpoints in their order, whatever blocks, kind ids and compression they are stored with.
struct ContentDigest: Hashable {
    private var checksum: UInt32 = 0
    private(set) var events: UInt64 = 0
    private(set) var payloadBytes: UInt64 = 0
    private(set) var checkpoints: UInt64 = 0

    /// What stands for a kind: of its name and encoding.
    static func identity(of kind: KindDefinition) -> UInt32 {
        (Array(kind.name.utf8) + [kind.encoding.rawValue]).withUnsafeBytes { Checksum.crc($0) }
    }

    /// Adds an event.
    @inline(__always)
    mutating func add(
        sequence: UInt64, epoch: UInt64, session: UInt64, index: UInt64, timestamp: Int64, kind: UInt32,
        payload: UnsafeRawBufferPointer
    ) {
        var words = (
            sequence, epoch, session, index, UInt64(bitPattern: timestamp),
            UInt64(kind) << 32 | UInt64(UInt32(truncatingIfNeeded: payload.count))
        )
        checksum = withUnsafeBytes(of: &words) { Checksum.crc($0, after: checksum) }
        checksum = Checksum.crc(payload, after: checksum)
        events &+= 1
        payloadBytes &+= UInt64(payload.count)
    }

    /// Adds a run of the block that `source` has loaded.
    mutating func add(
        _ run: RewriteSource.Run, of header: BlockHeader, _ source: RewriteSource
    ) throws(StoreError) {
        let (columns, kinds) = (source.columns, source.kindIdentities)
        var start = try source.payload(ofSubBlock: run.subBlock) + run.offset
        for row in run.rows {
            // SAFETY: the lengths of a sub-block's rows add up to its length: checked when the columns were loaded.
            let payload = UnsafeRawBufferPointer(start: start, count: Int(columns.lengths[row]))
            add(
                sequence: header.firstSequence &+ UInt64(row), epoch: header.epoch,
                session: header.sessionOrdinal,
                index: columns.indices?[row] ?? header.firstIndex &+ UInt64(row),
                timestamp: columns.timestamps[row], kind: kinds[Int(columns.kinds[row])], payload: payload)
            start += payload.count
        }
    }

    /// Adds a checkpoint with its state.
    mutating func add(_ record: CheckpointRecord, state: [UInt8]) {
        var writer = ByteWriter()
        record.encode(to: &writer)
        checksum = writer.bytes.withUnsafeBytes { Checksum.crc($0, after: checksum) }
        checksum = state.withUnsafeBytes { Checksum.crc($0, after: checksum) }
        checkpoints &+= 1
    }
}
