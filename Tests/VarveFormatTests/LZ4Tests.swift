import Testing

@testable import VarveFormat

/// Text whose lines resemble each other.
private func lines(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed)
    var bytes: [UInt8] = []
    while bytes.count < count {
        bytes += Array(
            "level=info path=/orders/\(Int.random(in: 0..<99_999, using: &generator)) status=200\n".utf8)
    }
    return Array(bytes.prefix(count))
}

private func decode(
    _ stored: [UInt8], method: SubBlockMethod, rawBytes: Int, wanted: Int, dictionary: [UInt8]? = nil,
    identity: UInt64 = 1, by buffer: SubBlockBuffer = SubBlockBuffer()
) throws(FormatError) -> [UInt8] {
    // Memory that ends with the bytes, as a sanitizer would see it.
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: stored.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: stored)
    let bytes = try buffer.decode(
        stored: UnsafeRawBufferPointer(exact), method: method, rawBytes: rawBytes, wanted: wanted,
        dictionary: dictionary, dictionaryIdentity: identity)
    return [UInt8](UnsafeRawBufferPointer(start: bytes, count: wanted))
}

@Suite("LZ4")
struct LZ4Tests {
    @Test(
        "Blocks come back, whole and in part, with a dictionary or without",
        arguments: [0, 1, 3, 9, 12] as [Int32], [false, true])
    func roundTrip(level: Int32, withDictionary: Bool) throws {
        let dictionary = withDictionary ? CompressionDictionary(lines(64 << 10, seed: 1), level: level) : nil
        let method: SubBlockMethod = withDictionary ? .lz4WithDictionary : .lz4
        let buffer = SubBlockBuffer()
        for size in [100, 1000, 16 << 10, 64 << 10, 300_000] {
            let raw = lines(size, seed: 2)
            guard
                let stored = raw.withUnsafeBytes({
                    LZ4Block.compress($0, level: level, dictionary: dictionary)
                })
            else {
                #expect(size == 100 && !withDictionary, "\(size) bytes of text did not compress")
                continue
            }
            #expect(stored.count < size - size / 32)
            for wanted in [0, 1, 13, 99, size / 2, size - 1, size] where wanted <= size {
                #expect(
                    try decode(
                        stored, method: method, rawBytes: size, wanted: wanted, dictionary: dictionary?.bytes,
                        by: buffer) == Array(raw.prefix(wanted)), "\(wanted) of \(size)")
            }
            let whole = try stored.withUnsafeBytes {
                try LZ4Block.decompress($0, method: method, rawBytes: size, dictionary: dictionary?.bytes)
            }
            #expect(whole == raw)
        }
    }

    @Test("A dictionary of the data makes small blocks smaller", arguments: [1, 9] as [Int32])
    func dictionaryPays(level: Int32) {
        let raw = lines(2000, seed: 3)
        let dictionary = CompressionDictionary(lines(64 << 10, seed: 4), level: level)
        let plain = raw.withUnsafeBytes { LZ4Block.compress($0, level: level) }
        let with = raw.withUnsafeBytes { LZ4Block.compress($0, level: level, dictionary: dictionary) }
        #expect((with?.count ?? .max) < (plain?.count ?? 0))
    }

    @Test("A dictionary of few bytes works too", arguments: [1, 9] as [Int32], [0, 1, 7, 8, 100])
    func smallDictionary(level: Int32, size: Int) throws {
        let dictionary = CompressionDictionary(lines(size, seed: 5), level: level)
        let raw = lines(5000, seed: 6)
        let stored = raw.withUnsafeBytes { LZ4Block.compress($0, level: level, dictionary: dictionary) } ?? []
        #expect(
            try decode(
                stored, method: .lz4WithDictionary, rawBytes: 5000, wanted: 5000, dictionary: dictionary.bytes
            ) == raw)
    }

    @Test("A buffer changes between dictionaries, and keeps one while it grows")
    func dictionaries() throws {
        let buffer = SubBlockBuffer()
        let dictionaries = (0..<2).map {
            CompressionDictionary(lines(30_000, seed: 10 + UInt64($0)), level: 1)
        }
        for (identity, size) in [(0, 1000), (1, 1000), (1, 400_000), (0, 5000), (0, 1_000_000), (1, 100)] {
            let raw = lines(size, seed: 12)
            let dictionary = dictionaries[identity]
            let stored = raw.withUnsafeBytes { LZ4Block.compress($0, level: 1, dictionary: dictionary) } ?? []
            let decoded = try decode(
                stored, method: .lz4WithDictionary, rawBytes: size, wanted: size,
                dictionary: dictionary.bytes,
                identity: UInt64(identity), by: buffer)
            #expect(decoded == raw)
        }
    }

    @Test("A raw sub-block is handed out where it stands")
    func raw() throws {
        let bytes = lines(100, seed: 7)
        try bytes.withUnsafeBytes { stored in
            let decoded = try SubBlockBuffer().decode(
                stored: stored, method: .raw, rawBytes: 100, wanted: 40, dictionary: nil,
                dictionaryIdentity: 0)
            #expect(decoded == stored.baseAddress)
        }
        #expect(try decode([], method: .raw, rawBytes: 0, wanted: 0) == [])
    }

    @Test("Sub-blocks that don't hold what they should are refused")
    func refused() {
        let raw = lines(5000, seed: 8)
        let stored = raw.withUnsafeBytes { LZ4Block.compress($0, level: 1) } ?? []
        #expect(throws: FormatError.self) { try decode(stored, method: .lz4, rawBytes: 4999, wanted: 4999) }
        #expect(throws: FormatError.self) { try decode(stored, method: .lz4, rawBytes: 5001, wanted: 5001) }
        #expect(throws: FormatError.self) { try decode(stored, method: .lz4, rawBytes: 5000, wanted: 5001) }
        #expect(throws: FormatError.self) { try decode(stored, method: .lz4, rawBytes: 5000, wanted: -1) }
        #expect(throws: FormatError.self) { try decode(stored, method: .lz4, rawBytes: .max, wanted: 1) }
        #expect(throws: FormatError.self) {
            try decode(stored, method: .lz4, rawBytes: 128 << 20, wanted: 128 << 20)
        }
        #expect(throws: FormatError.self) { try decode(stored, method: .raw, rawBytes: 5000, wanted: 0) }
        #expect(throws: FormatError.self) { try decode([], method: .lz4, rawBytes: 1, wanted: 1) }
        #expect(throws: FormatError.self) {
            try decode(stored, method: .lz4WithDictionary, rawBytes: 5000, wanted: 5000)
        }
        #expect(throws: FormatError.self) {
            try decode(
                stored, method: .lz4WithDictionary, rawBytes: 5000, wanted: 5000,
                dictionary: [UInt8](repeating: 0, count: Limits.dictionaryBytesMax + 1))
        }
    }

    @Test("Random damage is refused or gives as many bytes as it should", arguments: [false, true])
    func hostile(withDictionary: Bool) {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        let dictionary = withDictionary ? CompressionDictionary(lines(5000, seed: 1), level: 1) : nil
        let raw = lines(3000, seed: seed)
        let stored = raw.withUnsafeBytes { LZ4Block.compress($0, level: 1, dictionary: dictionary) } ?? []
        let buffer = SubBlockBuffer()
        var refused = 0
        for _ in 0..<3000 {
            var bytes = stored
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            let wanted = Bool.random(using: &generator) ? 3000 : Int.random(in: 0...3000, using: &generator)
            do throws(FormatError) {
                let decoded = try decode(
                    bytes, method: withDictionary ? .lz4WithDictionary : .lz4, rawBytes: 3000, wanted: wanted,
                    dictionary: dictionary?.bytes, by: buffer)
                #expect(decoded.count == wanted)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 300, "seed \(seed)")
    }

    @Test("The state of a checkpoint is compressed when that pays")
    func state() throws {
        let settings = EncodingSettings(blockBytes: 0, subBlockBytes: 0, level: 1)
        let text = lines(10_000, seed: 9)
        let compressed = StateCompressor.compress(text, settings: settings)
        #expect(compressed.method == .lz4)
        #expect(try decode(compressed.stored, method: .lz4, rawBytes: 10_000, wanted: 10_000) == text)
        for small in [[], [1], [1, 2, 3]] as [[UInt8]] {
            let raw = StateCompressor.compress(small, settings: settings)
            #expect(raw.method == .raw && raw.stored == small)
        }
    }
}

@Suite("Making a dictionary")
struct DictionaryBuilderTests {
    @Test(
        "It has at most 64 KiB, and needs 4 KiB",
        arguments: [
            (0, nil), (4095, nil), (4096, 4096), (65_536, 65_536), (65_537, 65_536), (1_000_003, 65_536),
        ] as [(Int, Int?)])
    func size(payload: Int, dictionary: Int?) {
        let bytes = lines(payload, seed: 1)
        #expect(bytes.withUnsafeBytes { DictionaryBuilder.build(from: $0) }?.count == dictionary)
    }

    @Test("Its samples are spread from the payload's first byte to its last")
    func spread() {
        let bytes = lines(1_000_003, seed: 2)
        let dictionary = bytes.withUnsafeBytes { DictionaryBuilder.build(from: $0) } ?? []
        #expect(dictionary.prefix(2048) == bytes.prefix(2048))
        #expect(dictionary.suffix(2048) == bytes.suffix(2048))
        let start = (1_000_003 - 2048) * 16 / 31
        #expect(dictionary[16 * 2048..<17 * 2048] == bytes[start..<start + 2048])
    }
}
