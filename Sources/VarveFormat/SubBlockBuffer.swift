import CLZ4

/// Room into which sub-blocks are decoded, one after the other. One thread at a time.
///
/// The dictionary lies directly before the output, where LZ4 reads it at full speed.
public final class SubBlockBuffer {
    /// 64 KiB for the dictionary, then the output. Not there before it is needed: many readers decode nothing.
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    private var loadedDictionary: (identity: UInt64, count: Int)?
    private static let dictionaryRoom = Limits.dictionaryBytesMax
    /// Bytes behind what is decompressed that may be read, whatever is in them: for readers that look at more at once than there is.
    public static let paddingBytes = 64

    /// An empty buffer; it grows with what is decoded.
    public init() {}

    deinit { memory?.deallocate() }

    /// Bytes of the room.
    public var byteCount: Int { memory == nil ? 0 : Self.dictionaryRoom + capacity }

    /// Decodes at least the first `wanted` of a sub-block's `rawBytes` bytes, and returns where they are:
    /// valid until the next call, as long as this object lives, and for raw ones as long as `stored` does,
    /// which is then returned itself.
    ///
    /// - Parameters:
    ///   - stored: the stored bytes, whose checksum the caller has verified.
    ///   - dictionary: the segment's, when it has one.
    ///   - dictionaryIdentity: differs between dictionaries: equal ones are loaded once.
    ///
    /// Throws `FormatError` when the bytes are damaged. O(wanted).
    public func decode(
        stored: UnsafeRawBufferPointer, method: SubBlockMethod, rawBytes: Int, wanted: Int,
        dictionary: [UInt8]?, dictionaryIdentity: UInt64
    ) throws(FormatError) -> UnsafeRawPointer {
        let what = "a sub-block"
        guard Safeguard.subBlockLength.isLeftOut || rawBytes >= 0 && rawBytes <= Limits.blockRawBytesMax
        else {
            throw .beyondLimit(
                what, value: UInt64(clamping: rawBytes), limit: UInt64(Limits.blockRawBytesMax))
        }
        guard stored.count <= Limits.blockBodyBytesMax else {
            throw .beyondLimit(what, value: UInt64(stored.count), limit: UInt64(Limits.blockBodyBytesMax))
        }
        guard Safeguard.subBlockWanted.isLeftOut || wanted >= 0 && wanted <= rawBytes else {
            throw .invalid(what, reason: "more is wanted of it than it holds")
        }
        if method == .raw {
            guard stored.count == rawBytes else { throw .invalid(what, reason: "its lengths differ") }
            return stored.baseAddress ?? UnsafeRawPointer(reserve(0) + Self.dictionaryRoom)
        }
        // LZ4 can't expand more than this: it bounds what is allocated.
        guard Safeguard.subBlockRatio.isLeftOut || rawBytes <= stored.count * 255 else {
            throw .invalid(what, reason: "it can't hold so much")
        }
        let memory = reserve(wanted)
        let output = memory + Self.dictionaryRoom
        guard let from = stored.baseAddress?.assumingMemoryBound(to: CChar.self) else {
            throw .truncated(what)
        }
        let to = output.assumingMemoryBound(to: CChar.self)
        let size = Int32(stored.count)
        let target = Int32(wanted)
        let whole = wanted == rawBytes
        let decoded: Int32
        // SAFETY: the library reads only `size` bytes and the dictionary, and writes at most `target` bytes,
        // for which there is room.
        if method == .lz4 {
            decoded =
                whole
                ? LZ4_decompress_safe(from, to, size, target)
                : LZ4_decompress_safe_partial(from, to, size, target, target)
        } else {
            guard let dictionary else { throw .invalid(what, reason: "its dictionary is missing") }
            try load(dictionary, identity: dictionaryIdentity, into: memory)
            let start = UnsafePointer(to) - dictionary.count
            decoded =
                whole
                ? LZ4_decompress_safe_usingDict(from, to, size, target, start, Int32(dictionary.count))
                : LZ4_decompress_safe_partial_usingDict(
                    from, to, size, target, target, start, Int32(dictionary.count))
        }
        guard Safeguard.subBlockDecoded.isLeftOut || decoded == target else {
            throw .invalid(what, reason: "it can't be decompressed")
        }
        return UnsafeRawPointer(output)
    }

    private func load(
        _ dictionary: [UInt8], identity: UInt64, into memory: UnsafeMutableRawPointer
    ) throws(FormatError) {
        if let loadedDictionary, loadedDictionary == (identity, dictionary.count) { return }
        guard Safeguard.dictionaryLength.isLeftOut || dictionary.count <= Self.dictionaryRoom else {
            throw .beyondLimit(
                "a dictionary", value: UInt64(dictionary.count), limit: UInt64(Self.dictionaryRoom))
        }
        let start = Self.dictionaryRoom - dictionary.count
        UnsafeMutableRawBufferPointer(start: memory + start, count: dictionary.count).copyBytes(
            from: dictionary)
        loadedDictionary = (identity, dictionary.count)
    }

    /// The memory, with room for `count` bytes of output.
    private func reserve(_ count: Int) -> UnsafeMutableRawPointer {
        if let memory, count <= capacity { return memory }
        memory?.deallocate()
        capacity = max(count, min(max(capacity * 2, 16 << 10), Limits.blockRawBytesMax))
        let fresh = UnsafeMutableRawPointer.allocate(
            byteCount: Self.dictionaryRoom + capacity + Self.paddingBytes, alignment: 64)
        memory = fresh
        loadedDictionary = nil
        return fresh
    }
}
