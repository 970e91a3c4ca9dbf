import Testing
import VarveFormat

@testable import Varve

/// A log in figures: what planning needs to know of it.
private struct LogCase: Sendable, CustomTestStringConvertible {
    /// A block of 1000 bytes: of how many events, and what it says to be durable.
    struct Block: Sendable {
        var events: UInt32 = 10
        var durable: Watermark?
    }

    /// Blocks follow each other from byte 100; `nil` stands for 1000 bytes that can't be read.
    struct Segment: Sendable {
        var ordinal: UInt64
        var isSealed = false
        var blocks: [Block?] = []
        var epoch: UInt64 = 1
        /// nil: the segment before it in the list, whole.
        var predecessor: (ordinal: UInt64, length: UInt64)?
    }

    var testDescription: String
    var segments: [Segment]
    /// What `STATE` says was durable when the store was closed, and the number after its last event.
    var closedAt: (place: Watermark, nextSequence: UInt64)?
    var isBare = false
    /// Whether unreadable bytes are a block that the file's end cuts short.
    var isCutShort = false
    /// Whether they start with a block's header.
    var startsWithBlock = false
    /// By block: what its header says, where it differs.
    var kindCounts: [UInt32] = []
    var epochs: [UInt64] = []

    var watermark: Watermark?
    /// What stays, by ordinal: bytes.
    var keeps: [UInt64: UInt64] = [:]
    /// The first numbers of the blocks that are copied.
    var copies: [UInt64] = []
    /// Ordinals.
    var removes: [UInt64] = []
    var gaps: [ClosedRange<UInt64>] = []
    var cut: Watermark?
    var unreadable: UInt64 = 0
    /// Ordinals.
    var setsAside: [UInt64] = []

    private static func uuid(_ ordinal: UInt64) -> UniqueID { UniqueID(low: ordinal, high: 1) }

    var findings: RecoveryPlan.Findings {
        var found = RecoveryPlan.Findings()
        var sequence: UInt64 = 0
        var last: (ordinal: UInt64, length: UInt64) = (0, 0)
        for segment in segments {
            var blocks: [ScannedBlock] = []
            var holes: [UnreadableRange] = []
            let base = sequence
            var offset: UInt64 = 100
            for (position, block) in segment.blocks.enumerated() {
                guard let block else {
                    holes.append(
                        UnreadableRange(
                            range: offset..<offset + 1000, reason: "torn", isCutShort: isCutShort,
                            startsWithBlock: startsWithBlock))
                    offset += 1000
                    sequence += 10
                    continue
                }
                var header = BlockHeader(type: block.events > 0 ? .events : .ledger)
                header.bodyLength = UInt32(1000 - BlockHeader.byteCount)
                header.eventCount = block.events
                header.firstSequence = sequence
                header.durableSegment = block.durable?.segment ?? 0
                header.durableOffset = block.durable?.offset ?? 0
                if position < kindCounts.count { header.kindCount = kindCounts[position] }
                if position < epochs.count { header.epoch = epochs[position] }
                sequence += UInt64(block.events)
                blocks.append(
                    ScannedBlock(header: header, offset: offset, record: nil, tally: [], nextIndex: 0))
                offset += 1000
            }
            let predecessor = segment.predecessor ?? last
            found.segments.append(
                RecoveryPlan.Segment(
                    fileName: "\(segment.ordinal).seg", ordinal: segment.ordinal,
                    uuid: Self.uuid(segment.ordinal),
                    predecessor: (
                        predecessor.ordinal == 0 ? .zero : Self.uuid(predecessor.ordinal), predecessor.length
                    ), baseSequence: base, nextSequence: blocks.last?.header.nextSequence ?? base,
                    epoch: segment.epoch,
                    headerBytes: 100,
                    content: segment.isSealed
                        ? .sealed(dataBytes: offset) : .unsealed(blocks, unreadable: holes)))
            last = (segment.ordinal, offset)
            found.ordinalMax = segment.ordinal
        }
        if let (place, next) = closedAt {
            var state = StateSlot(store: .zero, counter: 1)
            state.isClosed = true
            state.watermarkSegment = place.segment
            state.watermarkOffset = place.offset
            state.watermarkUUID = Self.uuid(place.segment)
            state.nextSequence = next
            found.state = state
        }
        found.isBare = isBare
        return found
    }
}

