import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

@Suite("Damaged files take away what they held, and say so")
struct DamageTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private static let events: UInt64 = 64

    /// A closed store of 64 events of 256 bytes: 16 a block, 4 a sub-block.
    init() throws {
        directory = try TemporaryDirectory()
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<Self.events {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
            if number == 40 { try session.checkpoint("cp", state: noise(1000, 100)) }
        }
        try store.close()
    }

    private func segment() throws -> (path: String, bytes: Data) {
        let found = try segments(of: path)
        try #require(found.count == 1)
        return (found[0], try Data(contentsOf: URL(filePath: found[0])))
    }

    private func flip(_ offset: Int) throws {
        var (file, bytes) = try segment()
        bytes[offset] ^= 0x10
        try bytes.write(to: URL(filePath: file))
    }

    /// Where the footer starts: the first field of the file's last 96 bytes.
    private func footerOffset(_ bytes: Data) -> Int {
        bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    @Test("A flipped bit in a payload takes exactly its sub-block away", arguments: [0, 21, 38, 40, 63])
    func payload(event: UInt64) throws {
        let place = try #require(try segment().bytes.range(of: Data(noise(event, 256))))
        try flip(place.lowerBound + 100)
        // The checkpoint after event 40 ends a block early: sub-blocks of 4 start again at 41.
        let first = event < 40 ? event / 4 * 4 : event == 40 ? 40 : (event - 41) / 4 * 4 + 41
        let last = event == 40 ? 40 : min(first + 3, Self.events - 1)
        let rest = (0..<Self.events).filter { !(first...last).contains($0) }
        let store = try EventStore.openReadOnly(path)
        for isReversed in [false, true] {
            var query = Query()
            query.isReversed = isReversed
            var cursor = try store.cursor(query)
            var found: [UInt64] = []
            while let next = try cursor.nextEvent() {
                #expect(next.payload == noise(next.sequence, 256))
                found.append(next.sequence)
            }
            #expect(found == (isReversed ? rest.reversed() : rest))
            #expect(cursor.coverage.gaps.map(\.sequences) == [first...last])
            #expect(cursor.coverage.gaps.map(\.reason) == [.damage])
        }
        // Who does not ask for them does not miss them.
        var before = try store.cursor(Query().sequences((last + 1) % Self.events...(last + 1) % Self.events))
        #expect(try before.nextEvent() != nil && before.coverage.isComplete)
        let damage = try store.verify().damage
        #expect(damage.map(\.file) == [try segment().path])
        let reported = try #require(damage[0].sequences)
        #expect(reported.contains(first) && reported.contains(last))
    }

    // One flipped bit in the 200 bytes of its header took a whole segment away, although its footer says all that they say.
    @Test("Without its header a segment is answered from its footer, and repaired", arguments: [16, 40, 100])
    func header(offset: Int) throws {
        let before = try EventStore.openReadOnly(path)
        let (events, sessions) = (try before.collect(), try before.sessions())
        let checkpoint = try #require(try before.checkpoints().first)
        try flip(offset)
        let store = try EventStore.openReadOnly(path)
        #expect(try store.collect() == events && store.sessions() == sessions)
        #expect(try store.state(of: checkpoint) == noise(1000, 100))
        #expect(try store.info().gaps == [])
        let report = try store.verify()
        #expect(report.damage.map(\.offset) == [0] && report.events == Self.events)
        let new = directory.path("new")
        let repair = try EventStore.repair(path, into: new)
        #expect(repair.events == Self.events && repair.damage.count == 1)
        #expect(try EventStore.openReadOnly(new).collect() == events)
        let writer = try EventStore.open(path, options: smallBlocks())
        try writer.startSession("more").append(noise(1, 10), kind: try writer.kind("noise", .binary))
        try writer.close()
        #expect(try EventStore.openReadOnly(path).count() == Self.events + 1)
    }

    @Test("Without its footer, or with a damaged trailer, a segment is still answered from")
    func footer() throws {
        let (file, bytes) = try segment()
        let start = footerOffset(bytes)
        try #require(start > 16_384 && start < bytes.count - 96)
        var versions = [bytes.prefix(start)]
        for offset in bytes.count - 96..<bytes.count {
            versions.append(bytes)
            versions[versions.count - 1][offset] ^= 0x10
        }
        for (number, version) in versions.enumerated() {
            try version.write(to: URL(filePath: file))
            let comment = Comment(rawValue: "version \(number)")
            let store = try EventStore.openReadOnly(path)
            var cursor = try store.cursor()
            var next: UInt64 = 0
            while let event = try cursor.nextEvent() {
                #expect(event.sequence == next && event.payload == noise(next, 256), comment)
                next += 1
            }
            #expect(next == Self.events, comment)
            // What a damaged trailer was can't be known: bytes after the last event that can't be read.
            let gaps = cursor.coverage.gaps
            #expect(gaps.map(\.sequences) == (number == 0 ? [] : [64...64]), comment)
            #expect(gaps.allSatisfy { $0.reason == .unconfirmedTail }, comment)
            #expect(try store.sessions().map(\.state) == [.closed], comment)
            #expect(try store.checkpoints().map(\.eventIndex) == [41], comment)
        }
    }

    @Test("Of a file that was cut short the whole blocks are answered, and exactly the rest is missed")
    func truncated() throws {
        // A second segment follows, so that the log goes on after what was cut.
        let writer = try EventStore.open(path, options: smallBlocks())
        try writer.startSession("later").append("64", kind: writer.kind("k", .utf8))
        try writer.close()
        let file = try #require(try segments(of: path).first)
        let bytes = try Data(contentsOf: URL(filePath: file))
        let end = footerOffset(bytes)
        let places = (0..<Self.events).map { bytes.range(of: Data(noise($0, 256)))?.upperBound ?? .max }
        for cut in Array(stride(from: 600, to: end, by: 997)) + [end] {
            try bytes.prefix(cut).write(to: URL(filePath: file))
            let comment = Comment(rawValue: "cut at \(cut) of \(bytes.count)")
            // A block counts once its last payload is there: the payloads stand at its end, before at most 7 zeros.
            let lasts: [UInt64] = [15, 31, 40, 56, 63]
            let whole = lasts.last { ((places[Int($0)] + 7) & ~7) <= cut }.map { $0 + 1 } ?? 0
            let store = try EventStore.openReadOnly(path)
            var cursor = try store.cursor()
            var found: [UInt64] = []
            while let event = try cursor.nextEvent() { found.append(event.sequence) }
            #expect(found == Array(0..<whole) + [64], comment)
            let missing = whole < Self.events ? [whole...Self.events - 1] : []
            #expect(cursor.coverage.gaps.map(\.sequences) == missing, comment)
        }
    }

    @Test("A segment is answered from its blocks, whichever byte of its footer is damaged")
    func footerSections() throws {
        let (file, bytes) = try segment()
        let start = footerOffset(bytes)
        try #require(start > 16_384 && start < bytes.count - 96)
        for offset in stride(from: start, to: bytes.count, by: 13) {
            var damaged = bytes
            damaged[offset] ^= 0x10
            try damaged.write(to: URL(filePath: file))
            let comment = Comment(rawValue: "byte \(offset - start) of \(bytes.count - start)")
            let store = try EventStore.openReadOnly(path)
            #expect(try store.collect().map(\.payload) == (0..<Self.events).map { noise($0, 256) }, comment)
            #expect(try store.sessions().map(\.state) == [.closed], comment)
            #expect(try store.checkpoints().map(\.eventIndex) == [41], comment)
        }
    }

    @Test("Of a last segment that was cut short what is left is answered, and the rest is missed")
    func truncatedLast() throws {
        let (file, bytes) = try segment()
        let end = footerOffset(bytes)
        // Where blocks start, and places inside of them.
        var cuts = Array(stride(from: 600, to: end, by: 997))
        var rest = bytes.prefix(end)
        while let block = rest.range(of: Data("VARVEBLK".utf8)) {
            if block.lowerBound > 300 { cuts.append(block.lowerBound) }
            rest = rest[block.upperBound...]
        }
        for cut in cuts.sorted() {
            try bytes.prefix(cut).write(to: URL(filePath: file))
            let comment = Comment(rawValue: "cut at \(cut) of \(bytes.count)")
            let store = try EventStore.openReadOnly(path)
            var cursor = try store.cursor()
            var next: UInt64 = 0
            while let event = try cursor.nextEvent() {
                #expect(event.sequence == next && event.payload == noise(next, 256), comment)
                next += 1
            }
            let whole = (0..<Self.events).filter { number in
                bytes.prefix(cut).range(of: Data(noise(number, 256))) != nil
            }
            #expect(next <= UInt64(whole.count) && Int(next) + 16 > whole.count, comment)
            if next < Self.events { #expect(!cursor.coverage.isComplete, comment) }
        }
    }

    // A store whose only segment was deleted was empty and complete.
    @Test("A store without its only segment says what is missing, and gives no number twice")
    func onlySegmentGone() throws {
        try FileManager.default.removeItem(atPath: try segment().path)
        let reader = try EventStore.openReadOnly(path)
        let answer = try reader.snapshot().countWithCoverage()
        #expect(answer.events == 0)
        #expect(answer.coverage.gaps.map(\.sequences) == [0...Self.events - 1])
        let writer = try EventStore.open(path)
        let session = try writer.startSession("after the loss")
        #expect(try session.append("next", kind: try writer.kind("k", .utf8)) == Self.events)
        #expect(try writer.snapshot().gaps().map(\.sequences) == [0...Self.events - 1])
        try writer.close()
        #expect(try EventStore.openReadOnly(path).snapshot().gaps().map(\.sequences) == [0...Self.events - 1])
    }

    // The number that the next event was to get was called lost, and then given to it.
    @Test("When only the session's end is cut off no event is missing")
    func endCutOff() throws {
        let (file, bytes) = try segment()
        var blocks: [Int] = []
        var rest = bytes.prefix(footerOffset(bytes))
        while let block = rest.range(of: Data("VARVEBLK".utf8)) {
            blocks.append(block.lowerBound)
            rest = rest[block.upperBound...]
        }
        try bytes.prefix(try #require(blocks.last)).write(to: URL(filePath: file))
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() == Self.events)
        #expect(try reader.snapshot().gaps().map(\.reason) == [.unconfirmedTail])
        #expect(try reader.sessions().map(\.state) == [.interrupted])
        let writer = try EventStore.open(path)
        let session = try writer.startSession("after")
        #expect(try session.append("next", kind: try writer.kind("k", .utf8)) == Self.events)
        #expect(try writer.snapshot().gaps() == [])
        try writer.close()
        #expect(try EventStore.openReadOnly(path).snapshot().gaps() == [])
    }

    // With the footer rebuilt from the blocks that were left, counts were too low without a word.
    @Test("A footer and a block that are both damaged never make an answer that seems whole")
    func twice() throws {
        let (file, bytes) = try segment()
        let footer = footerOffset(bytes)
        var silent: [Int] = []
        for offset in stride(from: 300, to: footer, by: 211) {
            var damaged = bytes
            damaged[offset] ^= 0x10
            damaged[footer + 40] ^= 0x10
            try damaged.write(to: URL(filePath: file))
            let store = try EventStore.openReadOnly(path)
            do throws(StoreError) {
                let answer = try store.snapshot().countWithCoverage()
                let states = try store.sessions().map(\.state)
                let checkpoints = try store.checkpoints().count
                let isWhole = answer.events == Self.events && states == [.closed] && checkpoints == 1
                if !isWhole, answer.coverage.isComplete { silent.append(offset) }
            } catch {
                continue
            }
        }
        #expect(silent == [])
    }

    // Ending a session threw what was wrong with a segment that was written long before it: it had ended, and its caller was told
    // that it had not.
    @Test("A session that no damaged segment can hold ends, and is resumed, as ever")
    func otherSegment() throws {
        let (file, bytes) = try segment()
        let first = try EventStore.open(path)
        let kind = try first.kind("k", .utf8)
        try first.startSession("second").append("1", kind: kind)
        try first.close()
        // Neither the footer nor the blocks tell all of the first segment.
        var damaged = bytes
        damaged[footerOffset(bytes) + 40] ^= 0x10
        damaged[try #require(bytes.range(of: Data(noise(20, 256)))).lowerBound] ^= 1
        try damaged.write(to: URL(filePath: file))

        let store = try EventStore.open(path)
        let session = try store.startSession("third")
        try session.append("2", kind: try store.kind("k", .utf8))
        #expect(try session.end().eventCount == 1)
        let resumed = try store.resume(session: 2)
        try resumed.append("3", kind: try store.kind("k", .utf8))
        #expect(try resumed.end().eventCount == 2)
        #expect { try store.snapshot().session(ordinal: 1) } throws: {
            if case StoreError.damaged? = $0 as? StoreError { true } else { false }
        }
        try store.close()
    }

    @Test("A count says what damage it met")
    func count() throws {
        // The block's header.
        let place = try #require(try segment().bytes.range(of: Data(noise(20, 256))))
        var bytes = try segment().bytes
        let block = try #require(
            bytes.prefix(place.lowerBound).range(of: Data("VARVEBLK".utf8), options: .backwards))
        bytes[block.lowerBound + 60] ^= 1
        try bytes.write(to: URL(filePath: try segment().path))
        let answer = try EventStore.openReadOnly(path).snapshot().countWithCoverage(
            Query().sequences(17...40))
        #expect(answer.events < 24 && !answer.coverage.isComplete)
    }

    // A power cut while a segment was made left its name and none of its bytes. The next writer chose the same name for its own
    // segment, found it taken, and could not open the store any more; `verify` found damage from then on.
    @Test(
        "A segment that never got a header is no damage, and does not stop the next writer",
        arguments: [true, false])
    func withoutHeader(wasClosed: Bool) throws {
        let path = wasClosed ? path : directory.path("copy")
        if !wasClosed {
            let store = try EventStore.open(self.path)
            let session = try store.startSession("cut off")
            try session.append("last", kind: try store.kind("k", .utf8))
            try store.flush()
            try FileManager.default.copyItem(atPath: self.path, toPath: path)
            try store.close()
        }
        let last = try #require(try segments(of: path).last).split(separator: "/").last ?? ""
        let ordinal = try #require(UInt64(last.split(separator: "-")[1])) + 1
        let next = wasClosed ? Self.events : Self.events + 1
        let digits = String(repeating: "0", count: 19 - String(next).count)
        let name = "\(digits)0\(next)-\(String(repeating: "0", count: 9))\(ordinal)-00.seg"
        try Data().write(to: URL(filePath: path + "/" + name))
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.verify().isIntact)
        let writer = try EventStore.open(path)
        #expect(try writer.count() == next)
        try writer.startSession("next").append("more", kind: try writer.kind("k", .utf8))
        try writer.close()
        #expect(try !segments(of: path).contains { $0.hasSuffix(name) })
        let again = try EventStore.openReadOnly(path)
        #expect(try again.verify().isIntact)
        #expect(try again.count() == next + 1)
    }

    @Test("Numbers ascend even where a block with good checksums says otherwise, and verifying says so")
    func outOfOrder() throws {
        // A block whose number went back made an iteration go on from there, again and again.
        var (file, bytes) = try segment()
        bytes = bytes.prefix(footerOffset(bytes))
        let place = try #require(bytes.range(of: Data(noise(20, 256))))
        let block = try #require(
            bytes.prefix(place.lowerBound).range(of: Data("VARVEBLK".utf8), options: .backwards)
        ).lowerBound
        var header = [UInt8](bytes[block..<block + BlockHeader.byteCount])
        let number = header[24..<28].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        func word(_ offset: Int) -> UInt64 {
            header[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let segment = UniqueID(low: word(8), high: word(16))
        var decoded = try header.withUnsafeBytes { bytes in
            try BlockHeader(decoding: bytes, segment: segment, number: number)
        }
        #expect(decoded.firstSequence == 16)
        decoded.firstSequence = 3
        header.withUnsafeMutableBytes { decoded.encode(into: $0) }
        bytes.replaceSubrange(block..<block + header.count, with: header)
        try bytes.write(to: URL(filePath: file))

        let store = try EventStore.openReadOnly(path)
        var cursor = try store.cursor()
        var last: UInt64?
        var count = 0
        while let event = try cursor.nextEvent() {
            #expect(last.map { event.sequence > $0 } ?? true)
            last = event.sequence
            count += 1
        }
        #expect(count == 48 && !cursor.coverage.isComplete)
        var reversed = try store.cursor(Query().reversed())
        last = nil
        while let event = try reversed.nextEvent() {
            #expect(last.map { event.sequence < $0 } ?? true)
            last = event.sequence
        }
        #expect(!reversed.coverage.isComplete)
        #expect(try store.verify().damage.contains { $0.sequences == 3...18 })
    }
}
