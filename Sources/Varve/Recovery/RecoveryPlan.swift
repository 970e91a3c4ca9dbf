internal import VarveFormat

/// What opening does about segments without a footer: pure, from what scans found to what is to be done.
///
/// The watermark W is the highest place that valid blocks, footers and `STATE` prove durable. Unreadable bytes before it are
/// damage; the first ones after it end the log. Blocks after it are copied into a new segment.
struct RecoveryPlan: Sendable {
    struct Keep: Sendable {
        /// Position in the directory's list.
        let segment: Int
        /// Bytes that belong to the log.
        let length: UInt64
    }

    struct Copy: Sendable {
        let segment: Int
        let block: ScannedBlock
    }

    /// A segment as planning sees it.
    struct Segment: Sendable {
        var fileName: String
        var ordinal: UInt64
        var uuid: UniqueID
        var predecessor: (segment: UniqueID, length: UInt64)
        /// The number of the first event that can stand in it, and the one after its last.
        var baseSequence: UInt64, nextSequence: UInt64
        /// The opening that began it, and the counters at its start.
        var epoch: UInt64 = 0, sessionsBegun: UInt64 = 0, checkpointsMade: UInt64 = 0
        /// Where its blocks start.
        var headerBytes: UInt64
        var content: Content

        enum Content: Sendable {
            case sealed(dataBytes: UInt64)
            case unsealed([ScannedBlock], unreadable: [UnreadableRange])
        }

        /// Where what can be read of it ends; nil: it is sealed.
        var readableEnd: UInt64? {
            guard case .unsealed(let blocks, _) = content else { return nil }
            return blocks.last?.end ?? headerBytes
        }
    }

    /// What a store's directory holds.
    struct Findings: Sendable {
        /// In the order of the log.
        var segments: [Segment] = []
        var state: StateSlot?
        /// Files whose header can't be read, and that may hold the log's end.
        var lostEnds: [StoreDirectory.Reject] = []
        /// The highest ordinal that a segment or a name has.
        var ordinalMax: UInt64 = 0
        /// Whether these are files without a `STORE`: what somebody has picked out, not what a crash has left.
        var isBare = false
    }

    private(set) var watermark: Watermark?
    /// Unsealed segments, or their beginnings, that stay.
    private(set) var keep: [Keep] = []
    /// Blocks to be copied, in order.
    private(set) var copy: [Copy] = []
    /// Segments that hold nothing more once the copy is durable.
    private(set) var remove: [Int] = []
    /// Segments that stay, for salvage, and are in the log no more: blocks in them stand behind its end.
    private(set) var setAside: [Int] = []
    /// What can't be read before the watermark.
    private(set) var gaps: [Gap] = []
    /// Those of them that no earlier recovery has written down.
    private(set) var newGaps: [Gap] = []
    /// Unsealed segments that no earlier recovery has seen.
    private(set) var crashedSegments = 0
    /// Bytes that can't be read after the last readable block.
    private(set) var unreadableBytes: UInt64 = 0
    /// Where they start.
    private(set) var cut: Watermark?
    /// How many of the unreadable bytes a kill in the middle of a write leaves.
    private(set) var cutShortBytes: UInt64 = 0
    /// The highest epoch, and the counters, in all that can be read, also behind the log's end: they are not given again.
    private(set) var epochMax: UInt64 = 0, sessionsBegun: UInt64 = 0, checkpointsMade: UInt64 = 0
    /// Numbers below were given to events that are lost: they are not given again.
    private(set) var sequenceMin: UInt64 = 0

