internal import Synchronization
internal import VarveFormat
internal import VarveIO

/// `TAIL` as its writer has it: the memory of all batches, mapped shared, so that the system keeps it when the process is killed.
final class TailMapping: @unchecked Sendable {
    let epoch: UInt64
    private let region: any WritableRegion
    private let header: TailHeader
    /// Bytes of definitions put so far. Guarded by the registry's monitor.
    private var kindBytes = 0

    /// Makes the file anew, in place of an earlier one: what that one held must be durable elsewhere by now.
    init(directory: String, store: UniqueID, epoch: UInt64, options: StoreOptions) throws(IOFailure) {
        let fileSystem = options.fileSystem
        let rows = Batch.rowCapacity(payloadCapacity: options.blockBytes)
        let header = TailHeader(
            slotCount: UInt32(options.queueBatches), store: store, boot: fileSystem.bootIdentity(),
            epoch: epoch, slotBytes: UInt64(options.slotBytes), slotRows: UInt32(rows),
            slotPayloadBytes: UInt32(options.blockBytes), kindsBytes: UInt32(options.tailKindsBytes),
            createdAt: fileSystem.now())
        let temporary = directory + "/TAIL.tmp"
        if try fileSystem.kind(of: temporary) != nil { try fileSystem.unlink(temporary) }
        let file = try fileSystem.open(temporary, .createExclusive)
        defer { file.close() }
        do throws(IOFailure) {
            region = try file.mapWritable(byteCount: header.fileBytes)
            region.bytes.copyBytes(from: header.encode())
            // Never synced: after a reboot it means nothing, whatever is left of it.
            try fileSystem.rename(temporary, to: directory + "/TAIL", replacing: true)
        } catch {
            try? fileSystem.unlink(temporary)
            throw error
        }
        self.epoch = epoch
        self.header = header
    }

    /// The memory of slot `number`: `Batch` lays it out.
    func slot(_ number: Int) -> UnsafeMutableRawPointer? {
        // SAFETY: the region is as long as the header says, and lives as long as self.
        region.bytes.baseAddress.map { $0 + header.slotOffset(number) }
    }

    /// Stores a kind's definition before its first event can be appended; false when there is no room for it. One thread at a
    /// time.
    func put(_ definition: KindDefinition, id: UInt32) -> Bool {
        let bytes = header.encode(definition, id: id)
        guard let base = region.bytes.baseAddress, bytes.count <= Int(header.kindsBytes) - 8 - kindBytes
        else { return false }
        // SAFETY: the region holds kindsBytes from the header's end on, and the definition fits, as was just checked.
        let kinds = base + TailHeader.byteCount
        UnsafeMutableRawBufferPointer(start: kinds + 8 + kindBytes, count: bytes.count)
            .copyBytes(from: bytes)
        kindBytes += bytes.count
        Committed.store(UInt32(kindBytes), at: kinds)
        return true
    }
}

/// Counts in shared memory that say how much before them is complete.
enum Committed {
    /// Stores a count after everything that was stored before.
    @inline(__always)
    static func store(_ count: UInt32, at address: UnsafeMutableRawPointer) {
        // SAFETY: aligned to 4 by the layout of TAIL; only this process stores to it.
        address.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.store(
            count.littleEndian, ordering: .releasing)
    }
}
