internal import VarveFormat

#if canImport(Darwin)
internal import Darwin
#else
internal import Glibc
#endif

/// Where the answers of two queries first differ.
public struct Divergence: Hashable, Sendable {
    /// How many events are the same in both before that.
    public let equalEvents: UInt64
    /// The first answer's event there; nil: it has ended.
    public let first: Event?
    /// The second answer's event there; nil: it has ended.
    public let second: Event?
}

/// What a comparison came to.
public struct ComparisonResult: Hashable, Sendable {
    /// Where the two first differ; nil: nowhere.
    public let divergence: Divergence?
    /// How many events are the same in both, from the first one on.
    public let equalEvents: UInt64
    /// What is missing in either answer. What can't be read on one side alone moves its events against the other's.
    public let firstCoverage: Coverage, secondCoverage: Coverage
    /// What was read on either side: sub-blocks that are the same are not decompressed.
    public let firstStatistics: QueryStatistics, secondStatistics: QueryStatistics
}

extension Snapshot {
    /// Compares the answers of two queries, here and in another snapshot, pair by pair, as far as the first that differs.
    ///
    /// Two events are the same when kind and payload are, and with `comparesTime` the timestamp; payloads that differ as bytes are
    /// left to `isSame`. Where both sides store the same bytes for the same events these are not decompressed. O(events), without
    /// regard to sessions and sequence numbers.
    ///
    /// Throws `StoreError.invalid` for a reversed query, when the system refuses to read, and what `isSame` throws.
    public func compare(
        _ query: Query, with other: Snapshot, _ otherQuery: Query, comparesTime: Bool = false,
        isSame: (EventView, EventView) throws -> Bool = { _, _ in false }
    ) throws -> ComparisonResult {
        guard !query.isReversed, !otherQuery.isReversed else {
            throw StoreError.invalid(
                what: "a reversed query", reason: "events are compared as they were recorded")
        }
        var comparison = Comparison(
            first: try CursorCore(self, query), second: try CursorCore(other, otherQuery),
            comparesTime: comparesTime)
        return try comparison.run(isSame)
    }
}

/// Two cores that step side by side.
private struct Comparison {
    /// Rows that are decoded, of one side.
    struct Rows {
        let core: CursorCore
        var row = 0
        var end = 0
        var base: UnsafeRawPointer

        init(_ core: CursorCore) {
            self.core = core
            base = UnsafeRawPointer(core.run)
        }

        var isEmpty: Bool { row == end }

        /// Decodes more; false at the end.
        mutating func fill() throws(StoreError) -> Bool {
            guard isEmpty else { return true }
            guard let step = try core.advance() else { return false }
            row = step.row
            end = step.rowEnd
            base = step.base
            return true
        }

        var view: EventView {
            @_lifetime(immortal)
            get { EventView(run: UnsafePointer(core.run), row: row, base: base) }
        }

        mutating func step() {
            base += Int(core.run.pointee.lengths[row])
            row += 1
        }
    }

    let firstCore: CursorCore, secondCore: CursorCore
    let comparesTime: Bool
    private var first: Rows
    private var second: Rows
    private var equalEvents: UInt64 = 0
    /// For each kind's number on the second side the same kind's on the first, once it is known.
    private var kinds: [UInt32: UInt32] = [:]
    private var lastKinds: (second: UInt32, first: UInt32)?

    init(first: CursorCore, second: CursorCore, comparesTime: Bool) {
        firstCore = first
        secondCore = second
        self.comparesTime = comparesTime
        self.first = Rows(first)
        self.second = Rows(second)
    }

    mutating func run(_ isSame: (EventView, EventView) throws -> Bool) throws -> ComparisonResult {
        while true {
            if first.isEmpty, second.isEmpty {
                while try firstCore.hasMore(), try secondCore.hasMore(), skipsEqualParts() {}
            }
            let (hasFirst, hasSecond) = (try first.fill(), try second.fill())
            guard hasFirst || hasSecond else { return result(nil) }
            guard hasFirst, hasSecond else {
                return result(
                    Divergence(
                        equalEvents: equalEvents, first: hasFirst ? first.view.event : nil,
                        second: hasSecond ? second.view.event : nil))
            }
            for _ in 0..<min(first.end - first.row, second.end - second.row) {
                guard try isSamePair(isSame) else {
                    return result(
                        Divergence(
                            equalEvents: equalEvents, first: first.view.event, second: second.view.event))
                }
                equalEvents += 1
                first.step()
                second.step()
            }
        }
    }

    private func result(_ divergence: Divergence?) -> ComparisonResult {
        ComparisonResult(
            divergence: divergence, equalEvents: equalEvents, firstCoverage: firstCore.coverage,
            secondCoverage: secondCore.coverage, firstStatistics: firstCore.statistics,
            secondStatistics: secondCore.statistics)
    }

    private mutating func isSamePair(_ isSame: (EventView, EventView) throws -> Bool) throws -> Bool {
        let (left, right) = (first.view, second.view)
        guard isSameKind(left.kindNumber, right.kindNumber),
            !comparesTime || left.timestamp == right.timestamp
        else { return false }
        let count = left.payloadByteCount
        if count == right.payloadByteCount, memcmp(first.base, second.base, count) == 0 { return true }
        return try isSame(left, right)
    }

    private mutating func isSameKind(_ left: UInt32, _ right: UInt32) -> Bool {
        if let lastKinds, lastKinds.second == right { return lastKinds.first == left }
        if let known = kinds[right] {
            lastKinds = (right, known)
            return known == left
        }
        guard firstCore.kind(number: left) == secondCore.kind(number: right) else { return false }
        kinds[right] = left
        lastKinds = (right, left)
        return true
    }

    /// Passes over the sub-blocks that both sides come to next when they hold the same events in the same bytes.
    private mutating func skipsEqualParts() -> Bool {
        guard let left = firstCore.nextPart, let right = secondCore.nextPart else { return false }
        let count = left.part.eventCount
        guard count == right.part.eventCount, left.part.rawBytes == right.part.rawBytes,
            left.part.method == right.part.method, left.stored.count == right.stored.count,
            !usesDictionary(left) || left.segment.dictionary == right.segment.dictionary
        else { return false }
        let (one, other) = (firstCore.run.pointee, secondCore.run.pointee)
        let (row, otherRow) = (left.part.firstRow, right.part.firstRow)
        guard memcmp(one.lengths + row, other.lengths + otherRow, count * 4) == 0,
            !comparesTime || memcmp(one.timestamps + row, other.timestamps + otherRow, count * 8) == 0
        else { return false }
        for offset in 0..<count {
            let (kind, otherKind) = (Int(one.kinds[row + offset]), Int(other.kinds[otherRow + offset]))
            guard isSameKind(one.kindNumbers[kind], other.kindNumbers[otherKind]) else { return false }
        }
        // Equal bytes may both be damaged: then reading them says so.
        guard left.stored.hasSameBytes(as: right.stored), left.isIntact, right.isIntact else { return false }
        equalEvents += UInt64(count)
        firstCore.skip(left)
        secondCore.skip(right)
        return true
    }

    private func usesDictionary(_ part: CursorCore.Part) -> Bool {
        part.part.method != .raw && part.part.method != .lz4
    }
}

extension UnsafeRawBufferPointer {
    func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count, let start = baseAddress, let otherStart = other.baseAddress else {
            return count == other.count
        }
        return memcmp(start, otherStart, count) == 0
    }
}
