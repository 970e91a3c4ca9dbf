import CCRC32C
import Testing

@Suite("CRC-32C")
struct CRC32CTests {
    /// A whole message's checksum, by both implementations.
    private func checksums(_ bytes: [UInt8]) -> [UInt32] {
        [varve_crc32c(0, bytes, bytes.count), varve_crc32c_portable(0, bytes, bytes.count)]
    }

    /// An iSCSI read command, as RFC 3720 appendix B.4 prints it.
    private static let readCommand: [UInt8] = [
        0x01, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
        0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ]

    @Test(
        "Published vectors come out as published",
        arguments: [
            ([], 0x0000_0000),
            (Array("123456789".utf8), 0xE306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            ([UInt8](0..<32), 0x46DD_794E),
            ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
            (readCommand, 0xD996_3A56),
        ] as [([UInt8], UInt32)])
    func publishedVectors(bytes: [UInt8], expected: UInt32) {
        #expect(checksums(bytes) == [expected, expected])
    }

    @Test("A null pointer with no bytes leaves the checksum as it is")
    func nothing() {
        #expect(varve_crc32c(0xE306_9283, nil, 0) == 0xE306_9283)
        #expect(varve_crc32c_portable(0xE306_9283, nil, 0) == 0xE306_9283)
    }

    @Test(
        "Both implementations agree at every alignment, for short and long inputs"
    )
    func agreement() {
        let seed = UInt64.random(in: .min ... .max)
        let bytes = SeededBytes(seed: seed).bytes(20_100)
        // 256 and 4096 are the streams' lengths; three of each are read at once.
        let edges = [256, 768, 4096, 12_288, 12_288 + 768].flatMap { ($0 - 9)...($0 + 9) }
        let lengths = Array(0..<800) + edges + Array(stride(from: 801, through: 20_000, by: 61))
        bytes.withUnsafeBytes { buffer in
            for length in lengths {
                for alignment in 0..<8 {
                    let part = UnsafeRawBufferPointer(rebasing: buffer[alignment..<(alignment + length)])
                    let fast = varve_crc32c(0, part.baseAddress, length)
                    let portable = varve_crc32c_portable(0, part.baseAddress, length)
                    if fast != portable {
                        Issue.record(
                            "seed \(seed), length \(length), alignment \(alignment): \(fast) != \(portable)")
                        return
                    }
                }
            }
        }
    }

    @Test("A record's checksum is that of its words and its bytes one after the other")
    func records() {
        let seed = UInt64.random(in: .min ... .max)
        let bytes = SeededBytes(seed: seed).bytes(1000)
        func word(_ range: Range<Int>) -> UInt64 {
            bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        for count in 0...984 {
            let payload = Array(bytes[16..<16 + count])
            let whole = varve_crc32c_portable(7, bytes, 16 + count)
            let (first, second) = (word(0..<8), word(8..<16))
            #expect(varve_crc32c_record(7, first, second, payload, count) == whole, "seed \(seed), \(count)")
            #expect(
                varve_crc32c_record_portable(7, first, second, payload, count) == whole,
                "seed \(seed), \(count)")
        }
    }

    @Test("A message's checksum is the same in one piece and in any two", arguments: [1, 100, 1000, 20_000])
    func chaining(count: Int) {
        let seed = UInt64.random(in: .min ... .max)
        let bytes = SeededBytes(seed: seed).bytes(count)
        for cut in stride(from: 0, through: count, by: max(1, count / 61)) {
            let tail = Array(bytes[cut...])
            let fast = varve_crc32c(varve_crc32c(0, bytes, cut), tail, tail.count)
            let portable = varve_crc32c_portable(varve_crc32c_portable(0, bytes, cut), tail, tail.count)
            #expect([fast, portable] == checksums(bytes), "seed \(seed), cut at \(cut)")
        }
    }

    @Test("Every single flipped bit changes the checksum")
    func flippedBits() {
        let seed = UInt64.random(in: .min ... .max)
        var bytes = SeededBytes(seed: seed).bytes(800)
        let whole = varve_crc32c(0, bytes, bytes.count)
        for bit in 0..<(bytes.count * 8) {
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(varve_crc32c(0, bytes, bytes.count) != whole, "seed \(seed), bit \(bit)")
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }

    #if arch(arm64) && canImport(Darwin)
    @Test("Apple's processors always have the instructions")
    func hardware() {
        #expect(varve_crc32c_hardware_available())
    }
    #endif
}

/// The same bytes for the same seed (a xorshift generator).
private struct SeededBytes {
    var seed: UInt64

    func bytes(_ count: Int) -> [UInt8] {
        var state = seed | 1
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 32)
        }
    }
}
