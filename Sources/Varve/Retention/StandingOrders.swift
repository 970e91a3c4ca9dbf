internal import VarveFormat

/// The limits and pins in force at the end of a log. Each segment's header repeats them, so that the last one tells.
struct StandingOrders: Hashable, Sendable {
    var limits = RetentionLimits()
    var pins: [Pin] = []

    /// Those that a writer sets who has no others.
    init() {}

    /// Those that a header repeats.
    init(_ header: SegmentHeader) {
        limits = header.limits ?? RetentionLimits()
        pins = header.pins ?? []
    }

    /// What the segments say. Reads the last one's header and index; earlier ones where that header can't be read.
    init(_ entries: [Catalog.Entry]) {
        self.init(reversed: entries.reversed().lazy.map { try? $0.load().index })
    }

    /// What their indices say.
    init(_ indices: [SegmentIndex]) { self.init(reversed: indices.reversed().lazy.map { $0 }) }

    private init(reversed indices: some Sequence<SegmentIndex?>) {
        self.init()
        var ledgers: [[LedgerRecord]] = []
        for case let index? in indices {
            ledgers.append(index.ledger)
            guard !index.header.isFromSummary else { continue }
            self = StandingOrders(index.header)
            break
        }
        for record in ledgers.reversed().joined() { apply(record) }
    }

    /// Follows a record of the ledger.
    mutating func apply(_ record: LedgerRecord) {
        switch record {
        case .limits(let limits): self.limits = limits
        case .pin(let pin, let isPinned): pins.apply(pin, isPinned: isPinned)
        default: break
        }
    }

    /// Says in a header what is in force.
    func put(into header: inout SegmentHeader) {
        header.limits = limits == RetentionLimits() ? nil : limits
        header.pins = pins.isEmpty ? nil : pins
    }
}

extension [Catalog.Entry] {
    /// Reads the indices that say which limits and pins are in force, or all of them, which stay read. What the system refuses now is no
    /// reason to go on with orders from before, as damage is: that throws.
    func readOrders(all: Bool) throws(StoreError) {
        var isKnown = false
        for entry in reversed() where all || !isKnown {
            do throws(StoreError) {
                if try !entry.load().index.header.isFromSummary { isKnown = true }
            } catch {
                guard case .damaged = error else { throw error }
            }
        }
    }
}

extension Retained {
    /// What segments, and the cache where there is one, say is retained: the highest heads, and the pins.
    init(_ entries: [Catalog.Entry], _ state: StateSlot?, pins: [Pin]) {
        let possible = Retained.possible
        headSequence = possible(state?.headSequence ?? 0)
        headCheckpoint = possible(state?.headCheckpoint ?? 0)
        for entry in entries {
            let summary = entry.summary
            headSequence = max(headSequence, possible(summary.headSequence))
            headCheckpoint = max(headCheckpoint, possible(summary.headCheckpoint))
        }
        self.pins = pins
    }

    /// A head; one that no number reaches is none that a writer gave.
    static func possible(_ head: UInt64) -> UInt64 { head < .max >> 2 ? head : 0 }
}
