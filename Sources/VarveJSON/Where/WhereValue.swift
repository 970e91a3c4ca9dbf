/// What an operand is for one event. Bytes belong to the program, the document or the evaluator's memory, and
/// stay until the row is done.
struct WhereValue {
    enum Kind: UInt8 {
        case missing, null, bool
        /// Whole numbers: signed, or beyond that unsigned, or beyond 64 bits by their digits.
        case int, uint, wide
        /// With a fraction or an exponent.
        case double
        case text
        /// `bits` is the node.
        case array, object
        /// Nanoseconds since 1970.
        case time
        /// Nanoseconds in 128 bits: `count` has the upper half.
        case duration
    }

    var kind: Kind
    /// The number, true as 1, a double's bits, or a node.
    var bits: UInt64 = 0
    /// A text, the digits of a wide number, or the text that a double was read from where it is known.
    var bytes: UnsafePointer<UInt8>?
    /// Of `bytes`. Of a double whose text is not known the node.
    var count = 0

    static var missing: WhereValue { WhereValue(kind: .missing) }

    static func int(_ value: Int64) -> WhereValue { WhereValue(kind: .int, bits: UInt64(bitPattern: value)) }

    /// A whole number that is not negative.
    static func unsigned(_ value: UInt64) -> WhereValue {
        WhereValue(kind: value > UInt64(Int64.max) ? .uint : .int, bits: value)
    }

    static func time(_ nanoseconds: Int64) -> WhereValue {
        WhereValue(kind: .time, bits: UInt64(bitPattern: nanoseconds))
    }

    static func duration(_ nanoseconds: Int128) -> WhereValue {
        WhereValue(
            kind: .duration, bits: UInt64(truncatingIfNeeded: nanoseconds),
            count: Int(truncatingIfNeeded: nanoseconds >> 64))
    }

    static func text(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> WhereValue {
        WhereValue(kind: .text, bytes: bytes, count: count)
    }

    var int: Int64 { Int64(bitPattern: bits) }
    var double: Double { Double(bitPattern: bits) }
    var duration: Int128 { Int128(count) << 64 | Int128(bits) }
    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: count) }

    var isNumber: Bool {
        switch kind {
        case .int, .uint, .wide, .double: true
        default: false
        }
    }
}

/// The order of two values of one type.
enum WhereOrder {
    case less, equal, greater

    @inline(__always)
    init<Number: Comparable>(_ left: Number, _ right: Number) {
        self = left < right ? .less : left > right ? .greater : .equal
    }

    var reversed: WhereOrder {
        switch self {
        case .less: .greater
        case .equal: .equal
        case .greater: .less
        }
    }

    @inline(__always)
    func fulfils(_ comparison: WhereComparison) -> Bool {
        switch comparison {
        case .equal: self == .equal
        case .less: self == .less
        case .lessOrEqual: self != .greater
        case .greater: self == .greater
        case .greaterOrEqual: self != .less
        }
    }
}

/// Numbers in order: exactly, whatever they are written as. A decimal is the double that it is nearest to.
enum WhereNumber {
    static func order(_ left: WhereValue, _ right: WhereValue) -> WhereOrder {
        switch (left.kind, right.kind) {
        case (.int, .int): return WhereOrder(left.int, right.int)
        case (.uint, .uint): return WhereOrder(left.bits, right.bits)
        case (.int, .uint): return .less
        case (.uint, .int): return .greater
        case (.double, .double): return WhereOrder(left.double, right.double)
        case (.int, .double): return order(left.int, right.double)
        case (.double, .int): return order(right.int, left.double).reversed
        case (.uint, .double): return order(left.bits, right.double)
        case (.double, .uint): return order(right.bits, left.double).reversed
        case (.wide, .wide): return order(digits: left.raw, right.raw)
        case (.wide, .double): return order(digits: left.raw, right.double)
        case (.double, .wide): return order(digits: right.raw, left.double).reversed
        // What is beyond 64 bits is beyond all that is not.
        case (.wide, _): return left.bytes?.pointee == UInt8(ascii: "-") ? .less : .greater
        default: return right.bytes?.pointee == UInt8(ascii: "-") ? .greater : .less
        }
    }

    private static func order(_ left: Int64, _ right: Double) -> WhereOrder {
        if right >= 0x1p63 { return .less }
        if right < -0x1p63 { return .greater }
        // It fits: what is cut off decides between equals.
        let whole = right.rounded(.towardZero)
        let number = Int64(whole)
        return left == number ? WhereOrder(whole, right) : WhereOrder(left, number)
    }

    private static func order(_ left: UInt64, _ right: Double) -> WhereOrder {
        if right >= 0x1p64 { return .less }
        if right < 0 { return .greater }
        let whole = right.rounded(.towardZero)
        let number = UInt64(whole)
        return left == number ? WhereOrder(whole, right) : WhereOrder(left, number)
    }

