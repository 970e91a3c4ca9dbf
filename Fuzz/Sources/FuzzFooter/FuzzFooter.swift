import FuzzSupport
import VarveFormat

/// The end of a sealed segment: trailer, summary, footer with its filters. An input is the end of a file, or all of one, or the body
/// of a section of filters.
@main
struct FuzzFooter {
    static func main() {
        fuzz(
            allocating: allocationOfADecoder, mutation: structured(FooterBytes.layout),
            mending: { FooterBytes.mend(&$0) }
        ) { bytes in decode(bytes) }
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) {
        ask(bytes, of: nil)
        let fileLength = UInt64(bytes.count)
        _ = try? SegmentSummary.locate(
            inLast: UnsafeRawBufferPointer(rebasing: bytes.suffix(4_096)), fileLength: fileLength)
        guard let trailer = try? Trailer(decodingEndOf: bytes, fileLength: fileLength) else { return }
        let range = Int(trailer.footerOffset)..<bytes.count - FooterBytes.trailerBytes
        let stored = UnsafeRawBufferPointer(rebasing: bytes[range])
        let rest = withoutFilters(stored, trailer)
        guard let footer = try? Footer(decoding: stored, trailer: trailer) else { return }
        footer.filters.withUnsafeBytes { ask($0, of: footer) }
        if let rest {
            var same = footer
            same.filters = []
            require(rest == same, "a footer is the same without its filters")
        }

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

    /// The footer as a reader gets it that leaves the filters out: it reads their section alone.
    private static func withoutFilters(_ stored: UnsafeRawBufferPointer, _ trailer: Trailer) -> Footer? {
        let count = Footer.filterSectionBytes(inFirst: UnsafeRawBufferPointer(rebasing: stored.prefix(24)))
        guard count > 0, count + 8 <= stored.count else { return nil }
        let section = UnsafeRawBufferPointer(rebasing: stored[8..<8 + count])
        if let body = try? Footer.filterBody(in: section, segment: trailer.segment) { ask(body, of: nil) }
        let rest = Array(stored[..<8]) + Array(stored[(8 + count)...])
        return rest.withUnsafeBytes {
            try? Footer(decoding: $0, trailer: trailer, leavingOutFilters: true)
        }
    }

    /// Asks every filter a few questions.
    private static func ask(_ body: UnsafeRawBufferPointer, of footer: Footer?) {
        let owner = FilterBytes(Array(body))
        guard let filters = try? TokenFilters(decoding: owner.bytes, owner: owner) else { return }
        if let footer {
            require(filters.fit(footer.entries), "filters that were read are those of the blocks")
        }
        let keys =
            [0, 1, .max, 1 << 31]
            + TextKeys.keys(ofText: Array(body.prefix(64)), startsToken: true, endsToken: false)
        var count = 0
        for block in 0..<filters.blockCount {
            for filter in filters.filters(ofBlock: block) {
                count += 1
                let isEmpty = filters.byteCount(ofFilter: filter) == 0
                for key in keys {
                    _ = filters.mayHoldEverywhere(key)
                    require(
                        filters.mayHold(key, filter: filter) || !isEmpty, "an empty filter rules nothing out")
                }
            }
        }
        require(count == filters.filterCount, "each filter is of one block")
    }
}