@Suite("A plan for recovery")
struct RecoveryPlanTests {
    private typealias Block = LogCase.Block

    private static func at(_ segment: UInt64, _ offset: UInt64) -> Watermark {
        Watermark(segment: segment, offset: offset)
    }

    private static let cases: [LogCase] = [
        LogCase(testDescription: "an empty store", segments: []),
        LogCase(
            testDescription: "sealed segments",
            segments: [.init(ordinal: 1, isSealed: true, blocks: [Block()])],
            watermark: at(1, 1100)),
        LogCase(
            testDescription: "nothing is known to be durable: all is copied",
            segments: [.init(ordinal: 1, blocks: [Block(), Block()])], copies: [0, 10], removes: [1]),
        LogCase(
            testDescription: "a block says what was durable: the rest is copied",
            segments: [.init(ordinal: 1, blocks: [Block(), Block(), Block(durable: at(1, 1100))])],
            watermark: at(1, 1100), keeps: [1: 1100], copies: [10, 20]),
        LogCase(
            testDescription: "a torn end",
            segments: [.init(ordinal: 1, blocks: [Block(), Block(durable: at(1, 1100)), nil])],
            watermark: at(1, 1100), keeps: [1: 1100], copies: [10], cut: at(1, 2100), unreadable: 1000),
        LogCase(
            testDescription: "bytes before the watermark are damage, and the log goes on",
            segments: [.init(ordinal: 1, blocks: [Block(), nil, Block(durable: at(1, 2100)), Block()])],
            watermark: at(1, 2100), keeps: [1: 1100], copies: [20, 30], gaps: [10...19]),
        LogCase(
            testDescription: "damage in front of the first block",
            segments: [.init(ordinal: 1, blocks: [nil, Block(durable: at(1, 1100))])],
            watermark: at(1, 1100), keeps: [1: 100], copies: [10], gaps: [0...9]),
        LogCase(
            testDescription: "a hole after the watermark ends the log; what follows is left in its file",
            segments: [.init(ordinal: 1, blocks: [Block(), nil, Block(), Block()])],
            copies: [0], cut: at(1, 1100), unreadable: 1000, setsAside: [1]),
        LogCase(
            testDescription: "such a hole in a segment that stays",
            segments: [.init(ordinal: 1, blocks: [Block(), Block(durable: at(1, 1100)), nil, Block()])],
            watermark: at(1, 1100), keeps: [1: 1100], copies: [10], cut: at(1, 2100), unreadable: 1000),
        LogCase(
            testDescription: "segments after the log's end are left, empty ones are not",
            segments: [
                .init(ordinal: 1, blocks: [Block(), nil]), .init(ordinal: 2, blocks: [Block(), Block()]),
                .init(ordinal: 3),
            ], copies: [0], removes: [1, 3], cut: at(1, 1100), unreadable: 3000, setsAside: [2]),
        LogCase(
            testDescription: "a footer proves the segments before it",
            segments: [
                .init(ordinal: 1, blocks: [Block(), nil, Block()]),
                .init(ordinal: 2, isSealed: true, blocks: [Block()]),
            ], watermark: at(2, 1100), keeps: [1: 3100], gaps: [10...19]),
        LogCase(
            testDescription: "a predecessor that is shorter than it was ends the log",
            segments: [
                .init(ordinal: 1, blocks: [Block()]),
                .init(ordinal: 2, blocks: [Block()], predecessor: (1, 2100)),
            ], copies: [0], removes: [1], cut: at(1, 1100), unreadable: 1000, setsAside: [2]),
        LogCase(
            testDescription: "unless it was durable whole: then it is damage",
            segments: [
                .init(ordinal: 1, blocks: [Block()]),
                .init(
                    ordinal: 2, blocks: [Block(durable: at(1, 2100)), Block(durable: at(2, 1100))],
                    predecessor: (1, 2100)),
            ], watermark: at(2, 1100), keeps: [1: 1100, 2: 1100], copies: [20], unreadable: 1000),
        LogCase(
            testDescription: "also where the watermark is in a segment after it, and no number is missing",
            segments: [
                .init(ordinal: 1, blocks: [Block()]),
                .init(ordinal: 2, isSealed: true, blocks: [Block()], predecessor: (1, 2100)),
            ], watermark: at(2, 1100), keeps: [1: 1100], unreadable: 1000),
        LogCase(
            testDescription: "a predecessor that is missing ends the log",
            segments: [
                .init(ordinal: 1, blocks: [Block()]),
                .init(ordinal: 3, blocks: [Block()], predecessor: (2, 1100)),
            ], copies: [0], removes: [1], cut: at(2, .max >> 1), unreadable: 1000, setsAside: [3]),
        LogCase(
            testDescription: "unless it was durable",
            segments: [
                .init(ordinal: 1, blocks: [Block()]),
                .init(ordinal: 3, blocks: [Block(durable: at(2, 1100))], predecessor: (2, 1100)),
            ], watermark: at(2, 1100), keeps: [1: 1100], copies: [10], removes: [3]),
        // The offset was compared, and not the segment that it lies in: a part of an earlier one was taken for proof.
        LogCase(
            testDescription: "a watermark in an earlier segment proves nothing of a missing one",
            segments: [
                .init(ordinal: 1, blocks: [Block(), Block(), Block()]),
                .init(ordinal: 4, blocks: [Block(durable: at(2, 9000))], predecessor: (3, 1100)),
            ], watermark: at(2, 9000), keeps: [1: 3100], cut: at(3, .max >> 1), unreadable: 1000,
            setsAside: [4]),
        LogCase(
            testDescription: "a store whose first segments are missing starts nowhere",
            segments: [.init(ordinal: 2, blocks: [Block()], predecessor: (1, 1100))],
            cut: at(1, .max >> 1), unreadable: 1000, setsAside: [2]),
        LogCase(
            testDescription: "a file that somebody has picked out is read",
            segments: [.init(ordinal: 2, blocks: [Block()], predecessor: (1, 1100))], isBare: true,
            copies: [0], removes: [2]),
        LogCase(
            testDescription: "the end of a durable segment is missing, and nobody knows what was in it",
            segments: [.init(ordinal: 1, blocks: [Block(), Block(durable: at(1, 9100))])],
            watermark: at(1, 9100), keeps: [1: 2100], cut: at(1, 2100), unreadable: 7000),
        LogCase(
            testDescription: "the end of a closed store is missing, and STATE knows how far it went",
            segments: [.init(ordinal: 1, blocks: [Block()])], closedAt: (at(1, 3100), 30),
            watermark: at(1, 3100), keeps: [1: 1100], gaps: [10...29]),
        LogCase(
            testDescription: "the last segment of a closed store is missing",
            segments: [.init(ordinal: 1, isSealed: true, blocks: [Block()])], closedAt: (at(2, 1100), 20),
            watermark: at(1, 1100), gaps: [10...19]),
        LogCase(
            testDescription: "a segment that was missing after a cut does not move the cut",
            segments: [.init(ordinal: 1, blocks: [Block(), nil, Block()])], closedAt: (at(2, 1100), 0),
            copies: [0], cut: at(1, 1100), unreadable: 2100, setsAside: [1]),
        LogCase(
            testDescription: "places that no file reaches prove nothing",
            segments: [
                .init(ordinal: 1, blocks: [Block(durable: at(1, .max)), Block(durable: at(.max, 1))])
            ], copies: [0, 10], removes: [1]),
    ]

