import Foundation
import Testing
import Varve
import VarveFormat
import VarveIO
import VarveTestKit

/// Payloads that hold a text, in any ASCII case, and what is said of them to the filters.
private struct Holding: EventPredicate {
    let text: [UInt8]
    let textRequirement: TextRequirement
    var needsPayload: Bool { true }
    var description: String { "holds \(String(decoding: text, as: UTF8.self)) \(textRequirement)" }

    init(_ text: String, filtered: Bool = true) {
        self.init(text, filtered ? .text(Array(text.utf8)) : .nothing)
    }

    init(_ text: String, _ requirement: TextRequirement) {
        self.text = Array(text.utf8).map(lowered)
        textRequirement = requirement
    }

    func makeEvaluator() -> any PredicateEvaluator { Evaluator(text) }

    static func holds(_ payload: UnsafeRawBufferPointer, _ text: [UInt8]) -> Bool {
        guard let first = text.first else { return true }
        guard payload.count >= text.count else { return false }
        for start in 0...payload.count - text.count where lowered(payload[start]) == first {
            if text.indices.allSatisfy({ lowered(payload[start + $0]) == text[$0] }) { return true }
        }
        return false
    }

    private final class Evaluator: PredicateEvaluator {
        private let text: [UInt8]
        init(_ text: [UInt8]) { self.text = text }

        func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
            var kept = 0
            for row in rows where Holding.holds(block.payload(row), text) {
                rows[kept] = row
                kept += 1
            }
            return kept
        }
    }
}

private func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte + 0x20 : byte }

/// A store of texts in several sealed segments: 40 blocks of sub-blocks of a kilobyte, with few words in each.
private struct TextStore {
    static let events: UInt64 = 400

    static func options(_ fileSystem: any FileSystem = POSIXFileSystem()) -> StoreOptions {
        var options = smallBlocks(on: fileSystem)
        options.segmentBytes = 32 << 10
        options.encoderThreads = 1
        return options
    }

    static let words = ["amber", "birch", "cedar", "Delta", "ember", "fjord", "größe", "線路図"]

    static let payloads = (0..<events).map { number in
        // What does not compress has no letters.
        Array(
            """
            {"id":"item\(1000 + number)","word":"\(words[Int(number / 50)])","all":"everyone"}
            """.utf8) + noise(number, 250).map { $0 & 0x1F }
    }

    static func payload(_ number: UInt64) -> [UInt8] { payloads[Int(number)] }

    static func record(_ path: String, _ options: StoreOptions, closing: Bool = true) throws -> EventStore {
        let store = try EventStore.open(path, options: options)
        let kinds = [try store.kind("json", .json), try store.kind("text", .utf8)]
        let session = try store.startSession("s", at: 0)
        for number in 0..<events {
            try session.append(payload(number), kind: kinds[Int(number % 2)], at: Int64(number))
            if number % 100 == 99 {
                try session.checkpoint("cp\(number)", state: noise(number, 300), at: Int64(number))
            }
        }
        if closing { try store.close() } else { try store.flush() }
        return store
    }

    /// Whether all of it is there, and each question is answered as without filters.
    static func check(
        _ store: EventStore, _ comment: Comment? = nil,
        texts: [String] = ["Item1234", "item12", "\"FJORD\"", "größe", "線路", "nowhere", "everyone"]
    ) throws {
        let all = try store.collect()
        #expect(all.map(\.payload) == payloads, comment)
        #expect(try store.checkpoints().count == 4, comment)
        for text in texts {
            let numbers = try store.collect(Query().matching(Holding(text))).map(\.sequence)
            let wanted = (0..<events).filter { number in
                payload(number).withUnsafeBytes { Holding.holds($0, Array(text.utf8).map(lowered)) }
            }
            #expect(numbers == wanted, comment)
        }
    }
}

/// The section of filters in a segment's file.
private func filterSection(_ bytes: Data) -> Range<Int> {
    let start = footerOffset(bytes)
    let count = [UInt8](bytes[start..<start + 24]).withUnsafeBytes { Footer.filterSectionBytes(inFirst: $0) }
    return start + 8..<start + 8 + count
}

