import FuzzSupport
import VarveFormat

/// The end of a sealed segment: trailer, summary, footer. An input is the end of a file, or all of one.
@main
struct FuzzFooter {
    static func main() {
        fuzz(
            allocating: allocationOfADecoder, mutation: structured(FooterBytes.layout),
            mending: { FooterBytes.mend(&$0) }
        ) { bytes in decode(bytes) }
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) {
        let fileLength = UInt64(bytes.count)
        _ = try? SegmentSummary.locate(
            inLast: UnsafeRawBufferPointer(rebasing: bytes.suffix(4_096)), fileLength: fileLength)
        guard let trailer = try? Trailer(decodingEndOf: bytes, fileLength: fileLength) else { return }
        let range = Int(trailer.footerOffset)..<bytes.count - FooterBytes.trailerBytes
        let stored = UnsafeRawBufferPointer(rebasing: bytes[range])
        guard let footer = try? Footer(decoding: stored, trailer: trailer) else { return }

        var random = footer.summary.minTimestamp
        for _ in 0..<4 {
            let later = random.addingReportingOverflow(1_000_000)
            let range = random...(later.overflow ? .max : later.partialValue)
            _ = footer.pyramid.nextCandidate(from: 0, count: footer.entries.count, range)
            for block in footer.entries.indices { _ = footer.pyramid.mayOverlap(block: block, range) }
            random = later.partialValue
        }

        let encoded = footer.encode()
        let end = footer.summary.dataBytes.addingReportingOverflow(UInt64(encoded.count))
        guard !end.overflow else { return }
        encoded.withUnsafeBytes { again in
            guard let trailer = try? Trailer(decodingEndOf: again, fileLength: end.partialValue) else {
                return
            }
            let stored = UnsafeRawBufferPointer(rebasing: again.dropLast(FooterBytes.trailerBytes))
            require(
                (try? Footer(decoding: stored, trailer: trailer)) == footer,
                "what was read can be written and read again")
        }
    }
}
