/// A packed column of integers (`Formats/segment.md#packed-column`).
enum PackedColumn {
    private enum Mode: UInt8 {
        case constant = 0
        case offset = 1
        case delta = 2
    }

    private static let what = "a packed column"

    /// Bytes that a column of `count` values takes at most.
    static func bytesMax(_ count: Int) -> Int { 32 + 8 * count }

    // MARK: Encoding

    /// Packs the `count` values, at least one, at `target`, which has room for `bytesMax(count)`; returns the
    /// bytes written. O(count).
    static func encode(
        _ values: UnsafePointer<Int64>, count: Int, into target: UnsafeMutableRawPointer
    ) -> Int {
        precondition(count > 0)
        var (least, greatest, previous) = (values[0], values[0], values[0])
        var (leastDelta, greatestDelta, overflow) = (Int64.max, Int64.min, Int64(0))
        for position in 1..<max(count, 1) {
            let value = values[position]
            let delta = value &- previous
            // The sign bit is set when value and previous differ in sign, and delta and value do too.
            overflow |= (value ^ previous) & (value ^ delta)
            least = min(least, value)
            greatest = max(greatest, value)
            leastDelta = min(leastDelta, delta)
            greatestDelta = max(greatestDelta, delta)
            previous = value
        }
        var cursor = target
        if least == greatest {
            put(Mode.constant.rawValue, &cursor)
            put(svarint: least, &cursor)
            return cursor - target
        }
        let range = UInt64(bitPattern: greatest &- least)
        let unit = commonDivisor(count, greatest: range) { UInt64(bitPattern: values[$0] &- least) }
        let width = bits(range / unit)
        let bytes = headBytes(base: least, unit: unit) + packedBytes(count, width)
        if overflow >= 0 {
            let deltaRange = UInt64(bitPattern: greatestDelta &- leastDelta)
            let deltaUnit = commonDivisor(count - 1, greatest: deltaRange) { position in
                UInt64(bitPattern: values[position + 1] &- values[position] &- leastDelta)
            }
            let deltaWidth = bits(deltaRange / deltaUnit)
            let deltaBytes =
                headBytes(base: values[0], unit: deltaUnit) + varintBytes(zigzag(leastDelta))
                + packedBytes(count - 1, deltaWidth)
            if deltaBytes < bytes {
                put(Mode.delta.rawValue, &cursor)
                put(svarint: values[0], &cursor)
                put(varint: deltaUnit, &cursor)
                put(UInt8(deltaWidth), &cursor)
                put(svarint: leastDelta, &cursor)
                let divisor = ExactDivisor(deltaUnit)
                pack(count - 1, width: deltaWidth, &cursor) { position in
                    let delta = values[position + 1] &- values[position]
                    return divisor.divide(UInt64(bitPattern: delta &- leastDelta))
                }
                return cursor - target
            }
        }
        put(Mode.offset.rawValue, &cursor)
        put(svarint: least, &cursor)
        put(varint: unit, &cursor)
        put(UInt8(width), &cursor)
        let divisor = ExactDivisor(unit)
        pack(count, width: width, &cursor) { divisor.divide(UInt64(bitPattern: values[$0] &- least)) }
        return cursor - target
    }

    /// The greatest common divisor of `greatest`, which is one of the numbers or the difference of two, and
    /// all the numbers; 1 when all are 0.
    @inline(__always)
    private static func commonDivisor(_ count: Int, greatest: UInt64, _ number: (Int) -> UInt64) -> UInt64 {
        var unit = greatest
        var position = 0
        while unit > 1 {
            let divisor = ExactDivisor(unit)
            while position < count, divisor.divides(number(position)) { position += 1 }
            if position == count { return unit }
            unit = gcd(unit, number(position))
        }
        return 1
    }

    private static func gcd(_ a: UInt64, _ b: UInt64) -> UInt64 {
        var (a, b) = (a, b)
        while a != 0 { (a, b) = (b % a, a) }
        return b
    }

    private static func bits(_ value: UInt64) -> Int { 64 - value.leadingZeroBitCount }

    private static func packedBytes(_ count: Int, _ width: Int) -> Int { (count * width + 7) / 8 }

    private static func headBytes(base: Int64, unit: UInt64) -> Int {
        2 + varintBytes(zigzag(base)) + varintBytes(unit)
    }

    private static func varintBytes(_ value: UInt64) -> Int { (max(bits(value), 1) + 6) / 7 }

    private static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

    private static func put(_ byte: UInt8, _ cursor: inout UnsafeMutableRawPointer) {
        cursor.storeBytes(of: byte, as: UInt8.self)
        cursor += 1
    }

