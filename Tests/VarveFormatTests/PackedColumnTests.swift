import Testing

@testable import VarveFormat

/// SplitMix64: the same numbers from the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// A column as the specification says, bit by bit and in wide integers: nil where that calls it damage.
private func modelDecode(_ bytes: [UInt8], count: Int, range: ClosedRange<Int64>) -> [Int64]? {
    var rest = bytes[...]
    func varint() -> UInt64? {
        var value = UInt64(0)
        for place in 0..<10 {
            guard let byte = rest.popFirst() else { return nil }
            if place == 9, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << UInt64(place * 7)
            if byte < 0x80 { return byte == 0 && place > 0 ? nil : value }
        }
        return nil
    }
    func svarint() -> Int64? { varint().map { Int64(bitPattern: $0 >> 1) ^ -Int64(bitPattern: $0 & 1) } }
    guard let mode = rest.popFirst(), mode <= 2, let base = svarint() else { return nil }
    var values: [Int64] = []
    if mode == 0 {
        values = Array(repeating: base, count: count)
    } else {
        guard let unit = varint(), unit > 0, let width = rest.popFirst(), width <= 64 else { return nil }
        var leastDelta: Int64 = 0
        if mode == 2 {
            guard let delta = svarint() else { return nil }
            leastDelta = delta
            values.append(base)
        }
        let bits = rest.flatMap { byte in (0..<8).map { byte >> UInt8($0) & 1 } }
        let numbers = mode == 2 ? count - 1 : count
        guard rest.count == (numbers * Int(width) + 7) / 8 else { return nil }
        guard bits.dropFirst(numbers * Int(width)).allSatisfy({ $0 == 0 }) else { return nil }
        rest = []
        for number in 0..<numbers {
            var packed = UInt64(0)
            for bit in 0..<Int(width) { packed |= UInt64(bits[number * Int(width) + bit]) << UInt64(bit) }
            let (high, low) = unit.multipliedFullWidth(by: packed)
            guard high == 0 else { return nil }
            let added = Int128(low)
            if mode == 1 {
                guard let value = Int64(exactly: Int128(base) + added) else { return nil }
                values.append(value)
            } else {
                guard let step = Int64(exactly: Int128(leastDelta) + added),
                    let value = Int64(exactly: Int128(values[number]) + Int128(step))
                else { return nil }
                values.append(value)
            }
        }
    }
    return rest.isEmpty && values.allSatisfy(range.contains) ? values : nil
}

private func encode(_ values: [Int64]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: PackedColumn.bytesMax(values.count)) { target, count in
        values.withUnsafeBufferPointer { source in
            guard let from = source.baseAddress, let to = target.baseAddress else { return }
            count = PackedColumn.encode(from, count: values.count, into: to)
        }
    }
}

/// Decodes from memory that ends with the bytes, as a sanitizer would see it.
private func decode<Element: PackedElement>(
    _ bytes: [UInt8], count: Int, range: ClosedRange<Int64>, as _: Element.Type, rows: Range<Int>? = nil
) throws(FormatError) -> [Element] {
    let target = UnsafeMutablePointer<Element>.allocate(capacity: count)
    defer { target.deallocate() }
    // What was there before is no value.
    target.initialize(repeating: Element(packed: -1), count: count)
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: bytes)
    var reader = ByteReader(UnsafeRawBufferPointer(exact), "a column")
    try PackedColumn.decode(&reader, count: count, range: range, into: target, rows: rows)
    try reader.finish()
    let rows = rows ?? 0..<count
    return Array(UnsafeBufferPointer(start: target + rows.lowerBound, count: rows.count))
}

private func decode(_ bytes: [UInt8], count: Int) throws(FormatError) -> [Int64] {
    try decode(bytes, count: count, range: .min ... .max, as: Int64.self)
}