    init(_ findings: Findings) {
        findWatermark(findings)
        findCounters(findings)
        let w = watermark ?? Watermark(segment: 0, offset: 0)
        var hasEnded = false
        for (number, segment) in findings.segments.enumerated() {
            guard case .unsealed(let found, let unreadable) = segment.content else { continue }
            // The opening that began a later one has recovered it.
            let isKnown = findings.segments[(number + 1)...].contains { $0.epoch > segment.epoch }
            if !isKnown { crashedSegments += 1 }
            if !hasEnded, let end = Self.end(before: number, of: findings, watermark: w) {
                hasEnded = true
                cut = end
            }
            if hasEnded {
                if found.isEmpty { remove.append(number) } else { setAside.append(number) }
                addUnreadable(found.last.map { $0.end - segment.headerBytes } ?? 0)
                continue
            }
            let ordinal = segment.ordinal
            var length = segment.headerBytes
            var blocks = found[...]
            var holes = unreadable[...]
            var before = segment.baseSequence
            // Whether something of it that is not copied may be read.
            var isLeft = false
            while !hasEnded, !blocks.isEmpty || !holes.isEmpty {
                if let hole = holes.first, hole.range.lowerBound < blocks.first?.offset ?? .max {
                    holes.removeFirst()
                    if Watermark(segment: ordinal, offset: hole.range.lowerBound) < w {
                        let next = blocks.first?.header.firstSequence ?? before
                        if next > before {
                            addGap(
                                before...next - 1,
                                "\(segment.fileName) at \(hole.range.lowerBound): \(hole.reason)",
                                isNew: !isKnown)
                        } else if !blocks.isEmpty, !isKnown {
                            // Records that have no numbers.
                            addUnreadable(hole.range.upperBound - hole.range.lowerBound)
                        }
                    } else {
                        hasEnded = true
                        isLeft = hole.startsWithBlock || !blocks.isEmpty
                        cut = Watermark(segment: ordinal, offset: hole.range.lowerBound)
                        if hole.isCutShort {
                            cutShortBytes = hole.range.upperBound - hole.range.lowerBound
                        }
                        addUnreadable(
                            (unreadable.last?.range.upperBound ?? hole.range.upperBound)
                                - hole.range.lowerBound)
                    }
                    continue
                }
                let block = blocks.removeFirst()
                before = block.header.nextSequence
                if Watermark(segment: ordinal, offset: block.offset) < w {
                    length = block.end
                } else {
                    copy.append(Copy(segment: number, block: block))
                }
            }
            let reached = found.last?.end ?? segment.headerBytes
            let durable = Self.durableLength(of: number, in: findings, watermark: w)
            if !hasEnded, reached < durable {
                let note = "\(segment.fileName) ends at \(reached), and was durable up to \(durable)"
                let next = number + 1
                if next < findings.segments.count, Self.end(before: next, of: findings, watermark: w) == nil {
                    // The log goes on in the next segment, which knows how far the numbers went.
                    let end = findings.segments[next].baseSequence
                    if end > before {
                        addGap(before...end - 1, note, isNew: !isKnown)
                    } else if !isKnown {
                        addUnreadable(durable - reached)
                    }
                } else {
                    addLoss(
                        findings, after: before, bytes: durable - reached,
                        from: Watermark(segment: ordinal, offset: reached), note)
                }
            }
            if Watermark(segment: ordinal, offset: segment.headerBytes) < w {
                // Blocks behind the log's end are set aside when it is sealed anew.
                keep.append(Keep(segment: number, length: length))
            } else if isLeft {
                setAside.append(number)
            } else {
                remove.append(number)
            }
        }
        addLostEnds(findings)
    }

    /// How many bytes of a segment were durable: up to W, or as many as the next segment says.
    private static func durableLength(
        of number: Int, in findings: Findings, watermark w: Watermark
    ) -> UInt64 {
        let segment = findings.segments[number]
        if segment.ordinal == w.segment { return w.offset }
        guard segment.ordinal < w.segment, number + 1 < findings.segments.count else { return 0 }
        let (predecessor, length) = findings.segments[number + 1].predecessor
        return predecessor == segment.uuid ? length : 0
    }

