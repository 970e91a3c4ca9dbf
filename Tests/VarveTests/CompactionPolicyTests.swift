import Testing
import VarveTestKit

@testable import Varve

private typealias Segment = CompactionPolicy.Segment
private typealias Context = CompactionPolicy.Context

private let mib: UInt64 = 1 << 20

/// Segments beside each other, of so many MiB each, with 1000 events for each MiB.
private func segments(
    _ sizes: [Double], settled: Bool = false, live: Double = 1,
    _ change: (Int, inout Segment) -> Void = { _, _ in }
) -> [Segment] {
    var next: UInt64 = 0
    return sizes.enumerated().map { number, size in
        let bytes = UInt64(size * Double(mib))
        let events = UInt64(size * 1000)
        var segment = Segment(
            ordinal: UInt64(number) + 1, fileBytes: bytes, dataBytes: bytes, rawBytes: bytes * 3,
            eventCount: events, liveEvents: UInt64(Double(events) * live),
            liveBytes: UInt64(Double(bytes) * live), blockCount: UInt32(size * 16) + 2,
            eventBlockCount: UInt32(size * 16) + 1, isSettled: settled,
            writtenAt: Int64(number), baseSequence: next, nextSequence: next + events, isPinnedDown: false)
        next += events
        change(number, &segment)
        return segment
    }
}

@Suite("Which segments are written anew")
struct CompactionPolicyTests {
    /// A line of the table: what there is, and what is planned.
    struct Case: CustomStringConvertible, Sendable {
        var name: String
        var segments: [CompactionPolicy.Segment]
        var context = CompactionPolicy.Context()
        var plans: [(Range<Int>, CompactionPolicy.Reason)]
        var description: String { name }
    }