@Suite("Filters are built without touching what they are of")
struct FilterBuildingTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func closed() throws { _ = try TextStore.record(path, TextStore.options()) }

    private func reopened(_ fileSystem: any FileSystem = POSIXFileSystem()) throws -> EventStore {
        try EventStore.open(path, options: TextStore.options(fileSystem))
    }

    private func sealed() throws -> [(path: String, bytes: Data)] {
        try segments(of: path).map { ($0, try Data(contentsOf: URL(filePath: $0))) }
    }

    @Test("Blocks stay byte for byte, in a file of the next generation, and answer as before")
    func blocks() throws {
        try closed()
        let before = try sealed()
        #expect(before.count >= 3)
        let store = try reopened()
        let report = try store.buildFilters()
        #expect(report.built == before.count && report.present == 0 && report.refused == [:])
        #expect(
            report.rawBytes == (0..<TextStore.events).reduce(0) { $0 + UInt64(TextStore.payload($1).count) })
        let after = try sealed()
        #expect(after.count == before.count)
        var filterBytes = 0
        for (old, new) in zip(before, after) {
            let (oldParts, newParts) = (
                try SegmentParts([UInt8](old.bytes)), try SegmentParts([UInt8](new.bytes))
            )
            var header = oldParts.header
            header.generation += 1
            #expect(newParts.header == header && new.path.hasSuffix(header.fileName))
            let start = header.encode().count
            #expect(old.bytes[start..<footerOffset(old.bytes)] == new.bytes[start..<footerOffset(new.bytes)])
            #expect(filterSection(old.bytes).isEmpty)
            filterBytes += filterSection(new.bytes).count
        }
        #expect(report.filterBytes > 0 && report.filterBytes <= filterBytes)
        #expect(report.filterBytes * 10 < report.rawBytes)
        try TextStore.check(store)
        #expect(try store.verify().isIntact)
        try store.close()

        // Once more: nothing is left to do.
        let again = try reopened()
        let second = try again.buildFilters()
        #expect(second.built == 0 && second.present == before.count && second.filterBytes == 0)
        try again.close()
        #expect(try sealed().map(\.bytes) == after.map(\.bytes))
        let reader = try EventStore.openReadOnly(path)
        try TextStore.check(reader)
        #expect(try reader.verify().isIntact)
    }

    @Test("What can't hold a text is passed over")
    func pruning() throws {
        try closed()
        func statistics(_ text: String, isToken: Bool = false) throws -> QueryStatistics {
            let requirement = TextRequirement.text(Array(text.utf8), startsToken: isToken, endsToken: isToken)
            var cursor = try EventStore.openReadOnly(path).cursor(
                Query().matching(Holding(text, requirement)))
            while try cursor.nextEvent() != nil {}
            return cursor.statistics
        }
        let whole = try statistics("fjord")
        let store = try reopened()
        _ = try store.buildFilters()
        try store.close()
        // An eighth of the events has it.
        let part = try statistics("fjord")
        #expect(part.rowsMatched == whole.rowsMatched && part.rowsMatched == 50)
        #expect(part.subBlocksDecoded * 3 < whole.subBlocksDecoded)
        #expect(part.blocksPruned[.filter] * 2 > part.blocks)
        #expect(try statistics("nowhere").subBlocksDecoded * 4 < whole.subBlocksDecoded)
        #expect(try statistics("everyone").subBlocksDecoded == whole.subBlocksDecoded)
        // Of a number with open ends, which may be part of a longer one, only its letters are known.
        #expect(try statistics("item1234").subBlocksDecoded == whole.subBlocksDecoded)
        let one = try statistics("item1234", isToken: true)
        #expect(one.rowsMatched == 1 && one.subBlocksDecoded * 4 < whole.subBlocksDecoded)
    }

    @Test("Whatever is required is answered as without filters, forwards and backwards")
    func requirements() throws {
        try closed()
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        let store = try reopened()
        _ = try store.buildFilters()
        let texts = TextStore.words + ["item1007", "tem11", "every", "absent", "", "\"", "word\":\"ce"]
        func pick() -> String { texts[Int(random.below(UInt32(texts.count)))] }
        /// What a payload that holds `text` fulfils, with parts that it need not.
        func requirement(_ text: String, _ depth: Int) -> TextRequirement {
            switch random.below(depth > 2 ? 2 : 6) {
            case 0: return .text(Array(text.utf8))
            case 1: return .nothing
            case 2: return .all([requirement(text, depth + 1), requirement(text, depth + 1)])
            case 3:
                return .any([.text(Array(pick().utf8)), requirement(text, depth + 1), .any([])])
            case 4:
                return .combination([.text(Array(pick().utf8)), requirement(text, depth + 1)]) { $0[1] }
            default:
                return .combination([requirement(text, depth + 1), .text(Array(pick().utf8))]) {
                    $0[0] || $0[1]
                }
            }
        }
        var pruned = 0
        for _ in 0..<60 {
            let text = pick()
            var query = Query().matching(Holding(text, requirement(text, 0)))
            if random.oneIn(2) { query.isReversed = true }
            if random.oneIn(3) { query = query.matching(Holding("item1", filtered: random.oneIn(2))) }
            if random.oneIn(3) { query.kindNames = ["text"] }
            if random.oneIn(3) { query.limit = UInt64(random.below(60)) }
            var plain = query
            plain.predicates = query.predicates.compactMap { ($0 as? Holding)?.text }
                .map { Holding(String(decoding: $0, as: UTF8.self), filtered: false) }
            #expect(try store.collect(query) == store.collect(plain), "seed \(seed): \(query.predicates)")
            #expect(try store.count(query) == store.count(plain), "seed \(seed): \(query.predicates)")
            var cursor = try store.cursor(query)
            while try cursor.nextEvent() != nil {}
            pruned += cursor.statistics.blocksPruned[.filter] + cursor.statistics.subBlocksPruned
        }
        #expect(pruned > 0, "seed \(seed)")
        try store.close()
    }

    @Test("Snapshots and cursors from before go on, of segments that they had not loaded too")
    func snapshots() throws {
        try closed()
        let store = try reopened()
        // What has read one event has loaded one segment.
        let (fresh, begun) = (try store.snapshot(), try store.snapshot())
        var cursor = try begun.cursor()
        #expect(try cursor.nextEvent()?.sequence == 0)
        #expect(try store.buildFilters().built > 2)
        var count: UInt64 = 1
        while let event = try cursor.nextEvent() {
            #expect(event.payload == TextStore.payload(count))
            count += 1
        }
        #expect(count == TextStore.events && cursor.coverage.isComplete)
        var all = try fresh.cursor()
        count = 0
        while try all.nextEvent() != nil { count += 1 }
        #expect(count == TextStore.events && all.coverage.isComplete)
        try TextStore.check(store)
        try store.close()
    }

    @Test(
        "A reader that had opened before finishes on the files that it saw, and finds the new ones when it looks again"
    )
    func earlierReader() throws {
        try closed()
        let reader = try EventStore.openReadOnly(path)
        let snapshot = try reader.snapshot()
        let store = try reopened()
        #expect(try store.buildFilters().built > 2)
        var all = try snapshot.cursor()
        var count: UInt64 = 0
        while let event = try all.nextEvent() {
            #expect(event.payload == TextStore.payload(count))
            count += 1
        }
        #expect(count == TextStore.events && all.coverage.isComplete)
        var before = try snapshot.cursor(Query().matching(Holding("nowhere")))
        #expect(try before.nextEvent() == nil)
        #expect(before.statistics.blocksPruned[.filter] == 0)
        var after = try reader.snapshot().cursor(Query().matching(Holding("nowhere")))
        #expect(try after.nextEvent() == nil)
        #expect(after.statistics.blocksPruned[.filter] > 20)
        try TextStore.check(reader)
        try store.close()
    }

    @Test("The segment that is being written is left alone, and gets its filters once it is sealed")
    func active() throws {
        let store = try TextStore.record(path, TextStore.options(), closing: false)
        let before = try sealed()
        let active = try #require(before.last)
        // Those before it may still be being sealed.
        var built = 0
        let isDone = try comesTrue {
            let report = try store.buildFilters()
            #expect(report.refused == [:])
            built += report.built
            return report.present == before.count - 1
        }
        #expect(isDone)
        #expect(built == before.count - 1)
        #expect(try Data(contentsOf: URL(filePath: active.path)) == active.bytes)
        let session = try #require(try store.sessions().first)
        #expect(session.state == .active)
        try TextStore.check(store)
        try store.close()
        let again = try reopened()
        let second = try again.buildFilters()
        #expect(second.built == 1 && second.present == before.count - 1)
        try again.close()
        try TextStore.check(try EventStore.openReadOnly(path))
    }

    @Test("Appends go on while filters are built")
    func appending() throws {
        try closed()
        let store = try reopened()
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            do { _ = try store.buildFilters() } catch { Issue.record(error) }
        }
        let session = try store.startSession("more")
        let kind = try store.kind("more", .binary)
        for number in 0..<200 { try session.append(noise(UInt64(number), 300), kind: kind) }
        group.wait()
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() == TextStore.events + 200)
        #expect(try reader.verify().isIntact)
    }

    @Test("A store that is read only, or closed, builds none")
    func refused() throws {
        try closed()
        #expect(throws: StoreError.readOnly) { try EventStore.openReadOnly(path).buildFilters() }
        let store = try reopened()
        try store.close()
        #expect(throws: StoreError.closed) { try store.buildFilters() }
    }
}

