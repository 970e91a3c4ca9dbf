/// Keys of the stores that are ordered by bytes: a letter and one or two numbers with the highest byte first.
enum KeyBytes {
    static let count = 9

    /// `e` and the sequence number.
    @inline(__always)
    static func event(_ sequence: UInt64, _ body: (UnsafePointer<CChar>) throws -> Void) rethrows {
        try make(UInt8(ascii: "e"), sequence, body)
    }

    /// `t` and the time; times are unique in the workload, and not negative.
    @inline(__always)
    static func time(_ time: Int64, _ body: (UnsafePointer<CChar>) throws -> Void) rethrows {
        try make(UInt8(ascii: "t"), UInt64(bitPattern: time), body)
    }

    @inline(__always)
    private static func make(
        _ letter: UInt8, _ number: UInt64, _ body: (UnsafePointer<CChar>) throws -> Void
    ) rethrows {
        var bytes: (UInt64, UInt64) = (0, 0)
        try withUnsafeMutableBytes(of: &bytes) { bytes in
            bytes[0] = letter
            bytes.storeBytes(of: number.bigEndian, toByteOffset: 1, as: UInt64.self)
            try bytes.withMemoryRebound(to: CChar.self) { characters in
                guard let start = characters.baseAddress else { return }
                try body(start)
            }
        }
    }

    /// The number of a key.
    @inline(__always)
    static func number(_ key: UnsafePointer<CChar>) -> UInt64 {
        UInt64(bigEndian: UnsafeRawPointer(key + 1).loadUnaligned(as: UInt64.self))
    }
}
