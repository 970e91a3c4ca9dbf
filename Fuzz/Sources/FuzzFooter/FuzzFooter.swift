import FuzzSupport
import VarveFormat

/// The end of a sealed segment: trailer, summary, footer. An input is the end of a file, or all of one.
@main
struct FuzzFooter {
    static let trailerBytes = 96

    static func main() {
        fuzz(mending: mend) { bytes in
            decode(bytes)
        }
    }

    /// The trailer is made to fit: the file is as long as it says, and the footer ends where the trailer starts.
    static func mend(_ bytes: inout [UInt8]) {
        let trailer = bytes.count - trailerBytes
        guard trailer >= 0, let segment = bytes.uniqueID(at: trailer + 32),
            let footer = bytes.u64(at: trailer).flatMap({ Int(exactly: $0) }), footer < trailer
        else { return }
        bytes.put("VARVEFTR", at: footer)
        bytes.put("VARVEEND", at: trailer + 88)
        bytes.put(UInt32(trailer - footer), at: trailer + 8)
        bytes.put(0, at: trailer + 12)
        bytes.put(UInt32(bytes.count), at: trailer + 56)
        bytes.put(0, at: trailer + 60)
        bytes.mendSections(from: footer + 8, owner: segment)
        bytes.mendChecksum(of: trailer..<trailer + 84, at: trailer + 84)
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) {
        let fileLength = UInt64(bytes.count)
        _ = try? SegmentSummary.locate(
            inLast: UnsafeRawBufferPointer(rebasing: bytes.suffix(4_096)), fileLength: fileLength)
        guard let trailer = try? Trailer(decodingEndOf: bytes, fileLength: fileLength) else { return }
        let range = Int(trailer.footerOffset)..<bytes.count - trailerBytes
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
            let stored = UnsafeRawBufferPointer(rebasing: again.dropLast(trailerBytes))
            require(
                (try? Footer(decoding: stored, trailer: trailer)) == footer,
                "what was read can be written and read again")
        }
    }
}