    private mutating func findCounters(_ findings: Findings) {
        func raise(_ counter: inout UInt64, _ value: UInt64) {
            // Counters that can't go on are no counters of ours.
            if value < .max >> 2 { counter = max(counter, value) }
        }
        for segment in findings.segments {
            raise(&epochMax, segment.epoch)
            raise(&sessionsBegun, segment.sessionsBegun)
            raise(&checkpointsMade, segment.checkpointsMade)
            guard case .unsealed(let blocks, _) = segment.content else { continue }
            for header in blocks.map(\.header) {
                raise(&epochMax, header.epoch)
                raise(&sessionsBegun, max(header.sessionsBegun, header.sessionOrdinal))
                raise(&checkpointsMade, header.checkpointsMade)
            }
        }
        for remains in findings.lostEnds.compactMap(\.remains) {
            raise(&epochMax, remains.epochMax)
            raise(&sessionsBegun, remains.sessionsBegun)
            raise(&checkpointsMade, remains.checkpointsMade)
        }
    }

    private mutating func findWatermark(_ findings: Findings) {
        func raise(_ segment: UInt64, _ offset: UInt64) {
            // Places that no file reaches are none that a writer gave.
            guard segment > 0, segment < .max >> 1, offset < .max >> 1 else { return }
            let place = Watermark(segment: segment, offset: offset)
            watermark = max(watermark ?? place, place)
        }
        for segment in findings.segments {
            switch segment.content {
            case .sealed(let dataBytes): raise(segment.ordinal, dataBytes)
            case .unsealed(let blocks, _):
                for block in blocks { raise(block.header.durableSegment, block.header.durableOffset) }
            }
        }
        if let state = findings.state,
            findings.segments.contains(where: {
                $0.uuid == state.watermarkUUID && $0.ordinal == state.watermarkSegment
            })
        {
            raise(state.watermarkSegment, state.watermarkOffset)
        }
    }

    /// Bytes that may have held events: none where `TAIL` goes on right after the log, and no more than the last write was cut
    /// short. What that held is in it then.
    func unconfirmedBytes(beside tail: TailPlan?) -> UInt64 {
        tail?.goesOn == true && cutShortBytes == unreadableBytes ? 0 : unreadableBytes
    }

    private mutating func addGap(_ sequences: ClosedRange<UInt64>, _ note: String, isNew: Bool = true) {
        let gap = Gap(sequences: sequences, reason: .damage, note: note)
        gaps.append(gap)
        if isNew { newGaps.append(gap) }
    }

    /// Leaves out what can't be copied: blocks of which nobody knows all the kinds, because the place that defines them is damaged.
    /// They stay in their files, for salvage.
    mutating func leaveOut(kindsBeyond known: Int) {
        let lost = copy.filter { $0.block.header.eventCount > 0 && $0.block.header.kindCount > known }
        guard !lost.isEmpty else { return }
        copy.removeAll { $0.block.header.eventCount > 0 && $0.block.header.kindCount > known }
        for item in lost {
            let header = item.block.header
            addGap(header.firstSequence...header.nextSequence - 1, "the kinds of these events can't be read")
            sequenceMin = max(sequenceMin, header.nextSequence)
            if remove.contains(item.segment) {
                remove.removeAll { $0 == item.segment }
                setAside.append(item.segment)
            }
        }
    }

    private mutating func addUnreadable(_ bytes: UInt64) {
        unreadableBytes = unreadableBytes.addingClamped(bytes)
    }

    private mutating func addLostEnds(_ findings: Findings) {
        let last = findings.segments.last
        // The log's last segment is gone: only the cache remembers it.
        if let state = findings.state, last?.ordinal ?? 0 < state.watermarkSegment {
            addLoss(
                findings, after: last?.nextSequence ?? 0, bytes: state.watermarkOffset,
                from: Watermark(segment: state.watermarkSegment, offset: 0),
                "segment \(state.watermarkSegment), the last one, "
                    + (findings.lostEnds.first.map { "can't be read (\($0.fileName): \($0.reason))" }
                        ?? "is not there"))
        } else {
            for reject in findings.lostEnds { addLostEnd(findings, reject) }
        }
    }

