import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// Footers with good checksums that say what is not so.
@Suite("A footer is believed only as far as it agrees with the blocks")
struct ForgedFooterTests {
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
        }
        try session.checkpoint("cp", state: noise(1000, 100))
        try store.close()
    }

    /// Writes the segment's footer anew, with a change.
    private func forge(_ change: (inout Footer) -> Void) throws {
        let file = try #require(try segments(of: path).first)
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        let trailer = try bytes.withUnsafeBytes {
            try Trailer(decodingEndOf: $0, fileLength: UInt64(bytes.count))
        }
        let start = Int(trailer.footerOffset)
        var footer = try bytes[start..<bytes.count - Trailer.byteCount].withUnsafeBytes {
            try Footer(decoding: $0, trailer: trailer)
        }
        change(&footer)
        try Data(bytes[..<start] + footer.encode()).write(to: URL(filePath: file))
    }

    @Test("Forging nothing changes nothing")
    func intact() throws {
        try forge { _ in }
        let store = try EventStore.openReadOnly(path)
        #expect(try store.verify().isIntact && store.count() == Self.events)
    }

    @Test("A digest that is not the file's is named by verification", arguments: 0..<4)
    func digest(byte: Int) throws {
        try forge { $0.digest.bytes[byte] ^= 1 }
        let store = try EventStore.openReadOnly(path)
        let damage = try store.verify().damage
        #expect(damage.map(\.reason) == ["the digest is not that of the stored bytes"])
        #expect(try store.count() == Self.events)
    }

    /// Changes of what a footer says about its blocks, and what verification calls them.
    static let contradictions: [(name: String, change: @Sendable (inout Footer) -> Void)] = [
        ("time pyramid", { $0.pyramid.levels[0][0].max += 1 }),
        ("kinds", { $0.kinds[0].events -= 1 }),
        ("sessions", { $0.sessions[0].payloadBytes -= 1 }),
        ("checkpoints", { $0.checkpoints[0].stateBytes += 1 }),
        ("ledger", { $0.ledger.append(.pin(Pin(session: 1, first: 0), isPinned: true)) }),
        ("summary", { $0.summary.lastEpoch += 1 }),
        (
            "kinds, summary",
            {
                $0.kinds[0].bytes -= 1
                $0.summary.checkpointsMade += 1
            }
        ),
    ]

    @Test(
        "Verification names the parts of a footer that contradict the blocks",
        arguments: contradictions.indices)
    func contradiction(_ number: Int) throws {
        let (name, change) = Self.contradictions[number]
        try forge(change)
        let damage = try EventStore.openReadOnly(path).verify().damage
        #expect(damage.map(\.reason) == ["the footer contradicts the blocks: \(name)"])
    }

    /// Changes of the index's second entry of a block with events.
    static let changes: [(name: String, change: @Sendable (inout BlockIndexEntry) -> Void)] = [
        ("fewer events", { $0.eventCount -= 1 }),
        ("later numbers", { ($0.firstSequence, $0.eventCount) = ($0.firstSequence + 1, $0.eventCount - 1) }),
        ("a shorter small part", { $0.smallLength -= 8 }),
        ("fewer sub-blocks", { $0.subBlockCount -= 1 }),
        ("other kinds", { $0.kindSet = 1 << 63 }),
        ("another session", { $0.sessionOrdinal += 1 }),
        ("another index", { $0.firstIndex += 1 }),
        ("fewer bytes", { $0.rawBytes -= 1 }),
    ]

    @Test("A block that contradicts the index is missed, and never answered from", arguments: changes.indices)
    func index(_ change: Int) throws {
        let (name, change) = Self.changes[change]
        try forge { footer in
            let places = footer.entries.indices.filter { footer.entries[$0].type == .events }
            // With those the footer would contradict itself, and the segment be read by its blocks.
            footer.blockKinds = nil
            change(&footer.entries[places[1]])
        }
        let store = try EventStore.openReadOnly(path)
        var cursor = try store.cursor()
        var found: [UInt64] = []
        while let event = try cursor.nextEvent() {
            #expect(event.payload == noise(event.sequence, 256), "\(name)")
            found.append(event.sequence)
        }
        #expect(found == Array(0..<16) + Array(32..<64), "\(name)")
        #expect(!cursor.coverage.isComplete, "\(name)")
        #expect(try !store.verify().isIntact, "\(name)")
    }
}
