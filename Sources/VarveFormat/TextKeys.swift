/// The keys of texts in token filters, and their collection. `Formats/segment.md#filters`. One thread at a time.
public final class TextKeys {
    /// Of each byte: what it is, and the lower-case one.
    private enum Class {
        static let other: UInt8 = 0, digit: UInt8 = 1, letter: UInt8 = 2
    }

    private static let classes: [UInt8] = (0..<256).map { byte in
        switch UInt8(byte) {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Class.digit
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x80...0xFF:
            Class.letter
        default: Class.other
        }
    }
    private static let lowered: [UInt8] = (0..<256).map { byte in
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(UInt8(byte)) ? UInt8(byte) + 32 : UInt8(byte)
    }

    /// Whether a byte belongs to a token.
    public static func isOfToken(_ byte: UInt8) -> Bool { classes[Int(byte)] != Class.other }

    private let classes: UnsafeMutablePointer<UInt8>
    private let lowered: UnsafeMutablePointer<UInt8>
    // The keys so far: a hash table whose entries count when they bear the stamp.
    private var table: UnsafeMutablePointer<UInt32>
    private var stamps: UnsafeMutablePointer<UInt32>
    private var mask: Int
    private var stamp: UInt32 = 0
    private var keys: [UInt32] = []
    private var keysMax = 0
    private var isFull = false
    private var unescaped: [UInt8] = []

    /// No keys.
    public convenience init() { self.init(capacity: 1 << 13) }

    /// Room for half as many keys at first; a power of two.
    private init(capacity: Int) {
        mask = capacity - 1
        classes = .allocate(capacity: 256)
        lowered = .allocate(capacity: 256)
        for byte in 0..<256 {
            classes[byte] = Self.classes[byte]
            lowered[byte] = Self.lowered[byte]
        }
        table = .allocate(capacity: mask + 1)
        stamps = .allocate(capacity: mask + 1)
        table.initialize(repeating: 0, count: mask + 1)
        stamps.initialize(repeating: 0, count: mask + 1)
    }

    deinit {
        classes.deallocate()
        lowered.deallocate()
        table.deallocate()
        stamps.deallocate()
    }

    // MARK: Keys

