import Foundation
import Testing
import VarveTestKit

@testable import Varve

/// Sessions and imports as they were recorded, in arrays; what the limits keep of them is counted anew each time.
private struct ImportModel {
    struct Entry: Hashable {
        /// The sequence number of an event, or the ordinal of a checkpoint.
        let number: UInt64
        let session: UInt64
    }

    var events: [Entry] = []
    var checkpoints: [Entry] = []
    /// Imports without an end.
    var open: Set<UInt64> = []
    private var head: UInt64 = 0
    private var headCheckpoint: UInt64 = 1

    private func kept(_ all: [Entry], from head: UInt64) -> [Entry] {
        all.filter { $0.number >= head && !open.contains($0.session) }
    }

    var keptEvents: [Entry] { kept(events, from: head) }
    var keptCheckpoints: [Entry] { kept(checkpoints, from: headCheckpoint) }

    mutating func apply(_ limits: RetentionLimits) {
        if let limit = limits.events {
            let excess = keptEvents.dropLast(Int(limit))
            if let last = excess.last { head = last.number + 1 }
        }
        if let limit = limits.checkpoints {
            let excess = keptCheckpoints.dropLast(Int(limit))
            if let last = excess.last { headCheckpoint = last.number + 1 }
        }
    }
}

@Suite("Imports and the limits on numbers")
struct ImportLimitTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.path("store")
    }

    private enum Outcome: CaseIterable { case completed, givenUp, closed, killed }

    private func check(_ store: EventStore, _ model: ImportModel, _ what: String) throws {
        let snapshot = try store.snapshot()
        var cursor = try snapshot.cursor()
        var events: [Event] = []
        while let event = try cursor.nextEvent() { events.append(event) }
        #expect(
            events.map { ImportModel.Entry(number: $0.sequence, session: $0.sessionOrdinal) }
                == model.keptEvents, "\(what)")
        #expect(
            try snapshot.checkpoints().map {
                ImportModel.Entry(number: $0.ordinal, session: $0.sessionOrdinal)
            } == model.keptCheckpoints, "\(what)")
        let info = try snapshot.info()
        #expect(info.eventCount == UInt64(model.keptEvents.count), "\(what)")
        #expect(info.checkpointCount == model.keptCheckpoints.count, "\(what)")
        #expect(info.sequences?.lowerBound == model.keptEvents.first?.number, "\(what)")
        #expect(info.rawBytes == UInt64(events.reduce(0) { $0 + $1.payload.count }), "\(what)")
        #expect(info.kinds.reduce(0) { $0 + $1.events } == info.eventCount, "\(what)")
    }

    @Test("An import displaces nothing before it is complete", arguments: Outcome.allCases)
    private func whole(outcome: Outcome) throws {
        var options = smallBlocks()
        options.limits = RetentionLimits(events: 50, checkpoints: 3)
        var store = try EventStore.open(path, options: options)
        var path = path
        let session = try store.startSession("recorded")
        for number in 0..<50 as Range<UInt64> {
            try session.append(noise(number, 300), kind: store.kind("noise", .binary))
            if number % 16 == 15 { try session.checkpoint("c", state: noise(number, 50)) }
        }
        try session.end()
        let imported = try store.startImportedSession("imported", at: 0)
        for number in 0..<30 as Range<UInt64> {
            try imported.append(
                noise(number, 300), kind: store.kind("imported", .binary), at: 0, index: number)
            if number % 16 == 15 { try imported.checkpoint("i", label: nil, state: [1], at: 0) }
        }
        try store.flush()
        let during = try EventStore.openReadOnly(path)
        #expect(try during.collect().map(\.sequence) == Array(0..<50))
        #expect(try during.checkpoints().map(\.ordinal) == [1, 2, 3])
        #expect(try during.info().eventCount == 50 && during.info().sequences?.lowerBound == 0)
        switch outcome {
        case .completed:
            try imported.end(at: 1)
            try store.close()
        case .givenUp:
            imported.abandon()
            try store.close()
        case .closed: try store.close()
        case .killed:
            path = directory.path("killed")
            try copyLive(self.path, to: path)
            try store.close()
        }
        let isWhole = outcome == .completed
        let kept = isWhole ? 30..<80 as Range<UInt64> : 0..<50
        for _ in 0..<2 {
            let reader = try EventStore.openReadOnly(path)
            let found = try reader.collect().map(\.sequence)
            #expect(found == Array(kept))
            let checkpoints = try reader.checkpoints().map { Int($0.ordinal) }
            #expect(checkpoints == (isWhole ? [2, 3, 4] : [1, 2, 3]))
            #expect(try reader.info().eventCount == 50)
            #expect(try reader.info().sequences?.lowerBound == kept.lowerBound)
            let kinds = try reader.info().kinds.map { Int($0.events) }
            #expect(kinds == (isWhole ? [20, 30] : [50, 0]))
            try EventStore.open(path, options: options).close()
        }
        // What was given up is passed over, and displaces nothing later either.
        store = try EventStore.open(path, options: options)
        let next = try store.startSession("next")
        for number in 0..<10 as Range<UInt64> {
            try next.append(noise(number, 300), kind: store.kind("noise", .binary))
        }
        try next.end()
        let after: [UInt64] = (isWhole ? Array(40..<80) : Array(10..<50)) + Array(80..<90)
        #expect(try store.collect().map(\.sequence) == after)
        try store.close()
        #expect(try EventStore.openReadOnly(path).collect().map(\.sequence) == after)
    }

    @Test(
        "Whatever becomes of imports, the limits keep what a model keeps",
        arguments: [(20, 2), (150, 7), (1, 1), (nil, 3), (60, nil)] as [(UInt64?, UInt64?)])
    func model(events: UInt64?, checkpoints: UInt64?) throws {
        let seed = SplitMix64.freshSeed()
        print("imports and limits: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        var options = smallBlocks()
        options.segmentBytes = 64 << 10
        let limits = RetentionLimits(events: events, checkpoints: checkpoints)
        options.limits = limits
        var path = path
        var store = try EventStore.open(path, options: options)
        var model = ImportModel()
        var sessions: [UInt64] = []
        for step in 0..<60 {
            let isImport = random.oneIn(2)
            let session: Session
            var isResumed = false
            if let old = sessions.randomElement(using: &random), random.oneIn(3),
                try store.sessions().contains(where: { $0.ordinal == old })
            {
                isResumed = true
                session = isImport ? try store.resumeImport(session: old) : try store.resume(session: old)
            } else {
                session =
                    isImport ? try store.startImportedSession("i", at: 0) : try store.startSession("s")
            }
            let ordinal = session.ordinal
            sessions.append(ordinal)
            if isImport { model.open.insert(ordinal) } else { model.open.remove(ordinal) }
            for _ in 0..<random.below(60) {
                let kind = try store.kind(random.oneIn(3) ? "a" : "b", .binary)
                let sequence =
                    isImport
                    ? try session.append(
                        noise(random.next(), 200), kind: kind, at: 0, index: random.next() >> 8)
                    : try session.append(noise(random.next(), 200), kind: kind)
                model.events.append(.init(number: sequence, session: ordinal))
                if random.oneIn(10) {
                    let made = try session.checkpoint("c", label: nil, state: [1, 2], at: 0)
                    model.checkpoints.append(.init(number: made.ordinal, session: ordinal))
                }
            }
            model.apply(limits)
            try store.flush()
            let what = "VARVE_SEED=0x\(String(seed, radix: 16)), step \(step)"
            try check(try EventStore.openReadOnly(path), model, what + " in the middle")
            var isOver = true
            // What goes on as an import is brought to its end: the record that tells of that may be dropped before what came earlier.
            switch isImport && !isResumed ? random.below(6) : 0 {
            case 0, 1, 2:
                try session.end(at: 0)
                model.open.remove(ordinal)
            case 3: session.abandon()
            case 4: isOver = false
            default:
                let copy = directory.path("copy\(step)")
                try copyLive(path, to: copy)
                try store.close()
                path = copy
                store = try EventStore.open(path, options: options)
            }
            model.apply(limits)
            if isOver { try check(store, model, what) }
            if !isOver || random.oneIn(4) {
                try store.close()
                store = try EventStore.open(path, options: options)
            }
            if random.oneIn(6) { _ = try store.compact() }
            try check(store, model, what + " at the end")
        }
        try store.close()
    }
}