@Suite("Damage and filters")
struct FilterDamageTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws {
        directory = try TemporaryDirectory()
        _ = try TextStore.record(path, TextStore.options())
    }

    private func build(_ fileSystem: any FileSystem = POSIXFileSystem()) throws -> FilterReport {
        let store = try EventStore.open(path, options: TextStore.options(fileSystem))
        defer { try? store.close() }
        return try store.buildFilters()
    }

    /// Writes the second segment's footer anew, with other filters.
    private func forge(_ filters: (Footer) -> [UInt8]) throws {
        let file = try segments(of: path)[1]
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        let trailer = try bytes.withUnsafeBytes {
            try Trailer(decodingEndOf: $0, fileLength: UInt64(bytes.count))
        }
        let start = Int(trailer.footerOffset)
        var footer = try bytes[start..<bytes.count - Trailer.byteCount].withUnsafeBytes {
            try Footer(decoding: $0, trailer: trailer)
        }
        footer.filters = filters(footer)
        try Data(bytes[..<start] + footer.encode()).write(to: URL(filePath: file))
    }

    /// Filters without a key for each of so many sub-blocks a block: they rule everything out.
    private func empty(_ counts: [Int]) -> [UInt8] {
        var writer = ByteWriter()
        TokenFilters.encode(counts.map { Array(repeating: [], count: $0) }, to: &writer)
        return writer.bytes
    }

    private static func counts(_ footer: Footer) -> [Int] {
        footer.entries.map { $0.type == .events ? Int($0.subBlockCount) : 0 }
    }

    static let places: [(name: String, find: @Sendable (SegmentParts, Data) -> Int)] = [
        (
            "a payload",
            { parts, _ in parts.blocks.first { $0.header.type == .events }.map { $0.end - 40 } ?? 0 }
        ),
        (
            "a block's header",
            { parts, _ in parts.blocks.last { $0.header.type == .events }.map { $0.offset + 50 } ?? 0 }
        ),
        (
            "a checkpoint",
            { parts, _ in parts.blocks.first { $0.header.type == .checkpoint }.map { $0.end - 40 } ?? 0 }
        ),
        ("the header", { _, _ in 120 }),
        ("the block index", { _, bytes in footerOffset(bytes) + 60 }),
    ]

    @Test("A damaged segment is refused, and left as it is; the others get theirs", arguments: places.indices)
    func refused(_ place: Int) throws {
        let (name, find) = Self.places[place]
        let files = try segments(of: path)
        let number =
            name == "a checkpoint"
            ? try files.firstIndex { try SegmentParts($0).blocks.contains { $0.header.type == .checkpoint } }
            : 1
        let damaged = files[try #require(number)]
        let parts = try SegmentParts(damaged)
        try change(damaged) { $0[find(parts, $0)] ^= 4 }
        let before = try Data(contentsOf: URL(filePath: damaged))
        let report = try build()
        #expect(report.built == files.count - 1, "\(name): \(report)")
        let refused = try #require(report.refused.first)
        #expect(report.refused.count == 1 && damaged.hasSuffix(refused.key))
        #expect(try Data(contentsOf: URL(filePath: damaged)) == before)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: path).allSatisfy { !$0.hasSuffix(".tmp") })
        // Nothing more is lost than before.
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.verify().damage.allSatisfy { $0.file == damaged })
    }

    @Test(
        "With any bit of the filters flipped answers are right, and verification names it; they are built anew"
    )
    func flipped() throws {
        _ = try build()
        let file = try segments(of: path)[1]
        let good = try Data(contentsOf: URL(filePath: file))
        let section = filterSection(good)
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        // Each of its head, and some of its body and of its padding.
        let places =
            Array(section.prefix(16))
            + (0..<40).map { _ in section.lowerBound + Int(random.below(UInt32(section.count))) }
            + [section.upperBound - 1]
        for place in places {
            var bytes = good
            bytes[place] ^= 1 << UInt8(random.below(8))
            try bytes.write(to: URL(filePath: file))
            let reader = try EventStore.openReadOnly(path)
            let comment = Comment(rawValue: "seed \(seed), byte \(place - section.lowerBound)")
            try TextStore.check(reader, comment)
            let damage = try reader.verify().damage
            #expect(!damage.isEmpty && damage.allSatisfy { $0.file == file }, comment)
        }
        // In the body: the rest of the footer stands.
        var bytes = good
        bytes[section.lowerBound + 30] ^= 1
        try bytes.write(to: URL(filePath: file))
        let damage = try EventStore.openReadOnly(path).verify().damage
        #expect(damage.map(\.reason) == ["section 8 does not match its checksum"])
        #expect(damage.map(\.offset) == [UInt64(section.lowerBound)])
        let report = try build()
        #expect(report.built == 1 && report.refused == [:])
        let mended = try EventStore.openReadOnly(path)
        #expect(try mended.verify().isIntact)
        try TextStore.check(mended)
    }

    @Test("A filter that rules out what is there is named by verification")
    func lying() throws {
        _ = try build()
        try forge { empty(Self.counts($0)) }
        let damage = try EventStore.openReadOnly(path).verify().damage
        let events = try SegmentParts(try segments(of: path)[1]).blocks.filter { $0.header.type == .events }
        #expect(damage.map(\.reason) == events.map { "its filters miss texts of block \($0.header.number)" })
        #expect(damage.allSatisfy { $0.sequences == nil })
    }

    @Test("With a damaged sub-block only that is named: what the filters have of it can't be told")
    func besideDamage() throws {
        _ = try build()
        try forge { empty(Self.counts($0)) }
        let file = try segments(of: path)[1]
        let parts = try SegmentParts(file)
        let block = try #require(parts.blocks.last { $0.header.type == .events })
        try change(file) { $0[block.end - 40] ^= 4 }
        let damage = try EventStore.openReadOnly(path).verify().damage
        #expect(damage.count == 1 && damage[0].offset == UInt64(block.offset))
    }

    // One filter that rules all out, of a block of five sub-blocks, ruled out the block.
    @Test("Filters that are not those of the blocks are not asked, with good checksums too")
    func unfitting() throws {
        _ = try build()
        let forgeries: [(Footer) -> [Int]] = [
            { Self.counts($0).map { min($0, 1) } }, { Self.counts($0).map { $0 + 1 } },
            { Self.counts($0).dropLast() }, { Self.counts($0) + [1] }, { Self.counts($0).map { _ in 0 } },
            { footer in footer.entries.map { max(Int($0.subBlockCount), 1) } },
        ]
        for forgery in forgeries {
            try forge { footer in empty(forgery(footer)) }
            let reader = try EventStore.openReadOnly(path)
            try TextStore.check(reader)
            let damage = try reader.verify().damage
            #expect(
                damage.map(\.reason) == ["the filters is invalid: they are not those of the segment's blocks"]
                    || damage.map(\.reason) == ["the filters are not those of the segment's blocks"])
            // So that they can be forged again.
            #expect(try build().built == 1)
        }
    }

    @Test("Filters of a later version are left alone")
    func later() throws {
        _ = try build()
        try forge { footer in [2] + empty(Self.counts(footer)).dropFirst() }
        let reader = try EventStore.openReadOnly(path)
        try TextStore.check(reader)
        #expect(try reader.verify().isIntact)
        let report = try build()
        #expect(report.built == 0 && report.refused == [:])
    }

    @Test("Where the disk is full the old file stays, and nothing is in its way")
    func outOfSpace() throws {
        let before = try contents(of: path).filter { $0.key.hasSuffix(".seg") }
        var refusals = 0
        for writes in 0..<1_000 {
            let system = FaultInjectingFileSystem()
            let store = try EventStore.open(path, options: TextStore.options(system))
            let count = try segments(of: path).count
            system.inject(.init(.write, onPathsEndingIn: ".seg.tmp", after: writes, code: ENOSPC))
            defer { try? store.close() }
            do throws(StoreError) {
                #expect(try store.buildFilters().built > 0)
                break
            } catch {
                guard case .outOfSpace = error else { throw error }
                refusals += 1
            }
            let now = try contents(of: path)
            #expect(now.keys.allSatisfy { !$0.hasSuffix(".tmp") })
            // Of the first segments that were done the files are other ones; the rest is as it was.
            #expect(now.count { $0.key.hasSuffix(".seg") } == count)
            if writes < 3 { #expect(before.allSatisfy { now[$0.key] == $0.value }) }
            try TextStore.check(store)
            let session = try store.startSession("goes on")
            try session.end()
        }
        #expect(refusals > 3)
    }

    @Test("A sync that fails poisons the store; what was there stays", arguments: 0..<4)
    func failedSync(_ number: Int) throws {
        let system = FaultInjectingFileSystem()
        let store = try EventStore.open(path, options: TextStore.options(system))
        system.inject(.init(.sync, after: number, code: EIO))
        #expect(throws: StoreError.self) { try store.buildFilters() }
        #expect(system.injectedCount == 1)
        do {
            _ = try store.buildFilters()
            Issue.record("nothing is poisoned")
        } catch {
            guard case .poisoned = error else { throw error }
        }
        #expect(throws: StoreError.self) { try store.startSession("refused") }
        try? store.close()
        system.heal()
        let again = try EventStore.open(path, options: TextStore.options())
        try TextStore.check(again)
        #expect(try again.buildFilters().refused == [:])
        #expect(try again.verify().isIntact)
        try again.close()
    }
}

