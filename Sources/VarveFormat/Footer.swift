/// The index and statistics at the end of a sealed segment. `Formats/segment.md#footer`.
public struct Footer: Hashable, Sendable {
    static let magic: StaticString = "VARVEFTR"

    /// Whether a footer's magic stands at the start of `bytes`.
    public static func begins(at bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= 8 && magicMatches(UnsafeRawBufferPointer(rebasing: bytes[..<8]), magic)
    }

    /// The body of the section that holds the token filters; empty: there are none. Once a footer was read it is one that can be
    /// decoded and fits the blocks, or of a later version.
    public var filters: [UInt8] = []
    /// The block index: an entry a block, in the order of the file.
    public var entries: [BlockIndexEntry] = []
    /// Timestamps over groups of 64 blocks, and over groups of groups.
    public var pyramid = TimePyramid(levels: [])
    /// All kinds of the segment with their counts, in the order of their ids.
    public var kinds: [KindCount] = []
    /// What the segment has of each session, in the order in which they occur.
    public var sessions: [SessionSummary] = []
    /// Those made in the segment, in the order of their blocks.
    public var checkpoints: [CheckpointEntry] = []
    /// The records of all ledger blocks, in order.
    public var ledger: [LedgerRecord] = []
    /// Segments that a reader hides because this one has what they held.
    public var replaces: [ReplacedSegment] = []
    /// Sequence numbers in the segment's range that are gone for good.
    public var droppedRanges: [DroppedRange] = []
    /// The kinds of each block's events; nil where they are not told.
    public var blockKinds: BlockKindCounts?
    /// Over the bytes before the footer, or over what they mean.
    public var digest = Digest()
    /// The segment in figures, as a reader needs them to open the store.
    public var summary = SegmentSummary()

    /// A footer of nothing, to be filled in.
    public init() {}

    /// The footer and the trailer, to be written at `summary.dataBytes`.
    public func encode() -> [UInt8] { encodeWithTrailer().bytes }

    /// The same, and what the trailer in it says.
    public func encodeWithTrailer() -> (bytes: [UInt8], trailer: Trailer) {
        let owner = summary.segment
        var writer = ByteWriter()
        writer.putMagic(Footer.magic)
        var count: UInt32 = 8
        if !filters.isEmpty {
            count += 1
            writer.putSection(SectionType.filters, owner: owner) { $0.putRaw(filters) }
        }
        writer.putSection(SectionType.blockIndex, owner: owner) { body in
            body.put(UInt32(entries.count))
            body.put(UInt32(BlockIndexEntry.byteCount))
            body.bytes.reserveCapacity(8 + entries.count * BlockIndexEntry.byteCount)
            for entry in entries { entry.encode(to: &body) }
        }
        writer.putSection(SectionType.timePyramid, owner: owner) { pyramid.encode(to: &$0) }
        writer.putSection(SectionType.kindCounts, owner: owner) { KindCount.putAll(kinds, to: &$0) }
        writer.putSection(SectionType.sessions, owner: owner) { body in
            body.putVarint(UInt64(sessions.count))
            for session in sessions { session.encode(to: &body) }
        }
        writer.putSection(SectionType.checkpoints, owner: owner) {
            CheckpointEntry.putAll(checkpoints, to: &$0)
        }
        writer.putSection(SectionType.ledger, owner: owner) { $0.put(ledger) }
        if !replaces.isEmpty {
            count += 1
            writer.putSection(SectionType.replaces, owner: owner) {
                ReplacedSegment.putAll(replaces, to: &$0)
            }
        }
        if !droppedRanges.isEmpty {
            count += 1
            writer.putSection(SectionType.droppedRanges, owner: owner) {
                DroppedRange.putAll(droppedRanges, to: &$0)
            }
        }
        if let blockKinds {
            count += 1
            writer.putSection(SectionType.blockKinds, owner: owner) { blockKinds.encode(to: &$0) }
        }
        writer.putSection(SectionType.digest, owner: owner) { digest.encode(to: &$0) }
        let summaryOffset = summary.dataBytes + UInt64(writer.count)
        writer.putSection(SectionType.summary, owner: owner) { summary.encode(to: &$0) }
        let trailer = Trailer(
            footerOffset: summary.dataBytes, footerLength: UInt64(writer.count), store: summary.store,
            segment: owner, ordinal: summary.ordinal,
            fileLength: summary.dataBytes + UInt64(writer.count + Trailer.byteCount), sectionCount: count,
            summaryOffset: summaryOffset)
        trailer.encode(to: &writer)
        return (writer.bytes, trailer)
    }

    /// How many of a footer's bytes, after its magic, are the section with the filters; 0: there is none. `bytes` are its first 24:
    /// they are not verified.
    public static func filterSectionBytes(inFirst bytes: UnsafeRawBufferPointer) -> Int {
        guard bytes.count >= 8 + Section.headerBytes, begins(at: bytes),
            let section = Section.outline(ofHead: UnsafeRawBufferPointer(rebasing: bytes[8...])),
            section.type == SectionType.filters
        else { return 0 }
        return section.byteCount
    }

    /// The body of the section with the filters: of the bytes that `filterSectionBytes` tells of, verified.
    public static func filterBody(
        in bytes: UnsafeRawBufferPointer, segment: UniqueID
    ) throws(FormatError) -> UnsafeRawBufferPointer {
        try Section.body(of: SectionType.filters, in: bytes, owner: segment)
    }

    /// What a footer's section says of sessions; `bytes` are that section, which is verified.
    public static func sessions(
        inSection bytes: UnsafeRawBufferPointer, segment: UniqueID
    ) throws(FormatError) -> [SessionSummary] {
        var body = ByteReader(
            try Section.body(of: SectionType.sessions, in: bytes, owner: segment),
            "section \(SectionType.sessions)")
        return try SessionSummary.readAll(from: &body)
    }

