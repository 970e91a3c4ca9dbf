import CLZ4

/// A dictionary, and the level at which everything is compressed with it. Compressors prepare it once as long as it is the same object,
/// and again for texts that are much longer.
public final class CompressionDictionary: Sendable {
    /// The dictionary.
    public let bytes: [UInt8]
    /// Of LZ4.
    public let level: Int32

    /// For compression with `bytes`, at most 64 KiB, at `level`.
    public init(_ bytes: [UInt8], level: Int32) {
        // Readers refuse a longer one.
        precondition(bytes.count <= Limits.dictionaryBytesMax, "a dictionary is beyond the limit")
        self.bytes = bytes
        self.level = level
    }
}

/// What the compressors share.
enum LZ4 {
    /// The level at which HC starts.
    static let levelHC: Int32 = 3

    /// Bytes of a compressor's state at `level`.
    static func stateBytes(_ level: Int32) -> Int {
        Int(level < levelHC ? LZ4_sizeofState() : LZ4_sizeofStateHC())
    }

    /// Bytes that compressing `count` bytes gives at most.
    static func bound(_ count: Int) -> Int { count + count / 255 + 16 }

    /// What is longer gains nothing by a dictionary, and would have to be copied behind it.
    static let dictionarySourceMax = 1 << 20

    /// Whether compression to `stored` bytes is worth its decoding.
    static func pays(raw: Int, stored: Int) -> Bool { stored > 0 && stored <= raw - max(raw / 32, 1) }
}

/// A compressor that reuses its state. One thread at a time.
final class LZ4Compressor {
    private var state: UnsafeMutableRawPointer?
    private var stateBytes = 0
    private var prepared: PreparedDictionary?

    deinit { state?.deallocate() }

    /// Compresses `source` into `target`; returns the bytes written, 0 when they don't fit. With a dictionary, its level counts.
    func compress(
        _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, level: Int32,
        dictionary: CompressionDictionary?
    ) -> Int {
        guard let from = source.baseAddress?.assumingMemoryBound(to: CChar.self),
            let to = target.baseAddress?.assumingMemoryBound(to: CChar.self),
            let count = Int32(exactly: source.count)
        else { return 0 }
        let level = dictionary?.level ?? level
        let capacity = Int32(clamping: target.count)
        let scratch = scratch(LZ4.stateBytes(level))
        // SAFETY: scratch has the size of the state of this level; the library writes at most `capacity` bytes.
        guard let dictionary else {
            return Int(
                level < LZ4.levelHC
                    ? LZ4_compress_fast_extState(scratch, from, to, count, capacity, 1)
                    : LZ4_compress_HC_extStateHC(scratch, from, to, count, capacity, level))
        }
        let prepared = prepared(dictionary, room: source.count)
        let text = prepared.put(source)
        // A state that has compressed something has forgotten the dictionary: start from a fresh copy.
        scratch.copyMemory(from: prepared.state, byteCount: prepared.stateBytes)
        return Int(
            level < LZ4.levelHC
                ? LZ4_compress_fast_continue(
                    scratch.assumingMemoryBound(to: LZ4_stream_t.self), text, to, count, capacity, 1)
                : LZ4_compress_HC_continue(
                    scratch.assumingMemoryBound(to: LZ4_streamHC_t.self), text, to, count, capacity))
    }

    private func scratch(_ count: Int) -> UnsafeMutableRawPointer {
        if let state, stateBytes >= count { return state }
        state?.deallocate()
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
        state = fresh
        stateBytes = count
        return fresh
    }

    private func prepared(_ dictionary: CompressionDictionary, room: Int) -> PreparedDictionary {
        if let prepared, prepared.dictionary === dictionary, prepared.room >= room { return prepared }
        // The old one's memory goes first.
        prepared = nil
        let fresh = PreparedDictionary(dictionary, room: max(room + room / 2, 64 << 10))
        prepared = fresh
        return fresh
    }
}

