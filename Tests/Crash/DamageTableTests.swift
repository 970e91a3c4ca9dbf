import Testing
import Varve
import VarveFormat
import VarveIO
import VarveTestKit

/// Every bit of a store is flipped, and its log is cut at every byte.
@Suite("Damage anywhere is damage, an unconfirmed tail or a refusal, and takes nothing else away")
struct DamageTableTests {
    private static let path = "/store"

    /// Every how manyeth bit or byte is taken: 1 with `VARVE_DAMAGE=all`.
    private static func stride(_ usual: Int) -> Int { environment("VARVE_DAMAGE") == "all" ? 1 : usual }

    private static func options(_ system: SimulatedFileSystem) -> StoreOptions {
        var options = FaultScenario.options(system)
        options.keepsTail = false
        options.segmentBytes = 48 << 10
        return options
    }

    /// A store of two sessions, with checkpoints; the events by their numbers.
    private func record(on system: SimulatedFileSystem, events: UInt64) throws -> EventStore {
        let store = try EventStore.open(Self.path, options: Self.options(system))
        let kind = try store.kind("noise", .binary)
        var session = try store.startSession("first", at: 0)
        for number in 0..<events {
            if number == events / 2 {
                try session.end(at: 1)
                session = try store.startSession("second", at: 2)
            }
            if number % 40 == 20 {
                try session.checkpoint("cp \(number)", state: FaultScenario.payload(number))
            }
            try session.append(FaultScenario.payload(number), kind: kind, at: Int64(number))
        }
        return store
    }

    private func files(of system: SimulatedFileSystem) throws -> [(path: String, byteCount: UInt64)] {
        try system.list(Self.path).map(\.name).sorted().filter { $0 != "LOCK" }.map { name in
            ("\(Self.path)/\(name)", try system.open("\(Self.path)/\(name)", .read).size())
        }
    }

    /// The numbers that a reader answers, each with its own payload; what is missing is said. Nil: it was refused.
    private func answer(_ system: SimulatedFileSystem, _ events: UInt64, _ comment: Comment) throws -> (
        seen: [UInt64], isIntact: Bool
    )? {
        let store: EventStore
        do throws(StoreError) {
            store = try EventStore.openReadOnly(Self.path, options: Self.options(system))
        } catch {
            return nil
        }
        var cursor: EventCursor
        do throws(StoreError) { cursor = try store.cursor() } catch { return nil }
        var seen: [UInt64] = []
        while let event = try cursor.nextEvent() {
            guard event.payload == FaultScenario.payload(event.sequence),
                event.timestamp == Int64(event.sequence)
            else {
                Issue.record("event \(event.sequence) is another one: \(comment)")
                return nil
            }
            seen.append(event.sequence)
        }
        if let sequence = cursor.coverage.firstUnexplained(below: events, seen: Set(seen)) {
            Issue.record("event \(sequence) is missing without a word: \(comment)")
            return nil
        }
        // A footer whose end is damaged costs nothing, and is named.
        let report = try store.verify()
        return (seen, report.isIntact && report.strays.isEmpty)
    }

    @Test("Every flipped bit is found, and whatever is answered is right", .timeLimit(.minutes(60)))
    func bits() throws {
        let events: UInt64 = 240
        let system = SimulatedFileSystem(seed: 1)
        try record(on: system, events: events).close()
        #expect(try answer(system, events, "whole")?.isIntact == true)
        let files = try files(of: system)
        #expect(files.reduce(0) { $0 + $1.byteCount } >= 64 << 10)
        let step = Self.stride(97)
        var (flipped, damaged, refused, kept) = (0, 0, 0, UInt64(0))
        for (path, byteCount) in files {
            let file = try system.open(path, .readWrite)
            for bit in Swift.stride(from: 0, to: Int(byteCount) * 8, by: step) {
                let offset = UInt64(bit / 8)
                let byte = try file.read(at: offset, count: 1)
                try file.write([byte[0] ^ 1 << UInt8(bit % 8)], at: offset)
                let comment = Comment(rawValue: "bit \(bit) of \(path)")
                if let answer = try answer(system, events, comment) {
                    #expect(!answer.isIntact, comment)
                    if !answer.isIntact { damaged += 1 }
                    kept += UInt64(answer.seen.count)
                } else {
                    refused += 1
                }
                try file.write(byte, at: offset)
                flipped += 1
            }
        }
        // The damage is mended: so is the store.
        #expect(try answer(system, events, "mended")?.isIntact == true)
        print(
            "torture: bit flips answered as damage or refused: asked=\(flipped) reached=\(damaged + refused) refused=\(refused) "
                + "events-kept=\(kept * 100 / (UInt64(flipped) * events))%")
    }

    @Test(
        "A log that is cut at any byte gives the exact prefix, before recovery and after",
        .timeLimit(.minutes(60)))
    func truncations() throws {
        let events: UInt64 = 240
        let system = SimulatedFileSystem(seed: 2)
        var options = Self.options(system)
        options.segmentBytes = 1 << 20
        let store = try EventStore.open(Self.path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("cut off", at: 0)
        for number in 0..<events {
            try session.append(FaultScenario.payload(number), kind: kind, at: Int64(number))
        }
        try store.flush()
        let crashed = system.afterKill()
        try store.close()
        let path = try #require(try files(of: crashed).first { $0.path.hasSuffix(".seg") }?.path)
        let file = try crashed.open(path, .readWrite)
        let whole = try file.read(at: 0, count: Int(try file.size()))
        #expect(whole.count >= 64 << 10)
        // Where each block ends, and how many events there are by then.
        var ends: [(offset: Int, events: UInt64)] = []
        let header = try whole.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        var offset = header.encode().count
        while offset < whole.count {
            let block = try whole.withUnsafeBytes {
                try BlockHeader(
                    decoding: UnsafeRawBufferPointer(rebasing: $0[offset...]), segment: header.segment,
                    number: UInt32(ends.count))
            }
            offset += block.blockLength
            ends.append((offset, block.nextSequence))
        }
        var (cuts, exact) = (0, 0)
        for length in Swift.stride(from: whole.count, through: 0, by: -Self.stride(61)) {
            try file.truncate(to: UInt64(length))
            let expected = ends.last { $0.offset <= length }?.events ?? 0
            let comment = Comment(rawValue: "cut at \(length)")
            let seen = try answer(crashed, expected, comment)?.seen
            #expect(seen == Array(0..<expected), comment)
            let copy = crashed.afterKill()
            let recovered = try EventStore.open(Self.path, options: Self.options(copy))
            let count = try recovered.count()
            #expect(count == expected, comment)
            try recovered.close()
            let again = try answer(copy, expected, comment)?.seen
            #expect(again == Array(0..<expected), comment)
            cuts += 1
            if count == expected, seen == again, again == Array(0..<expected) { exact += 1 }
        }
        print("torture: truncations recovered to the exact prefix: asked=\(cuts) reached=\(exact)")
    }
}