    static let cases: [Case] = [
        Case(name: "nothing there", segments: [], plans: []),
        Case(name: "one as it was recorded", segments: segments([64]), plans: [(0..<1, .settle)]),
        Case(name: "settled ones", segments: segments([40, 40], settled: true), plans: []),
        Case(
            name: "as many at once as make one segment", segments: segments([30, 30, 10, 70, 2]),
            plans: [(3..<4, .settle), (2..<3, .settle), (0..<2, .settle)]),
        Case(name: "too little to gain", segments: segments([1, 1]), plans: []),
        Case(
            name: "a quarter of a small target is enough to gain", segments: segments([1, 1]),
            context: context { $0.targetBytes = 2 * mib }, plans: [(0..<2, .settle)]),
        Case(name: "small ones together", segments: segments([1, 1, 1, 1]), plans: [(0..<4, .settle)]),
        Case(
            name: "one that must not be touched",
            segments: segments([9, 9, 9]) { $1.isPinnedDown = $0 == 1 },
            plans: [(2..<3, .settle), (0..<1, .settle)]),
        Case(
            name: "half of it live", segments: segments([40], settled: true, live: 0.5), plans: []),
        Case(
            name: "less than half of it live", segments: segments([40, 30], settled: true, live: 0.49),
            plans: [(0..<1, .dropDead), (1..<2, .dropDead)]),
        Case(
            name: "the larger gain first", segments: segments([30, 60, 40], settled: true, live: 0.1),
            plans: [(1..<2, .dropDead), (2..<3, .dropDead), (0..<1, .dropDead)]),
        Case(
            name: "nothing of it live", segments: segments([40], settled: true, live: 0),
            plans: [(0..<1, .dropDead)]),
        Case(
            name: "dead and recorded ones beside each other",
            segments: segments([20, 20]) { number, segment in
                if number == 0 {
                    segment.isSettled = true
                    segment.liveBytes /= 4
                }
            }, plans: [(0..<2, .dropDead)]),
        Case(name: "three small settled ones", segments: segments([2, 2, 2], settled: true), plans: []),
        Case(
            name: "four small settled ones", segments: segments([2, 2, 2, 2, 40], settled: true),
            plans: [(0..<4, .merge)]),
        Case(
            name: "one that has more than half of them", segments: segments([9, 2, 2, 2], settled: true),
            plans: []),
        Case(
            name: "the rest of those without it", segments: segments([9, 1, 1, 1, 1], settled: true),
            plans: [(1..<5, .merge)]),
        Case(
            name: "one of a quarter of the target between them",
            segments: segments([2, 2, 16, 2, 2], settled: true), plans: []),
        Case(
            name: "no more than the target",
            segments: segments(Array(repeating: 15, count: 9), settled: true),
            plans: [(4..<8, .merge), (0..<4, .merge)]),
        Case(
            name: "more than the disk has room for", segments: segments([30, 30]),
            context: context { $0.temporaryBytesMax = 40 * mib }, plans: [(1..<2, .settle), (0..<1, .settle)]),
        Case(
            name: "one larger than the disk has room for", segments: segments([30, 50]),
            context: context { $0.temporaryBytesMax = 40 * mib }, plans: [(0..<1, .settle)]),
        Case(
            name: "more payload than a segment takes",
            segments: segments([30, 30]) { $1.rawBytes = 300 * mib },
            plans: [(1..<2, .settle), (0..<1, .settle)]),
        Case(
            name: "more blocks than a segment takes", segments: segments([4, 4]) { $1.blockCount = 7000 },
            plans: [(1..<2, .settle), (0..<1, .settle)]),
        Case(
            name: "in the oldest quarter of the bytes", segments: segments([20, 20, 20, 20]),
            context: context {
                $0.byteLimit = 80 * mib
                $0.usedBytes = 80 * mib
            }, plans: [(1..<4, .settle)]),
        Case(
            name: "far from the limit of bytes", segments: segments([20, 20, 20]),
            context: context {
                $0.byteLimit = 800 * mib
                $0.usedBytes = 80 * mib
            }, plans: [(0..<3, .settle)]),
        Case(
            name: "soon below the head", segments: segments([20, 20, 20, 20]),
            context: context {
                $0.eventLimit = 80_000
                $0.headSequence = 5000
                $0.nextSequence = 85_000
            }, plans: [(1..<4, .settle)]),
        Case(
            name: "pinned below the head", segments: segments([20, 20, 20]),
            context: context {
                $0.eventLimit = 40_000
                $0.headSequence = 40_000
                $0.nextSequence = 60_000
            }, plans: [(0..<3, .settle)]),
        Case(
            name: "soon too old", segments: segments([20, 20, 20]) { $1.writtenAt = Int64($0) * 100 },
            context: context {
                $0.ageLimit = 200
                $0.now = 200
            }, plans: [(1..<3, .settle)]),
        Case(
            name: "soon dropped, and the user asks", segments: segments([20, 20, 20]),
            context: context {
                $0.ageLimit = 1
                $0.now = .max
                $0.byteLimit = 1
                $0.usedBytes = 60 * mib
                $0.isExplicit = true
            }, plans: [(0..<3, .settle)]),
        Case(
            name: "a little, and the user asks", segments: segments([0.1]),
            context: context { $0.isExplicit = true },
            plans: [(0..<1, .settle)]),
        Case(
            name: "some dead, and the user asks", segments: segments([40], settled: true, live: 0.9),
            context: context { $0.isExplicit = true }, plans: [(0..<1, .dropDead)]),
        Case(
            name: "two that fit one segment, and the user asks",
            segments: segments([40, 20, 9], settled: true),
            context: context { $0.isExplicit = true }, plans: [(0..<2, .merge)]),
    ]

    private static func context(_ change: (inout Context) -> Void) -> Context {
        var context = Context()
        change(&context)
        return context
    }

    @Test("Planned by the table", arguments: cases)
    func planned(_ line: Case) {
        let plans = CompactionPolicy.plans(for: line.segments, line.context)
        #expect(plans.map(\.segments) == line.plans.map(\.0) && plans.map(\.reason) == line.plans.map(\.1))
        for plan in plans {
            #expect(plan.sourceBytes == line.segments[plan.segments].reduce(0) { $0 + $1.fileBytes })
            #expect(plan.expectedGain == plan.sourceBytes - min(plan.expectedBytes, plan.sourceBytes))
        }
    }

    @Test("Figures that no store has are no reason to stop")
    func hostile() {
        var random = SplitMix64(seed: SplitMix64.freshSeed())
        func number() -> UInt64 {
            random.oneIn(3) ? .max : random.oneIn(3) ? 0 : random.next() >> random.below(64)
        }
        for _ in 0..<2000 {
            let all = (0..<random.below(8)).map { _ in
                Segment(
                    ordinal: number(), fileBytes: number(), dataBytes: number(), rawBytes: number(),
                    eventCount: number(), liveEvents: number(), liveBytes: number(),
                    blockCount: UInt32(truncatingIfNeeded: number()),
                    eventBlockCount: UInt32(truncatingIfNeeded: number()),
                    isSettled: random.oneIn(2), writtenAt: Int64(bitPattern: number()),
                    baseSequence: number(),
                    nextSequence: number(), isPinnedDown: random.oneIn(5))
            }
            let context = Context(
                targetBytes: number(), byteLimit: number(), usedBytes: number(), eventLimit: number(),
                headSequence: number(), nextSequence: number(), ageLimit: number(),
                now: Int64(bitPattern: number()), isExplicit: random.oneIn(2), temporaryBytesMax: number())
            for plan in CompactionPolicy.plans(for: all, context) {
                #expect(plan.segments.lowerBound >= 0 && plan.segments.upperBound <= all.count)
            }
        }
    }

