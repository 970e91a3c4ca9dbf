import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// A copy of the files of an open store is what a kill leaves.
@Suite("Recovery keeps what a dictionary is needed for")
struct DictionaryRecoveryTests {
    private let directory: TemporaryDirectory
    private var live: String { directory.path("live") }
    private var killed: String { directory.path("killed") }

    init() throws { directory = try TemporaryDirectory() }

    /// Text that repeats itself.
    private func payload(_ number: Int) -> [UInt8] {
        Array(
            "{\"order\":\(number),\"state\":\"placed\",\"customer\":\"c\(number % 7)\",\"lines\":[1,2,3]}"
                .utf8)
    }

    /// The types of the blocks of a store's only segment.
    private func blockTypes(_ path: String) throws -> [BlockType] {
        let file = try #require(try segments(of: path).first)
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        return try bytes.withUnsafeBytes { bytes in
            let header = try SegmentHeader(decoding: bytes)
            var offset = header.encode().count
            var types: [BlockType] = []
            while offset < bytes.count {
                let block = try BlockHeader(
                    decoding: UnsafeRawBufferPointer(rebasing: bytes[offset...]), segment: header.segment,
                    number: UInt32(types.count))
                offset += block.blockLength
                types.append(block.type)
            }
            return types
        }
    }

    // The dictionary's block is copied with those that need it. Where it stands before the watermark and they stand after it, they
    // go to another segment than it.
    @Test(
        "Events that were compressed with one are there after a kill and a recovery",
        arguments: [[], [600], [600, 1200], [60, 600, 1200], [600, 900, 1200]])
    func recovered(flushes: [Int]) throws {
        var options = smallBlocks(on: ControlledFileSystem())
        options.usesDictionary = true
        // Less than 4 KiB make no dictionary.
        options.blockBytes = 16 << 10
        options.durability = .none
        let store = try EventStore.open(live, options: options)
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("order", .json)
        let events = 1500
        for number in 0..<events {
            try session.append(payload(number), kind: kind, at: Int64(number))
            if flushes.contains(number) { try store.flush() }
        }
        try copyLive(live, to: killed)
        try store.close()
        #expect(try blockTypes(killed).contains(.dictionary))
        for opening in 0..<2 {
            let recovered = try EventStore.open(killed, options: options)
            #expect(try recovered.collect().map(\.payload) == (0..<events).map(payload), "opening \(opening)")
            #expect(try recovered.verify().isIntact)
            try recovered.close()
        }
        let reader = try EventStore.openReadOnly(killed)
        #expect(try reader.verify().isIntact && reader.count() == UInt64(events))
    }
}
