/// Makes a segment's dictionary from payloads already seen.
public enum DictionaryBuilder {
    /// Fewer bytes than this teach a compressor nothing.
    static let payloadBytesMin = 4 << 10
    static let sampleBytes = 2 << 10
    static let sampleCount = Limits.dictionaryBytesMax / sampleBytes

    /// A dictionary of at most 64 KiB: 32 samples of 2 KiB at even distances, or all of `payload` when it is
    /// shorter than that. Nil for less than 4 KiB.
    ///
    /// O(64 KiB).
    public static func build(from payload: UnsafeRawBufferPointer) -> [UInt8]? {
        guard payload.count >= payloadBytesMin else { return nil }
        guard payload.count > Limits.dictionaryBytesMax else { return [UInt8](payload) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Limits.dictionaryBytesMax)
        // The last sample ends where the payload does.
        let span = payload.count - sampleBytes
        for sample in 0..<sampleCount {
            let start = Int(UInt64(span) * UInt64(sample) / UInt64(sampleCount - 1))
            bytes.append(contentsOf: payload[start..<start + sampleBytes])
        }
        return bytes
    }
}
