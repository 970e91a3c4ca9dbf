internal import CLZ4

/// LZ4's compressor with its state kept between calls. One thread at a time.
final class LZ4Compressor {
    private let state: UnsafeMutableRawPointer
    private var stateHC: UnsafeMutableRawPointer?

    init() {
        let byteCount = Int(LZ4_sizeofState())
        state = .allocate(byteCount: byteCount, alignment: 16)
        state.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    }

    deinit {
        state.deallocate()
        stateHC?.deallocate()
    }

    private func highState() -> UnsafeMutableRawPointer {
        if let stateHC { return stateHC }
        let byteCount = max(Int(LZ4_sizeofStateHC()), MemoryLayout<LZ4_streamHC_t>.size)
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        fresh.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        stateHC = fresh
        return fresh
    }

    /// The compressed length; 0 when it does not fit `capacity`.
    func compress(
        _ source: UnsafeRawPointer, _ count: Int, into target: UnsafeMutableRawPointer, capacity: Int, level: Int32,
        dictionary: PreparedDictionary?
    ) -> Int {
        // SAFETY: LZ4 reads `count` bytes of source and writes at most `capacity` bytes of target; the states have
        // the sizes that it asked for. Counts are at most 64 MiB, so that they fit Int32.
        let from = source.assumingMemoryBound(to: CChar.self)
        let to = target.assumingMemoryBound(to: CChar.self)
        let length: Int32
        if level < 3 {
            if let dictionary {
                state.copyMemory(from: dictionary.stream, byteCount: MemoryLayout<LZ4_stream_t>.size)
                length = LZ4_compress_fast_continue(
                    state.assumingMemoryBound(to: LZ4_stream_t.self), from, to, Int32(count), Int32(capacity), 1)
            } else {
                length = LZ4_compress_fast_extState(state, from, to, Int32(count), Int32(capacity), 1)
            }
        } else {
            let high = highState()
            if let dictionary, dictionary.isHC {
                high.copyMemory(from: dictionary.stream, byteCount: MemoryLayout<LZ4_streamHC_t>.size)
                length = LZ4_compress_HC_continue(
                    high.assumingMemoryBound(to: LZ4_streamHC_t.self), from, to, Int32(count), Int32(capacity))
            } else {
                length = LZ4_compress_HC_extStateHC(high, from, to, Int32(count), Int32(capacity), level)
            }
        }
        return max(0, Int(length))
    }
}

/// A dictionary loaded into a compressor's state once, to be copied for every sub-block. Shared between threads; never
/// changes.
public final class PreparedDictionary: @unchecked Sendable {
    public let bytes: [UInt8]
    let isHC: Bool
    // SAFETY: `storage` holds the bytes that the loaded stream points into; both live as long as self.
    private let storage: UnsafeMutableRawPointer
    let stream: UnsafeMutableRawPointer

    public init(_ bytes: [UInt8], level: Int32) {
        self.bytes = bytes
        isHC = level >= 3
        storage = .allocate(byteCount: max(bytes.count, 1), alignment: 16)
        bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { storage.copyMemory(from: base, byteCount: bytes.count) }
        }
        let byteCount = max(MemoryLayout<LZ4_stream_t>.size, MemoryLayout<LZ4_streamHC_t>.size)
        stream = .allocate(byteCount: byteCount, alignment: 16)
        let text = storage.assumingMemoryBound(to: CChar.self)
        if isHC {
            _ = LZ4_initStreamHC(stream, MemoryLayout<LZ4_streamHC_t>.size)
            let typed = stream.assumingMemoryBound(to: LZ4_streamHC_t.self)
            LZ4_resetStreamHC_fast(typed, level)
            LZ4_loadDictHC(typed, text, Int32(bytes.count))
        } else {
            _ = LZ4_initStream(stream, MemoryLayout<LZ4_stream_t>.size)
            LZ4_loadDict(stream.assumingMemoryBound(to: LZ4_stream_t.self), text, Int32(bytes.count))
        }
    }

    deinit {
        storage.deallocate()
        stream.deallocate()
    }
}

/// Where sub-blocks are decompressed to. A dictionary is kept directly before the output, where LZ4 reads it at full speed.
/// One thread at a time.
public final class SubBlockBuffer {
    private static let dictionaryRoom = Limits.dictionaryBytesMax
    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    private var loadedDictionary: UInt64?

    public init() {
        capacity = 128 << 10
        storage = .allocate(byteCount: SubBlockBuffer.dictionaryRoom + capacity, alignment: 64)
    }

    deinit { storage.deallocate() }

    private var output: UnsafeMutableRawPointer { storage + SubBlockBuffer.dictionaryRoom }

