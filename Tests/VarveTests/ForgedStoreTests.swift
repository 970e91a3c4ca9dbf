import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// What fuzzing of whole stores has found: most of it has good checksums, and no writer leaves it.
@Suite("What a reader has answered is answered again after recovery, whoever put the store together")
struct ForgedStoreTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func header(of file: String) throws -> SegmentHeader {
        try Data(contentsOf: URL(filePath: file)).withUnsafeBytes { bytes in
            let count = try SegmentHeader.byteCount(ofPrefix: bytes)
            return try SegmentHeader(decoding: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }

    // Blocks that no watermark covers are copied into a new segment, with the ids of their kinds. The names came from the log's last
    // segment: where those were others, opening the store for writing gave events another kind than they were recorded with, for good.
    @Test("Events are not copied into a segment in which their kinds have other names")
    func otherKinds() throws {
        var options = smallBlocks(on: ControlledFileSystem())
        options.durability = .none
        let live = directory.path("live")
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("binary", .binary)
        let session = try store.startSession("s")
        for number in 0..<16 as Range<UInt64> { try session.append(noise(number, 512), kind: kind, at: 1) }
        // The next beginning returns once it is written, and so are the batches before it.
        let checkpoint = try session.checkpoint("cp", state: [])
        try copyLive(live, to: path)
        try store.close()
        try FileManager.default.removeItem(atPath: path + "/TAIL")

        let first = try #require(try segments(of: path).first)
        let old = try header(of: first)
        var last = old
        last.segment = UniqueID(low: 1, high: 2)
        last.ordinal += 1
        last.predecessor = old.segment
        last.predecessorLength = UInt64(try Data(contentsOf: URL(filePath: first)).count)
        last.baseSequence = checkpoint.sequence
        last.kinds = [KindDefinition(name: "other", encoding: .binary)]
        last.session = SessionBegin(ordinal: 1, flags: [.continued], id: "s", start: 1, firstIndex: 16)
        try Data(last.encode()).write(to: URL(filePath: path + "/00000000000000000016-0000000002-00.seg"))

        let before = try EventStore.openReadOnly(path).collect()
        #expect(before.count == 16 && before.allSatisfy { $0.kind.name == "binary" })
        #expect {
            try EventStore.open(path)
        } throws: {
            if case StoreError.damaged? = $0 as? StoreError { true } else { false }
        }
        let after = try EventStore.openReadOnly(path).collect()
        #expect(after.map(\.payload) == before.map(\.payload))
        #expect(after.allSatisfy { $0.kind.name == "binary" })
    }

    // A footer that can't be read is written anew from the blocks when the store is opened for writing. With it went the header that
    // stood in the file, whatever the summary had said: of another store here, so that from then on no store could be told.
    @Test("A segment whose header contradicts its summary gets no new footer")
    func otherHeader() throws {
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        try store.startSession("s").append("1", kind: try store.kind("k", .utf8))
        try store.close()
        for name in ["STORE", "STATE"] { try FileManager.default.removeItem(atPath: path + "/" + name) }
        let file = try #require(try segments(of: path).first)
        var forged = try header(of: file)
        forged.store = UniqueID(low: 3, high: 4)
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes.replaceSubrange(..<forged.encode().count, with: forged.encode())
        let footer = bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        bytes[footer + 40] ^= 0x10
        try bytes.write(to: URL(filePath: file))

        #expect(try !EventStore.openReadOnly(path).verify().isIntact)
        #expect(throws: StoreError.self) { try EventStore.open(path) }
        #expect(try segments(of: path) == [file])
        #expect(try !EventStore.openReadOnly(path).verify().isIntact)
    }

    // A damaged file that somebody had laid beside the segments, under a name of his own, was taken for the log's end in the place of
    // the last segment: a reader of a killed store found none of its events.
    @Test("A file that can't be read and has no name of ours takes no segment away")
    func evidence() throws {
        let other = directory.path("other")
        let live = directory.path("live")
        for (path, copy) in [(other, nil), (live, path)] {
            let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
            try store.startSession("s").append("1", kind: try store.kind("k", .utf8))
            try store.flush()
            if let copy { try FileManager.default.copyItem(atPath: path, toPath: copy) }
            try store.close()
        }
        var bytes = try Data(contentsOf: URL(filePath: try #require(try segments(of: other).first)))
        bytes.replaceSubrange(..<64, with: Data(count: 64))
        try bytes.write(to: URL(filePath: path + "/evidence.seg"))

        #expect(try EventStore.openReadOnly(path).collect().count == 1)
        let writer = try EventStore.open(path)
        #expect(try writer.collect().count == 1)
        try writer.close()
    }

    // The block that began the session was damaged; the header of the next segment said which it was. Recovery copied that segment's
    // blocks and not its header: from then on nobody knew whose the events were, and the session had no end.
    @Test("A session whose beginning is damaged keeps its name where a segment that is copied says it")
    func lostBeginning() throws {
        var options = smallBlocks(on: ControlledFileSystem())
        options.durability = .none
        options.segmentBlocksMax = 8
        let live = directory.path("live")
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("its name", at: 1)
        for number in 0..<8 as Range<UInt64> { try session.append(noise(number, 1024), kind: kind, at: 2) }
        try store.flush()
        for number in 8..<48 as Range<UInt64> { try session.append(noise(number, 1024), kind: kind, at: 2) }
        // Returns once it is written, and what comes before it.
        try session.checkpoint("cp", state: [], at: 3)
        try copyLive(live, to: path)
        try store.close()
        try FileManager.default.removeItem(atPath: path + "/TAIL")
        // None of them was sealed, and the first block, which begins the session, can't be read.
        for (number, file) in try segments(of: path).enumerated() {
            var bytes = try Data(contentsOf: URL(filePath: file))
            if bytes.suffix(8) == Data("VARVEEND".utf8) {
                bytes = bytes.prefix(bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) })
            }
            if number == 0 { bytes[try header(of: file).encode().count + 60] ^= 1 }
            try bytes.write(to: URL(filePath: file))
        }
        #expect(try segments(of: path).count > 1)

        let before = try EventStore.openReadOnly(path).collect()
        #expect(before.count == 48 && before.allSatisfy { $0.sessionID == "its name" })
        let writer = try EventStore.open(path)
        #expect(writer.recovery?.interruptedSession == 1)
        try writer.close()
        let reader = try EventStore.openReadOnly(path)
        let after = try reader.collect()
        #expect(after.map(\.payload) == before.map(\.payload))
        #expect(after.allSatisfy { $0.sessionID == "its name" })
        #expect(try reader.sessions().map(\.state) == [.interrupted])
    }
}