    /// A store that grows, drops and is compacted, in figures.
    @Test("A store's life writes no more than the policy says", arguments: 0..<8)
    func amplification(_ run: Int) {
        let seed = SplitMix64.freshSeed() &+ UInt64(run)
        var random = SplitMix64(seed: seed)
        var context = Context()
        let limit: UInt64? = run % 2 == 0 ? 400_000 : nil
        context.eventLimit = limit
        var store: [Segment] = []
        var (recorded, settled, dropped, merged) = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        var smallest = context.targetBytes / 4
        var next: UInt64 = 0
        for step in 0..<600 {
            // Full segments, and small ones of stores that are opened often.
            let size =
                random.oneIn(run % 4 < 2 ? 3 : 20) ? UInt64(64 * mib) : UInt64(random.below(6 << 20)) + 4096
            let events = max(size / 200, 1)
            store.append(
                Segment(
                    ordinal: UInt64(step) + 1, fileBytes: size, dataBytes: size - size / 50,
                    rawBytes: size * 3,
                    eventCount: events, liveEvents: events, liveBytes: size - size / 50,
                    blockCount: UInt32(size >> 16) + 2, eventBlockCount: UInt32(size >> 16) + 1,
                    isSettled: false, writtenAt: Int64(step), baseSequence: next,
                    nextSequence: next + events, isPinnedDown: false))
            recorded += size
            next += events
            if let limit { context.headSequence = next - min(next, limit) }
            context.nextSequence = next
            context.usedBytes = store.reduce(0) { $0 + $1.fileBytes }
            // A tenth of what is dropped is pinned.
            store.removeAll { $0.nextSequence <= context.headSequence && $0.ordinal % 10 != 0 }
            for number in store.indices {
                let segment = store[number]
                let live =
                    segment.nextSequence <= context.headSequence
                    ? segment.liveEvents
                    : min(segment.liveEvents, segment.nextSequence - context.headSequence)
                store[number].liveEvents = live
                store[number].liveBytes = segment.dataBytes * live / segment.eventCount
            }
            guard let plan = CompactionPolicy.plans(for: store, context).first else { continue }
            let sources = store[plan.segments]
            #expect(
                plan.sourceBytes <= max(context.targetBytes, sources.count == 1 ? .max : 0), "seed \(seed)")
            let share = sources.contains { !$0.isSettled } ? 0.65 : 1.0
            let bytes = sources.reduce(UInt64(0)) {
                $0 + UInt64(Double($1.liveBytes) * ($1.isSettled ? 1 : share))
            }
            switch plan.reason {
            case .dropDead: dropped += bytes
            case .settle: settled += bytes
            case .merge:
                merged += bytes
                smallest = min(smallest, sources.map(\.fileBytes).min() ?? smallest)
            }
            guard let first = sources.first, let last = sources.last else { continue }
            let live = sources.reduce(UInt64(0)) { $0 + $1.liveEvents }
            var fresh = last
            fresh.baseSequence = first.baseSequence
            (fresh.fileBytes, fresh.dataBytes, fresh.liveBytes) = (bytes + 1, bytes, bytes)
            (fresh.eventCount, fresh.liveEvents, fresh.isSettled) = (max(live, 1), live, true)
            fresh.rawBytes = sources.reduce(0) { $0 + $1.liveRawBytes }
            store.replaceSubrange(plan.segments, with: live == 0 ? [] : [fresh])
        }
        #expect(settled <= recorded, "seed \(seed)")
        #expect(dropped <= recorded, "seed \(seed)")
        var doublings: UInt64 = 0
        while smallest << doublings < context.targetBytes / 4 { doublings += 1 }
        #expect(merged <= recorded * doublings, "seed \(seed)")
        #expect(settled + dropped + merged <= 3 * recorded, "seed \(seed)")
        // And it does its work: few are as they were recorded, but those between settled ones that would gain too little.
        let unsettled = store.count {
            !$0.isSettled && $0.fileBytes > 4 * mib && $0.nextSequence > context.headSequence
        }
        #expect(unsettled < 20, "seed \(seed), \(unsettled) of \(store.count) segments")
    }
}
