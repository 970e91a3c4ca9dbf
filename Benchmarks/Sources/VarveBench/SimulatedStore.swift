import Foundation
import Varve
import VarveFormat
import VarveIO

/// A store of which it is known what stands in it: events of a workload, recorded from its first one on.
struct KnownStore {
    let path: String
    /// Events.
    let count: UInt64
    let workload: EndlessWorkload
    /// Sequence numbers whose blocks are there.
    let readable: [Range<UInt64>]
    /// The sequence numbers of what stands in it again and again from there on; nil: nothing does.
    var repeated: Range<UInt64>?

    /// The number of the event in the workload, and how often the repeated part stands before it.
    @inline(__always)
    private func origin(_ sequence: UInt64) -> (number: UInt64, repeats: UInt64) {
        guard let repeated, sequence >= repeated.upperBound else { return (sequence, 0) }
        let (repeats, offset) = (sequence - repeated.lowerBound).quotientAndRemainder(
            dividingBy: UInt64(repeated.count))
        return (repeated.lowerBound + offset, repeats)
    }

    func timestamp(_ sequence: UInt64) -> Int64 {
        let (number, repeats) = origin(sequence)
        guard let repeated, repeats > 0 else { return workload.timestamp(number) }
        return workload.timestamp(number) + Int64(repeats) * workload.span(of: repeated)
    }

    /// Bytes of an event's payload.
    func payloadBytes(_ sequence: UInt64) -> Int {
        workload.data.payload(workload.position(origin(sequence).number)).count
    }

    /// Events of the counted kind with a lower sequence number.
    func kinds(before sequence: UInt64) -> UInt64 {
        let (number, repeats) = origin(sequence)
        guard let repeated, repeats > 0 else { return workload.kinds(before: number) }
        let each = workload.kinds(before: repeated.upperBound) - workload.kinds(before: repeated.lowerBound)
        return workload.kinds(before: number) + repeats * each
    }
}

extension EndlessWorkload {
    /// Nanoseconds from the first event of a range to the first one after it.
    func span(of numbers: Range<UInt64>) -> Int64 {
        timestamp(numbers.upperBound) - timestamp(numbers.lowerBound)
    }
}

/// The first two segments of a real store. Their copies, one after the other, make a store of any size: headers, footers and trailers
/// are real, and so are the blocks of a few copies; those of all others are holes in sparse files.
struct SegmentTemplate {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let workload: EndlessWorkload
    /// The store that was recorded.
    private let directory: String
    private let firstName: String
    private let first: SegmentSummary
    private let header: SegmentHeader
    private let footer: Footer
    /// The second segment's file.
    private let bytes: [UInt8]

