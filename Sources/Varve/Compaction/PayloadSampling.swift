internal import VarveFormat

/// Takes samples of what is kept of the payloads, at even distances over all of it, and makes a dictionary of them where one pays.
///
/// Only kept payloads are read: what was dropped must not live on in a dictionary.
struct PayloadSampling {
    private struct Span {
        var source: Int
        var entry: Int
        var parts: [Range<UInt64>]
        /// Where it starts in the kept payload.
        var start: UInt64
    }

    /// What the dictionary is chosen from: 2 MiB.
    private static let sampleBytes = 8 << 10, sampleCount = 256

    private var spans: [Span] = []
    /// Bytes of kept payload; of blocks that are kept in part by their share of the events.
    private(set) var byteCount: UInt64 = 0

    /// Adds a block of events of which these parts are kept.
    mutating func add(_ entry: BlockIndexEntry, number: Int, source: Int, _ parts: [Range<UInt64>]) {
        let kept = parts.reduce(UInt64(0)) { $0 + UInt64($1.count) }
        let bytes = UInt64(entry.rawBytes) * kept / UInt64(max(entry.eventCount, 1))
        guard bytes > 0 else { return }
        spans.append(Span(source: source, entry: number, parts: parts, start: byteCount))
        byteCount += bytes
    }

    /// Up to `count` bytes of kept payload from a place on.
    private func bytes(at place: UInt64, _ count: Int, _ sources: [RewriteSource]) throws(StoreError)
        -> [UInt8]
    {
        var bytes: [UInt8] = []
        var number = max(spans.partitioningIndex { $0.start > place } - 1, 0)
        while number < spans.count, bytes.count < count {
            let span = spans[number]
            let source = sources[span.source]
            // Where the share of the events is not that of the bytes, the place is a little off.
            var skip = place > span.start ? Int(place - span.start) : 0
            let header = try source.loadEvents(span.entry)
            for run in source.runs(header, span.parts) where bytes.count < count {
                if run.byteCount <= skip {
                    skip -= run.byteCount
                    continue
                }
                let start = try source.payload(ofSubBlock: run.subBlock) + run.offset + skip
                let length = min(run.byteCount - skip, count - bytes.count)
                // SAFETY: the run lies in its sub-block, and skip + length in the run.
                bytes += UnsafeRawBufferPointer(start: start, count: length)
                skip = 0
            }
            number += 1
        }
        return bytes
    }

    /// Pieces of the kept payload at even distances over all of it; none where there is too little for them to be of use. They don't
    /// overlap: what stands in two of them would seem to come again.
    func samples(_ sources: [RewriteSource]) throws(StoreError) -> [[UInt8]] {
        guard byteCount > 8 * UInt64(Limits.dictionaryBytesMax) else { return [] }
        let length = min(Self.sampleBytes, Int(byteCount) / Self.sampleCount)
        let step = (byteCount - UInt64(length)) / UInt64(Self.sampleCount - 1)
        var samples: [[UInt8]] = []
        for sample in 0..<Self.sampleCount {
            samples.append(try bytes(at: step * UInt64(sample), length, sources))
        }
        return samples
    }

    /// A dictionary for all of the kept payload, chosen from samples of it; nil where its two copies would take more than it saves. It
    /// compresses a few sub-blocks to find out.
    func dictionary(
        from samples: [[UInt8]], _ sources: [RewriteSource], _ settings: EncodingSettings
    ) throws(StoreError) -> CompressionDictionary? {
        let text = Array(samples.joined())
        guard let built = text.withUnsafeBytes({ DictionaryBuilder.choose(from: $0) }) else { return nil }
        let dictionary = CompressionDictionary(built, level: settings.level)
        let trialCount = 4
        var (raw, plain, better) = (0, 0, 0)
        for trial in 0..<trialCount {
            let place = byteCount / UInt64(2 * trialCount) * UInt64(2 * trial + 1)
            let text = try bytes(at: place, Int(min(settings.subBlockBytes, 64 << 10)), sources)
            raw += text.count
            text.withUnsafeBytes { text in
                plain += LZ4Block.compress(text, level: settings.level)?.count ?? text.count
                better +=
                    LZ4Block.compress(text, level: settings.level, dictionary: dictionary)?.count
                    ?? text.count
            }
        }
        guard raw > 0, plain > better else { return nil }
        let saved = Double(plain - better) / Double(raw) * Double(byteCount)
        // Two copies of it are stored; and as much again may only seem to be saved, where what is tried was sampled too.
        return saved > Double(3 * built.count) ? dictionary : nil
    }
}
