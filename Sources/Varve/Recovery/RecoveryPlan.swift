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

    var watermark: Watermark?
    /// Unsealed segments, or their beginnings, that stay.
    var keep: [Keep] = []
    /// Blocks to be copied, in order.
    var copy: [Copy] = []
    /// Segments that are gone once the copy is durable.
    var remove: [Int] = []
    /// What can't be read before the watermark.
    var gaps: [Gap] = []
    /// Bytes that can't be read after the last readable block.
    var unreadableBytes: UInt64 = 0
    /// Where they start.
    var cut: Watermark?
    /// Numbers below were given to events that are lost: they are not given again.
    var sequenceMin: UInt64 = 0

    init(_ directory: StoreDirectory) {
        func raise(_ place: Watermark) { watermark = max(watermark ?? place, place) }
        for segment in directory.segments {
            switch segment {
            case .sealed(let handle):
                raise(Watermark(segment: handle.summary.ordinal, offset: handle.summary.dataBytes))
            case .unsealed(let scan):
                for block in scan.blocks where block.header.durableSegment > 0 {
                    raise(Watermark(segment: block.header.durableSegment, offset: block.header.durableOffset))
                }
            }
        }
        if let state = directory.state, state.watermarkSegment > 0,
            directory.segments.contains(where: {
                $0.uuid == state.watermarkUUID && $0.ordinal == state.watermarkSegment
            })
        {
            raise(Watermark(segment: state.watermarkSegment, offset: state.watermarkOffset))
        }
        let w = watermark ?? Watermark(segment: 0, offset: 0)
        var hasEnded = false
        for (number, segment) in directory.segments.enumerated() {
            guard case .unsealed(let scan) = segment else { continue }
            if !hasEnded, let end = Self.end(before: number, of: directory, watermark: w) {
                hasEnded = true
                cut = end
            }
            if hasEnded {
                remove.append(number)
                unreadableBytes += scan.blocks.last.map { $0.end - scan.headerBytes } ?? 0
                continue
            }
            let ordinal = scan.header.ordinal
            var length = scan.headerBytes
            var blocks = scan.blocks[...]
            var holes = scan.unreadable[...]
            var before = scan.header.baseSequence
            while !hasEnded, !blocks.isEmpty || !holes.isEmpty {
                if let hole = holes.first, hole.range.lowerBound < blocks.first?.offset ?? .max {
                    holes.removeFirst()
                    if Watermark(segment: ordinal, offset: hole.range.lowerBound) < w {
                        let next = blocks.first?.header.firstSequence ?? before
                        if next > before {
                            gaps.append(
                                Gap(
                                    sequences: before...next - 1, reason: .damage,
                                    note: "\(scan.fileName) at \(hole.range.lowerBound): \(hole.reason)"))
                        }
                    } else {
                        hasEnded = true
                        cut = Watermark(segment: ordinal, offset: hole.range.lowerBound)
                        unreadableBytes +=
                            (scan.unreadable.last?.range.upperBound ?? hole.range.upperBound)
                            - hole.range.lowerBound
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
            let reached = scan.blocks.last?.end ?? scan.headerBytes
            if !hasEnded, ordinal == w.segment, reached < w.offset {
                addLoss(
                    directory, after: before, bytes: w.offset - reached,
                    from: Watermark(segment: ordinal, offset: reached),
                    "\(scan.fileName) ends at \(reached), and was durable up to \(w.offset)")
            }
            if Watermark(segment: ordinal, offset: scan.headerBytes) < w {
                keep.append(Keep(segment: number, length: length))
            } else {
                remove.append(number)
            }
        }
        // The log's last segment is gone: only the cache remembers it.
        if let state = directory.state, state.isClosed,
            directory.segments.last?.ordinal ?? 0 < state.watermarkSegment
        {
            addLoss(
                directory, after: directory.segments.last?.nextSequence ?? 0, bytes: state.watermarkOffset,
                from: Watermark(segment: state.watermarkSegment, offset: 0),
                "segment \(state.watermarkSegment), the last one, "
                    + (directory.lostEnds.first.map { "can't be read (\($0.fileName): \($0.reason))" }
                        ?? "is not there"))
        } else {
            for reject in directory.lostEnds { addLostEnd(directory, reject) }
        }
    }

    /// Where the log ends before an unsealed segment, because its predecessor is not there or not as long as it was. Files arrive
    /// on a disk in any order; what was durable before the watermark is not meant here, its loss is damage.
    private static func end(
        before number: Int, of directory: StoreDirectory, watermark w: Watermark
    ) -> Watermark? {
        let segment = directory.segments[number]
        let (predecessor, length) = segment.predecessor
        guard predecessor != .zero, w.segment < segment.ordinal else { return nil }
        guard number > 0 else {
            return w.segment > 0 && w.offset >= length
                ? nil : Watermark(segment: segment.ordinal - 1, offset: .max)
        }
        let before = directory.segments[number - 1]
        guard before.uuid == predecessor else {
            return w.segment > before.ordinal && w.offset >= length
                ? nil : Watermark(segment: segment.ordinal - 1, offset: .max)
        }
        guard case .unsealed(let scan) = before else { return nil }
        let reached = scan.blocks.last?.end ?? scan.headerBytes
        let isDurable = w >= Watermark(segment: before.ordinal, offset: length)
        return reached < length && !isDurable ? Watermark(segment: before.ordinal, offset: reached) : nil
    }

    /// A segment after the last one whose header can't be read. What was durable of it is damage, the rest an unconfirmed tail.
    private mutating func addLostEnd(_ directory: StoreDirectory, _ reject: StoreDirectory.Reject) {
        guard let remains = reject.remains else { return }
        let next = directory.segments.last?.nextSequence ?? 0
        let isKnown = directory.state.map {
            $0.watermarkSegment == remains.name?.ordinal && $0.watermarkUUID == remains.segment
        }
        if remains.isDurable || isKnown ?? false, remains.nextSequence > next {
            sequenceMin = max(sequenceMin, remains.nextSequence)
            gaps.append(
                Gap(
                    sequences: next...remains.nextSequence - 1, reason: .damage,
                    note: "\(reject.fileName): \(reject.reason)"))
        } else {
            unreadableBytes += remains.byteCount
            cut = cut ?? Watermark(segment: remains.name?.ordinal ?? directory.ordinalMax, offset: 0)
        }
    }

    /// What was durable at the end of the log and is not there any more; the cache knows how far it went.
    private mutating func addLoss(
        _ directory: StoreDirectory, after next: UInt64, bytes: UInt64, from place: Watermark, _ note: String
    ) {
        if let end = directory.state?.nextSequence, end > next {
            gaps.append(Gap(sequences: next...end - 1, reason: .damage, note: note))
        } else {
            // No event that anybody knows of.
            unreadableBytes += bytes
            cut = place
        }
    }
}