@Suite("No crash while filters are built loses anything")
struct FilterCrashTests {
    private static let path = "/data/store"

    @Test("A crash at every operation leaves a store that reads equal, and gets its filters later")
    func everyOperation() throws {
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        let system = SimulatedFileSystem(seed: seed)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        _ = try TextStore.record(Self.path, TextStore.options(system))
        let segmentCount = try Self.segments(system).count
        system.record()
        let store = try EventStore.open(Self.path, options: TextStore.options(system))
        #expect(try store.buildFilters().built == segmentCount)
        try store.close()
        let journal = try #require(system.journal)
        var cursor = journal.cursor()
        var (states, kept) = (0, Set<Int>())
        repeat {
            for kind in 0..<3 {
                let state = random.next()
                let crashed =
                    kind == 0 ? cursor.afterKill(cuttingWrite: state) : cursor.afterPowerLoss(seed: state)
                let comment = Comment(
                    rawValue: "VARVE_SEED=\(seed), \(kind == 0 ? "kill" : "power cut") \(state) after change "
                        + "\(cursor.changesMade) of \(journal.changeCount): \(crashed.listing)")
                let reader = try EventStore.openReadOnly(Self.path, options: TextStore.options(crashed))
                try TextStore.check(reader, comment, texts: ["Fjord"])
                try reader.close()
                let writer = try EventStore.open(Self.path, options: TextStore.options(crashed))
                #expect(writer.recovery == nil || writer.recovery?.gaps == [], comment)
                let report = try writer.buildFilters()
                #expect(report.refused == [:] && report.built + report.present == segmentCount, comment)
                kept.insert(report.present)
                try TextStore.check(writer, comment, texts: ["Fjord"])
                #expect(try writer.verify().damage == [], comment)
                try writer.close()
                #expect(try Self.segments(crashed).count == segmentCount, comment)
                states += 1
            }
        } while cursor.advance()
        // None of them done, all of them done, and everything between.
        #expect(kept == Set(0...segmentCount))
        print(
            "filters: \(states) crash states at \(journal.changeCount + 1) instants, nothing lost (seed \(seed))"
        )
    }

    private static func segments(_ system: SimulatedFileSystem) throws -> [String] {
        try system.list(path).map(\.name).filter { $0.hasSuffix(".seg") || $0.hasSuffix(".tmp") }
    }
}
