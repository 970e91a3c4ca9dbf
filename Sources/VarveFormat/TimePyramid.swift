/// Smallest and largest timestamps over groups of blocks, and groups of groups: one stray timestamp must not make a
/// time range look at every block. `Formats/segment.md#time-pyramid`.
public struct TimePyramid: Hashable, Sendable {
    /// What a group's events span; blocks of other types don't count.
    public struct Range: Hashable, Sendable {
        /// Smallest timestamp, in nanoseconds since the Unix epoch; 2^63 - 1 without events.
        public var min: Int64
        /// Largest timestamp, in nanoseconds since the Unix epoch; -2^63 without events.
        public var max: Int64

        /// Holds nothing, and overlaps nothing.
        public static let empty = Range(min: .max, max: .min)

        /// From `min` to `max`, both included.
        public init(min: Int64, max: Int64) {
            self.min = min
            self.max = max
        }

        /// Widens the range to what the other one spans as well.
        public mutating func add(min: Int64, max: Int64) {
            self.min = Swift.min(self.min, min)
            self.max = Swift.max(self.max, max)
        }

        /// Whether a timestamp of `range` can be in the group.
        @inline(__always)
        public func overlaps(_ range: ClosedRange<Int64>) -> Bool {
            min <= range.upperBound && max >= range.lowerBound
        }
    }

    /// Blocks, or groups, in a group.
    public static let fanOut = 64

    /// From the finest to the single one.
    public var levels: [[Range]]

    /// Takes the levels as given, the finest first.
    public init(levels: [[Range]]) { self.levels = levels }

    /// O(blocks).
    public init(_ entries: [BlockIndexEntry]) {
        levels = []
        guard !entries.isEmpty else { return }
        var level = stride(from: 0, to: entries.count, by: TimePyramid.fanOut).map { start in
            var range = Range.empty
            for entry in entries[start..<min(start + TimePyramid.fanOut, entries.count)]
            where entry.type == .events {
                range.add(min: entry.minTimestamp, max: entry.maxTimestamp)
            }
            return range
        }
        levels.append(level)
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: TimePyramid.fanOut).map { start in
                var range = Range.empty
                for part in level[start..<min(start + TimePyramid.fanOut, level.count)] {
                    range.add(min: part.min, max: part.max)
                }
                return range
            }
            levels.append(level)
        }
    }

    /// Reads the section's body. Throws where the fan-out is not 64, or the levels do not fit each other.
    public init(from reader: inout ByteReader) throws(FormatError) {
        guard try reader.u32() == UInt32(TimePyramid.fanOut) else {
            throw .invalid("the time pyramid", reason: "its fan-out is not \(TimePyramid.fanOut)")
        }
        let count = try reader.u32()
        guard count <= 8 else {
            throw .beyondLimit("the time pyramid's levels", value: UInt64(count), limit: 8)
        }
        levels = []
        for _ in 0..<count {
            let size = try reader.u32()
            try reader.takeZeros(4)
            guard
                Safeguard.pyramidSize.isLeftOut || size >= 1 && UInt64(size) * 16 <= UInt64(reader.remaining)
            else {
                throw .truncated("the time pyramid")
            }
            if let below = levels.last,
                Int(size) != (below.count + TimePyramid.fanOut - 1) / TimePyramid.fanOut || below.count == 1
            {
                throw .invalid("the time pyramid", reason: "its levels do not fit each other")
            }
            var level: [Range] = []
            level.reserveCapacity(Int(size))
            for _ in 0..<size {
                let smallest = try reader.i64()
                level.append(Range(min: smallest, max: try reader.i64()))
            }
            levels.append(level)
        }
        guard levels.last.map({ $0.count == 1 }) ?? true else {
            throw .invalid("the time pyramid", reason: "it has no single top")
        }
    }

    /// Appends the section's body.
    public func encode(to writer: inout ByteWriter) {
        writer.put(UInt32(TimePyramid.fanOut))
        writer.put(UInt32(levels.count))
        for level in levels {
            writer.put(UInt32(level.count))
            writer.put(UInt32(0))
            for range in level {
                writer.put(range.min)
                writer.put(range.max)
            }
        }
    }

    /// Whether block `number` can hold a timestamp of `range`, as far as the groups above it know. O(levels).
    public func mayOverlap(block number: Int, _ range: ClosedRange<Int64>) -> Bool {
        var position = number
        for level in levels {
            position /= TimePyramid.fanOut
            guard position < level.count else { return true }
            if !level[position].overlaps(range) { return false }
        }
        return true
    }

    /// The first block at or after `number` whose groups overlap `range`; skips whole groups. O(groups).
    public func nextCandidate(from number: Int, count: Int, _ range: ClosedRange<Int64>) -> Int {
        var number = number
        while number < count {
            var skip = 0
            var position = number
            var size = 1
            for level in levels {
                position /= TimePyramid.fanOut
                size *= TimePyramid.fanOut
                guard position < level.count else { break }
                if !level[position].overlaps(range) { skip = (position + 1) * size }
            }
            if skip == 0 { return number }
            number = skip
        }
        return count
    }
}
