internal import VarveFormat

/// Imported sessions whose end is not recorded, by their ordinals. One that was resumed afterwards, as any session is, counts.
struct UnfinishedImports: Sendable {
    private(set) var ordinals: Set<UInt64> = []

    mutating func begin(_ begin: SessionBegin) {
        if begin.flags.contains(.imported) {
            ordinals.insert(begin.ordinal)
        } else {
            ordinals.remove(begin.ordinal)
        }
    }

    mutating func end(_ ordinal: UInt64) { ordinals.remove(ordinal) }

    /// Adds what a segment has of a session.
    mutating func add(_ summary: SessionSummary) {
        begin(summary.begin)
        if summary.state != .active { end(summary.begin.ordinal) }
    }

    /// Adds a record that no segment shows yet.
    mutating func add(_ record: ControlRecord) {
        switch record {
        case .sessionBegin(let record): begin(record)
        case .sessionEnd(let record): end(record.ordinal)
        case .checkpoint, .ledger, .kinds: break
        }
    }
}

/// What the sealed segments at the beginning of a log say of imports, found once: each snapshot asks for it. Any thread may call.
final class ImportSurvey: @unchecked Sendable {
    /// Segments that have gone are not kept readable for this.
    private struct Known {
        weak var segment: SegmentHandle?
    }

    private let monitor = Monitor()
    private var segments: [Known] = []
    private var found = UnfinishedImports()

    /// The imports that are not complete at the end of these segments. Of segments that were not asked before, the footers' parts on
    /// sessions are read; one that can't be read says nothing. O(segments).
    func unfinished(after entries: [Catalog.Entry]) -> UnfinishedImports {
        monitor.lock()
        defer { monitor.unlock() }
        let isKnown =
            segments.count <= entries.count
            && zip(segments, entries).allSatisfy {
                if case .sealed(let handle) = $1 { handle === $0.segment } else { false }
            }
        if !isKnown {
            segments = []
            found = UnfinishedImports()
        }
        var isPrefix = true
        var latest = found
        for entry in entries[segments.count...] {
            let sessions = try? entry.sessions()
            for session in sessions ?? [] { latest.add(session) }
            // What could not be read is asked again the next time.
            guard isPrefix, sessions != nil, case .sealed(let handle) = entry else {
                isPrefix = false
                continue
            }
            segments.append(Known(segment: handle))
            found = latest
        }
        return latest
    }
}
