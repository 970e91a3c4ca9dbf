internal import VarveFormat
internal import VarveIO

/// What building filters has done.
public struct FilterReport: Hashable, Sendable {
    /// Sealed segments that got filters, and those that had them.
    public internal(set) var built = 0, present = 0
    /// Files of segments that could not get any, and why: they stay as they are.
    public internal(set) var refused: [String: String] = [:]
    /// Bytes of the filters built, and of the payloads that they are of.
    public internal(set) var filterBytes: UInt64 = 0, rawBytes: UInt64 = 0
}

/// Makes the filters of a sealed segment.
enum FilterBuilding {
    /// The body of the section with the filters, of all payloads of the segment. Throws where one can't be read: a filter of what is
    /// left would hide nothing, and make a damaged segment look like a good one. O(bytes).
    static func filters(of segment: LoadedSegment) throws(StoreError) -> [UInt8] {
        let kinds = segment.index.kinds.map { $0.definition.encoding == .json }
        let keys = TextKeys()
        let columns = EventColumns()
        let buffer = SubBlockBuffer()
        let scratch = ScratchBuffer()
        var blocks: [[[UInt32]?]] = []
        for entry in segment.index.entries {
            guard entry.type == .events else {
                blocks.append([])
                continue
            }
            let bytes = try segment.bytes(at: entry.offset, count: Int(entry.length), scratch)
            do throws(FormatError) {
                let (header, small) = try segment.verified(bytes, entry)
                guard header.kindCount <= kinds.count else {
                    throw .invalid("a block", reason: "its header contradicts the index")
                }
                try columns.load(small, of: header)
                var parts: [[UInt32]?] = []
                for number in 0..<columns.subBlockCount {
                    let part = columns.subBlock(number)
                    let start = BlockHeader.byteCount + part.offset
                    let stored = UnsafeRawBufferPointer(rebasing: bytes[start..<start + part.storedBytes])
                    try ControlBlock.verifySubBlock(
                        stored, number, checksum: part.checksum, segment: header.segment,
                        block: header.number)
                    var base = try buffer.decode(
                        stored: stored, method: part.method, rawBytes: part.rawBytes, wanted: part.rawBytes,
                        dictionary: segment.dictionary, dictionaryIdentity: segment.identity)
                    keys.begin(rawBytes: part.rawBytes)
                    for row in part.firstRow..<part.firstRow + part.eventCount {
                        let length = Int(columns.lengths[row])
                        keys.add(
                            UnsafeRawBufferPointer(start: base, count: length),
                            isJSON: kinds[Int(columns.kinds[row])])
                        base += length
                    }
                    parts.append(keys.finish())
                }
                blocks.append(parts)
            } catch {
                throw .decoding(error, file: segment.fileName, offset: entry.offset)
            }
        }
        var writer = ByteWriter()
        TokenFilters.encode(blocks, to: &writer)
        guard writer.count <= Limits.sectionBytesMax else {
            throw .beyondLimit(
                what: "the filters of \(segment.fileName)", value: UInt64(writer.count),
                limit: UInt64(Limits.sectionBytesMax))
        }
        return writer.bytes
    }
}

extension EventStore {
    /// Gives every sealed segment that has none its text filters, by which a search passes over what can't hold the text. Each segment
    /// is written anew, with the same blocks, and the old file removed once that is durable; readers and appends go on meanwhile.
    ///
    /// A segment that is damaged, or has no footer, stays as it is. The one that is being written gets its filters when this is called
    /// after it was sealed. Call from one thread at a time. O(bytes of those segments), about as long as compressing them. Errors:
    /// `readOnly`, `closed`; what the system refuses: then segments are left as they are, or done.
    public func buildFilters() throws(StoreError) -> FilterReport {
        // That it can be written at all.
        try maintain { () throws(IOFailure) in }
        var report = FilterReport()
        for entry in catalog.view().entries {
            guard case .sealed(let handle) = entry else { continue }
            do throws(StoreError) {
                let segment = try handle.load()
                if segment.hasFilters {
                    report.present += 1
                    continue
                }
                let bytes = try build(handle, segment)
                report.built += 1
                report.filterBytes += UInt64(bytes)
                report.rawBytes += handle.summary.rawBytes
            } catch {
                switch error {
                case .damaged, .beyondLimit: report.refused[handle.fileName] = error.description
                default: throw error
                }
            }
        }
        return report
    }

    /// Writes one segment anew, with filters; bytes of those.
    private func build(_ handle: SegmentHandle, _ segment: LoadedSegment) throws(StoreError) -> Int {
        let filters = try FilterBuilding.filters(of: segment)
        let file: any File
        do throws(IOFailure) {
            file = try fileSystem.open(handle.path, .read)
        } catch {
            throw .reading(error)
        }
        defer { file.close() }
        // A header that can't be read is none to write anew.
        let (header, headerBytes) = try handle.readHeader(of: file)
        var index = segment.index
        index.header = header
        index.headerBytes = headerBytes
        // Snapshots that show the old file have it open: it was loaded above.
        let source = OpenSegment(file: file, index: index)
        let fresh = try maintain { () throws(IOFailure) in
            try RecoveryWorker.reseal(source, directory: path, fileSystem: fileSystem, filters: filters)
        }
        catalog.replace(fresh.summary.ordinal, with: fresh)
        return filters.count
    }
}
