internal import VarveFormat

/// Why a segment or a block is not looked into.
public enum PruneReason: String, Hashable, Sendable, CaseIterable {
    /// Its sequence numbers, its times, its session or its kinds are none that was asked for.
    case sequence, time, session, kind
    /// Its filters say that it holds no text that a match must hold.
    case filter
    /// The limits dropped all of it, and no pin keeps anything of it.
    case retention
}

/// How a query is carried out, as far as that is known before anything of the data is read: a pure function of the query and of what the
/// segments' summaries say. Its description is for people.
public struct QueryPlan: Hashable, Sendable {
    /// A segment, and what is done with it.
    public struct Segment: Hashable, Sendable {
        /// Place in the store's log, from 1.
        public let ordinal: UInt64
        /// Its events.
        public let events: UInt64
        /// Why it is not looked into; nil: it is.
        public let pruned: PruneReason?
    }

    /// What is asked, and what a reader does about it: a line each.
    public let conditions: [String]
    /// All segments, in the order of the log.
    public let segments: [Segment]
    /// Whether a match takes more than the small columns.
    public let needsPayload: Bool
    /// The texts that a sub-block must hold to be decompressed, where its segment has filters; nil: any may match.
    public let texts: String?

    init(_ query: Query, _ summaries: [SegmentSummary], _ retained: Retained = Retained()) {
        segments = summaries.map { summary in
            Segment(
                ordinal: summary.ordinal, events: summary.eventCount,
                pruned: Self.reasonToPrune(summary, query, retained))
        }
        needsPayload = query.needsPayload
        let requirement = TextRequirement.all(query.predicates.map(\.textRequirement)).description
        texts = requirement.isEmpty ? nil : requirement
        var conditions: [String] = []
        if let ids = query.sessionIDs {
            conditions.append("session \(ids.sorted().joined(separator: " or "))")
        }
        if let ordinals = query.sessionOrdinals {
            conditions.append(
                "session number \(ordinals.sorted().map(String.init).joined(separator: " or "))")
        }
        if let names = query.kindNames {
            conditions.append("kind \(names.sorted().joined(separator: " or "))")
        }
        if let time = query.time { conditions.append("time \(time.lowerBound) to \(time.upperBound) ns") }
        if let sequences = query.sequences {
            conditions.append("sequence \(sequences.lowerBound) to \(sequences.upperBound)")
        }
        conditions += query.predicates.map(\.description)
        if query.isReversed { conditions.append("the last first") }
        if let limit = query.limit { conditions.append("at most \(limit)") }
        self.conditions = conditions
    }

    /// Why nothing of a segment can match, by its summary; nil: something may.
    static func reasonToPrune(
        _ summary: SegmentSummary, _ query: Query, _ retained: Retained
    ) -> PruneReason? {
        guard summary.eventCount > 0 else { return .sequence }
        return reasonToPrune(
            query, summary.baseSequence, summary.nextSequence, summary.minTimestamp, summary.maxTimestamp)
            ?? (retained.hidesAll(summary.sequences) ? .retention : nil)
    }

    /// Why the query's ranges do not reach into these: sequence numbers from `first` to below `next`, and timestamps.
    static func reasonToPrune(
        _ query: Query, _ first: UInt64, _ next: UInt64, _ minTimestamp: Int64, _ maxTimestamp: Int64
    ) -> PruneReason? {
        if let sequences = query.sequences, first > sequences.upperBound || next <= sequences.lowerBound {
            return .sequence
        }
        if let time = query.time, minTimestamp > time.upperBound || maxTimestamp < time.lowerBound {
            return .time
        }
        return nil
    }
}

extension QueryPlan: CustomStringConvertible {
    /// Lines for people.
    public var description: String {
        var lines = ["match: " + (conditions.isEmpty ? "everything" : conditions.joined(separator: "; "))]
        let read = segments.filter { $0.pruned == nil }
        var line = "segments to look into: \(read.count) of \(segments.count)"
        let reasons = PruneReason.allCases.compactMap { reason -> String? in
            let count = segments.count { $0.pruned == reason }
            return count > 0 ? "\(count) by \(reason.rawValue)" : nil
        }
        if !reasons.isEmpty { line += " (left out: \(reasons.joined(separator: ", ")))" }
        lines.append(line)
        lines.append(needsPayload ? "payloads are needed to match" : "the small columns are enough to match")
        if let texts { lines.append("filters are asked for: \(texts)") }
        return lines.joined(separator: "\n")
    }
}

extension TextRequirement: CustomStringConvertible {
    /// For people; empty where nothing is known.
    public var description: String {
        func join(_ parts: [TextRequirement], _ word: String, needsAll: Bool) -> String {
            let texts = parts.map(\.description)
            if needsAll, texts.contains("") { return "" }
            let known = texts.filter { !$0.isEmpty }
            return known.count == 1
                ? known[0] : known.isEmpty ? "" : "(\(known.joined(separator: " \(word) ")))"
        }
        switch self {
        case .nothing: return ""
        case .text(let text, _, _): return "\"\(String(decoding: text, as: UTF8.self))\""
        case .all(let parts): return join(parts, "and", needsAll: false)
        case .any(let parts): return join(parts, "or", needsAll: true)
        case .combination(let parts, _):
            let known = parts.map(\.description).filter { !$0.isEmpty }
            return known.isEmpty ? "" : "(a combination of \(known.joined(separator: ", ")))"
        }
    }
}

extension Snapshot {
    /// How a query would be carried out. Reads nothing. O(segments).
    public func plan(_ query: Query = Query()) -> QueryPlan {
        QueryPlan(query, entries.map(\.summary), retained)
    }
}