    /// Reads the template from a store with at least three segments, of one session, and nothing else.
    init(of directory: String, workload: EndlessWorkload) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter {
            $0.hasSuffix(".seg")
        }.sorted()
        guard names.count >= 3 else { throw Failure(description: "the recorded store has too few segments") }
        self.workload = workload
        self.directory = directory
        firstName = names[0]
        first = try Self.footer(of: [UInt8](Data(contentsOf: URL(filePath: "\(directory)/\(names[0])"))))
            .summary
        bytes = try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/\(names[1])")))
        header = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        footer = try Self.footer(of: bytes)
        guard footer.sessions.count == 1, header.session != nil, footer.ledger.isEmpty,
            footer.entries.allSatisfy({ $0.type == .events })
        else { throw Failure(description: "the recorded store's second segment has more than events") }
    }

    private static func footer(of bytes: [UInt8]) throws -> Footer {
        try bytes.withUnsafeBytes { bytes in
            let trailer = try Trailer(decodingEndOf: bytes, fileLength: UInt64(bytes.count))
            let start = Int(trailer.footerOffset)
            return try Footer(
                decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(trailer.footerLength)]),
                trailer: trailer)
        }
    }

    private var sequences: Range<UInt64> { footer.summary.baseSequence..<footer.summary.nextSequence }

    /// Makes a store of at least `events` events. The blocks of `realCount` copies, evenly spread, are there.
    func makeStore(at path: String, events: UInt64, realCount: Int) throws -> (KnownStore, segments: Int) {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for name in ["STORE", firstName] {
            try FileManager.default.copyItem(atPath: "\(directory)/\(name)", toPath: "\(path)/\(name)")
        }
        let each = UInt64(sequences.count)
        let copies = max(1, Int((events - min(events, sequences.lowerBound) + each - 1) / each))
        let step = max(1, copies / realCount)
        var readable = [0..<sequences.lowerBound]
        var before = first
        for number in 0..<copies {
            let isReal = number % step == 0
            before = try write(copy: UInt64(number), after: before, isReal: isReal, into: path)
            if isReal { readable.append(before.baseSequence..<before.nextSequence) }
        }
        let store = KnownStore(
            path: path, count: before.nextSequence, workload: workload, readable: readable,
            repeated: sequences)
        return (store, copies + 1)
    }

    /// Writes the segment's copy with this number, and returns its summary.
    private func write(
        copy number: UInt64, after before: SegmentSummary, isReal: Bool, into path: String
    ) throws -> SegmentSummary {
        let system = POSIXFileSystem()
        let (events, time) = (number * UInt64(sequences.count), Int64(number) * workload.span(of: sequences))
        guard let segment = UniqueID(random: system.randomBytes(16)) else {
            throw Failure(description: "no random bytes")
        }
        var header = header
        header.segment = segment
        header.ordinal = before.ordinal + 1
        header.predecessor = before.segment
        header.predecessorLength = before.dataBytes
        header.baseSequence += events
        header.session?.firstIndex += events
        let head = header.encode()
        // The header says an index, which may take more bytes than the first one's.
        let offset = UInt64(head.count) &- footer.entries[0].offset
        let footer = moved(to: header, events: events, time: time, offset: offset)

        let file = try system.open("\(path)/\(header.fileName)", .createExclusive)
        defer { file.close() }
        try file.write(head, at: 0)
        var sealed = footer
        if isReal {
            let blocks = try blocks(of: footer, events: events, time: time)
            try file.write(blocks, at: UInt64(head.count))
            let checksum = head.withUnsafeBytes { Checksum.crc($0) }
            sealed.digest = Digest(
                storedBytesChecksum: blocks.withUnsafeBytes { Checksum.crc($0, after: checksum) })
        } else {
            sealed.digest = Digest()
        }
        // What is not written before is a hole.
        try file.write(sealed.encode(), at: sealed.summary.dataBytes)
        return sealed.summary
    }

    /// The footer of a copy that begins so many events, nanoseconds and bytes later.
    private func moved(to header: SegmentHeader, events: UInt64, time: Int64, offset: UInt64) -> Footer {
        var footer = footer
        for position in footer.entries.indices {
            footer.entries[position].offset &+= offset
            footer.entries[position].firstSequence += events
            footer.entries[position].firstIndex += events
            footer.entries[position].minTimestamp += time
            footer.entries[position].maxTimestamp += time
        }
        footer.pyramid = TimePyramid(footer.entries)
        footer.sessions[0].begin.firstIndex += events
        footer.sessions[0].firstSequence += events
        footer.sessions[0].nextSequence += events
        footer.sessions[0].nextIndex += events
        footer.sessions[0].minTimestamp += time
        footer.sessions[0].maxTimestamp += time
        footer.summary.ordinal = header.ordinal
        footer.summary.segment = header.segment
        footer.summary.predecessor = header.predecessor
        footer.summary.predecessorLength = header.predecessorLength
        footer.summary.baseSequence += events
        footer.summary.nextSequence += events
        footer.summary.minTimestamp += time
        footer.summary.maxTimestamp += time
        footer.summary.dataBytes &+= offset
        return footer
    }

    /// The blocks of the copy with this footer, with headers, timestamps and checksums of their own.
    private func blocks(of copy: Footer, events: UInt64, time: Int64) throws -> [UInt8] {
        let start = Int(footer.entries[0].offset)
        var blocks = Array(bytes[start..<Int(footer.summary.dataBytes)])
        try blocks.withUnsafeMutableBytes { blocks in
            for (number, entry) in footer.entries.enumerated() {
                let place = Int(entry.offset) - start
                let block = UnsafeMutableRawBufferPointer(
                    rebasing: blocks[place..<place + Int(entry.length)])
                var header = try BlockHeader(
                    decoding: UnsafeRawBufferPointer(block), segment: footer.summary.segment,
                    number: UInt32(number))
                header.segment = copy.summary.segment
                header.firstSequence += events
                header.firstIndex += events
                header.minTimestamp += time
                header.maxTimestamp += time
                let body = UnsafeMutableRawBufferPointer(rebasing: block[BlockHeader.byteCount...])
                try moveTimestamps(body, of: header, by: time)
                guard let memory = body.baseAddress else { continue }
                // SAFETY: the header was verified when it was decoded, and its lengths are those of the block, which is in `blocks`.
                header.smallChecksum = Checksum.sealBody(
                    memory, smallLength: Int(header.smallLength), subBlockCount: Int(header.subBlockCount),
                    segment: header.segment, block: header.number)
                header.encode(into: block)
            }
        }
        return blocks
    }

    /// Adds to the base of the first packed column, from which all timestamps are told.
    private func moveTimestamps(
        _ body: UnsafeMutableRawBufferPointer, of header: BlockHeader, by time: Int64
    ) throws {
        // A byte before it says the column's mode.
        let start = Int(header.subBlockCount) * SubBlockDirectoryEntry.byteCount + 1
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: body[start...]), "a column of timestamps")
        let base = try reader.svarint()
        var writer = ByteWriter()
        writer.putSvarint(base + time)
        guard writer.count == reader.position else {
            throw Failure(description: "a timestamp takes more bytes than before")
        }
        UnsafeMutableRawBufferPointer(rebasing: body[start...]).copyBytes(from: writer.bytes)
    }
}
