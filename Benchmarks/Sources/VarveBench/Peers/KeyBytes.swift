/// Keys of the stores that are ordered by bytes: a letter and one or two numbers with the highest byte first.
enum KeyBytes {
    /// Of an event's key.
    static let eventCount = 9
    /// Of a time's key.
    static let timeCount = 17

    /// `e` and the sequence number.
    @inline(__always)
    static func event(_ sequence: UInt64, _ body: (UnsafePointer<CChar>) throws -> Void) rethrows {
        try make(UInt8(ascii: "e"), sequence, 0, body)
    }

    /// `t`, the time, which is not negative, and the sequence number: several events may have one time.
    @inline(__always)
    static func time(
        _ time: Int64, _ sequence: UInt64, _ body: (UnsafePointer<CChar>) throws -> Void
    ) rethrows {
        try make(UInt8(ascii: "t"), UInt64(bitPattern: time), sequence, body)
    }

    @inline(__always)
    private static func make(
        _ letter: UInt8, _ first: UInt64, _ second: UInt64, _ body: (UnsafePointer<CChar>) throws -> Void
    ) rethrows {
        var bytes: (UInt64, UInt64, UInt64) = (0, 0, 0)
        try withUnsafeMutableBytes(of: &bytes) { bytes in
            bytes[0] = letter
            bytes.storeBytes(of: first.bigEndian, toByteOffset: 1, as: UInt64.self)
            bytes.storeBytes(of: second.bigEndian, toByteOffset: 9, as: UInt64.self)
            try bytes.withMemoryRebound(to: CChar.self) { characters in
                guard let start = characters.baseAddress else { return }
                try body(start)
            }
        }
    }

    /// The first number of a key: an event's sequence number, or a time.
    @inline(__always)
    static func number(_ key: UnsafePointer<CChar>) -> UInt64 {
        UInt64(bigEndian: UnsafeRawPointer(key + 1).loadUnaligned(as: UInt64.self))
    }

    /// The sequence number of a time's key.
    @inline(__always)
    static func sequence(ofTime key: UnsafePointer<CChar>) -> UInt64 {
        UInt64(bigEndian: UnsafeRawPointer(key + 9).loadUnaligned(as: UInt64.self))
    }
}
