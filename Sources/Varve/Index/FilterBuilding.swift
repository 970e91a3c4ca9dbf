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

/// Makes the filters of a sealed segment, and checks those that it has.
enum FilterBuilding {
    /// The body of the section with the filters, of all payloads of the segment. Throws where one can't be read: a filter of what is
    /// left would hide nothing, and make a damaged segment look like a good one. O(bytes); holds four bytes a key, and of keys no more
    /// than a section has bytes.
    static func filters(of segment: LoadedSegment) throws(StoreError) -> [UInt8] {
        let walk = PayloadWalk(segment)
        let keys = TextKeys()
        var blocks: [[[UInt32]?]] = []
        var keyCount = 0
        for entry in segment.index.entries {
            var parts: [[UInt32]?] = []
            if entry.type == .events {
                try walk.forEachSubBlock(of: entry) { _, part in
                    keys.begin(rawBytes: part.rawBytes)
                    part.forEachPayload { keys.add($0) }
                    let found = keys.finish()
                    keyCount += found?.count ?? 0
                    parts.append(found)
                }
            }
            blocks.append(parts)
            // A key takes a byte, or none where it is common to most.
            try checkLength(UInt64(keyCount), of: segment)
        }
        var writer = ByteWriter()
        TokenFilters.encode(blocks, to: &writer)
        try checkLength(UInt64(writer.count), of: segment)
        return writer.bytes
    }

    private static func checkLength(_ byteCount: UInt64, of segment: LoadedSegment) throws(StoreError) {
        guard byteCount <= UInt64(Limits.sectionBytesMax) else {
            throw .beyondLimit(
                what: "the filters of \(segment.fileName)", value: byteCount,
                limit: UInt64(Limits.sectionBytesMax))
        }
    }

    /// The numbers of the blocks of which the filters rule out a text that stands in them. Throws where a block can't be read. O(bytes).
    static func missedBlocks(of segment: LoadedSegment, _ filters: TokenFilters) throws(StoreError) -> [Int] {
        let walk = PayloadWalk(segment)
        let keys = TextKeys()
        var missed: [Int] = []
        var seen = RecentKeys()
        for (block, entry) in segment.index.entries.enumerated() where entry.type == .events {
            let range = filters.filters(ofBlock: block)
            var isMissed = false
            try walk.forEachSubBlock(of: entry) { number, part in
                let filter = range.lowerBound + number
                guard !isMissed, filter < range.upperBound, filters.byteCount(ofFilter: filter) > 0 else {
                    return
                }
                seen.forget()
                part.forEachPayload { payload in
                    keys.forEachKey(ofPayload: payload) { key in
                        if !seen.insert(key) { return }
                        if !filters.mayHoldEverywhere(key), !filters.mayHold(key, filter: filter) {
                            isMissed = true
                        }
                    }
                }
            }
            if isMissed { missed.append(block) }
        }
        return missed
    }

    /// Keys that came lately: most of a sub-block's come again and again. Bounded: one that is forgotten is looked at once more.
    private struct RecentKeys {
        private var keys: [UInt64]

        init() { keys = Array(repeating: .max, count: 1 << 13) }

        mutating func forget() {
            for place in keys.indices { keys[place] = .max }
        }

        /// Whether the key is new here.
        mutating func insert(_ key: UInt32) -> Bool {
            let place = Int(key & 0x1FFF)
            if keys[place] == UInt64(key) { return false }
            keys[place] = UInt64(key)
            return true
        }
    }
}

extension EventStore {
    /// Gives every sealed segment that has none its text filters, by which a search passes over what can't hold the text, and new ones
    /// to those whose filters are damaged. Each segment is written anew, with the same blocks, and the old file removed once that is
    /// durable; readers and appends go on meanwhile.
    ///
    /// A segment that is damaged elsewhere, or has no footer, stays as it is. The one that is being written gets its filters when this is
    /// called after it was sealed. Call from one thread at a time. O(bytes of those segments), about as long as compressing them. Errors:
    /// `readOnly`, `closed`, `poisoned`; what the system refuses to write: then segments are left as they are, or done.
    public func buildFilters() throws(StoreError) -> FilterReport {
        // That it can be written at all.
        try maintain { () throws(IOFailure) in }
        var report = FilterReport()
        for entry in catalog.view().entries {
            guard case .sealed(let handle) = entry else { continue }
            do throws(StoreError) {
                let segment = try handle.load()
                if try Self.hasFilters(segment) {
                    report.present += 1
                    continue
                }
                guard let bytes = try build(handle, segment) else { continue }
                report.built += 1
                report.filterBytes += UInt64(bytes)
                report.rawBytes += handle.summary.rawBytes
            } catch {
                switch error {
                case .damaged, .beyondLimit, .cannotRead:
                    guard isThere(handle) else { continue }
                    report.refused[handle.fileName] = error.description
                default: throw error
                }
            }
        }
        return report
    }

    /// Whether a segment has filters that are as they were written, of this version or a later one.
    private static func hasFilters(_ segment: LoadedSegment) throws(StoreError) -> Bool {
        do throws(StoreError) {
            return try segment.readFilters() != nil
        } catch {
            switch error {
            case .damaged: return false
            case .unknownVersion: return true
            default: throw error
            }
        }
    }

    /// Whether a segment was neither dropped nor replaced.
    private func isThere(_ handle: SegmentHandle) -> Bool {
        catalog.view().entries.position(of: handle) != nil
    }

    /// Writes one segment anew, with filters; bytes of those. Nil: it is not there any more.
    private func build(_ handle: SegmentHandle, _ segment: LoadedSegment) throws(StoreError) -> Int? {
        let file: any File
        do throws(IOFailure) {
            file = try fileSystem.open(handle.path, .read)
        } catch {
            throw .reading(error)
        }
        defer { file.close() }
        // A header that can't be read is none to write anew, and of a footer that can't be not all stands in the blocks.
        let (header, headerBytes) = try handle.readHeader(of: file)
        let footer = try handle.readFooter(of: file, leavingOutFilters: true)
        let filters = try FilterBuilding.filters(of: segment)
        // Snapshots that show the old file have it open: it was loaded by the caller.
        let source = OpenSegment(
            file: file, index: SegmentIndex(header: header, headerBytes: headerBytes, footer: footer))
        var refusal: IOFailure?
        let isBuilt = try maintain { () throws(IOFailure) -> Bool in
            // From here on nobody else takes it away.
            guard isThere(handle) else { return false }
            do throws(IOFailure) {
                let fresh = try RecoveryWorker.reseal(
                    source, directory: path, fileSystem: fileSystem, filters: filters)
                catalog.replace([fresh.summary.ordinal], with: fresh)
                return true
            } catch {
                // Blocks that can't be read, or contradict each other: this segment's fault, and not the disk's.
                guard error.operation == .read else { throw error }
                refusal = error
                return false
            }
        }
        if let refusal {
            throw .damaged(
                file: handle.path, offset: 0, reason: "its blocks can't be copied: \(refusal.reason)")
        }
        return isBuilt ? filters.count : nil
    }
}
