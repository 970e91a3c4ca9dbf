/// Encodes rows and payloads to events blocks; reuses its memory from one block to the next. One thread at a
/// time.
public final class EventBlockEncoder {
    private let compressor = LZ4Compressor()
    /// One column's values.
    private var column: UnsafeMutablePointer<Int64>
    private var columnCapacity = 1 << 10
    /// Events and bytes of each kind id; all zeros between blocks.
    private var tally: UnsafeMutablePointer<Tally>
    private var tallyCapacity = 64

    private struct Tally {
        var events: UInt64 = 0
        var bytes: UInt64 = 0
    }

    /// What the rows say, found in one pass.
    private struct Summary {
        var minTimestamp: Int64
        var maxTimestamp: Int64
        var kindSet: UInt64
        var maxKind: UInt32
        var rawBytes: Int
        var subBlocks: Int
    }

    /// An encoder; its memory grows with its blocks.
    public init() {
        column = .allocate(capacity: columnCapacity)
        tally = .allocate(capacity: tallyCapacity)
        tally.initialize(repeating: Tally(), count: tallyCapacity)
    }

    deinit {
        column.deallocate()
        tally.deallocate()
    }

    /// Encodes a block into `block`, replacing what it held.
    ///
    /// - Parameters:
    ///   - rows: 1...65,536 of them, with kinds below 65,535 and payloads of at most 64 MiB.
    ///   - payload: the payloads, one after the other: as many bytes as the rows' lengths add up to, at most
    ///     128 MiB.
    ///   - explicitIndices: whether to store each row's index; else they go up by one from the first's.
    ///   - dictionary: compresses the sub-blocks of up to 1 MiB at its own level, when given.
    ///
    /// O(count + payload).
    public func encode(
        rows: UnsafePointer<EventRow>, count: Int, payload: UnsafeRawBufferPointer, explicitIndices: Bool,
        settings: EncodingSettings, dictionary: CompressionDictionary?, into block: EncodedBlock
    ) {
        precondition(count > 0 && count <= Limits.blockEventsMax, "a block has 1...65,536 events")
        let target = Int(min(settings.subBlockBytes, UInt32(Limits.payloadBytesMax)))
        let summary = Self.summarize(rows, count: count, target: target)
        // The payload is read by the rows' lengths below, and tables are indexed by kind.
        precondition(summary.rawBytes == payload.count, "the rows' lengths don't add up to the payload's")
        precondition(summary.maxKind < Limits.segmentKindsMax, "a kind id is beyond the limit")
        precondition(summary.rawBytes <= Limits.blockRawBytesMax, "a block's payload is beyond the limit")
        reserve(count: count, kinds: Int(summary.maxKind) + 1)

        let directoryBytes = summary.subBlocks * SubBlockDirectoryEntry.byteCount
        let memory = block.reserve(
            EncodedBlock.headerRoom + directoryBytes + 4 * PackedColumn.bytesMax(count)
                + LZ4.bound(payload.count) + 8)
        let small = memory + EncodedBlock.headerRoom
        let smallEnd = encodeColumns(
            rows, count: count, explicitIndices: explicitIndices, at: small + directoryBytes)
        let (bodyEnd, usesDictionary) = compress(
            rows, count: count, payload: payload, target: target, level: settings.level,
            dictionary: dictionary,
            directory: small, stored: smallEnd)
        // The padding: what it may take, of which the block's length takes what it does.
        bodyEnd.storeBytes(of: 0, as: UInt64.self)

        block.smallLength = smallEnd - small
        block.bodyLength = bodyEnd - small
        block.subBlockCount = summary.subBlocks
        block.eventCount = count
        block.rawBytes = summary.rawBytes
        block.minTimestamp = summary.minTimestamp
        block.maxTimestamp = summary.maxTimestamp
        block.hasManyKinds = summary.maxKind > 63
        block.kindSet = block.hasManyKinds ? .max : summary.kindSet
        block.hasExplicitIndices = explicitIndices
        block.firstIndex = rows[0].index
        block.dictionary = usesDictionary ? dictionary : nil
        tallyKinds(rows, count: count, maxKind: Int(summary.maxKind), into: block)
    }

    /// The same of arrays: at least one row.
    public func encode(
        _ rows: [EventRow], payload: [UInt8], explicitIndices: Bool, settings: EncodingSettings,
        dictionary: CompressionDictionary?, into block: EncodedBlock
    ) {
        rows.withUnsafeBufferPointer { rows in
            payload.withUnsafeBytes { payload in
                guard let first = rows.baseAddress else { return }
                // SAFETY: both arrays are lent for the call; that the rows' lengths fit the payload is checked there.
                encode(
                    rows: first, count: rows.count, payload: payload, explicitIndices: explicitIndices,
                    settings: settings, dictionary: dictionary, into: block)
            }
        }
    }

