internal import VarveFormat
internal import VarveIO

/// A segment without a footer that can be read: the active one, or a crashed one. Its index is a copy.
struct OpenSegment: Sendable {
    let file: any File
    let index: SegmentIndex

    /// Whether a footer can be made for it: an index has no holes. With damage in it, it stays as it is.
    var isContiguous: Bool {
        var end = index.headerBytes
        for entry in index.entries {
            guard entry.offset == end else { return false }
            end += UInt64(entry.length)
        }
        return true
    }
}

extension [Catalog.Entry] {
    /// Where a segment stands; nil: it was dropped or replaced.
    func position(of handle: SegmentHandle) -> Int? {
        firstIndex { if case .sealed(let found) = $0 { found === handle } else { false } }
    }

    /// Whether the segment after this one is not sealed, which is read as the continuation of this one, or the one before it, whose end this
    /// one's header tells.
    func isReliedOn(at position: Int) -> Bool {
        for neighbour in [position - 1, position + 1] where indices.contains(neighbour) {
            if case .open = self[neighbour] { return true }
        }
        return false
    }
}

/// The segments of a store, in the order of the log. Any thread may call.
final class Catalog: @unchecked Sendable {
    enum Entry: Sendable {
        case sealed(SegmentHandle)
        case open(OpenSegment)

        var summary: SegmentSummary {
            switch self {
            case .sealed(let handle): handle.summary
            case .open(let segment): segment.index.summary
            }
        }

        var ordinal: UInt64 {
            switch self {
            case .sealed(let handle): handle.summary.ordinal
            case .open(let segment): segment.index.header.ordinal
            }
        }

        /// The segment's index and bytes.
        func load() throws(StoreError) -> LoadedSegment {
            switch self {
            case .sealed(let handle): try handle.load()
            case .open(let segment): LoadedSegment(index: segment.index, file: segment.file, region: nil)
            }
        }

        /// What the segment has of each session, in the order in which they occur.
        func sessions() throws(StoreError) -> [SessionSummary] {
            switch self {
            case .sealed(let handle): try handle.sessions()
            case .open(let segment): segment.index.sessions
            }
        }
    }

    private let monitor = Monitor()
    private var entries: [Entry] {
        didSet { unsealedFooters = Catalog.footerBytesMax(entries) }
    }
    /// Bytes that the footers of the entries without one will take at most: asked for at each block.
    private var unsealedFooters: UInt64
    private var active: (file: any File, index: SegmentIndex)?
    /// Number of the last pipeline item that the entries show.
    private var shownItem: UInt64 = 0

    init(_ entries: [Entry]) {
        self.entries = entries
        unsealedFooters = Catalog.footerBytesMax(entries)
    }

    private static func footerBytesMax(_ entries: [Entry]) -> UInt64 {
        entries.reduce(0) { total, entry in
            if case .open(let segment) = entry { total + segment.index.footerBytesMax } else { total }
        }
    }

    /// All segments, and the last pipeline item in them.
    func view() -> (entries: [Entry], item: UInt64) {
        monitor.withLock {
            var all = entries
            if let active { all.append(.open(OpenSegment(file: active.file, index: active.index))) }
            return (all, shownItem)
        }
    }

    /// Replaces all segments: a reader has listed the directory again.
    func replaceAll(_ fresh: [Entry]) { monitor.withLock { entries = fresh } }

    /// Begins a new active segment.
    func begin(_ file: any File, _ index: SegmentIndex) { monitor.withLock { active = (file, index) } }

    /// Changes the active segment's index in place, and says which item it shows then.
    func update(item: UInt64?, _ body: (inout SegmentIndex) -> Void) {
        monitor.withLock {
            guard var current = active else { return }
            active = nil  // So that the arrays are changed in place.
            body(&current.index)
            active = current
            if let item { shownItem = item }
        }
    }

    /// See `SegmentIndex.controlBytes`; of the active segment.
    var activeControlBytes: Int { monitor.withLock { active?.index.controlBytes ?? 0 } }

    /// The active segment becomes an open one that is written no more.
    func retireActive() -> OpenSegment? {
        monitor.withLock {
            guard let active else { return nil }
            let segment = OpenSegment(file: active.file, index: active.index)
            entries.append(.open(segment))
            self.active = nil
            return segment
        }
    }

    /// A segment went away: it held nothing that is retained. The catalog shows it no more; who has it already goes on reading it.
    func remove(_ ordinal: UInt64) {
        monitor.withLock { entries.removeAll { $0.ordinal == ordinal } }
    }

    /// Puts one segment in the place of others, where all of those are still there.
    func replace(_ ordinals: Set<UInt64>, with handle: SegmentHandle) {
        monitor.withLock {
            guard let first = entries.firstIndex(where: { ordinals.contains($0.ordinal) }),
                entries.count(where: { ordinals.contains($0.ordinal) }) == ordinals.count
            else { return }
            entries.removeAll { ordinals.contains($0.ordinal) }
            entries.insert(.sealed(handle), at: first)
        }
    }

    /// Bytes that the footers of the segments without one will take at most.
    var footerBytesMax: UInt64 {
        monitor.withLock { (active?.index.footerBytesMax ?? 0) + unsealedFooters }
    }

    /// The segments without a footer that are written no more.
    var unsealed: [OpenSegment] {
        monitor.withLock {
            entries.compactMap { entry in
                if case .open(let segment) = entry { segment } else { nil }
            }
        }
    }
}
