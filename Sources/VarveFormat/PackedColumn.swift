/// Columns of numbers, bit-packed. `Formats/segment.md#packed-column`.
public enum PackedColumn {
    enum Mode: UInt8 {
        case constant = 0
        case offset = 1
        case delta = 2
    }

    /// The most bytes that a column of `count` values takes.
    public static func byteCountMax(_ count: Int) -> Int { 40 + count * 8 }

    // MARK: Encoding

    /// Writes the column to `output`, which has `byteCountMax` bytes; returns its length. O(count).
    ///
    /// `scratch` has room for `count` numbers.
    public static func encode(
        _ values: UnsafePointer<Int64>, count: Int, into output: UnsafeMutableRawPointer,
        scratch: UnsafeMutablePointer<UInt64>
    ) -> Int {
        var smallest = values[0]
        var largest = values[0]
        var leastDelta = Int64.max
        var greatestDelta = Int64.min
        var deltasOverflow = false
        var previous = values[0]
        for position in 1..<max(count, 1) {
            let value = values[position]
            if value < smallest { smallest = value }
            if value > largest { largest = value }
            let (delta, overflow) = value.subtractingReportingOverflow(previous)
            deltasOverflow = deltasOverflow || overflow
            if delta < leastDelta { leastDelta = delta }
            if delta > greatestDelta { greatestDelta = delta }
            previous = value
        }
        var writer = RawWriter(output)
        if smallest == largest {
            writer.put(Mode.constant.rawValue)
            writer.putSvarint(smallest)
            return writer.count
        }
        let offsetSpan = UInt64(bitPattern: largest &- smallest)
        let deltaSpan = UInt64(bitPattern: greatestDelta &- leastDelta)
        let offsetWidth = 64 - offsetSpan.leadingZeroBitCount
        let deltaWidth = 64 - deltaSpan.leadingZeroBitCount
        // The common divisor costs a division a value: it is looked for where it can pay.
        let usesDelta = !deltasOverflow && deltaWidth * (count - 1) + 64 < offsetWidth * count
        if usesDelta {
            for position in 1..<count {
                scratch[position - 1] = UInt64(bitPattern: values[position] &- values[position - 1] &- leastDelta)
            }
        } else {
            for position in 0..<count { scratch[position] = UInt64(bitPattern: values[position] &- smallest) }
        }
        let packed = usesDelta ? count - 1 : count
        let unit = max(divisor(scratch, packed), 1)
        if unit > 1 {
            for position in 0..<packed { scratch[position] /= unit }
        }
        let span = (usesDelta ? deltaSpan : offsetSpan) / unit
        let width = 64 - span.leadingZeroBitCount
        writer.put(usesDelta ? Mode.delta.rawValue : Mode.offset.rawValue)
        writer.putSvarint(usesDelta ? values[0] : smallest)
        writer.putVarint(unit)
        writer.put(UInt8(width))
        if usesDelta { writer.putSvarint(leastDelta) }
        pack(scratch, packed, width: width, to: &writer)
        return writer.count
    }

    /// The greatest common divisor; stops looking once it is 1.
    private static func divisor(_ values: UnsafePointer<UInt64>, _ count: Int) -> UInt64 {
        var result: UInt64 = 0
        for position in 0..<count {
            var value = values[position]
            if value == 0 { continue }
            if result != 0, value % result == 0 { continue }
            while value != 0 { (result, value) = (value, result % value) }
            if result == 1 { return 1 }
        }
        return result
    }