    private func reserve(_ byteCount: Int) {
        guard byteCount > capacity else { return }
        storage.deallocate()
        capacity = max(byteCount, min(capacity * 2, Limits.payloadBytesMax))
        storage = .allocate(byteCount: SubBlockBuffer.dictionaryRoom + capacity, alignment: 64)
        loadedDictionary = nil
    }

    /// The first `wanted` bytes, or more, of a sub-block; valid until the next call. A raw one is returned where it stands.
    ///
    /// `identity` tells one dictionary from another, so that it is copied only when it changes.
    public func decode(
        stored: UnsafeRawBufferPointer, method: SubBlockMethod, rawBytes: Int, wanted: Int, dictionary: [UInt8]?,
        identity: UInt64
    ) throws(FormatError) -> UnsafeRawPointer {
        guard (0...Limits.payloadBytesMax).contains(rawBytes), (0...rawBytes).contains(wanted) else {
            throw .beyondLimit("a sub-block", value: UInt64(max(rawBytes, 0)), limit: UInt64(Limits.payloadBytesMax))
        }
        switch method {
        case .raw:
            guard stored.count == rawBytes else {
                throw .invalid("a sub-block", reason: "its lengths differ, but it is raw")
            }
            return stored.baseAddress ?? UnsafeRawPointer(output)
        case .lz4, .lz4WithDictionary:
            // LZ4 can't compress better than 1 to 255: a cheap bound before the allocation.
            guard let source = stored.baseAddress, rawBytes / 255 <= stored.count else {
                throw .invalid("a sub-block", reason: "it is too short for what it claims to hold")
            }
            reserve(rawBytes)
            let from = source.assumingMemoryBound(to: CChar.self)
            let to = output.assumingMemoryBound(to: CChar.self)
            let isWhole = wanted == rawBytes
            let length: Int32
            // SAFETY: LZ4's safe decoders read only `stored` and the dictionary, and write only the `rawBytes` (or
            // `wanted`) bytes of output that were reserved above.
            if method == .lz4 {
                length =
                    isWhole
                    ? LZ4_decompress_safe(from, to, Int32(stored.count), Int32(rawBytes))
                    : LZ4_decompress_safe_partial(
                        from, to, Int32(stored.count), Int32(wanted), Int32(rawBytes))
            } else {
                guard let dictionary, dictionary.count <= Limits.dictionaryBytesMax else {
                    throw .invalid("a sub-block", reason: "it needs a dictionary that the segment does not have")
                }
                let place = output - dictionary.count
                if loadedDictionary != identity {
                    dictionary.withUnsafeBytes { bytes in
                        if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
                    }
                    loadedDictionary = identity
                }
                let prefix = UnsafePointer(place.assumingMemoryBound(to: CChar.self))
                length =
                    isWhole
                    ? LZ4_decompress_safe_usingDict(
                        from, to, Int32(stored.count), Int32(rawBytes), prefix, Int32(dictionary.count))
                    : LZ4_decompress_safe_partial_usingDict(
                        from, to, Int32(stored.count), Int32(wanted), Int32(rawBytes), prefix,
                        Int32(dictionary.count))
            }
            guard isWhole ? Int(length) == rawBytes : Int(length) >= wanted else {
                throw .invalid("a sub-block", reason: "its LZ4 data are malformed")
            }
            return UnsafeRawPointer(output)
        }
    }
}

/// Compresses single runs of bytes, such as a checkpoint's state.
public enum StateCompressor {
    /// The stored form: compressed where that saves at least 1/32.
    public static func compress(_ bytes: [UInt8], settings: EncodingSettings) -> (method: SubBlockMethod, stored: [UInt8]) {
        guard bytes.count >= 64 else { return (.raw, bytes) }
        let capacity = bytes.count - bytes.count / 32 - 1
        let compressor = LZ4Compressor()
        let stored = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            bytes.withUnsafeBytes { source in
                guard let from = source.baseAddress, let to = buffer.baseAddress else { return }
                count = compressor.compress(
                    from, source.count, into: to, capacity: capacity, level: settings.level, dictionary: nil)
            }
        }
        return stored.isEmpty ? (.raw, bytes) : (.lz4, stored)
    }
}

/// Chooses a dictionary from data already seen.
public enum DictionaryBuilder {
    private static let samples = 32
    private static let sampleBytes = 2048

    /// 32 samples of 2 KiB, spread evenly; all of it when there is less; nil for less than 4 KiB.
    public static func build(from payload: UnsafeRawBufferPointer) -> [UInt8]? {
        guard payload.count >= 4096 else { return nil }
        guard payload.count > samples * sampleBytes else { return Array(payload) }
        let step = (payload.count - sampleBytes) / (samples - 1)
        return (0..<samples).flatMap { payload[$0 * step..<$0 * step + sampleBytes] }
    }
}
