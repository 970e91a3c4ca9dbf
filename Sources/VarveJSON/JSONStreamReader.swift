#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Why a document can't be read on, and where.
public struct JSONStreamError: Error, Hashable, CustomStringConvertible {
    /// Counted from the first byte of the document.
    public var byteOffset: UInt64
    /// What is wrong.
    public var reason: String

    /// An error.
    public init(byteOffset: UInt64, reason: String) {
        self.byteOffset = byteOffset
        self.reason = reason
    }

    /// One line of text.
    public var description: String { "\(reason) at byte \(byteOffset)" }
}

/// Walks one JSON document while its bytes arrive, in memory that does not grow with the document but with the largest value that
/// is asked for.
///
/// The caller steps into objects and arrays, and takes what they hold as raw values:
///
/// ```swift
/// try reader.beginObject()
/// while let key = try reader.nextKey() {
///     let value = try reader.value()    // or beginObject(), or beginArray() and nextElement()
/// }
/// try reader.finish()
/// ```
///
/// A byte order mark before the document is skipped, as the editors and shells that write it expect; its bytes count for offsets.
/// All calls throw ``JSONStreamError`` with the place in the document, or what the source throws; after an error nothing more may be
/// read. Calls in an order that is wrong for any document are programmer errors. For one thread at a time.
public final class JSONStreamReader {
    /// Writes the next bytes to the buffer, which is never empty, and says how many they are: 0 at the end. Called on the thread
    /// that reads, and not again after it threw or said 0.
    public typealias Source = (UnsafeMutableRawBufferPointer) throws -> Int

    /// A key of an object.
    public struct Key: Hashable, Sendable {
        /// The key, decoded.
        public var name: String
        /// Where its opening quote stands.
        public var byteOffset: UInt64
    }

    /// A value as it stands in the document, without white space around it.
    public struct Value {
        /// Its bytes, valid until the reader's next call; 64 bytes after them are readable too.
        public var bytes: UnsafeRawBufferPointer
        /// Where its first byte stands.
        public var byteOffset: UInt64
    }

    /// How many objects and arrays may be open within each other.
    public static let depthMax = 127
    /// The longest value when nothing else is said: the largest payload of a store, and room for what stands around it.
    public static let valueBytesMax = (64 << 20) + (1 << 20)

    private enum Expected { case value, firstMember, nextMember, end }
    private enum Container { case object, array }

    // What is held of the document: `start..<end` of `storage`, of which the first byte is the document's at `origin`.
    private var storage: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var origin: UInt64 = 0
    private var isAtEnd = false
    private var isAtStart = true
    private var expected = Expected.value
    private var open: [Container] = []
    private let source: Source
    private let chunkBytes: Int
    private let valueBytesMax: Int
    private let nodes = JSONNodeReader()

    // What a validator reads beyond a document.
    private static let padding = 64

    /// A reader.
    ///
    /// - Parameters:
    ///   - chunkBytes: how many bytes are asked for at a time, and held for ordinary values.
    ///   - valueBytesMax: longer values and keys are an error; at most 384 MiB.
    ///   - source: where the document's bytes come from.
    public init(
        chunkBytes: Int = 64 << 10, valueBytesMax: Int = JSONStreamReader.valueBytesMax,
        source: @escaping Source
    ) {
        self.chunkBytes = max(chunkBytes, 16)
        self.valueBytesMax = min(max(valueBytesMax, 1), 384 << 20)
        self.source = source
        storage = Self.allocate(self.chunkBytes)
    }

    deinit { storage.deallocate() }

