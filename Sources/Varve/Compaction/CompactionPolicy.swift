internal import VarveFormat

/// Decides which segments are worth writing anew. Touches no file: the same description gives the same plans.
///
/// **What that costs.** Of each byte that is recorded and kept
/// - one is written for settling: a settled segment is never unsettled again;
/// - at most one, over a store's life, for dropping: less than half of a segment is live then, so that what is copied is less than what
///   goes, and a byte goes once;
/// - at most log2(m) for merging, where *m* is a quarter of the target over the smallest segment merged: whatever is merged ends in a
///   segment at least twice the size, and those of a quarter of the target and more are left alone.
///
/// Settling waits for a gain of 1 MiB, so that a settled segment has seldom less than 2 MiB: with a target of 64 MiB that makes at most
/// 2 + 3 bytes written for each one recorded. When the user asks for all of it, everything that is smaller afterwards is written, and the
/// bounds are not kept.
enum CompactionPolicy {
    /// A sealed segment, as far as it matters here.
    struct Segment: Hashable, Sendable {
        var ordinal: UInt64
        /// Of the file, and of what stands before its footer.
        var fileBytes: UInt64, dataBytes: UInt64
        /// Of the payloads, before compression.
        var rawBytes: UInt64
        var eventCount: UInt64
        /// What is kept of the events, and of the stored bytes (`SegmentRewriter.live`).
        var liveEvents: UInt64, liveBytes: UInt64
        /// Blocks of all types, and of events.
        var blockCount: UInt32, eventBlockCount: UInt32
        var isSettled: Bool
        /// When the last of it was written.
        var writtenAt: Int64
        var baseSequence: UInt64, nextSequence: UInt64
        /// It must not be touched: it is being copied, say, or could not be read.
        var isPinnedDown: Bool

        /// Payload bytes that are kept.
        var liveRawBytes: UInt64 {
            eventCount == 0
                ? 0
                : UInt64(
                    clamping: rawBytes.multipliedFullWidth(by: min(liveEvents, eventCount)), over: eventCount)
        }
    }

    /// The limits, and how near they are.
    struct Context: Hashable, Sendable {
        /// Bytes of a segment.
        var targetBytes: UInt64 = 64 << 20
        /// Most bytes to keep, and those in use.
        var byteLimit: UInt64?
        var usedBytes: UInt64 = 0
        /// Most events to keep, the first number that is kept, and the next one to be given.
        var eventLimit: UInt64?
        var headSequence: UInt64 = 0
        var nextSequence: UInt64 = 0
        /// Most nanoseconds to keep an event.
        var ageLimit: UInt64?
        var now: Int64 = 0
        /// The user asked for everything, now.
        var isExplicit = false
        /// Bytes that new files may take beside the old ones.
        var temporaryBytesMax: UInt64 = .max
    }

    enum Reason: Hashable, Sendable {
        /// Less than half of it is live.
        case dropDead
        /// It is as it was recorded.
        case settle
        /// They are small.
        case merge
    }

    struct Plan: Hashable, Sendable {
        /// Positions in the description of the segments that become one.
        var segments: Range<Int>
        var reason: Reason
        /// Bytes of the sources' files, of the new one, and the difference.
        var sourceBytes: UInt64, expectedBytes: UInt64, expectedGain: UInt64
    }

    /// Payload bytes of one new segment at most.
    static let rawBytesMax: UInt64 = 512 << 20
    /// Segments that become one at most: their files are open at the same time.
    static let sourcesMax = 64
    /// What is stored of a recorded block beside its payloads, about.
    private static let blockOverhead: UInt64 = 200
    /// Settled payloads take this share of recorded ones, about, and filters this one of the payloads before compression: as measured
    /// (`RewriteSettings`).
    private static let settledShare = 0.61, filterShare = 0.015

    /// What to do, in this order: what is mostly dead by its gain, then what is to be settled, then what is to be merged, both from the
    /// newest on: where more is recorded than can be compacted, limits drop the oldest before that is done. O(segments log segments).
    static func plans(for segments: [Segment], _ context: Context) -> [Plan] {
        let wants = reasons(for: segments, context)
        var plans: [Plan] = []
        var position = 0
        while position < segments.count {
            let range = extend(position, segments, context) { wants[$0] != nil && wants[$0] != .merge }
            guard let range else {
                position += 1
                continue
            }
            let isMostlyDead = range.contains { wants[$0] == .dropDead }
            let plan = plan(range, isMostlyDead ? .dropDead : .settle, segments)
            if context.isExplicit || plan.expectedGain >= gainMin(context) { plans.append(plan) }
            position = range.upperBound
        }
        plans += merges(segments, wants, context)
        let order: [Reason] = [.dropDead, .settle, .merge]
        return order.flatMap { reason in
            let those = plans.filter { $0.reason == reason }
            return reason == .dropDead ? those.sorted { $0.expectedGain > $1.expectedGain } : those.reversed()
        }
    }

    private static func gainMin(_ context: Context) -> UInt64 { min(1 << 20, context.targetBytes / 4) }

    // MARK: Segments

