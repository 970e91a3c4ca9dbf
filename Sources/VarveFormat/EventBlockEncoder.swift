internal import CLZ4

/// Builds events blocks: columns, sub-blocks, compression. Keeps its memory between blocks; one thread at a time.
public final class EventBlockEncoder {
    private let compressor = LZ4Compressor()
    private var columnCapacity = 0
    private var column: UnsafeMutablePointer<Int64>
    private var scratch: UnsafeMutablePointer<UInt64>
    private var kindEvents: [UInt64] = []
    private var kindBytes: [UInt64] = []

    public init() {
        columnCapacity = 4096
        column = .allocate(capacity: columnCapacity)
        scratch = .allocate(capacity: columnCapacity)
    }

    deinit {
        column.deallocate()
        scratch.deallocate()
    }

    private func reserve(_ count: Int) {
        guard count > columnCapacity else { return }
        column.deallocate()
        scratch.deallocate()
        columnCapacity = count
        column = .allocate(capacity: count)
        scratch = .allocate(capacity: count)
    }

    /// Encodes `count` rows (1...65,536) whose payloads lie one after the other in `payload`. O(rows + payload bytes).
    public func encode(
        rows: UnsafePointer<EventRow>, count: Int, payload: UnsafeRawBufferPointer, explicitIndices: Bool,
        settings: EncodingSettings, dictionary: PreparedDictionary?, into block: EncodedBlock
    ) {
        reserve(count)
        let subBlockBytes = Int(settings.subBlockBytes)
        summarise(rows, count, into: block)
        let subBlocks = countSubBlocks(rows, count, subBlockBytes)

        // The columns do not depend on the compression: they are laid down first, and the compressor writes straight
        // behind them.
        let columns = explicitIndices ? 4 : 3
        let directory = BlockHeader.byteCount + subBlocks * SubBlockDirectoryEntry.byteCount
        block.reserve(
            directory + columns * PackedColumn.byteCountMax(count) + payload.count + 64, keeping: 0)
        var end = directory
        func put(_ value: (EventRow) -> Int64) {
            let column = column
            for position in 0..<count { column[position] = value(rows[position]) }
            end += PackedColumn.encode(column, count: count, into: block.storage + end, scratch: scratch)
        }
        put { $0.timestamp }
        put { Int64($0.length) }
        put { Int64($0.kind) }
        if explicitIndices { put { Int64(bitPattern: $0.index ^ 1 << 63) } }
        block.smallLength = end - BlockHeader.byteCount
        block.subBlockCount = subBlocks
        block.eventCount = count
        block.rawBytes = payload.count
        block.hasExplicitIndices = explicitIndices
        block.firstIndex = explicitIndices ? rows[0].index : 0
        block.dictionary = nil

        var row = 0
        var offset = 0
        for position in 0..<subBlocks {
            let (rowsIn, bytes) = nextSubBlock(rows, count, from: row, subBlockBytes)
            var method = SubBlockMethod.raw
            var stored = bytes
            let source = (payload.baseAddress ?? UnsafeRawPointer(block.storage)) + offset
            // Stored raw unless it saves at least 1/32.
            let capacity = bytes - bytes / 32 - 1
            if bytes >= 64 {
                let length = compressor.compress(
                    source, bytes, into: block.storage + end, capacity: capacity, level: settings.level,
                    dictionary: dictionary)
                if length > 0 {
                    method = dictionary == nil ? .lz4 : .lz4WithDictionary
                    if let dictionary { block.dictionary = dictionary }
                    stored = length
                }
            }
            if method == .raw { (block.storage + end).copyMemory(from: source, byteCount: bytes) }
            SubBlockDirectoryEntry(
                eventCount: UInt32(rowsIn), rawBytes: UInt32(bytes), storedBytes: UInt32(stored), method: method,
                checksum: 0
            ).encode(into: block.storage + BlockHeader.byteCount + position * SubBlockDirectoryEntry.byteCount)
            end += stored
            offset += bytes
            row += rowsIn
        }
        block.bodyLength = end - BlockHeader.byteCount
        let padding = -end & 7
        (block.storage + end).initializeMemory(as: UInt8.self, repeating: 0, count: padding)
    }

    private func countSubBlocks(_ rows: UnsafePointer<EventRow>, _ count: Int, _ limit: Int) -> Int {
        var row = 0
        var blocks = 0
        while row < count {
            row += nextSubBlock(rows, count, from: row, limit).rows
            blocks += 1
        }
        return blocks
    }

    /// As many rows as fit `limit` payload bytes, and at least one.
    @inline(__always)
    private func nextSubBlock(
        _ rows: UnsafePointer<EventRow>, _ count: Int, from first: Int, _ limit: Int
    ) -> (rows: Int, bytes: Int) {
        var row = first
        var bytes = 0
        while row < count {
            let length = Int(rows[row].length)
            if bytes &+ length > limit, row > first { break }
            bytes &+= length
            row &+= 1
        }
        return (row &- first, bytes)
    }

    private func summarise(_ rows: UnsafePointer<EventRow>, _ count: Int, into block: EncodedBlock) {
        var kindMax: UInt32 = 0
        var smallest = Int64.max
        var largest = Int64.min
        for position in 0..<count {
            let row = rows[position]
            if row.timestamp < smallest { smallest = row.timestamp }
            if row.timestamp > largest { largest = row.timestamp }
            if row.kind > kindMax { kindMax = row.kind }
        }
        let kinds = Int(kindMax) + 1
        if kindEvents.count < kinds {
            kindEvents = [UInt64](repeating: 0, count: kinds)
            kindBytes = kindEvents
        }
        block.kindTally.removeAll(keepingCapacity: true)
        block.kindSet = 0
        kindEvents.withUnsafeMutableBufferPointer { events in
            kindBytes.withUnsafeMutableBufferPointer { bytes in
                for position in 0..<count {
                    let kind = Int(rows[position].kind)
                    events[kind] &+= 1
                    bytes[kind] &+= UInt64(rows[position].length)
                }
                for kind in 0..<kinds where events[kind] > 0 {
                    block.kindTally.append((UInt32(kind), events[kind], bytes[kind]))
                    if kind < 64 { block.kindSet |= 1 << UInt64(kind) }
                    events[kind] = 0
                    bytes[kind] = 0
                }
            }
        }
        block.hasManyKinds = kindMax >= 64
        if block.hasManyKinds { block.kindSet = .max }
        block.minTimestamp = smallest
        block.maxTimestamp = largest
    }
}