    /// Where the log ends before an unsealed segment, because its predecessor is not there or not as long as it was. Files arrive
    /// on a disk in any order; what was durable before the watermark is not meant here, its loss is damage.
    private static func end(before number: Int, of findings: Findings, watermark w: Watermark) -> Watermark? {
        let segment = findings.segments[number]
        let (predecessor, length) = segment.predecessor
        guard predecessor != .zero, w.segment < segment.ordinal else { return nil }
        guard number > 0, findings.segments[number - 1].uuid == predecessor else {
            // Of files that somebody has picked out any may be missing.
            if findings.isBare { return nil }
            // The one that is missing was durable when W lies in it, at its end: W is in no segment that is there after those before.
            let before = number > 0 ? findings.segments[number - 1].ordinal : 0
            let wasDurable = w.segment == segment.ordinal - 1 && w.segment > before && w.offset >= length
            return wasDurable ? nil : Watermark(segment: segment.ordinal - 1, offset: .max >> 1)
        }
        let before = findings.segments[number - 1]
        guard let reached = before.readableEnd else { return nil }
        let isDurable = w >= Watermark(segment: before.ordinal, offset: length)
        return reached < length && !isDurable ? Watermark(segment: before.ordinal, offset: reached) : nil
    }

    /// A segment after the last one whose header can't be read. What was durable of it is damage, the rest an unconfirmed tail.
    private mutating func addLostEnd(_ findings: Findings, _ reject: StoreDirectory.Reject) {
        guard let remains = reject.remains else { return }
        let next = findings.segments.last?.nextSequence ?? 0
        let isKnown = findings.state.map {
            $0.watermarkSegment == remains.name?.ordinal && $0.watermarkUUID == remains.segment
        }
        if remains.isDurable || isKnown ?? false, remains.nextSequence > next,
            remains.nextSequence < .max >> 2
        {
            sequenceMin = max(sequenceMin, remains.nextSequence)
            addGap(next...remains.nextSequence - 1, "\(reject.fileName): \(reject.reason)")
        } else {
            addUnreadable(remains.byteCount)
            // No block of it was ever written, as far as the disk knows.
            if remains.segment == nil { cutShortBytes = cutShortBytes.addingClamped(remains.byteCount) }
            // Without a name of ours it comes after all: it takes none of the segments away that can be read.
            let ordinal = remains.name?.ordinal ?? findings.ordinalMax.addingClamped(1)
            cut = cut ?? Watermark(segment: ordinal, offset: 0)
        }
    }

    /// What was durable at the end of the log and is not there any more; the cache knows how far it went.
    private mutating func addLoss(
        _ findings: Findings, after next: UInt64, bytes: UInt64, from place: Watermark, _ note: String
    ) {
        if let end = findings.state?.nextSequence, end > next {
            addGap(next...end - 1, note)
        } else {
            // No event that anybody knows of.
            addUnreadable(bytes)
            cut = cut ?? place
        }
    }
}

extension UInt64 {
    /// The sum, or the highest value.
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

extension StoreDirectory {
    /// What there is to plan with.
    var findings: RecoveryPlan.Findings {
        RecoveryPlan.Findings(
            segments: segments.map { segment in
                var found = RecoveryPlan.Segment(
                    fileName: segment.fileName, ordinal: segment.ordinal, uuid: segment.uuid,
                    predecessor: segment.predecessor, baseSequence: 0, nextSequence: segment.nextSequence,
                    headerBytes: 0, content: .sealed(dataBytes: 0))
                switch segment {
                case .sealed(let handle):
                    found.baseSequence = handle.summary.baseSequence
                    found.epoch = handle.summary.firstEpoch
                    found.content = .sealed(dataBytes: handle.summary.dataBytes)
                case .unsealed(let scan):
                    found.baseSequence = scan.header.baseSequence
                    found.epoch = scan.header.epoch
                    found.sessionsBegun = scan.header.sessionsBegun
                    found.checkpointsMade = scan.header.checkpointsMade
                    found.headerBytes = scan.headerBytes
                    found.content = .unsealed(scan.blocks, unreadable: scan.unreadable)
                }
                return found
            }, state: state, lostEnds: lostEnds, ordinalMax: ordinalMax, isBare: identity == nil)
    }
}
