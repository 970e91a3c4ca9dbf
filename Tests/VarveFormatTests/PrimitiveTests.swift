import Testing

@testable import VarveFormat

@Suite("Numbers, text and maps")
struct PrimitiveTests {
    @Test(
        "Varints take the bytes that the pages give them",
        arguments: [
            (0, [0]), (1, [1]), (127, [0x7F]), (128, [0x80, 1]), (300, [0xAC, 2]), (16_383, [0xFF, 0x7F]),
            (16_384, [0x80, 0x80, 1]), (1 << 63, [UInt8](repeating: 0x80, count: 9) + [1]),
            (.max, [UInt8](repeating: 0xFF, count: 9) + [1]),
        ] as [(UInt64, [UInt8])])
    func varints(value: UInt64, bytes: [UInt8]) throws {
        var writer = ByteWriter()
        writer.putVarint(value)
        #expect(writer.bytes == bytes)
        #expect(try readAll(bytes) { (r) throws(FormatError) in try r.varint() } == value)
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) {
                try readAll(Array(bytes[..<count])) { (r) throws(FormatError) in try r.varint() }
            }
        }
    }

    @Test(
        "Varints that are longer than they need be, or beyond 64 bits, are refused",
        arguments: [
            [0x80, 0], [0xFF, 0], [0x80, 0x80, 0], [UInt8](repeating: 0x80, count: 9) + [0],
            [UInt8](repeating: 0xFF, count: 9) + [2], [UInt8](repeating: 0xFF, count: 9) + [0x81],
            [UInt8](repeating: 0x80, count: 10) + [1], [UInt8](repeating: 0xFF, count: 64),
        ] as [[UInt8]])
    func badVarints(bytes: [UInt8]) {
        #expect(throws: FormatError.self) { try readAll(bytes) { (r) throws(FormatError) in try r.varint() } }
    }

    @Test(
        "Signed varints are zigzag",
        arguments: [(0, [0]), (-1, [1]), (1, [2]), (-64, [0x7F]), (64, [0x80, 1])] as [(Int64, [UInt8])])
    func zigzag(value: Int64, bytes: [UInt8]) throws {
        var writer = ByteWriter()
        writer.putSvarint(value)
        #expect(writer.bytes == bytes)
        #expect(try readAll(bytes) { (r) throws(FormatError) in try r.svarint() } == value)
    }

    @Test("Every number comes back, signed or not")
    func numbers() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        for value in [0, .max, 1 << 63] + (0..<2000).map({ _ in generator.next() >> (generator.next() % 64) })
        {
            var writer = ByteWriter()
            writer.putVarint(value)
            writer.putSvarint(Int64(bitPattern: value))
            let read = try readAll(writer.bytes) { (r) throws(FormatError) in
                (try r.varint(), try r.svarint())
            }
            #expect(read.0 == value && read.1 == Int64(bitPattern: value), "seed \(seed)")
        }
    }

    @Test(
        "Maps whose keys are out of order or occur twice are refused, as are counts beyond the bytes",
        arguments: [
            [2, 1, 0x62, 0, 1, 0x61, 0], [2, 1, 0x61, 0, 1, 0x61, 0], [2, 0, 0, 0, 0],
            [2, 1, 0x61, 0, 0, 0], [3, 1, 0x61, 0], [0xFF, 0xFF, 3, 0, 0], [1, 1, 0xFF, 0], [1, 1, 0x61],
            [UInt8](repeating: 0xFF, count: 9) + [1],
        ] as [[UInt8]])
    func badMaps(bytes: [UInt8]) {
        #expect(throws: FormatError.self) {
            try readAll(bytes) { (r) throws(FormatError) in try r.metadata() }
        }
    }

    @Test("A map may take 65,536 bytes with its count, and not one more", arguments: [0, 1])
    func mapLimit(excess: Int) throws {
        // Count, key's length, key, three bytes of the value's length.
        let map = ["k": String(repeating: "v", count: 65_536 - 6 + excess)]
        var writer = ByteWriter()
        writer.putMetadata(map)
        #expect(writer.count == 65_536 + excess)
        if excess == 0 {
            #expect(try readAll(writer.bytes) { (r) throws(FormatError) in try r.metadata() } == map)
        } else {
            #expect(throws: FormatError.self) {
                try readAll(writer.bytes) { (r) throws(FormatError) in try r.metadata() }
            }
        }
    }

    @Test("Keys are ordered by their bytes, whatever letters they are")
    func mapOrder() throws {
        var writer = ByteWriter()
        writer.putMetadata(["é": "1", "z": "2", "Z": "3", "": "4", "zz": "5"])
        let keys = try readAll(writer.bytes) { (r) throws(FormatError) in
            var keys: [String] = []
            for _ in 0..<(try r.count(itemBytes: 2)) {
                keys.append(try r.string(max: 9))
                _ = try r.string(max: 9)
            }
            return keys
        }
        #expect(keys == ["", "Z", "z", "zz", "é"])
    }

    @Test("UUIDs come back from their text, in either case, and other text gives none")
    func uniqueIDs() {
        let text = "00112233-4455-6677-8899-aabbccddeeff"
        let id = UniqueID(text)
        #expect(id?.bytes == (0..<16).map { UInt8($0 * 0x11) })
        #expect(id?.description == text)
        #expect(UniqueID(text.uppercased()) == id)
        for bad in [
            "", text + "0", String(text.dropLast()), text.replacing("-", with: ""),
            text.replacing("f", with: "g"),
            "{" + text + "}", text.replacing("-", with: "_"), "٠٠112233-4455-6677-8899-aabbccddeeff",
            "001122334-455-6677-8899-aabbccddeeff",
        ] {
            #expect(UniqueID(bad) == nil, "\(bad)")
        }
        var generator = SeededGenerator(1)
        let random = UniqueID(low: generator.next(), high: generator.next())
        #expect(UniqueID(random.description) == random)
        let made = UniqueID(random: [UInt8](repeating: 0xFF, count: 16))?.description
        #expect(made == "ffffffff-ffff-4fff-bfff-ffffffffffff")
        #expect(UniqueID(random: [UInt8](repeating: 0, count: 15)) == nil)
    }

    @Test(
        "Names of segments have the digits that the pages say, and more where needed",
        arguments: [
            (
                SegmentName(baseSequence: 0, ordinal: 1, generation: 0),
                "00000000000000000000-0000000001-00.seg"
            ),
            (
                SegmentName(baseSequence: .max, ordinal: 9_999_999_999, generation: 99),
                "18446744073709551615-9999999999-99.seg"
            ),
            (
                SegmentName(baseSequence: 42, ordinal: .max, generation: .max),
                "00000000000000000042-18446744073709551615-4294967295.seg"
            ),
        ])
    func segmentNames(name: SegmentName, text: String) { #expect(name.fileName == text) }

    @Test("All zeros are told from a single bit, wherever it is", arguments: [0, 1, 7, 8, 9, 64, 100])
    func zeros(count: Int) {
        var bytes = [UInt8](repeating: 0, count: count)
        #expect(bytes.withUnsafeBytes { allZero($0) })
        for bit in 0..<count * 8 {
            bytes[bit / 8] = 1 << (bit % 8)
            #expect(!bytes.withUnsafeBytes { allZero($0) })
            bytes[bit / 8] = 0
        }
    }
}
