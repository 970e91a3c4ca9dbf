internal import VarveFormat

/// What retention keeps: everything from the logical heads on, and what is pinned. Readers hide the rest, which may be in the files still.
struct Retained: Hashable, Sendable {
    /// First sequence number that the limits keep.
    var headSequence: UInt64 = 0
    /// First checkpoint ordinal that the limits keep.
    var headCheckpoint: UInt64 = 0
    /// What stays below the heads, ascending by session and first number.
    var pins: [Pin] = []

    /// Whether it keeps everything.
    var isEverything: Bool { headSequence == 0 && headCheckpoint <= 1 }

    /// What pins keep by themselves, were everything else dropped.
    var pinnedAlone: Retained { Retained(headSequence: .max, headCheckpoint: .max, pins: pins) }

    /// Whether an event is kept.
    func keeps(sequence: UInt64, session: UInt64) -> Bool {
        sequence >= headSequence || pins.contains { $0.keeps(sequence: sequence, session: session) }
    }

    /// Whether a checkpoint is kept.
    func keeps(_ checkpoint: CheckpointRecord) -> Bool {
        checkpoint.ordinal >= headCheckpoint || pins.contains { $0.keeps(checkpoint) }
    }

    /// Whether all of a range of sequence numbers is kept, whatever sessions they are of.
    func keepsAll(_ range: Range<UInt64>) -> Bool {
        range.lowerBound >= headSequence || range.isEmpty
    }

    /// Whether nothing of a range is kept as far as can be told without its sessions: false does not say that something is.
    func hidesAll(_ range: Range<UInt64>) -> Bool {
        guard range.upperBound <= headSequence else { return false }
        return !pins.contains { $0.first < range.upperBound && $0.last >= range.lowerBound }
    }

    /// The first sequence number that may be kept: of what is below it nothing is. O(pins).
    var floor: UInt64 { pins.reduce(headSequence) { min($0, $1.first) } }

    /// Whether some of a session's range, or all of it, is not kept.
    func hidesPart(of range: Range<UInt64>, session: UInt64) -> Bool {
        range.lowerBound < headSequence && !range.isEmpty && parts(of: range, session: session) != [range]
    }

    /// The parts of a session's range of sequence numbers that are kept, ascending and apart from each other. Where the session is not
    /// known (nil), those that may be. O(pins).
    func parts(of range: Range<UInt64>, session: UInt64?) -> [Range<UInt64>] {
        if range.isEmpty { return [] }
        if range.lowerBound >= headSequence { return [range] }
        var parts: [Range<UInt64>] = []
        for pin in pins where pin.session == 0 || session == nil || pin.session == session {
            let low = max(pin.first, range.lowerBound)
            let high = pin.last >= range.upperBound ? range.upperBound : pin.last + 1
            if low < high { parts.append(low..<high) }
        }
        if headSequence < range.upperBound { parts.append(headSequence..<range.upperBound) }
        // They are sorted and joined: pins may overlap each other and the head.
        if parts.count < 2 { return parts }
        parts.sort { $0.lowerBound < $1.lowerBound }
        var joined: [Range<UInt64>] = []
        for part in parts {
            if let last = joined.last, part.lowerBound <= last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, part.upperBound)
            } else {
                joined.append(part)
            }
        }
        return joined
    }

    /// How many of a session's range of sequence numbers are kept.
    func count(of range: Range<UInt64>, session: UInt64) -> UInt64 {
        parts(of: range, session: session).reduce(0) { $0 + ($1.upperBound - $1.lowerBound) }
    }

    /// The rows that are kept of so many that begin with a sequence number, ascending and apart from each other.
    func rows(from first: UInt64, count: Int, session: UInt64) -> [Range<Int>] {
        let (end, isOver) = first.addingReportingOverflow(UInt64(count))
        return parts(of: first..<(isOver ? .max : end), session: session).map {
            Int($0.lowerBound - first)..<Int($0.upperBound - first)
        }
    }
}