    /// Why each segment would be written anew; nil: it is left alone.
    private static func reasons(for segments: [Segment], _ context: Context) -> [Reason?] {
        // What was recorded after a segment.
        var newer = context.usedBytes
        return segments.map { segment in
            newer = newer > segment.fileBytes ? newer - segment.fileBytes : 0
            guard !segment.isPinnedDown, segment.fileBytes <= context.temporaryBytesMax,
                segment.liveRawBytes <= rawBytesMax,
                context.isExplicit || !isDueToGo(segment, newer: newer, context)
            else { return nil }
            if segment.liveBytes < segment.dataBytes / 2 { return .dropDead }
            if !segment.isSettled { return .settle }
            if context.isExplicit, segment.liveEvents < segment.eventCount { return .dropDead }
            return segment.fileBytes < smallBytes(context) ? .merge : nil
        }
    }

    /// When the user asks, all that fit one segment together are merged.
    private static func smallBytes(_ context: Context) -> UInt64 {
        context.isExplicit ? context.targetBytes : context.targetBytes / 4
    }

    /// Whether the limits drop a segment before it would pay to write it anew. What is kept of one below the head is pinned, and stays.
    private static func isDueToGo(_ segment: Segment, newer: UInt64, _ context: Context) -> Bool {
        guard segment.nextSequence > context.headSequence else { return false }
        if let limit = context.byteLimit, newer >= limit - limit / 4 { return true }
        if let limit = context.eventLimit {
            let since = context.nextSequence - min(segment.nextSequence, context.nextSequence)
            if since > limit - limit / 4 { return true }
        }
        if let limit = context.ageLimit, context.now > segment.writtenAt {
            // Of any two times the difference fits an unsigned number.
            if UInt64(bitPattern: context.now &- segment.writtenAt) > limit - limit / 4 { return true }
        }
        return false
    }

    // MARK: Groups

    /// The segments from `first` on that may become one; nil: not even the first.
    private static func extend(
        _ first: Int, _ segments: [Segment], _ context: Context, _ fits: (Int) -> Bool
    ) -> Range<Int>? {
        guard fits(first) else { return nil }
        var (bytes, raw, blocks) = (UInt64(0), UInt64(0), UInt64(0))
        var end = first
        while end < segments.count, fits(end) {
            let segment = segments[end]
            bytes = bytes.addingClamped(segment.fileBytes)
            raw = raw.addingClamped(segment.liveRawBytes)
            blocks += blocksLeft(segment)
            if end > first,
                end - first >= sourcesMax || bytes > min(context.targetBytes, context.temporaryBytesMax)
                    || raw > rawBytesMax
                    || blocks > UInt64(Limits.segmentBlocksMax)
            {
                break
            }
            end += 1
        }
        return first..<end
    }

    /// Blocks that a segment's share of a new one has at most: other blocks stay, and each of them may end one of events.
    private static func blocksLeft(_ segment: Segment) -> UInt64 {
        let others = UInt64(segment.blockCount - min(segment.eventBlockCount, segment.blockCount))
        let full =
            segment.liveRawBytes / (128 << 10) + segment.liveEvents / UInt64(RewriteOutput.blockRowsMax)
        return others * 2 + min(UInt64(segment.eventBlockCount), full + 2)
    }

    /// At least four small ones beside each other, of which none has more than half of the bytes of all.
    private static func merges(_ segments: [Segment], _ wants: [Reason?], _ context: Context) -> [Plan] {
        var plans: [Plan] = []
        var position = 0
        while position < segments.count {
            guard let range = extend(position, segments, context, { wants[$0] == .merge }) else {
                position += 1
                continue
            }
            let largest = segments[range].map(\.fileBytes).max() ?? 0
            let plan = plan(range, .merge, segments)
            let pays =
                context.isExplicit ? range.count > 1 : range.count >= 4 && largest <= plan.sourceBytes / 2
            if pays { plans.append(plan) }
            // One that is too large for its neighbours on this side may fit those on the other.
            position = pays ? range.upperBound : position + 1
        }
        return plans
    }

    private static func plan(_ range: Range<Int>, _ reason: Reason, _ segments: [Segment]) -> Plan {
        let source = segments[range].reduce(UInt64(0)) { $0.addingClamped($1.fileBytes) }
        let expected = segments[range].reduce(UInt64(0)) { $0.addingClamped(expectedBytes($1)) }
        return Plan(
            segments: range, reason: reason, sourceBytes: source, expectedBytes: expected,
            expectedGain: source - min(expected, source))
    }

    /// What a segment's share of a new one takes, about.
    static func expectedBytes(_ segment: Segment) -> UInt64 {
        let live = min(segment.liveBytes, segment.dataBytes)
        if segment.isSettled {
            let footer = segment.fileBytes - min(segment.dataBytes, segment.fileBytes)
            let share = Double(live) / Double(max(segment.dataBytes, 1))
            return live.addingClamped(UInt64(saturating: Double(footer) * share))
        }
        let blocks = UInt64(segment.eventBlockCount)
        let kept = Double(segment.liveEvents) / Double(max(segment.eventCount, 1))
        let overhead = UInt64(Double(blocks * blockOverhead) * min(kept, 1))
        let payloads = Double(live - min(overhead, live)) * settledShare
        return UInt64(saturating: payloads + Double(segment.liveRawBytes) * filterShare)
    }
}

extension UInt64 {
    /// A number that is not negative, as far as it fits.
    fileprivate init(saturating value: Double) { self = value < 0x1p63 ? UInt64(value) : .max }

    /// A product of full width divided, where the result fits: the divisor is at least one of the factors.
    fileprivate init(clamping product: (high: UInt64, low: UInt64), over divisor: UInt64) {
        self = product.high < divisor ? divisor.dividingFullWidth(product).quotient : .max
    }
}
