import CCRC32C
import CLZ4
import VarveIO

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What the machine can do with the same data: nothing that stores it can be faster.
struct Limits {
    let data: Dataset
    let directory: String
    private let slots: UnsafeMutableRawBufferPointer
    private let slotBytes = Int(LZ4_compressBound(Int32(Dataset.pieceBytes)))
    private let copy: UnsafeMutableRawBufferPointer

    init(data: Dataset, directory: String) {
        self.data = data
        self.directory = directory
        slots = .allocate(byteCount: slotBytes * max(data.pieceCount, 1), alignment: 64)
        copy = .allocate(byteCount: max(data.byteCount, 4_096), alignment: 64)
        // Touched now, not while the clock runs.
        slots.initializeMemory(as: UInt8.self, repeating: 0)
        copy.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Frees the buffers; use nothing afterwards.
    func free() {
        slots.deallocate()
        copy.deallocate()
    }

    func measure(_ wants: (Figure) -> Bool, into samples: inout Samples) {
        let events = Double(data.count)
        if wants(.lz4Compress) || wants(.lz4Decompress) { measureLZ4(into: &samples) }
        if wants(.crc) { samples.add(.crc, events / seconds { checksum() }) }
        if wants(.memcpy) { samples.add(.memcpy, events / seconds { copyAll() }) }
        if wants(.pageCacheWrite) {
            samples.attempt("write") { $0.add(.pageCacheWrite, events / (try writeAll(synced: false))) }
        }
        if wants(.syncedWrite) {
            samples.attempt("write + fdatasync") {
                $0.add(.syncedWrite, events / (try writeAll(synced: true)))
            }
        }
        if wants(.appendSync) || wants(.overwriteSync) {
            samples.attempt("4 KiB + fdatasync") { try measureSmallSyncs(into: &$0) }
        }
    }

    /// LZ4 both ways. Measured again right before whatever is compared with it: the machine's speed drifts.
    func measureLZ4(into samples: inout Samples) {
        let events = Double(data.count)
        var sizes = [Int32](repeating: 0, count: data.pieceCount)
        samples.add(.lz4Compress, events / seconds { compress(into: &sizes) })
        samples.add(.lz4Decompress, events / seconds { decompress(sizes) })
    }

    /// 4 KiB writes with a sync each, as durable appends are compared with: right before them too.
    func measureSmallSyncs(into samples: inout Samples) throws {
        let (append, overwrite) = try smallSyncs()
        samples.add(.appendSync, append)
        samples.add(.overwriteSync, overwrite)
    }

    private func slot(_ number: Int) -> UnsafeMutableRawPointer? {
        slots.baseAddress.map { $0 + number * slotBytes }
    }

    private func compress(into sizes: inout [Int32]) {
        for number in 0..<data.pieceCount {
            let piece = data.piece(number)
            sizes[number] = LZ4_compress_default(
                piece.baseAddress, slot(number), Int32(piece.count), Int32(slotBytes))
        }
    }

    /// Into one buffer of a piece, as a reader that owns its buffer would.
    private func decompress(_ sizes: [Int32]) {
        var total: Int64 = 0
        for number in 0..<data.pieceCount {
            total += Int64(
                LZ4_decompress_safe(slot(number), copy.baseAddress, sizes[number], Int32(Dataset.pieceBytes)))
        }
        precondition(total == data.byteCount)
    }

    private func checksum() {
        var sum: UInt32 = 0
        for number in 0..<data.pieceCount {
            let piece = data.piece(number)
            sum ^= varve_crc32c(0, piece.baseAddress, piece.count)
        }
        keep(sum)
    }

    private func copyAll() {
        var offset = 0
        for number in 0..<data.pieceCount {
            let piece = data.piece(number)
            UnsafeMutableRawBufferPointer(rebasing: copy[offset..<offset + piece.count]).copyMemory(
                from: piece)
            offset += piece.count
        }
    }

    /// Seconds to write all payloads to a new file, 1 MiB at a time.
    private func writeAll(synced: Bool) throws -> Double {
        let path = "\(directory)/limit.bin"
        let system = POSIXFileSystem()
        let file = try system.open(path, .createExclusive)
        defer {
            file.close()
            try? system.unlink(path)
        }
        return try seconds {
            var offset = 0
            while offset < data.byteCount {
                let end = min(offset + 1 << 20, data.byteCount)
                try file.write(
                    UnsafeRawBufferPointer(rebasing: data.payloads[offset..<end]), at: UInt64(offset))
                offset = end
            }
            if synced { try file.sync() }
        }
    }

    /// 4 KiB writes with a sync each, a second: at the end of a new file, then over what is there.
    private func smallSyncs() throws -> (append: Double, overwrite: Double) {
        let path = "\(directory)/limit.bin"
        let system = POSIXFileSystem()
        let file = try system.open(path, .createExclusive)
        defer {
            file.close()
            try? system.unlink(path)
        }
        let block = UnsafeRawBufferPointer(rebasing: copy[0..<4_096])
        let count = 300
        func pass() throws -> Double {
            try seconds {
                for number in 0..<count {
                    try file.write(block, at: UInt64(number * block.count))
                    try file.sync()
                }
            }
        }
        let append = Double(count) / (try pass())
        return (append, Double(count) / (try pass()))
    }
}