    private static func pack(_ values: UnsafePointer<UInt64>, _ count: Int, width: Int, to writer: inout RawWriter) {
        guard width > 0 else { return }
        var pending: UInt64 = 0
        var filled = 0
        for position in 0..<count {
            let value = values[position]
            pending |= value << UInt64(filled)
            let total = filled &+ width
            if total >= 64 {
                writer.put(pending)
                filled = total &- 64
                pending = filled == 0 ? 0 : value >> UInt64(width &- filled)
            } else {
                filled = total
            }
        }
        while filled > 0 {
            writer.put(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            filled -= 8
        }
    }

    // MARK: Decoding

    /// Reads a column of `count` values (at least 1) into `output`.
    public static func decode(
        from reader: inout ByteReader, count: Int, into output: UnsafeMutablePointer<Int64>
    ) throws(FormatError) {
        let what = "a packed column"
        guard let mode = Mode(rawValue: try reader.u8()) else { throw .invalid(what, reason: "its mode is unknown") }
        let base = try reader.svarint()
        if mode == .constant {
            for position in 0..<count { output[position] = base }
            return
        }
        let unit = try reader.varint()
        let width = Int(try reader.u8())
        guard unit >= 1, width <= 64 else { throw .invalid(what, reason: "its unit is 0, or its width over 64") }
        let leastDelta = mode == .delta ? try reader.svarint() : 0
        let packedCount = mode == .delta ? count - 1 : count
        let bytes = try reader.take((packedCount * width + 7) / 8)
        let unusedBits = bytes.count * 8 - packedCount * width
        if unusedBits > 0, let last = bytes.last, last >> UInt8(8 - unusedBits) != 0 {
            throw .invalid(what, reason: "its unused bits are not zero")
        }
        // The largest number that the width allows decides, once, whether the loop must check.
        let packedMax = width == 64 ? UInt64.max : (1 << UInt64(width)) - 1
        let (stepMax, stepOverflow) = packedMax.multipliedReportingOverflow(by: unit)
        let isSafe: Bool
        switch mode {
        case .offset: isSafe = !stepOverflow && stepMax <= UInt64(bitPattern: Int64.max &- base)
        default:
            let bound = Int64.max / Int64(max(count, 1)) / 4
            isSafe =
                !stepOverflow && stepMax < UInt64(bound) && leastDelta.magnitude < UInt64(bound)
                && base.magnitude < UInt64(Int64.max / 2)
        }
        if isSafe {
            unpack(bytes, packedCount, width: width) { position, packed in
                output[position] = Int64(bitPattern: packed &* unit)
            }
            if mode == .offset {
                for position in 0..<count { output[position] &+= base }
            } else {
                var value = base
                var position = packedCount
                // Move up by one: the first value is the base.
                while position > 0 {
                    output[position] = output[position - 1]
                    position -= 1
                }
                output[0] = base
                for position in 1..<max(count, 1) {
                    value &+= leastDelta &+ output[position]
                    output[position] = value
                }
            }
            return
        }
        var value = base
        var isOutside = false
        if mode == .delta { output[0] = base }
        unpack(bytes, packedCount, width: width) { position, packed in
            let (product, overflow) = packed.multipliedReportingOverflow(by: unit)
            let from = mode == .offset ? base : leastDelta
            // `from + product` is in range exactly when the product is at most the way from `from` to the top.
            if overflow || product > UInt64(bitPattern: Int64.max &- from) {
                isOutside = true
                return
            }
            let step = Int64(bitPattern: UInt64(bitPattern: from) &+ product)
            if mode == .offset {
                output[position] = step
            } else {
                let (sum, overflow) = value.addingReportingOverflow(step)
                isOutside = isOutside || overflow
                value = sum
                output[position + 1] = sum
            }
        }
        guard !isOutside else { throw .invalid(what, reason: "a value leaves 64 bits") }
    }

    /// Hands each packed number to `body`.
    @inline(__always)
    private static func unpack(
        _ bytes: UnsafeRawBufferPointer, _ count: Int, width: Int, _ body: (Int, UInt64) -> Void
    ) {
        guard width > 0, let base = bytes.baseAddress else {
            for position in 0..<count { body(position, 0) }
            return
        }
        let mask = width == 64 ? UInt64.max : (1 << UInt64(width)) &- 1
        var position = 0
        var bit = 0
        if width <= 56 {
            // SAFETY: eight bytes are loaded only where eight bytes remain.
            let lastByte = bytes.count - 8
            while position < count, bit >> 3 <= lastByte {
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: bit >> 3, as: UInt64.self))
                body(position, (word >> UInt64(bit & 7)) & mask)
                position &+= 1
                bit &+= width
            }
        }
        while position < count {
            var value: UInt64 = 0
            var have = 0
            var byte = bit >> 3
            var skip = bit & 7
            while have < width {
                value |= UInt64(bytes[byte] >> UInt8(skip)) << UInt64(have)
                have += 8 - skip
                skip = 0
                byte += 1
            }
            body(position, value & mask)
            position &+= 1
            bit &+= width
        }
    }
}

/// Writes to memory that was reserved for the most there can be.
struct RawWriter {
    private let base: UnsafeMutableRawPointer
    private(set) var count = 0

    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    mutating func put(_ value: UInt8) {
        base.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always)
    mutating func put(_ value: UInt64) {
        base.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt64.self)
        count &+= 8
    }

    mutating func putVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        put(UInt8(rest))
    }

    mutating func putSvarint(_ value: Int64) { putVarint(UInt64(bitPattern: value << 1 ^ value >> 63)) }
}