    @Test("keeps, copies, removes and reports", arguments: cases)
    private func plan(_ item: LogCase) {
        let findings = item.findings
        let plan = RecoveryPlan(findings)
        #expect(plan.watermark == item.watermark)
        let keeps = plan.keep.map { (findings.segments[$0.segment].ordinal, $0.length) }
        #expect(Dictionary(uniqueKeysWithValues: keeps) == item.keeps)
        #expect(plan.copy.map(\.block.header.firstSequence) == item.copies)
        #expect(plan.remove.map { findings.segments[$0].ordinal } == item.removes)
        #expect(plan.gaps.map(\.sequences) == item.gaps)
        #expect(plan.gaps.allSatisfy { $0.reason == .damage })
        #expect(plan.cut == item.cut)
        #expect(plan.unreadableBytes == item.unreadable)
        #expect(plan.setAside.map { findings.segments[$0].ordinal } == item.setsAside)
    }

    // Each opening recovered the same segment again, which can't be sealed for its damage, and told of it again.
    @Test("A gap that the opening after it has recovered is no finding any more, and still a gap")
    func knownGap() {
        var item = LogCase(testDescription: "", segments: [])
        item.segments = [
            .init(ordinal: 1, blocks: [Block(), nil, Block(durable: Self.at(1, 2100))]),
            .init(ordinal: 2, isSealed: true, blocks: [Block()], epoch: 2),
        ]
        let known = RecoveryPlan(item.findings)
        #expect(known.gaps.map(\.sequences) == [10...19] && known.newGaps == [] && known.crashedSegments == 0)
        item.segments[1].epoch = 1
        let new = RecoveryPlan(item.findings)
        #expect(new.newGaps.map(\.sequences) == [10...19] && new.crashedSegments == 1)
    }