    /// Two whole numbers by their digits.
    private static func order(digits left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer)
        -> WhereOrder
    {
        let isNegative = left.first == UInt8(ascii: "-")
        if isNegative != (right.first == UInt8(ascii: "-")) { return isNegative ? .less : .greater }
        let a = left.drop { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "0") }
        let b = right.drop { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "0") }
        var result = WhereOrder(a.count, b.count)
        if result == .equal {
            result = a.elementsEqual(b) ? .equal : a.lexicographicallyPrecedes(b) ? .less : .greater
        }
        return isNegative ? result.reversed : result
    }

    private static func order(digits left: UnsafeRawBufferPointer, _ right: Double) -> WhereOrder {
        if right.isInfinite { return right > 0 ? .less : .greater }
        let isNegative = left.first == UInt8(ascii: "-")
        if abs(right) < 0x1p63 || isNegative != (right < 0) { return isNegative ? .less : .greater }
        // A double of this size is a whole number.
        return digits(of: right).withUnsafeBytes { order(digits: left, $0) }
    }

    /// The digits of a double of at least 2^53: mantissa times a power of two, doubled digit by digit.
    static func digits(of value: Double) -> [UInt8] {
        let magnitude = abs(value)
        var exponent = Int(magnitude.exponent) - 52
        var rest = magnitude.significandBitPattern | 1 << 52
        if exponent < 0 {
            rest >>= UInt64(-exponent)
            exponent = 0
        }
        // Nine digits to an element, the lowest first.
        var limbs: [UInt64] = []
        while rest > 0 {
            limbs.append(rest % 1_000_000_000)
            rest /= 1_000_000_000
        }
        while exponent > 0 {
            let shift = min(exponent, 29)
            var carry: UInt64 = 0
            for index in limbs.indices {
                let product = limbs[index] << UInt64(shift) + carry
                limbs[index] = product % 1_000_000_000
                carry = product / 1_000_000_000
            }
            if carry > 0 { limbs.append(carry) }
            exponent -= shift
        }
        var text: [UInt8] = value < 0 ? [UInt8(ascii: "-")] : []
        for (place, limb) in limbs.reversed().enumerated() {
            let digits = Array(String(limb).utf8)
            if place > 0 { text += [UInt8](repeating: 48, count: 9 - digits.count) }
            text += digits
        }
        return text
    }

    /// The number that a text is: `12`, `-3.5`, `1e3`, `0x154`, with white space of ASCII around it; missing
    /// for anything else.
    static func parse(_ text: UnsafeRawBufferPointer) -> WhereValue {
        guard var start = text.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .missing }
        var end = start + text.count
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte &- 9 <= 4 }
        while start < end, isSpace(start.pointee) { start += 1 }
        while start < end, isSpace((end - 1).pointee) { end -= 1 }
        let count = end - start
        guard count > 0 else { return .missing }
        if count > 2, start[0] == 48, start[1] | 0x20 == UInt8(ascii: "x") {
            return hexadecimal(start + 2, count - 2)
        }
        // SAFETY: every index below is less than `count`.
        let isNegative = start[0] == UInt8(ascii: "-")
        var index = isNegative ? 1 : 0
        let firstDigit = index
        var sum: UInt64 = 0
        var isWide = false
        while index < count, start[index] &- 48 <= 9 {
            let (product, overflow) = sum.multipliedReportingOverflow(by: 10)
            let (next, overflow2) = product.addingReportingOverflow(UInt64(start[index] - 48))
            isWide = isWide || overflow || overflow2
            sum = next
            index += 1
        }
        guard index > firstDigit else { return .missing }
        if index == count {
            if !isWide, !isNegative { return .unsigned(sum) }
            if !isWide, sum <= 1 << 63 { return WhereValue(kind: .int, bits: 0 &- sum) }
            return WhereValue(kind: .wide, bytes: start, count: count)
        }
        if start[index] == UInt8(ascii: ".") {
            index += 1
            let fraction = index
            while index < count, start[index] &- 48 <= 9 { index += 1 }
            guard index > fraction else { return .missing }
        }
        if index < count, start[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < count, start[index] == UInt8(ascii: "+") || start[index] == UInt8(ascii: "-") {
                index += 1
            }
            let exponent = index
            while index < count, start[index] &- 48 <= 9 { index += 1 }
            guard index > exponent else { return .missing }
        }
        guard index == count else { return .missing }
        return decimal(start, count)
    }

    /// The double nearest to a decimal number.
    static func decimal(_ start: UnsafePointer<UInt8>, _ count: Int) -> WhereValue {
        let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
        return WhereValue(kind: .double, bits: (Double(text) ?? 0).bitPattern, bytes: start, count: count)
    }

    /// The number that a document's own text stands for, which is no number of 64 bits.
    static func documented(_ start: UnsafePointer<UInt8>, _ count: Int) -> WhereValue {
        for index in 0..<count
        where start[index] == UInt8(ascii: ".") || start[index] | 0x20 == UInt8(ascii: "e") {
            return decimal(start, count)
        }
        return WhereValue(kind: .wide, bytes: start, count: count)
    }

    private static func hexadecimal(_ start: UnsafePointer<UInt8>, _ count: Int) -> WhereValue {
        var sum: UInt64 = 0
        for index in 0..<count {
            let byte = start[index]
            let letter = (byte | 0x20) &- UInt8(ascii: "a")
            guard byte &- 48 <= 9 || letter < 6, sum >> 60 == 0 else { return .missing }
            sum = sum << 4 | UInt64(byte &- 48 <= 9 ? byte &- 48 : letter &+ 10)
        }
        return .unsigned(sum)
    }
}