    static func mix(_ value: UInt64) -> UInt64 {
        // The finaliser of SplitMix64.
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    private static let fnvBasis: UInt64 = 0xCBF2_9CE4_8422_2325
    private static let fnvPrime: UInt64 = 0x0000_0100_0000_01B3

    /// Calls `body` with each key of the bytes; a token at an end only where it ends there.
    @inline(__always)
    private func forEachKey(
        _ bytes: UnsafeRawBufferPointer, startsToken: Bool, endsToken: Bool, _ body: (UInt32) -> Void
    ) {
        var position = 0
        let count = bytes.count
        while position < count {
            guard classes[Int(bytes[position])] != Class.other else {
                position += 1
                continue
            }
            let start = position
            var hash = Self.fnvBasis
            var gram: UInt32 = 0
            var letters = 0
            while position < count {
                let byte = bytes[position]
                let kind = classes[Int(byte)]
                if kind == Class.other { break }
                let low = lowered[Int(byte)]
                hash = (hash ^ UInt64(low)) &* Self.fnvPrime
                gram = gram >> 8 | UInt32(low) << 24
                letters = kind == Class.letter ? letters + 1 : 0
                if letters >= TokenFilters.gramBytes {
                    body(UInt32(truncatingIfNeeded: Self.mix(UInt64(gram) | 1 << 32)))
                }
                position += 1
            }
            if position - start >= TokenFilters.tokenBytesMin, start > 0 || startsToken,
                position < count || endsToken
            {
                body(UInt32(truncatingIfNeeded: Self.mix(hash)))
            }
        }
    }

    /// The keys that a payload has which holds the text. Not of one whose ends may stand inside tokens: those have only their letters'.
    public static func keys(ofText text: [UInt8], startsToken: Bool, endsToken: Bool) -> [UInt32] {
        var found: [UInt32] = []
        var known: Set<UInt32> = []
        text.withUnsafeBytes { bytes in
            // Nothing is collected in it.
            TextKeys(capacity: 1).forEachKey(bytes, startsToken: startsToken, endsToken: endsToken) { key in
                if known.insert(key).inserted { found.append(key) }
            }
        }
        return found
    }

    // MARK: Collecting

    /// Begins a sub-block of so many payload bytes.
    public func begin(rawBytes: Int) {
        keys.removeAll(keepingCapacity: true)
        keysMax = (rawBytes / TokenFilters.shareMax + TokenFilters.bytesAllowed) * 8 / TokenFilters.bitsPerKey
        isFull = false
        stamp &+= 1
        if stamp == 0 {
            stamps.update(repeating: 0, count: mask + 1)
            stamp = 1
        }
    }

    /// Adds a payload's keys; those of its bytes, and of the text that escapes of JSON in it stand for.
    public func add(_ payload: UnsafeRawBufferPointer) {
        guard !isFull else { return }
        forEachKey(ofPayload: payload) { insert($0) }
    }

    /// Calls `body` with each key that a payload has, some of them more than once, and adds none.
    @inline(__always)
    public func forEachKey(
        ofPayload payload: UnsafeRawBufferPointer, _ body: (UInt32) -> Void
    ) {
        forEachKey(payload, startsToken: true, endsToken: true, body)
        guard JSONEscapes.undo(payload, into: &unescaped) else { return }
        unescaped.withUnsafeBytes { bytes in
            forEachKey(bytes, startsToken: true, endsToken: true, body)
        }
    }

    /// The sub-block's keys; nil when there are too many for a filter.
    public func finish() -> [UInt32]? { isFull ? nil : keys }

    @inline(__always)
    private func insert(_ key: UInt32) {
        guard !isFull else { return }
        var place = Int(truncatingIfNeeded: key) & mask
        while stamps[place] == stamp {
            if table[place] == key { return }
            place = (place + 1) & mask
        }
        stamps[place] = stamp
        table[place] = key
        append(key)
    }

    @inline(never)
    private func append(_ key: UInt32) {
        guard keys.count < keysMax else {
            isFull = true
            return
        }
        keys.append(key)
        if keys.count * 2 > mask { grow() }
    }

    private func grow() {
        table.deallocate()
        stamps.deallocate()
        mask = (mask + 1) * 2 - 1
        table = .allocate(capacity: mask + 1)
        stamps = .allocate(capacity: mask + 1)
        table.initialize(repeating: 0, count: mask + 1)
        stamps.initialize(repeating: 0, count: mask + 1)
        stamp = 1
        for key in keys {
            var place = Int(truncatingIfNeeded: key) & mask
            while stamps[place] == stamp { place = (place + 1) & mask }
            stamps[place] = stamp
            table[place] = key
        }
    }
}

/// The escapes of JSON texts, without JSON: bytes that are none stay as they are.
enum JSONEscapes {
    /// Writes the bytes with those escapes undone that change tokens: `\b \f \n \r \t` are spaces, `\u` and four digits is its character
    /// in UTF-8, and half of a surrogate pair, which is no character, a space. False, and nothing is to be used, where there are none.
    /// The others, of quotes, backslashes and slashes, stand between tokens with and without their backslash.
    static func undo(_ bytes: UnsafeRawBufferPointer, into text: inout [UInt8]) -> Bool {
        var position = 0
        // Bytes before this one were written.
        var copied = 0
        text.removeAll(keepingCapacity: true)
        while let backslash = firstBackslash(bytes, position), backslash + 1 < bytes.count {
            position = backslash + 2
            var scalar: Unicode.Scalar? = " "
            switch bytes[backslash + 1] {
            case UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"), UInt8(ascii: "b"),
                UInt8(ascii: "f"):
                break
            case UInt8(ascii: "u"):
                guard let high = unit(bytes, position) else { continue }
                position += 4
                scalar = Unicode.Scalar(high)
                if high & 0xFC00 == 0xD800, position + 1 < bytes.count,
                    bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u"),
                    let low = unit(bytes, position + 2), low & 0xFC00 == 0xDC00
                {
                    scalar = Unicode.Scalar(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF))
                    position += 6
                }
            default: continue
            }
            text += UnsafeRawBufferPointer(rebasing: bytes[copied..<backslash])
            text += String(scalar ?? " ").utf8
            copied = position
        }
        guard copied > 0 else { return false }
        text += UnsafeRawBufferPointer(rebasing: bytes[copied...])
        return true
    }

    /// The place of the first backslash from `start` on, eight bytes at a time.
    private static func firstBackslash(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var position = start
        while position + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            let others = word ^ 0x5C5C_5C5C_5C5C_5C5C
            // Not zero exactly where one of the bytes is.
            if (others &- 0x0101_0101_0101_0101) & ~others & 0x8080_8080_8080_8080 != 0 { break }
            position += 8
        }
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "\\") { return position }
            position += 1
        }
        return nil
    }

    /// The number that the four hexadecimal digits there are.
    private static func unit(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt32? {
        guard start + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for position in start..<start + 4 {
            let byte = bytes[position]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }
}
