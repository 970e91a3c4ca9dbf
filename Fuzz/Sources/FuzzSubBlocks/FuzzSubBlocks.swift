import FuzzSupport
import VarveFormat

/// The directory of sub-blocks and their stored bytes: raw, LZ4, with a dictionary, wholly and in part.
///
/// An input looks like a block, and no checksum of it counts. Its end is also the dictionary.
@main
struct FuzzSubBlocks {
    static func main() {
        let mutation = structured { BlockBytes.layout(of: $0) }
        fuzz(allocating: allocationOfADecoder, mutation: mutation) { bytes in
            let block = Array(bytes)
            let dictionary = Array(block.suffix(min(block.count, 64 << 10)))
            // As a whole block bounds what its sub-blocks hold, this does for the time that an input takes.
            var budget = 128 << 10
            for (position, subBlock) in BlockBytes.subBlocks(in: block).enumerated() {
                guard subBlock.entry + SubBlockDirectoryEntry.byteCount <= block.count else { return }
                let entryBytes = UnsafeRawBufferPointer(
                    rebasing: bytes[subBlock.entry..<subBlock.entry + SubBlockDirectoryEntry.byteCount])
                guard let entry = try? SubBlockDirectoryEntry(decoding: entryBytes) else { continue }
                var encoded = [UInt8](repeating: 0xFF, count: SubBlockDirectoryEntry.byteCount)
                encoded.withUnsafeMutableBytes { buffer in
                    if let start = buffer.baseAddress { entry.encode(into: start) }
                }
                require(entryBytes.elementsEqual(encoded), "what was read is written again byte for byte")
                let rawBytes = Int(entry.rawBytes)
                budget -= rawBytes
                guard budget >= 0 else { return }
                // An exact copy, so that AddressSanitizer sees the first byte beyond it.
                let stored = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: subBlock.stored.count, alignment: 1)
                defer { stored.deallocate() }
                stored.copyBytes(from: bytes[subBlock.stored])
                let wanted = Int(entry.eventCount) % (rawBytes + 1)
                compareDecodings(
                    of: UnsafeRawBufferPointer(stored), method: entry.method, rawBytes: rawBytes,
                    wanted: wanted, dictionary: position % 8 == 7 ? nil : dictionary)
            }
        }
    }
}