    private static func put(varint value: UInt64, _ cursor: inout UnsafeMutableRawPointer) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80, &cursor)
            rest >>= 7
        }
        put(UInt8(rest), &cursor)
    }

    private static func put(svarint value: Int64, _ cursor: inout UnsafeMutableRawPointer) {
        put(varint: zigzag(value), &cursor)
    }

    @inline(__always)
    private static func pack(
        _ count: Int, width: Int, _ cursor: inout UnsafeMutableRawPointer, _ number: (Int) -> UInt64
    ) {
        guard width > 0 else { return }
        var target = cursor
        var (word, filled) = (UInt64(0), 0)
        for position in 0..<count {
            let value = number(position)
            word |= value &<< UInt64(filled)
            filled += width
            if filled >= 64 {
                target.storeBytes(of: word.littleEndian, as: UInt64.self)
                target += 8
                filled -= 64
                // What of the value did not fit; all did when nothing is filled (then width may be 64).
                word = filled == 0 ? 0 : value &>> UInt64(width - filled)
            }
        }
        while filled > 0 {
            put(UInt8(truncatingIfNeeded: word), &target)
            word >>= 8
            filled -= 8
        }
        cursor = target
    }

    // MARK: Decoding

    /// Reads a column of `count` values, at least one, all in `range`, to `target`, which has room for them. `rows` are those that are
    /// wanted, all where nil: others may be left out, unread.
    ///
    /// Throws `FormatError` for anything else. O(count); reads nothing beyond the reader's bytes.
    static func decode<Element: PackedElement>(
        _ reader: inout ByteReader, count: Int, range: ClosedRange<Int64>,
        into target: UnsafeMutablePointer<Element>, rows: Range<Int>? = nil
    ) throws(FormatError) {
        let rows = rows ?? 0..<count
        precondition(
            count > 0 && rows.lowerBound >= 0 && rows.upperBound <= count
                && range.lowerBound >= Element.representable.lowerBound
                && range.upperBound <= Element.representable.upperBound)
        guard let mode = Mode(rawValue: try reader.u8()) else {
            throw .invalid(what, reason: "its mode is unknown")
        }
        let base = try reader.svarint()
        // Modes 0 and 2 have the base as a value; in mode 1 it is a lower bound.
        guard Safeguard.columnRange.isLeftOut || mode == .offset || range.contains(base) else {
            throw outOfRange()
        }
        if mode == .constant {
            (target + rows.lowerBound).update(repeating: Element(packed: base), count: rows.count)
            return
        }
        let unit = try reader.varint()
        guard unit >= 1 else { throw .invalid(what, reason: "its unit is 0") }
        let width = Int(try reader.u8())
        guard Safeguard.columnWidth.isLeftOut || width <= 64 else {
            throw .invalid(what, reason: "its width is over 64")
        }
        let leastDelta = mode == .delta ? try reader.svarint() : 0
        let packedCount = mode == .delta ? count - 1 : count
        let packed = try reader.take(packedBytes(packedCount, width))
        let usedBits = packedCount * width & 7
        if usedBits != 0, packed[packed.count - 1] >> UInt8(usedBits) != 0 {
            throw .invalid(what, reason: "unused bits are not zero")
        }
        let greatestNumber = width == 0 ? 0 : UInt64.max >> UInt64(64 - width)
        // The most that a number can add. When even that, everywhere, stays in bounds, no value needs a check
        // of its own.
        let (high, low) = unit.multipliedFullWidth(by: greatestNumber)
        let most = high == 0 ? Int128(low) : Int128.max >> 32
        let step = Int128(leastDelta)...Int128(leastDelta) + most
        let bounds: ClosedRange<Int128>
        if mode == .offset {
            bounds = Int128(base)...Int128(base) + most
        } else {
            let steps = Int128(packedCount)
            bounds =
                Int128(base) + min(0, steps * step.lowerBound)...Int128(base)
                + max(0, steps * step.upperBound)
        }
        let fits =
            Int128(Element.representable.lowerBound) <= bounds.lowerBound
            && bounds.upperBound <= Int128(Element.representable.upperBound)
            && step.upperBound <= Int128(Int64.max)
        guard fits else {
            try decodeChecked(
                packed, mode, count: count, width: width, base: base, unit: unit, leastDelta: leastDelta,
                range: range, into: target)
            return
        }
        let wrappingUnit = Int64(bitPattern: unit)
        if mode == .offset {
            unpack(packed, rows, width) { position, number in
                target[position] = Element(packed: base &+ wrappingUnit &* Int64(bitPattern: number))
            }
        } else {
            target[0] = Element(packed: base)
            let rest = target + 1
            var value = base
            // Each value is needed for the next one.
            unpack(packed, 0..<max(rows.upperBound - 1, 0), width) { position, number in
                value &+= leastDelta &+ wrappingUnit &* Int64(bitPattern: number)
                rest[position] = Element(packed: value)
            }
        }
        if bounds.lowerBound < Int128(range.lowerBound) || bounds.upperBound > Int128(range.upperBound),
            let first = rows.first
        {
            var (least, greatest) = (target[first], target[first])
            for position in rows {
                least = min(least, target[position])
                greatest = max(greatest, target[position])
            }
            let outside =
                least < Element(packed: range.lowerBound) || greatest > Element(packed: range.upperBound)
            if outside, !Safeguard.columnRange.isLeftOut { throw outOfRange() }
        }
    }

    private static func outOfRange() -> FormatError { .invalid(what, reason: "a value is out of range") }

    /// For columns whose numbers could overflow: checks every value.
    private static func decodeChecked<Element: PackedElement>(
        _ packed: UnsafeRawBufferPointer, _ mode: Mode, count: Int, width: Int, base: Int64, unit: UInt64,
        leastDelta: Int64, range: ClosedRange<Int64>, into target: UnsafeMutablePointer<Element>
    ) throws(FormatError) {
        var bad = false
        if mode == .offset {
            unpack(packed, 0..<count, width) { position, number in
                let (value, valid) = sum(base, unit, number)
                bad = bad || !valid || !range.contains(value)
                target[position] = Element(packed: value)
            }
        } else {
            target[0] = Element(packed: base)
            var current = base
            unpack(packed, 0..<count - 1, width) { position, number in
                let (step, valid) = sum(leastDelta, unit, number)
                let (value, overflow) = current.addingReportingOverflow(step)
                bad = bad || !valid || overflow || !range.contains(value)
                current = value
                target[position + 1] = Element(packed: value)
            }
        }
        if bad, !Safeguard.columnRange.isLeftOut { throw outOfRange() }
    }

    /// `start + unit x number`, and whether it is an `Int64`.
    @inline(__always)
    private static func sum(_ start: Int64, _ unit: UInt64, _ number: UInt64) -> (Int64, Bool) {
        let (product, overflow) = unit.multipliedReportingOverflow(by: number)
        let value = start &+ Int64(bitPattern: product)
        // The sum of a start and a number below 2^64 is too large exactly when it wraps to below the start.
        return (value, !overflow && value >= start)
    }

    /// Calls `body` with the numbers at `positions` of those of `width` bits in `packed`, which are all there.
    @inline(__always)
    private static func unpack(
        _ packed: UnsafeRawBufferPointer, _ positions: Range<Int>, _ width: Int, _ body: (Int, UInt64) -> Void
    ) {
        guard width > 0, let bytes = packed.baseAddress else {
            for position in positions { body(position, 0) }
            return
        }
        let (first, end) = (positions.lowerBound, positions.upperBound)
        let mask = UInt64.max >> UInt64(64 - width)
        // A number of at most 57 bits lies within the 8 bytes that start at its first bit's byte.
        let loadable =
            width <= 57 && packed.count >= 8
            ? max(first, min(end, ((packed.count - 8) * 8 + 7) / width + 1)) : first
        var bit = first * width
        for position in first..<loadable {
            // SAFETY: position is bounded so that bit / 8 + 8 <= packed.count.
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: bit &>> 3, as: UInt64.self))
            body(position, word &>> UInt64(bit & 7) & mask)
            bit &+= width
        }
        for position in loadable..<end {
            var (number, have) = (UInt64(0), 0)
            while have < width {
                let byte = UInt64(packed[bit >> 3]) >> UInt64(bit & 7)
                number |= byte << UInt64(have)
                let taken = min(8 - bit & 7, width - have)
                have += taken
                bit += taken
            }
            body(position, number & mask)
        }
    }
}