    // A definition that was damaged made a store unwritable for good.
    @Test(
        "Blocks of which nobody knows all kinds are not copied; their numbers are a gap, and their file is set aside"
    )
    func unknownKinds() {
        var item = LogCase(
            testDescription: "", segments: [.init(ordinal: 1, blocks: [Block(), Block(), Block()])])
        item.kindCounts = [1, 3, 1]
        var plan = RecoveryPlan(item.findings)
        plan.leaveOut(kindsBeyond: 3)
        #expect(plan.copy.count == 3 && plan.gaps == [] && plan.remove == [0])
        plan.leaveOut(kindsBeyond: 2)
        #expect(plan.copy.map(\.block.header.firstSequence) == [0, 20])
        #expect(plan.newGaps.map(\.sequences) == [10...19] && plan.sequenceMin == 20)
        #expect(plan.remove == [] && plan.setAside == [0])
    }

    // What stood behind the end, or in a segment without a header, was not counted: the next opening gave its epoch and its sessions again.
    @Test("The highest epoch and counters count, wherever they stand")
    func counters() {
        var item = LogCase(
            testDescription: "", segments: [.init(ordinal: 1, blocks: [Block(), nil, Block()])])
        item.epochs = [4, 0, 9]
        #expect(RecoveryPlan(item.findings).epochMax == 9)
        item.epochs = [4, 0, .max]
        #expect(RecoveryPlan(item.findings).epochMax == 4)
    }

    @Test(
        "A damaged block that lies in its file is set aside, for what can be read of it",
        arguments: [true, false])
    func damagedBlock(startsWithBlock: Bool) {
        var item = LogCase(testDescription: "", segments: [.init(ordinal: 1, blocks: [Block(), nil])])
        item.startsWithBlock = startsWithBlock
        let plan = RecoveryPlan(item.findings)
        #expect(plan.setAside == (startsWithBlock ? [0] : []) && plan.remove == (startsWithBlock ? [] : [0]))
    }

    // A checkpoint that was written, and damaged, went unmentioned when the events after it were in TAIL.
    @Test(
        "TAIL stands in for what its writer was writing, and for nothing that was written",
        arguments: [(true, true, 0), (true, false, 1000), (false, true, 1000)] as [(Bool, Bool, UInt64)])
    func besideTail(isCutShort: Bool, goesOn: Bool, unconfirmed: UInt64) {
        var item = LogCase(testDescription: "", segments: [.init(ordinal: 1, blocks: [Block(), nil])])
        item.isCutShort = isCutShort
        var tail = TailPlan(nil, after: LogEnd(nextSequence: 10, session: 1, epoch: 1, kinds: []))
        tail.goesOn = goesOn
        #expect(RecoveryPlan(item.findings).unconfirmedBytes(beside: tail) == unconfirmed)
        #expect(RecoveryPlan(item.findings).unconfirmedBytes(beside: nil) == 1000)
    }

    @Test("counts no more bytes than there can be")
    func byteCounts() {
        var item = LogCase(testDescription: "", segments: [])
        item.segments = [.init(ordinal: 1, blocks: [Block(durable: Self.at(1, .max >> 1 - 1)), nil])]
        #expect(RecoveryPlan(item.findings).unreadableBytes < .max >> 1)
        #expect(UInt64.max.addingClamped(1) == .max)
    }
}
