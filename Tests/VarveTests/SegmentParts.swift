import Foundation
import VarveFormat

/// A segment's file taken apart, to be changed and put together again with good checksums and without a footer.
struct SegmentParts {
    struct Block {
        var header: BlockHeader
        /// Small part, sub-blocks and padding.
        var body: [UInt8]
        /// Where it stood.
        let offset: Int

        var end: Int { offset + header.blockLength }

        /// The numbers of its events.
        var numbers: Range<UInt64> { header.firstSequence..<header.nextSequence }

        /// A control block's record.
        var record: ControlBlock.Record {
            get throws {
                try body.withUnsafeBytes {
                    try ControlBlock.decode(
                        UnsafeRawBufferPointer(rebasing: $0[..<Int(header.smallLength)]), of: header)
                }
            }
        }
    }

    var header: SegmentHeader
    var blocks: [Block] = []

    init(_ file: String) throws { try self.init([UInt8](try Data(contentsOf: URL(filePath: file)))) }

    init(_ bytes: [UInt8]) throws {
        let header = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        self.header = header
        var offset = header.encode().count
        bytes.withUnsafeBytes { bytes in
            while let block = try? BlockHeader(
                decoding: UnsafeRawBufferPointer(rebasing: bytes[offset...]), segment: header.segment,
                number: nil)
            {
                let body = bytes[offset + BlockHeader.byteCount..<offset + block.blockLength]
                blocks.append(Block(header: block, body: [UInt8](body), offset: offset))
                offset += block.blockLength
            }
        }
    }

    /// Puts another record in the place of a control block's.
    mutating func replace(_ number: Int, _ body: (inout ByteWriter) -> Void) {
        var writer = ByteWriter()
        body(&writer)
        let (header, bytes) = ControlBlock.assemble(blocks[number].header, record: writer.bytes)
        blocks[number].header = header
        blocks[number].body = Array(bytes.dropFirst(BlockHeader.byteCount))
    }

    /// The file, with all checksums made anew.
    func encode() -> [UInt8] {
        var file = header.encode()
        for block in blocks {
            var header = block.header
            header.segment = self.header.segment
            var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount) + block.body
            bytes.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                header.smallChecksum = Checksum.sealBody(
                    base + BlockHeader.byteCount, smallLength: Int(header.smallLength),
                    subBlockCount: Int(header.subBlockCount), segment: header.segment, block: header.number)
                header.encode(into: bytes)
            }
            file += bytes
        }
        return file
    }

    func write(to file: String) throws { try Data(encode()).write(to: URL(filePath: file)) }
}

/// Changes a file.
func change(_ file: String, _ body: (inout Data) throws -> Void) throws {
    var data = try Data(contentsOf: URL(filePath: file))
    try body(&data)
    try data.write(to: URL(filePath: file))
}

/// Where a sealed segment's footer starts: the first field of the file's last 96 bytes.
func footerOffset(_ bytes: Data) -> Int {
    bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
}

/// Cuts a sealed segment's footer off.
func removeFooter(_ file: String) throws { try change(file) { $0 = $0.prefix(footerOffset($0)) } }