    private static func allocate(_ capacity: Int) -> UnsafeMutableRawBufferPointer {
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity + padding, alignment: 64)
        // The padding is read, though never used.
        storage.initializeMemory(as: UInt8.self, repeating: 0)
        return storage
    }

    /// Where the next byte of the document stands that was not taken yet.
    public var byteOffset: UInt64 { origin + UInt64(start) }

    /// Bytes of memory that are held for the document.
    public var bufferBytes: Int { storage.count }

    // MARK: Steps

    /// Steps into an object, which must come next.
    public func beginObject() throws { try begin(.object, UInt8(ascii: "{"), "not an object") }

    /// Steps into an array, which must come next.
    public func beginArray() throws { try begin(.array, UInt8(ascii: "["), "not an array") }

    private func begin(_ container: Container, _ bracket: UInt8, _ otherwise: String) throws {
        precondition(expected == .value, "no value comes next")
        guard try peek("a value") == bracket else {
            // What is no JSON at all is called so.
            let wrong = try unvalidatedValue()
            try validate(wrong)
            throw JSONStreamError(byteOffset: wrong.byteOffset, reason: otherwise)
        }
        guard open.count < Self.depthMax else { throw tooDeep(at: 0) }
        open.append(container)
        start += 1
        expected = .firstMember
    }

    /// The next key of the object that was stepped into last; its value must be taken next. Nil at the end, where the object is
    /// left.
    public func nextKey() throws -> Key? {
        precondition(open.last == .object, "not in an object")
        guard try nextMember(UInt8(ascii: "}")) else { return nil }
        guard try peek("a key") == UInt8(ascii: "\"") else { throw unexpected("a key") }
        let raw = try value()
        let text = try nodes.parse(raw.bytes, isPadded: true).string
        let key = Key(
            name: String(decoding: text ?? UnsafeRawBufferPointer(start: nil, count: 0), as: UTF8.self),
            byteOffset: raw.byteOffset)
        guard try peek("a colon") == UInt8(ascii: ":") else { throw unexpected("a colon") }
        start += 1
        expected = .value
        return key
    }

    /// Whether the array that was stepped into last has one more element, which must be taken next. False at the end, where the
    /// array is left.
    public func nextElement() throws -> Bool {
        precondition(open.last == .array, "not in an array")
        return try nextMember(UInt8(ascii: "]"))
    }

    private func nextMember(_ closing: UInt8) throws -> Bool {
        precondition(expected == .firstMember || expected == .nextMember, "a value comes next")
        let byte = try peek("more")
        if byte == closing {
            start += 1
            open.removeLast()
            expected = open.isEmpty ? .end : .nextMember
            return false
        }
        if expected == .nextMember {
            guard byte == UInt8(ascii: ",") else { throw unexpected("a comma or the end") }
            start += 1
            if try peek("more") == closing { throw unexpected("a value after a comma") }
        }
        expected = .value
        return true
    }

    /// Takes the next value as it stands, whatever it is. Linear in its length.
    public func value() throws -> Value {
        let value = try unvalidatedValue()
        try validate(value)
        return value
    }

    /// Says that the document ends here: only white space may follow.
    public func finish() throws {
        precondition(expected == .end, "more comes next")
        if try skipSpace() { throw unexpected("the end") }
    }

    // MARK: Values

    /// As ``value()``, for a caller that parses it: brackets and quotes are balanced and not nested too deep, and nothing else is
    /// checked.
    package func unvalidatedValue() throws -> Value {
        precondition(expected == .value, "no value comes next")
        let first = try peek("a value")
        let length: Int
        switch first {
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""): length = try balancedLength()
        // Not one of these begins a value, and a word of them would be empty.
        case UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "}"), UInt8(ascii: "]"):
            throw unexpected("a value")
        default: length = try wordLength()
        }
        guard length <= valueBytesMax else { throw tooLong() }
        // SAFETY: `start + length <= end`, and `storage` has the padding after its `end`.
        let bytes = UnsafeRawBufferPointer(rebasing: storage[start..<start + length])
        let value = Value(bytes: bytes, byteOffset: byteOffset)
        start += length
        expected = open.isEmpty ? .end : .nextMember
        return value
    }

    private func validate(_ value: Value) throws {
        do throws(JSONStreamError) {
            _ = try nodes.parse(value.bytes, isPadded: true)
        } catch {
            throw JSONStreamError(byteOffset: value.byteOffset + error.byteOffset, reason: error.reason)
        }
    }

    /// The length of the object, array or string that comes next, up to its closing bracket or quote.
    private func balancedLength() throws -> Int {
        var index = 0
        var depth = 0
        var isInString = false
        var isEscaped = false
        while true {
            let held = UnsafeRawBufferPointer(rebasing: storage[start..<end])
            let looked = min(held.count, valueBytesMax)
            while index < looked {
                let byte = held[index]
                index += 1
                if isInString {
                    if isEscaped {
                        isEscaped = false
                    } else if byte == UInt8(ascii: "\\") {
                        isEscaped = true
                    } else if byte == UInt8(ascii: "\"") {
                        isInString = false
                        if depth == 0 { return index }
                    }
                } else if byte == UInt8(ascii: "\"") {
                    isInString = true
                } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
                    guard open.count + depth < Self.depthMax else { throw tooDeep(at: index - 1) }
                    depth += 1
                } else if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
                    depth -= 1
                    if depth == 0 { return index }
                }
            }
            guard held.count <= valueBytesMax else { throw tooLong() }
            guard try fill() else { throw endsEarly("within a value") }
        }
    }

    /// The length of the number or word that comes next.
    private func wordLength() throws -> Int {
        var index = 0
        while true {
            while start + index < end {
                switch storage[start + index] {
                case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: " "), 0x0A,
                    0x0D, 0x09:
                    return index
                default: index += 1
                }
            }
            guard index <= valueBytesMax else { throw tooLong() }
            if try !fill() { return index }
        }
    }

    // MARK: Bytes

    /// The next byte that is not white space, without taking it.
    private func peek(_ what: String) throws -> UInt8 {
        guard try skipSpace() else { throw endsEarly("where \(what) should come") }
        return storage[start]
    }

    /// Goes to the next byte that is not white space; false when there is none.
    private func skipSpace() throws -> Bool {
        if isAtStart { try skipByteOrderMark() }
        while true {
            while start < end {
                guard JSONFault.isSpace(storage[start]) else { return true }
                start += 1
            }
            guard try fill() else { return false }
        }
    }

    private func skipByteOrderMark() throws {
        isAtStart = false
        while end - start < 3, try fill() {}
        if storage[start..<end].starts(with: [0xEF, 0xBB, 0xBF]) { start += 3 }
    }

    /// Gets more of the document behind what is held, which may move; false at the end.
    private func fill() throws -> Bool {
        if isAtEnd { return false }
        let held = end - start
        let isHuge = storage.count > max(16 * chunkBytes, 1 << 20)
        if held < chunkBytes / 2, isHuge {
            // One huge value shall not hold its memory for the rest of the document.
            move(to: Self.allocate(chunkBytes))
        } else if end == storage.count - Self.padding {
            if held <= (storage.count - Self.padding) / 2 {
                move(to: storage)
            } else {
                // The callers throw before what they hold is larger than the longest value by more than a chunk.
                move(to: Self.allocate(min(held * 2, max(valueBytesMax, held) + chunkBytes)))
            }
        }
        let room = min(storage.count - Self.padding - end, chunkBytes)
        let count = try source(UnsafeMutableRawBufferPointer(rebasing: storage[end..<end + room]))
        precondition(count >= 0 && count <= room, "a source gives as many bytes as there is room for")
        isAtEnd = count == 0
        end += count
        return count > 0
    }

    /// Moves what is held to the beginning of a storage, the same or another one.
    private func move(to other: UnsafeMutableRawBufferPointer) {
        let held = end - start
        if held > 0, let from = storage.baseAddress, let base = other.baseAddress {
            // SAFETY: `other` has room for what is held, and the two may overlap.
            memmove(base, from + start, held)
        }
        if other.baseAddress != storage.baseAddress {
            storage.deallocate()
            storage = other
        }
        origin += UInt64(start)
        start = 0
        end = held
    }

    // MARK: Errors

    private func unexpected(_ what: String) -> JSONStreamError {
        JSONStreamError(byteOffset: byteOffset, reason: "\(what) should come here")
    }

    private func endsEarly(_ where: String) -> JSONStreamError {
        JSONStreamError(byteOffset: origin + UInt64(end), reason: "the document ends early, \(`where`)")
    }

    private func tooLong() -> JSONStreamError {
        JSONStreamError(byteOffset: byteOffset, reason: "longer than \(valueBytesMax) bytes")
    }

    private func tooDeep(at index: Int) -> JSONStreamError {
        JSONStreamError(
            byteOffset: byteOffset + UInt64(index), reason: "nested deeper than \(Self.depthMax)")
    }
}
