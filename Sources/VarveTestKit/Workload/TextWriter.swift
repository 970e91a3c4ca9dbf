/// A text under construction and the generator that its varying parts are drawn from.
///
/// The memory is allocated once; nothing in here touches `String` or grows an array.
struct TextWriter: ~Copyable {
    /// More than the longest payload of the workloads (about 4.7 KiB) takes.
    private static let capacity = 8_192

    var random: SplitMix64
    private let base: UnsafeMutablePointer<UInt8>
    private var count = 0

    init(random: SplitMix64) {
        self.random = random
        base = .allocate(capacity: TextWriter.capacity)
    }

    deinit {
        base.deallocate()
    }

    /// What was put since the last ``clear()``.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    mutating func clear() { count = 0 }

    // MARK: Fixed parts

    @inline(__always)
    private mutating func put(_ source: UnsafePointer<UInt8>?, _ byteCount: Int) {
        precondition(count + byteCount <= TextWriter.capacity)
        guard let source else { return }
        // SAFETY: the room was checked; the source is a whole text of `byteCount` bytes.
        (base + count).initialize(from: source, count: byteCount)
        count += byteCount
    }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        put(text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    mutating func put(_ text: UnsafeBufferPointer<UInt8>) {
        put(text.baseAddress, text.count)
    }

    /// A number in decimal.
    mutating func put(_ number: UInt64) {
        var digits = 1
        var rest = number
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        precondition(count + digits <= TextWriter.capacity)
        rest = number
        // SAFETY: the room was checked; the digits fill `count..<count + digits` from the end.
        for position in stride(from: count + digits - 1, through: count, by: -1) {
            base[position] = UInt8(truncatingIfNeeded: rest % 10) + UInt8(ascii: "0")
            rest /= 10
        }
        count += digits
    }

    // MARK: Drawn parts

    /// A number below `bound` that favours small ones: the least of three draws.
    @inline(__always)
    mutating func skewed(_ bound: UInt32) -> UInt32 {
        let first = random.below(bound)
        let second = random.below(bound)
        return min(first, min(second, random.below(bound)))
    }

    /// One of a table's texts.
    mutating func pick(_ table: TextTable) { put(table[random.below(table.count)]) }

    /// One of a table's texts, the first ones more often.
    mutating func pickSkewed(_ table: TextTable) { put(table[skewed(table.count)]) }

    /// A number below `bound` that favours small ones, plus `offset`.
    mutating func putSkewed(below bound: UInt32, plus offset: UInt64 = 0) {
        put(offset + UInt64(skewed(bound)))
    }

    /// Words with spaces between.
    mutating func words(_ wordCount: UInt32) {
        for position in 0..<wordCount {
            if position > 0 { put(" ") }
            pickSkewed(WorkloadTexts.words)
        }
    }

    /// Digits of one draw, least significant first; at most 16.
    mutating func hexadecimal(_ digits: Int) {
        precondition(digits <= 16 && count + digits <= TextWriter.capacity)
        var bits = random.next()
        for position in 0..<digits {
            let digit = UInt8(truncatingIfNeeded: bits & 15)
            // SAFETY: the room was checked above.
            base[count + position] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
            bits >>= 4
        }
        count += digits
    }

    /// A table of texts that `write` makes one after the other.
    mutating func table(_ textCount: Int, _ write: (inout TextWriter) -> Void) -> TextTable {
        var texts: [[UInt8]] = []
        for _ in 0..<textCount {
            clear()
            write(&self)
            texts.append(Array(bytes))
        }
        clear()
        return TextTable(texts)
    }
}
