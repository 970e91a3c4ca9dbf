internal import VarveFormat

/// Imported sessions whose end is not recorded, by their ordinals. One that was resumed afterwards,
/// as any session is, is none of them any more.
struct UnfinishedImports: Sendable {
    private(set) var ordinals: Set<UInt64> = []

    /// None.
    init() {}

    /// Those at the end of these segments. Of segments that were not asked before, the footers' parts on sessions are read; one that
    /// can't be read says nothing. O(segments and their sessions).
    init(after entries: [Catalog.Entry]) {
        for entry in entries {
            for session in (try? entry.sessions()) ?? [] { add(session) }
        }
    }

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