/// The state of a compressor that has seen a dictionary, and the dictionary with room for a text behind it: where one directly follows the
/// other in memory LZ4 takes them for one text, and compresses a quarter faster.
private final class PreparedDictionary {
    let dictionary: CompressionDictionary
    let state: UnsafeMutableRawPointer
    let stateBytes: Int
    /// Bytes of a text at most.
    let room: Int
    private let memory: UnsafeMutableRawPointer

    init(_ dictionary: CompressionDictionary, room: Int) {
        self.dictionary = dictionary
        self.room = room
        let count = dictionary.bytes.count
        memory = .allocate(byteCount: count + room, alignment: 16)
        UnsafeMutableRawBufferPointer(start: memory, count: count).copyBytes(from: dictionary.bytes)
        stateBytes = LZ4.stateBytes(dictionary.level)
        state = .allocate(byteCount: stateBytes, alignment: 16)
        let text = memory.assumingMemoryBound(to: CChar.self)
        // SAFETY: the state has the size that the library asks for, and lives as long as self, like the memory it points into.
        if dictionary.level < LZ4.levelHC {
            LZ4_loadDict(LZ4_initStream(state, stateBytes), text, Int32(count))
        } else {
            let stream = LZ4_initStreamHC(state, stateBytes)
            LZ4_resetStreamHC_fast(stream, dictionary.level)
            LZ4_loadDictHC(stream, text, Int32(count))
        }
    }

    deinit {
        state.deallocate()
        memory.deallocate()
    }

    /// Puts a text, no longer than `room`, behind the dictionary.
    func put(_ text: UnsafeRawBufferPointer) -> UnsafePointer<CChar> {
        // SAFETY: there is room for it, as the caller has made sure.
        let place = memory + dictionary.bytes.count
        if let start = text.baseAddress { place.copyMemory(from: start, byteCount: text.count) }
        return UnsafePointer(place.assumingMemoryBound(to: CChar.self))
    }
}

/// Whole LZ4 blocks in arrays: for single, rare ones.
public enum LZ4Block {
    /// `bytes` compressed; nil when that saves less than 1/32. With a dictionary, its level counts.
    public static func compress(
        _ bytes: UnsafeRawBufferPointer, level: Int32, dictionary: CompressionDictionary? = nil
    ) -> [UInt8]? {
        let compressor = LZ4Compressor()
        let stored = [UInt8](unsafeUninitializedCapacity: LZ4.bound(bytes.count)) { target, count in
            count = compressor.compress(
                bytes, into: UnsafeMutableRawBufferPointer(target), level: level, dictionary: dictionary)
        }
        return LZ4.pays(raw: bytes.count, stored: stored.count) ? stored : nil
    }

    /// The `rawBytes` bytes that the sub-block `stored` holds. Throws `FormatError` when it is damaged.
    public static func decompress(
        _ stored: UnsafeRawBufferPointer, method: SubBlockMethod, rawBytes: Int, dictionary: [UInt8]? = nil
    ) throws(FormatError) -> [UInt8] {
        let buffer = SubBlockBuffer()
        let bytes = try buffer.decode(
            stored: stored, method: method, rawBytes: rawBytes, wanted: rawBytes, dictionary: dictionary,
            dictionaryIdentity: 1)
        defer { withExtendedLifetime(buffer) {} }
        return [UInt8](UnsafeRawBufferPointer(start: bytes, count: rawBytes))
    }
}

/// Compresses the state of a checkpoint.
public enum StateCompressor {
    /// The stored form of `bytes`: LZ4 when that saves at least 1/32, else raw.
    public static func compress(
        _ bytes: [UInt8], settings: EncodingSettings
    ) -> (method: SubBlockMethod, stored: [UInt8]) {
        let compressed = bytes.withUnsafeBytes { LZ4Block.compress($0, level: settings.level) }
        return compressed.map { (.lz4, $0) } ?? (.raw, bytes)
    }
}