    /// Reads a footer: the bytes from the trailer's footer offset to the trailer. With `leavingOutFilters` they lack the section that
    /// `filterSectionBytes` tells of.
    public init(
        decoding bytes: UnsafeRawBufferPointer, trailer: Trailer, leavingOutFilters: Bool = false
    ) throws(FormatError) {
        var reader = ByteReader(bytes, "a footer")
        guard magicMatches(try reader.take(8), Footer.magic) else { throw .notFound("footer") }
        var found: Set<UInt32> = []
        var footer = Footer()
        let sections = leavingOutFilters ? max(trailer.sectionCount, 1) - 1 : trailer.sectionCount
        try Section.readAll(sections, from: &reader, owner: trailer.segment) {
            (type, body) throws(FormatError) in
            found.insert(type)
            switch type {
            case SectionType.filters: footer.filters = Array(try body.take(body.remaining))
            case SectionType.blockIndex:
                footer.entries = try Footer.blockIndex(&body, end: trailer.footerOffset)
            case SectionType.timePyramid: footer.pyramid = try TimePyramid(from: &body)
            case SectionType.kindCounts: footer.kinds = try KindCount.readAll(from: &body)
            case SectionType.sessions: footer.sessions = try SessionSummary.readAll(from: &body)
            case SectionType.checkpoints: footer.checkpoints = try CheckpointEntry.readAll(from: &body)
            case SectionType.ledger: footer.ledger = try body.ledgerRecords()
            case SectionType.replaces: footer.replaces = try ReplacedSegment.readAll(from: &body)
            case SectionType.droppedRanges: footer.droppedRanges = try DroppedRange.readAll(from: &body)
            case SectionType.blockKinds:
                footer.blockKinds = try BlockKindCounts(from: &body, footer.entries)
            case SectionType.digest: footer.digest = try Digest(from: &body)
            case SectionType.summary: footer.summary = try SegmentSummary(from: &body)
            default: return false
            }
            return true
        }
        try reader.finish()
        let required: Set<UInt32> = [
            SectionType.blockIndex, SectionType.timePyramid, SectionType.kindCounts, SectionType.sessions,
            SectionType.checkpoints, SectionType.ledger, SectionType.digest, SectionType.summary,
        ]
        guard required.isSubset(of: found) else { throw .invalid("a footer", reason: "a section is missing") }
        if found.contains(SectionType.filters) { try footer.checkFilters() }
        guard Safeguard.footerAgreement.isLeftOut || footer.agrees(with: trailer) else {
            throw .invalid("a footer", reason: "its sections contradict each other")
        }
        guard Safeguard.footerCounts.isLeftOut || footer.countsFit else {
            throw .invalid("a footer", reason: "its counts contradict each other")
        }
        self = footer
    }

    private func checkFilters() throws(FormatError) {
        let owner = FilterBytes(filters)
        do throws(FormatError) {
            guard try TokenFilters(decoding: owner.bytes, owner: owner).fit(entries) else {
                throw .invalid("a footer", reason: "its filters are not those of its blocks")
            }
        } catch {
            // A reader goes without filters of a later version.
            guard case .unknownVersion = error else { throw error }
        }
    }

    private func agrees(with trailer: Trailer) -> Bool {
        summary.blockCount == UInt32(entries.count) && summary.dataBytes == trailer.footerOffset
            && summary.segment == trailer.segment && summary.store == trailer.store
            && summary.ordinal == trailer.ordinal
            && pyramid.levels.first?.count ?? 0
                == (entries.count + TimePyramid.fanOut - 1) / TimePyramid.fanOut
            && checkpoints.allSatisfy { Int($0.block) < entries.count }
    }

    private var countsFit: Bool {
        kinds.allSatisfy { $0.events <= summary.eventCount && $0.bytes <= summary.rawBytes }
            && sessions.allSatisfy {
                $0.events <= $0.nextSequence - $0.firstSequence && $0.payloadBytes <= summary.rawBytes
                    && $0.checkpoints <= UInt64(Limits.segmentBlocksMax)
            } && summary.rawBytes <= UInt64(Limits.segmentBlocksMax) * UInt64(Limits.blockRawBytesMax)
    }

    private static func blockIndex(_ reader: inout ByteReader, end: UInt64) throws(FormatError)
        -> [BlockIndexEntry]
    {
        let count = try reader.u32()
        guard count <= Limits.segmentBlocksMax else {
            throw .beyondLimit(
                "the block index", value: UInt64(count), limit: UInt64(Limits.segmentBlocksMax))
        }
        let size = Int(try reader.u32())
        guard size >= BlockIndexEntry.byteCount else {
            throw .invalid("the block index", reason: "its entries are too short")
        }
        // At most 16,384 times 32 bits: no overflow.
        guard Safeguard.indexCount.isLeftOut || Int(count) * size <= reader.remaining else {
            throw .truncated("the block index")
        }
        var entries: [BlockIndexEntry] = []
        entries.reserveCapacity(Int(count))
        var next: UInt64?
        for _ in 0..<count {
            let entry = try BlockIndexEntry(from: &reader)
            // A later version may have fields there.
            _ = try reader.take(size - BlockIndexEntry.byteCount)
            let stop = entry.offset.addingReportingOverflow(UInt64(entry.length))
            guard
                Safeguard.indexOrder.isLeftOut
                    || !stop.overflow && stop.partialValue <= end
                        && (next.map { $0 == entry.offset } ?? true)
            else { throw .invalid("the block index", reason: "its blocks do not follow each other") }
            next = stop.partialValue
            entries.append(entry)
        }
        return entries
    }
}
