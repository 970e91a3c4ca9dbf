import Foundation
import Testing
import VarveFormat
import VarveTestKit

@testable import Varve

/// Stores of other versions, and at the ends of what numbers can say.
@Suite("Stores that this version can't go on with")
struct StrangeStoreTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws {
        directory = try TemporaryDirectory()
        let store = try EventStore.open(directory.path("store"), options: smallBlocks())
        let session = try store.startSession("s")
        let kind = try store.kind("k", .utf8)
        for number in 0..<10 { try session.append("\(number)", kind: kind) }
        try store.close()
    }

    /// Changes a segment's header, with its checksum, and takes the footer away, which says the same.
    private func changeHeader(_ body: (inout SegmentHeader) -> Void) throws {
        let file = try segments(of: path)[0]
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        var header = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        body(&header)
        let encoded = header.encode()
        bytes.replaceSubrange(0..<encoded.count, with: encoded)
        let footer = bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        try Data(bytes.prefix(footer)).write(to: URL(filePath: file))
    }

    private func expectUnknownVersion(_ body: () throws -> EventStore, _ comment: Comment) {
        #expect(comment) {
            _ = try body()
        } throws: { error in
            if case StoreError.unknownVersion = error { true } else { false }
        }
    }

    @Test(
        "A segment with a feature that must be known is refused, by readers and writers, and stays as it is")
    func feature() throws {
        try changeHeader { $0.incompatibleFeatures = 1 << 40 }
        let before = try contents(of: path)
        expectUnknownVersion({ try EventStore.openReadOnly(path) }, "reading")
        expectUnknownVersion({ try EventStore.open(path, options: smallBlocks()) }, "writing")
        #expect(try contents(of: path).filter { $0.key != "LOCK" } == before.filter { $0.key != "LOCK" })
    }

    @Test("A feature that need not be known stops nobody")
    func compatibleFeature() throws {
        try changeHeader { $0.compatibleFeatures = 1 << 40 }
        #expect(try EventStore.openReadOnly(path).count() == 10)
    }

    @Test("A segment or a STORE of another version is refused", arguments: ["segment", "STORE"])
    func version(of what: String) throws {
        if what == "segment" { try changeHeader { _ in } }
        let file = what == "STORE" ? path + "/STORE" : try segments(of: path)[0]
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[8] = 9
        try bytes.write(to: URL(filePath: file))
        expectUnknownVersion({ try EventStore.openReadOnly(path) }, "reading")
        expectUnknownVersion({ try EventStore.open(path, options: smallBlocks()) }, "writing")
    }

    @Test(
        "A log whose numbers are used up is read, and not written: no number is given twice, and nothing traps"
    )
    func numbersUsedUp() throws {
        let file = try segments(of: path)[0]
        let header = try Data(contentsOf: URL(filePath: file)).withUnsafeBytes {
            try SegmentHeader(decoding: $0)
        }
        var last = SegmentHeader(
            store: header.store, segment: UniqueID(low: 1, high: 2), ordinal: 2, epoch: header.epoch,
            createdAt: 0, settings: header.settings)
        last.baseSequence = .max - 1
        last.predecessor = header.segment
        last.predecessorLength = try EventStore.openReadOnly(path).watermark?.offset ?? 0
        try Data(last.encode()).write(to: URL(filePath: "\(path)/\(last.fileName)"))
        try FileManager.default.removeItem(atPath: path + "/STATE")
        #expect(try EventStore.openReadOnly(path).collect().map(\.sequence) == Array(0..<10))
        #expect {
            _ = try EventStore.open(path, options: smallBlocks())
        } throws: { error in
            if case StoreError.damaged = error { true } else { false }
        }
    }
}
