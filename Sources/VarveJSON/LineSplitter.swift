#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Splits bytes that arrive in pieces of any size into lines. One buffer is reused, and what follows a line in it is always 64 readable
/// bytes: a line can go to ``LineParser`` as padded.
///
/// The caller reads into ``spare()``, tells how much with ``commit(_:)`` (or ``finish()`` at the end), and takes lines with ``next()``
/// until there are none.
public struct LineSplitter: ~Copyable {
    /// A line, or a piece of one that is too long.
    public struct Line {
        /// The line without its newline byte. Valid until the splitter's next ``LineSplitter/spare()``.
        public var bytes: UnsafeRawBufferPointer
        /// Whether this is a piece of a line that is longer than the limit.
        public var isPiece: Bool
        /// Whether the line ends here: false for every piece but the last.
        public var isLast: Bool
    }

    private static let padding = 64
    private static let spareMin = 64 << 10

    private var storage: UnsafeMutableRawBufferPointer
    /// Bytes before `start` have been given out; those from `start` to `end` are held, with no newline before `scanned`.
    private var start = 0
    private var scanned = 0
    private var end = 0
    private var inPieces = false
    private var isFinished = false
    private let lineBytesMax: Int

    /// A splitter.
    ///
    /// - Parameters:
    ///   - bufferBytes: how many bytes are held for ordinary lines; the buffer grows when a longer line needs it.
    ///   - lineBytesMax: lines longer than this come in pieces of this many bytes.
    public init(bufferBytes: Int = 1 << 20, lineBytesMax: Int = 64 << 20) {
        self.lineBytesMax = max(lineBytesMax, 1)
        storage = .allocate(byteCount: max(bufferBytes, 1) + Self.padding, alignment: 64)
        // The padding is read, though never used.
        storage.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { storage.deallocate() }

    /// Where the next bytes go; never empty. Takes back the lines given out before.
    public mutating func spare() -> UnsafeMutableRawBufferPointer {
        let held = end - start
        if start > 0 {
            if held > 0, let base = storage.baseAddress {
                memmove(base, base.advanced(by: start), held)
            }
            scanned -= start
            start = 0
            end = held
        }
        let capacity = storage.count - Self.padding
        // Doubling keeps the cost of a long line in proportion to its length.
        if capacity - end < min(capacity / 2 + 1, Self.spareMin) { grow() }
        return UnsafeMutableRawBufferPointer(rebasing: storage[end..<storage.count - Self.padding])
    }

    private mutating func grow() {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: (storage.count - Self.padding) * 2 + Self.padding, alignment: 64)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<end]))
        UnsafeMutableRawBufferPointer(rebasing: larger[end...]).initializeMemory(as: UInt8.self, repeating: 0)
        storage.deallocate()
        storage = larger
    }

    /// Says that `count` bytes were put at the start of the spare room.
    public mutating func commit(_ count: Int) {
        precondition(count >= 0 && count <= storage.count - Self.padding - end)
        end += count
    }

    /// Says that no more bytes come: what is held is the last line, unless it is empty.
    public mutating func finish() { isFinished = true }

    /// The next line, or nil when more bytes are needed, or none are left.
    public mutating func next() -> Line? {
        guard let base = storage.baseAddress else { return nil }
        // No newline is looked for beyond the longest line.
        let limit = min(end, start + min(lineBytesMax, end - start) + 1)
        if scanned < limit,
            // SAFETY: `scanned..<limit` is within the bytes that were committed.
            let newline = memchr(base.advanced(by: scanned), 0x0A, limit - scanned)
        {
            let index = UnsafeRawPointer(newline) - UnsafeRawPointer(base)
            return take(index - start, skipping: 1, isLast: true)
        }
        scanned = limit
        if end - start > lineBytesMax { return take(lineBytesMax, skipping: 0, isLast: false) }
        if isFinished && end > start { return take(end - start, skipping: 0, isLast: true) }
        return nil
    }

    private mutating func take(_ count: Int, skipping: Int, isLast: Bool) -> Line {
        let line = Line(
            bytes: UnsafeRawBufferPointer(rebasing: storage[start..<start + count]),
            isPiece: inPieces || !isLast, isLast: isLast)
        start += count + skipping
        scanned = start
        inPieces = !isLast
        return line
    }
}

// A splitter owns its storage alone.
extension LineSplitter: @unchecked Sendable {}