/// Division of multiples of a number by it, by multiplication.
private struct ExactDivisor {
    private let shift: UInt64
    private let inverse: UInt64
    private let greatestQuotient: UInt64

    init(_ divisor: UInt64) {
        greatestQuotient = .max / divisor
        shift = UInt64(divisor.trailingZeroBitCount)
        let odd = divisor >> shift
        // Newton's steps double the valid bits of odd's inverse modulo 2^64; odd itself has three.
        var inverse = odd
        for _ in 0..<5 { inverse &*= 2 &- odd &* inverse }
        self.inverse = inverse
    }

    @inline(__always)
    func divide(_ multiple: UInt64) -> UInt64 { (multiple &>> shift) &* inverse }

    /// Multiplication by the inverse, and rotation by the shift, permute the numbers so that the multiples
    /// come first.
    @inline(__always)
    func divides(_ number: UInt64) -> Bool {
        let product = number &* inverse
        return product &>> shift | product &<< (64 &- shift) <= greatestQuotient
    }
}

/// A type into which a column can be decoded.
protocol PackedElement: Comparable {
    /// The column's values that the type can hold.
    static var representable: ClosedRange<Int64> { get }
    /// The element for a value that is representable; any element for another.
    init(packed: Int64)
}

extension Int64: PackedElement {
    static var representable: ClosedRange<Int64> { .min ... .max }
    @inline(__always) init(packed: Int64) { self = packed }
}

extension UInt32: PackedElement {
    static var representable: ClosedRange<Int64> { 0...Int64(UInt32.max) }
    @inline(__always) init(packed: Int64) { self.init(truncatingIfNeeded: packed) }
}

extension UInt64: PackedElement {
    static var representable: ClosedRange<Int64> { .min ... .max }
    /// Columns hold the number with the highest bit flipped, which keeps the order.
    @inline(__always) init(packed: Int64) { self = UInt64(bitPattern: packed) ^ 1 << 63 }
}
