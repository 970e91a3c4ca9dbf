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

    // Pieces are chosen by the eight bytes that start at each of their places, which stand for what a match could be. Of the workload A,
    // 64 bytes a piece made what is stored 1.5 % larger, and so did 1 KiB; samples of 2 KiB at even distances, 4 %.
    private static let pieceBytes = 128
    private static let placeBytes = 8
    private static let tableBits = 18

    /// A dictionary of at most 64 KiB of those pieces of `payload` whose contents come again most often: from each of its parts, which
    /// are as many as there are pieces, the one that has most of what occurs elsewhere too, and is in no piece yet. The best come last,
    /// where a compressor can reach them longest. As `build(from:)` where `payload` is too short to choose from.
    ///
    /// O(payload), some 20 ns a byte, and 1.5 MiB of memory: for what is compressed once and read often.
    public static func choose(from payload: UnsafeRawBufferPointer) -> [UInt8]? {
        guard payload.count >= 4 * Limits.dictionaryBytesMax else { return build(from: payload) }
        let pieceCount = Limits.dictionaryBytesMax / pieceBytes
        var counts = [UInt32](repeating: 0, count: 1 << tableBits)
        var inWindow = [UInt16](repeating: 0, count: 1 << tableBits)
        var pieces: [(start: Int, score: UInt64)] = []
        counts.withUnsafeMutableBufferPointer { counts in
            inWindow.withUnsafeMutableBufferPointer { inWindow in
                func slot(_ place: Int) -> Int {
                    let word = payload.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                    return Int((word &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - tableBits))
                }
                for place in 0...payload.count - placeBytes { counts[slot(place)] &+= 1 }
                // What occurs once is of no use.
                for slot in counts.indices where counts[slot] > 0 { counts[slot] -= 1 }
                // At least four pieces long, and of places of a piece no more than a count of 16 bits takes.
                let part = payload.count / pieceCount
                let width = pieceBytes - placeBytes + 1
                for number in 0..<pieceCount {
                    let start = number * part
                    var score: UInt64 = 0
                    var best = (start: start, score: UInt64(0))
                    let places = part - placeBytes + 1
                    for place in 0..<places {
                        let added = slot(start + place)
                        if inWindow[added] == 0 { score += UInt64(counts[added]) }
                        inWindow[added] += 1
                        if place >= width {
                            let removed = slot(start + place - width)
                            inWindow[removed] -= 1
                            if inWindow[removed] == 0 { score -= UInt64(counts[removed]) }
                        }
                        if place >= width - 1, score > best.score {
                            best = (start + place - width + 1, score)
                        }
                    }
                    for place in max(places - width, 0)..<places { inWindow[slot(start + place)] = 0 }
                    for place in 0..<width { counts[slot(best.start + place)] = 0 }
                    pieces.append(best)
                }
            }
        }
        pieces.sort { ($0.score, $0.start) < ($1.score, $1.start) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Limits.dictionaryBytesMax)
        for piece in pieces { bytes.append(contentsOf: payload[piece.start..<piece.start + pieceBytes]) }
        return bytes
    }
}
