internal import CFuzzer
public import VarveTestKit

/// Changes an input.
public typealias Mutation = @Sendable (inout FuzzInput, inout SplitMix64) -> Void

/// An input that is being changed.
public struct FuzzInput {
    /// Its bytes.
    public var bytes: [UInt8]
    /// The most that it may have.
    public let countMax: Int

    init(_ bytes: [UInt8], countMax: Int) {
        self.bytes = bytes
        self.countMax = countMax
    }
}

/// Where a structure's parts are, as far as a mutation wants to know.
public struct Layout {
    /// Numbers of 1, 2, 4 or 8 bytes.
    public var numbers: [(offset: Int, byteCount: Int)] = []
    /// What can be left out, repeated, moved or changed by itself: sections, blocks, entries.
    public var parts: [Range<Int>] = []

    /// Nothing known.
    public init() {}

    /// Adds numbers at these offsets, counted from `start`.
    public mutating func add(_ offsets: [Int], bytes byteCount: Int, from start: Int = 0) {
        for offset in offsets { numbers.append((start + offset, byteCount)) }
    }
}

/// A mutation of a structure: libFuzzer's own on all of it or on a part, an interesting number in a field, parts
/// that are left out, repeated or moved.
public func structured(_ layout: @escaping @Sendable ([UInt8]) -> Layout) -> Mutation {
    { input, random in
        // Where libFuzzer's own does best, nothing else is worked out.
        if random.oneIn(2) {
            mutateFreely(&input.bytes, countMax: input.countMax)
        } else {
            mutate(&input.bytes, countMax: input.countMax, layout(input.bytes), &random)
        }
    }
}

/// One mutation of a structure with this layout.
public func mutate(_ bytes: inout [UInt8], countMax: Int, _ layout: Layout, _ random: inout SplitMix64) {
    switch random.below(8) {
    case 0...1 where !layout.numbers.isEmpty:
        for _ in 0...random.below(2) {
            let place = layout.numbers[random.index(layout.numbers.count)]
            setNumber(in: &bytes, at: place.offset, byteCount: place.byteCount, layout, &random)
        }
    case 2 where !layout.parts.isEmpty:
        moveParts(of: &bytes, countMax: countMax, layout.parts, &random)
    case 3...4 where !layout.parts.isEmpty:
        let part = layout.parts[random.index(layout.parts.count)]
        guard part.upperBound <= bytes.count else { break }
        var piece = Array(bytes[part])
        mutateFreely(&piece, countMax: part.count + countMax - bytes.count)
        bytes.replaceSubrange(part, with: piece)
    default:
        mutateFreely(&bytes, countMax: countMax)
    }
}

/// libFuzzer's own mutation.
public func mutateFreely(_ bytes: inout [UInt8], countMax: Int) {
    let count = bytes.count
    let room = max(count, min(countMax, count + 4_096))
    guard room > 0 else { return }
    bytes.append(contentsOf: repeatElement(0, count: room - count))
    let mutated = bytes.withUnsafeMutableBufferPointer { LLVMFuzzerMutate($0.baseAddress, count, room) }
    bytes.removeLast(room - mutated)
}

private func setNumber(
    in bytes: inout [UInt8], at offset: Int, byteCount: Int, _ layout: Layout, _ random: inout SplitMix64
) {
    guard offset >= 0, offset <= bytes.count - byteCount else { return }
    let old = (0..<byteCount).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    let bits = UInt64(8 * byteCount)
    let new: UInt64 =
        switch random.below(10) {
        case 0: old &+ 1
        case 1: old &- 1
        case 2: UInt64(random.below(4))
        case 3: .max &- UInt64(random.below(4))
        case 4: UInt64.max >> (65 - bits) &+ UInt64(random.below(3)) &- 1
        case 5: 1 << (random.next() % bits)
        case 6: old ^ 1 << (random.next() % bits)
        case 7: old &+ UInt64(random.below(64)) &* 8 &- 256
        case 8: UInt64(bytes.count) &+ UInt64(random.below(17)) &- 8
        default: other(in: bytes, layout, &random)
        }
    for byte in 0..<byteCount { bytes[offset + byte] = UInt8(truncatingIfNeeded: new >> UInt64(8 * byte)) }
}

/// What stands in another field.
private func other(in bytes: [UInt8], _ layout: Layout, _ random: inout SplitMix64) -> UInt64 {
    let place = layout.numbers[random.index(layout.numbers.count)]
    guard place.offset >= 0, place.offset <= bytes.count - place.byteCount else { return 0 }
    return (0..<place.byteCount).reduce(0) { $0 | UInt64(bytes[place.offset + $1]) << UInt64(8 * $1) }
}

private func moveParts(
    of bytes: inout [UInt8], countMax: Int, _ parts: [Range<Int>], _ random: inout SplitMix64
) {
    let part = parts[random.index(parts.count)]
    let target = parts[random.index(parts.count)]
    guard part.upperBound <= bytes.count, target.upperBound <= bytes.count else { return }
    let piece = bytes[part]
    switch random.below(3) {
    case 0: bytes.removeSubrange(part)
    case 1 where bytes.count + piece.count <= countMax: bytes.insert(contentsOf: piece, at: target.lowerBound)
    default:
        guard bytes.count - target.count + piece.count <= countMax else { return }
        bytes.replaceSubrange(target, with: piece)
    }
}

extension SplitMix64 {
    /// A position below `count`, which is at least 1.
    public mutating func index(_ count: Int) -> Int { Int(below(UInt32(clamping: count))) }
}

extension Layout {
    /// The lines of a text, each a part, from `start` on.
    public init(linesOf bytes: [UInt8], from start: Int = 0) {
        var line = start
        for position in start..<max(start, bytes.count) where bytes[position] == 0x0A {
            parts.append(line..<position + 1)
            line = position + 1
        }
        if line < bytes.count { parts.append(line..<bytes.count) }
    }
}
