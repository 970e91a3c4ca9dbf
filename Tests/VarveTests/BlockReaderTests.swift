import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// Blocks with good checksums whose contents can't be.
@Suite("A block that contradicts itself is refused")
struct BlockReaderTests {
    private static let segment = UniqueID(low: 1, high: 2)

    private func header(_ type: BlockType) -> BlockHeader {
        var header = BlockHeader(type: type)
        (header.segment, header.epoch, header.kindCount) = (Self.segment, 1, 3)
        return header
    }

    /// Reads a block that stands alone in a file.
    @discardableResult
    private func read(_ bytes: [UInt8], decompressing: Bool = false) throws -> BlockReader {
        let system = SimulatedFileSystem(seed: 1)
        let file = try system.open("/block", .createExclusive)
        try file.write(bytes, at: 0)
        let reader = BlockReader(file: file, segment: Self.segment, kindCount: 2)
        reader.decompresses = decompressing
        _ = try reader.read(at: 0, end: UInt64(bytes.count), number: 0)
        return reader
    }

    private func dictionary(_ first: [UInt8], _ second: [UInt8]) -> [UInt8] {
        let copies = [first, second].map {
            ControlBlock.SubBlock(method: .raw, rawBytes: $0.count, stored: $0)
        }
        return ControlBlock.assemble(header(.dictionary), record: [], subBlocks: copies).bytes
    }

    @Test("The two copies of a dictionary are alike for verification")
    func copies() throws {
        let bytes = [UInt8](repeating: 7, count: 40)
        #expect(throws: Never.self) { try read(dictionary(bytes, bytes), decompressing: true) }
        #expect(throws: FormatError.invalid("a dictionary block", reason: "its copies differ")) {
            try read(dictionary(bytes, bytes.dropLast() + [8]), decompressing: true)
        }
    }

    // One flipped bit in one of the copies took everything that was compressed with it.
    @Test("Of a dictionary one copy is enough to read with", arguments: [[0], [1], [0, 1]])
    func damagedCopy(damaged: [Int]) throws {
        let bytes = [UInt8](repeating: 7, count: 40)
        var block = dictionary(bytes, bytes)
        let start = try #require(block.indices.first { block[$0..<$0 + 40].elementsEqual(bytes) })
        for copy in damaged { block[start + 40 * copy] ^= 1 }
        guard damaged.count < 2 else {
            #expect(throws: FormatError.self) { try read(block) }
            return
        }
        #expect(try read(block).dictionary == bytes)
        #expect(throws: FormatError.self) { try read(block, decompressing: true) }
    }

    @Test("Kinds get the ids after those before them", arguments: [0, 1, 2])
    func kinds(count: Int) throws {
        var body = ByteWriter()
        body.put((0..<count).map { KindDefinition(name: "k\($0)", encoding: .json) })
        let block = ControlBlock.assemble(header(.kinds), record: body.bytes).bytes
        if count == 1 {
            #expect(throws: Never.self) { try read(block) }
        } else {
            #expect(throws: FormatError.self) { try read(block) }
        }
    }

    @Test("Padding is zero")
    func padding() throws {
        var (_, bytes) = ControlBlock.padding(header(.padding), length: BlockHeader.byteCount + 64)
        #expect(throws: Never.self) { try read(bytes) }
        bytes[bytes.count - 1] = 1
        #expect(throws: FormatError.invalid("a padding block", reason: "it is not zero")) { try read(bytes) }
    }
}