@Suite("Packed columns")
struct PackedColumnTests {
    @Test(
        "Columns take the bytes that the specification gives them",
        arguments: [
            ([5], [0, 10]),
            ([-1, -1, -1], [0, 1]),
            // Base 10, unit 5, width 2, numbers 0 3 1 2.
            ([10, 25, 15, 20], [1, 20, 5, 2, 0b1001_1100]),
            // A straight line: no number takes a bit.
            ([0, 7, 14, 21, 28, 35, 42, 49], [2, 0, 1, 0, 14]),
            // The whole range: base least, unit greatest - least.
            (
                [.min, .max],
                [1] + [UInt8](repeating: 0xFF, count: 9) + [1] + [UInt8](repeating: 0xFF, count: 9) + [
                    1, 1, 2,
                ]
            ),
        ] as [([Int64], [UInt8])])
    func bytes(values: [Int64], expected: [UInt8]) throws {
        #expect(encode(values) == expected)
        #expect(try decode(expected, count: values.count) == values)
    }

    @Test("Columns of every width, unit and shape come back", arguments: 0...64)
    func everyWidth(width: Int) throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        for shape in 0..<12 {
            let count = [1, 2, 3, 8, 63, 64, 65, 200].randomElement(using: &generator) ?? 1
            let mask = width == 0 ? 0 : UInt64.max >> UInt64(64 - width)
            let unit = shape % 3 == 0 ? 1 : UInt64.random(in: 1...(1 << 40), using: &generator)
            let start = Int64.random(in: .min ... .max, using: &generator)
            var value = start
            var values: [Int64] = []
            for _ in 0..<count {
                let number = Int64(bitPattern: (generator.next() & mask) &* unit)
                value = shape % 2 == 0 ? start &+ number : value &+ number
                values.append(value)
            }
            let packed = encode(values)
            #expect(packed.count <= PackedColumn.bytesMax(count))
            #expect(try decode(packed, count: count) == values, "seed \(seed), shape \(shape)")
            #expect(
                modelDecode(packed, count: count, range: .min ... .max) == values,
                "seed \(seed), shape \(shape)")
            let low = Int.random(in: 0...count, using: &generator)
            for rows in [low..<Int.random(in: low...count, using: &generator), 0..<low, low..<count] {
                let part = try decode(
                    packed, count: count, range: .min ... .max, as: Int64.self, rows: rows)
                #expect(part == Array(values[rows]), "seed \(seed), shape \(shape), rows \(rows)")
                // No value but those that are wanted is looked at.
                guard let least = values.min(), let most = values.max() else { continue }
                let same = try decode(packed, count: count, range: least...most, as: Int64.self, rows: rows)
                #expect(same == part, "seed \(seed), shape \(shape), rows \(rows)")
            }
        }
    }

    @Test(
        "Extremes come back",
        arguments: [
            [.min], [.max], [.min, .max], [.max, .min], [.min, .max, .min, .max, 0], [.min, 0, .max],
            [0, .min],
            [-1, .max], [.max, .max, .min], [.min, .min + 1, .max - 1, .max], [0, 1 << 62, -1 << 62],
        ] as [[Int64]])
    func extremes(values: [Int64]) throws {
        let packed = encode(values)
        #expect(try decode(packed, count: values.count) == values)
        #expect(modelDecode(packed, count: values.count, range: .min ... .max) == values)
    }

    @Test("Steady timestamps cost less than one byte an event, and jitter in whole microseconds two")
    func sizes() {
        let steady = (0..<1000).map { 1_700_000_000_000_000_000 + Int64($0) * 1_000_000 }
        #expect(encode(steady).count < 32)
        let jittery = (0..<1000).map { steady[$0] + Int64($0 * 7919 % 1000) * 1000 }
        #expect(encode(jittery).count < 2000)
    }

    @Test("A divisor that all values share is taken out, whether odd, even or huge")
    func units() throws {
        for unit in [3, 4, 10, 1000, 1 << 40, 999_999_937, 1_000_000_000] as [Int64] {
            let values = (0..<100).map { 17 + unit * Int64($0 * 37 % 101) }
            let packed = encode(values)
            #expect(packed.count < 32 + 100)
            #expect(try decode(packed, count: 100) == values)
        }
    }

    @Test("Unsigned elements come back, to the ends of their range")
    func unsigned() throws {
        let small: [Int64] = [0, 1, 4_294_967_295, 77]
        #expect(
            try decode(encode(small), count: 4, range: 0...4_294_967_295, as: UInt32.self)
                == [0, 1, 4_294_967_295, 77])
        let indices: [UInt64] = [0, .max, 1, 1 << 63, .max - 1]
        let packed = encode(indices.map { Int64(bitPattern: $0 ^ 1 << 63) })
        #expect(try decode(packed, count: 5, range: .min ... .max, as: UInt64.self) == indices)
    }

    @Test(
        "Values outside the range are refused, by whichever mode they come",
        arguments: [
            ([6, 6], 5), ([0, 6, 1], 5), ([0, 1, 2, 3, 4, 5, 6], 5), ([-1, 0], 5), ([0, 5, -1], 5),
            ([1 << 32, 0], 4_294_967_295), ([1 << 32, (1 << 32) + 5], 10), ([.max, 0], 4_294_967_295),
        ] as [([Int64], Int64)])
    func range(values: [Int64], upper: Int64) {
        #expect(throws: FormatError.self) {
            try decode(encode(values), count: values.count, range: 0...upper, as: UInt32.self)
        }
    }

    @Test(
        "Damage is refused",
        arguments: [
            // Unknown mode; unit 0; width 65; unused bits set; too few bytes; cut at each field.
            ([3, 0], 1), ([1, 0, 0, 1, 0], 2), ([1, 0, 1, 65, 0, 0], 2), ([1, 0, 1, 1, 4], 2),
            ([1, 0, 1, 8, 1], 2),
            ([], 1), ([0], 1), ([1, 0], 1), ([1, 0, 1], 1), ([2, 0, 1, 0], 2),
            // Too many bytes.
            ([0, 0, 0], 1), ([1, 0, 1, 1, 0, 0], 2),
            // A step, and only then the value, beyond i64: 1 more than the greatest from a base of -2.
            ([2, 3, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1], 2),
            // Unit 2^63 times 2.
            ([1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 2, 2], 1),
        ] as [([UInt8], Int)])
    func damage(bytes: [UInt8], count: Int) {
        #expect(throws: FormatError.self) { try decode(bytes, count: count) }
        #expect(modelDecode(bytes, count: count, range: .min ... .max) == nil)
    }

    @Test("Hostile bytes give what a model of the specification gives, or are refused like there")
    func hostile() {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        var accepted = 0
        for round in 0..<6000 {
            let count = Int.random(in: 1...40, using: &generator)
            let width = UInt64.random(in: 0...63, using: &generator)
            let start = Int64.random(in: .min ... .max, using: &generator) >> Int64(width)
            var bytes = encode((0..<count).map { _ in start &+ Int64(bitPattern: generator.next() >> width) })
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                let place = Int.random(in: 0..<min(bytes.count, 24), using: &generator)
                bytes[place] = UInt8.random(in: .min ... .max, using: &generator)
            }
            let range: ClosedRange<Int64> = round % 2 == 0 ? .min ... .max : 0...1_000_000
            let model = modelDecode(bytes, count: count, range: range)
            let wide = try? decode(bytes, count: count, range: range, as: Int64.self)
            #expect(wide == model, "seed \(seed), round \(round): \(bytes)")
            if range.lowerBound == 0 {
                let narrow = try? decode(bytes, count: count, range: range, as: UInt32.self)
                #expect(narrow?.map(Int64.init) == model, "seed \(seed), round \(round): \(bytes)")
            }
            accepted += model == nil ? 0 : 1
        }
        #expect(accepted > 100 && accepted < 5900, "seed \(seed): the mutations test nothing")
    }
}