    /// One pass over the rows. A sub-block ends before the payload that would make it larger than `target`.
    private static func summarize(_ rows: UnsafePointer<EventRow>, count: Int, target: Int) -> Summary {
        var (least, greatest) = (rows[0].timestamp, rows[0].timestamp)
        var (kindSet, maxKind, maxLength) = (UInt64(0), UInt32(0), UInt32(0))
        var (total, subBlocks, first, filled) = (0, 1, 0, 0)
        for position in 0..<count {
            let row = rows[position]
            least = min(least, row.timestamp)
            greatest = max(greatest, row.timestamp)
            kindSet |= 1 &<< UInt64(row.kind & 63)
            maxKind = max(maxKind, row.kind)
            maxLength = max(maxLength, row.length)
            let length = Int(row.length)
            if filled &+ length > target, position > first {
                subBlocks &+= 1
                first = position
                filled = 0
            }
            filled &+= length
            total &+= length
        }
        precondition(maxLength <= Limits.payloadBytesMax, "a payload is beyond the limit")
        return Summary(
            minTimestamp: least, maxTimestamp: greatest, kindSet: kindSet, maxKind: maxKind, rawBytes: total,
            subBlocks: subBlocks)
    }

    /// Writes the columns at `start`; returns where they end.
    private func encodeColumns(
        _ rows: UnsafePointer<EventRow>, count: Int, explicitIndices: Bool, at start: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        let column = column
        var end = start
        for position in 0..<count { column[position] = rows[position].timestamp }
        end += PackedColumn.encode(column, count: count, into: end)
        for position in 0..<count { column[position] = Int64(rows[position].length) }
        end += PackedColumn.encode(column, count: count, into: end)
        for position in 0..<count { column[position] = Int64(rows[position].kind) }
        end += PackedColumn.encode(column, count: count, into: end)
        if explicitIndices {
            for position in 0..<count { column[position] = Int64(bitPattern: rows[position].index ^ 1 << 63) }
            end += PackedColumn.encode(column, count: count, into: end)
        }
        return end
    }

    /// Writes the directory, without checksums, at `directory` and the sub-blocks at `stored`; returns where
    /// they end, and whether one was compressed with the dictionary.
    private func compress(
        _ rows: UnsafePointer<EventRow>, count: Int, payload: UnsafeRawBufferPointer, target: Int,
        level: Int32,
        dictionary: CompressionDictionary?, directory: UnsafeMutableRawPointer,
        stored: UnsafeMutableRawPointer
    ) -> (end: UnsafeMutableRawPointer, usesDictionary: Bool) {
        var (directory, stored, usesDictionary) = (directory, stored, false)
        var (first, position, start) = (0, 0, 0)
        while position < count {
            // The rule of summarize, which counted the entries.
            var filled = 0
            while position < count {
                let length = Int(rows[position].length)
                if filled &+ length > target, position > first { break }
                filled &+= length
                position += 1
            }
            let raw = UnsafeRawBufferPointer(rebasing: payload[start..<start + filled])
            let dictionary = filled <= LZ4.dictionarySourceMax ? dictionary : nil
            // SAFETY: each sub-block before took at most its raw length, so the bound of what is left fits.
            let room = UnsafeMutableRawBufferPointer(start: stored, count: LZ4.bound(filled))
            var written =
                filled == 0 ? 0 : compressor.compress(raw, into: room, level: level, dictionary: dictionary)
            var method = dictionary == nil ? SubBlockMethod.lz4 : .lz4WithDictionary
            if !LZ4.pays(raw: filled, stored: written) {
                method = .raw
                written = filled
                room.copyMemory(from: raw)
            }
            usesDictionary = usesDictionary || method == .lz4WithDictionary
            SubBlockDirectoryEntry(
                eventCount: UInt32(position - first), rawBytes: UInt32(filled), storedBytes: UInt32(written),
                method: method
            ).encode(into: directory)
            directory += SubBlockDirectoryEntry.byteCount
            stored += written
            start += filled
            first = position
        }
        return (stored, usesDictionary)
    }

    private func tallyKinds(
        _ rows: UnsafePointer<EventRow>, count: Int, maxKind: Int, into block: EncodedBlock
    ) {
        let tally = tally
        for position in 0..<count {
            let kind = Int(rows[position].kind)
            tally[kind].events &+= 1
            tally[kind].bytes &+= UInt64(rows[position].length)
        }
        block.kindTally.removeAll(keepingCapacity: true)
        for kind in 0...maxKind where tally[kind].events > 0 {
            block.kindTally.append((UInt32(kind), tally[kind].events, tally[kind].bytes))
            tally[kind] = Tally()
        }
    }

    private func reserve(count: Int, kinds: Int) {
        if count > columnCapacity {
            column.deallocate()
            columnCapacity = count + count / 4
            column = .allocate(capacity: columnCapacity)
        }
        if kinds > tallyCapacity {
            tally.deallocate()
            tallyCapacity = kinds * 2
            tally = .allocate(capacity: tallyCapacity)
            tally.initialize(repeating: Tally(), count: tallyCapacity)
        }
    }
}
