import Testing

@testable import VarveFormat

private func sampleFooter(blocks: Int = 130) -> Footer {
    var footer = Footer()
    footer.entries = Sample.entries(blocks)
    footer.pyramid = TimePyramid(footer.entries)
    footer.kinds = Sample.kinds.map { KindCount(definition: $0, events: 5, bytes: 300) }
    footer.sessions = [Sample.summaryOfSession]
    footer.checkpoints = [CheckpointEntry(record: Sample.checkpoint, block: 1, stateBytes: 9)]
    footer.ledger = Sample.ledger
    footer.replaces = [ReplacedSegment(segment: .sample(1), ordinal: 1, generation: 2)]
    footer.droppedRanges = [DroppedRange(first: 0, last: 9, reason: .retention)]
    footer.digest = Digest(storedBytesChecksum: 77)
    footer.summary = Sample.summary
    footer.summary.blockCount = UInt32(blocks)
    if let last = footer.entries.last { footer.summary.dataBytes = last.offset + UInt64(last.length) }
    return footer
}

private func fileLength(_ footer: Footer, _ bytes: [UInt8]) -> UInt64 {
    footer.summary.dataBytes + UInt64(bytes.count)
}

private func read(_ bytes: [UInt8], fileLength: UInt64) throws -> Footer {
    try bytes.withUnsafeBytes { bytes in
        let trailer = try Trailer(decodingEndOf: bytes, fileLength: fileLength)
        let end = max(0, bytes.count - Trailer.byteCount)
        return try Footer(decoding: UnsafeRawBufferPointer(rebasing: bytes[..<end]), trailer: trailer)
    }
}

/// The bytes with section `type`'s body changed, and its checksum made to fit; the trailer stands.
private func changing(
    _ type: UInt32, of footer: [UInt8], owner: UniqueID, _ change: (inout [UInt8]) -> Void
) -> [UInt8] {
    var (bytes, start) = (footer, 8)
    func word(_ offset: Int) -> Int {
        bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    while start < bytes.count - Trailer.byteCount {
        let length = word(start + 8)
        if word(start) == Int(type) {
            var body = Array(bytes[start + 16..<start + 16 + length])
            change(&body)
            var section = ByteWriter()
            section.putSection(type, owner: owner) { $0.putRaw(body) }
            bytes.replaceSubrange(start..<start + section.count, with: section.bytes)
            return bytes
        }
        start += 16 + (length + 7) / 8 * 8
    }
    return []
}

@Suite("Footers")
struct FooterTests {
    @Test(
        "A footer is read as it was written, with and without what may be left out",
        arguments: [0, 1, 64, 65, 130, 5000])
    func roundTrip(blocks: Int) throws {
        var footer = sampleFooter(blocks: blocks)
        if blocks == 0 { footer.checkpoints = [] } else { footer.checkpoints[0].block = UInt32(blocks - 1) }
        for isFull in [true, false] {
            if !isFull { (footer.replaces, footer.droppedRanges, footer.ledger) = ([], [], []) }
            let bytes = footer.encode()
            let length = fileLength(footer, bytes)
            #expect(try read(bytes, fileLength: length) == footer)
            // The summary is found from the last 4 KiB alone.
            let located = try Array(bytes.suffix(4096)).withUnsafeBytes {
                try SegmentSummary.locate(inLast: $0, fileLength: length)
            }
            #expect(located.summary == footer.summary)
            #expect(located.trailer.footerOffset == footer.summary.dataBytes)
        }
    }

    @Test("A footer is known by its first eight bytes")
    func magic() {
        let bytes = sampleFooter(blocks: 1).encode()
        #expect(bytes.withUnsafeBytes { Footer.begins(at: $0) })
        #expect(!bytes[..<7].withUnsafeBytes { Footer.begins(at: $0) })
        #expect(!bytes[1...].withUnsafeBytes { Footer.begins(at: $0) })
        #expect(Sample.entries(1)[0].nextSequence == Sample.eventsHeader.nextSequence)
    }

    @Test("Every flipped bit and every truncation of a footer is refused")
    func damage() throws {
        let footer = sampleFooter(blocks: 3)
        var bytes = footer.encode()
        let length = fileLength(footer, bytes)
        for bit in 0..<bytes.count * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self, "bit \(bit)") { try read(bytes, fileLength: length) }
            // Where the trailer and the summary stand the same goes for what is read from the end.
            if bit / 8 >= bytes.count - Trailer.byteCount - SegmentSummary.byteCount - Section.headerBytes {
                #expect(throws: FormatError.self, "bit \(bit)") {
                    try bytes.withUnsafeBytes { try SegmentSummary.locate(inLast: $0, fileLength: length) }
                }
            }
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) { try read(Array(bytes[..<count]), fileLength: length) }
            #expect(throws: FormatError.self) {
                try read(Array(bytes[..<count]), fileLength: footer.summary.dataBytes + UInt64(count))
            }
        }
        // A tail of the file that starts inside the footer.
        for count in 0..<bytes.count where count < 344 {
            #expect(throws: FormatError.self) {
                try Array(bytes.suffix(count)).withUnsafeBytes {
                    try SegmentSummary.locate(inLast: $0, fileLength: length)
                }
            }
        }
    }

    @Test("Sections with junk under valid checksums are refused or read, and never trap")
    func junk() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        let footer = sampleFooter(blocks: 70)
        let bytes = footer.encode()
        let length = fileLength(footer, bytes)
        var (accepted, refused) = (0, 0)
        for type in [16, 17, 18, 19, 20, 21, 22, 23, 25, 26] as [UInt32] {
            for _ in 0..<300 {
                let mutated = changing(type, of: bytes, owner: Sample.segment) { body in
                    for _ in 0..<Int.random(in: 1...3, using: &generator) {
                        let place = Int.random(in: 0..<body.count, using: &generator)
                        body[place] =
                            Bool.random(using: &generator)
                            ? 0xFF : UInt8(truncatingIfNeeded: generator.next())
                    }
                }
                #expect(mutated.count == bytes.count)
                do {
                    let read = try read(mutated, fileLength: length)
                    accepted += 1
                    _ = read.pyramid.nextCandidate(from: 0, count: read.entries.count, 0...100)
                } catch {
                    #expect(error is FormatError, "seed \(seed)")
                    refused += 1
                }
            }
        }
        #expect(accepted > 100 && refused > 100, "seed \(seed): the mutations test nothing")
    }

    @Test("A footer whose sections contradict each other or its trailer is refused")
    func contradictions() throws {
        func refuses(_ change: (inout Footer) -> Void) -> Bool {
            var footer = sampleFooter(blocks: 3)
            change(&footer)
            let bytes = footer.encode()
            return (try? read(bytes, fileLength: fileLength(footer, bytes))) == nil
        }
        #expect(!refuses { _ in })
        #expect(refuses { $0.summary.blockCount += 1 })
        #expect(refuses { $0.entries.swapAt(0, 1) })
        #expect(refuses { $0.entries[1].offset += 8 })
        #expect(refuses { $0.entries[2].length += 8 })
        #expect(refuses { $0.checkpoints[0].block = 3 })
        #expect(refuses { $0.pyramid = TimePyramid(Sample.entries(65)) })
        #expect(refuses { $0.pyramid = TimePyramid([]) })
        // Counts that sums over segments would overflow with.
        #expect(refuses { $0.kinds[0].events = $0.summary.eventCount + 1 })
        #expect(refuses { $0.kinds[1].bytes = $0.summary.rawBytes + 1 })
        #expect(refuses { $0.sessions[0].events = 111 })
        #expect(refuses { $0.sessions[0].payloadBytes = $0.summary.rawBytes + 1 })
        #expect(refuses { $0.sessions[0].checkpoints = UInt64(Limits.segmentBlocksMax) + 1 })
        #expect(refuses { $0.summary.rawBytes = .max })
        let footer = sampleFooter(blocks: 3)
        let bytes = footer.encode()
        let foreign = changing(SectionType.summary, of: bytes, owner: Sample.segment) { $0[192] ^= 1 }
        #expect(throws: FormatError.self) { try read(foreign, fileLength: fileLength(footer, bytes)) }
    }

    @Test("Entries of the block index may be longer than this version's")
    func longerEntries() throws {
        let footer = sampleFooter(blocks: 3)
        var body = ByteWriter()
        body.put(UInt32(3))
        body.put(UInt32(96))
        for entry in footer.entries {
            entry.encode(to: &body)
            body.putRaw([UInt8](repeating: 0xAB, count: 16))
        }
        func reading(_ index: [UInt8]) throws -> Footer {
            let bytes = footer.encode()
            let old = 16 + 8 + 3 * 80
            var writer = ByteWriter()
            writer.putRaw(Array(bytes[..<8]))
            writer.putSection(SectionType.blockIndex, owner: Sample.segment) { $0.putRaw(index) }
            writer.putRaw(Array(bytes[(8 + old)..<(bytes.count - Trailer.byteCount)]))
            let start = footer.summary.dataBytes
            let end = start + UInt64(writer.count)
            Trailer(
                footerOffset: start, footerLength: UInt64(writer.count), store: Sample.store,
                segment: Sample.segment, ordinal: 3, fileLength: end + 96, sectionCount: 10,
                summaryOffset: end - 248
            ).encode(to: &writer)
            return try read(writer.bytes, fileLength: end + 96)
        }
        #expect(try reading(body.bytes) == footer)
        // Shorter ones, and a size that makes more bytes than there are.
        var short = body
        short.patch(79, at: 4)
        #expect(throws: FormatError.self) { try reading(short.bytes) }
        short.patch(.max, at: 4)
        #expect(throws: FormatError.self) { try reading(short.bytes) }
        short.patch(.max, at: 0)
        #expect(throws: FormatError.self) { try reading(short.bytes) }
    }
}

@Suite("Filters in footers")
struct FooterFilterTests {
    private func filters(_ entries: [BlockIndexEntry]) -> [UInt8] {
        encodeFilters(
            entries.map { entry in
                guard entry.type == .events else { return [] }
                return (0..<Int(entry.subBlockCount)).map {
                    $0 % 3 == 2 ? nil : [FilteredPayload("number \($0) of \(entry.offset)")]
                }
            })
    }

    private func footer(blocks: Int) -> Footer {
        var footer = sampleFooter(blocks: blocks)
        footer.filters = filters(footer.entries)
        return footer
    }

    /// The same footer without its section of filters, and that.
    private func parted(_ bytes: [UInt8]) -> (rest: [UInt8], section: [UInt8]) {
        let count = bytes.prefix(24).withUnsafeBytes { Footer.filterSectionBytes(inFirst: $0) }
        return (Array(bytes[..<8] + bytes[(8 + count)...]), Array(bytes[8..<8 + count]))
    }

    @Test("A footer with filters is read with them, and without their bytes", arguments: [3, 130])
    func roundTrip(blocks: Int) throws {
        var footer = footer(blocks: blocks)
        let bytes = footer.encode()
        #expect(try read(bytes, fileLength: fileLength(footer, bytes)) == footer)
        let (rest, section) = parted(bytes)
        #expect(section.count % 8 == 0 && section.count > footer.filters.count)
        let trailer = try bytes.withUnsafeBytes {
            try Trailer(decodingEndOf: $0, fileLength: fileLength(footer, bytes))
        }
        let body = try section.withUnsafeBytes {
            try Array(Footer.filterBody(in: $0, segment: Sample.segment))
        }
        #expect(body == footer.filters)
        footer.filters = []
        let without = try rest.withUnsafeBytes {
            try Footer(
                decoding: UnsafeRawBufferPointer(rebasing: $0.dropLast(Trailer.byteCount)), trailer: trailer,
                leavingOutFilters: true)
        }
        #expect(without == footer)
        // One that has none has none to leave out.
        #expect(parted(footer.encode()).section == [])
    }

    @Test("Every flipped bit of the section is refused, and takes nothing from the rest of the footer")
    func damage() throws {
        let footer = footer(blocks: 3)
        let bytes = footer.encode()
        let length = fileLength(footer, bytes)
        let (_, section) = parted(bytes)
        for bit in 0..<section.count * 8 {
            var flipped = bytes
            flipped[8 + bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self) { try read(flipped, fileLength: length) }
            let damaged = Array(flipped[8..<8 + section.count])
            #expect(throws: FormatError.self) {
                try damaged.withUnsafeBytes { _ = try Footer.filterBody(in: $0, segment: Sample.segment) }
            }
        }
        for count in 0..<24 {
            #expect(bytes[..<count].withUnsafeBytes { Footer.filterSectionBytes(inFirst: $0) } == 0)
        }
    }

    @Test("Filters of other blocks are refused, and those of a later version left alone")
    func contradictions() throws {
        func reading(_ filters: [UInt8]) throws -> Footer {
            var footer = footer(blocks: 66)
            footer.filters = filters
            let bytes = footer.encode()
            return try read(bytes, fileLength: fileLength(footer, bytes))
        }
        let entries = Sample.entries(66)
        #expect(entries.contains { $0.type == .events } && entries.contains { $0.type != .events })
        let good = filters(entries)
        #expect(try reading(good).filters == good)
        var more = entries
        for number in entries.indices {
            more = entries
            more[number].type = .events
            more[number].subBlockCount += 1
            #expect(throws: FormatError.self) { try reading(filters(more)) }
        }
        #expect(throws: FormatError.self) { try reading(filters(Array(entries.dropLast()))) }
        #expect(throws: FormatError.self) { try reading(filters(entries + entries)) }
        #expect(throws: FormatError.self) { try reading([1]) }
        var later = good
        later[0] = 2
        #expect(try reading(later).filters == later)
        #expect(try reading([9]).filters == [9])
    }
}

@Suite("Time pyramids")
struct TimePyramidTests {
    @Test("Candidates are those whose groups overlap the range, as a naive model finds them")
    func candidates() {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed)
        for round in 0..<60 {
            let count = [0, 1, 63, 64, 65, 128, 130, 4096, 4097, 6000].randomElement(using: &generator) ?? 0
            let stray = Int.random(in: 0...max(1, count), using: &generator)
            let entries = (0..<count).map { number in
                var entry = BlockIndexEntry(
                    Int.random(in: 0..<8, using: &generator) == 0 || number / 64 % 5 == 1
                        ? Sample.endHeader : Sample.eventsHeader, offset: 0)
                entry.minTimestamp = Int64(number * 10)
                entry.maxTimestamp = number == stray ? .max : Int64(number * 10 + 15)
                return entry
            }
            let pyramid = TimePyramid(entries)
            let low = Int64.random(in: -50...Int64(count * 10 + 50), using: &generator)
            let range = low...(low + Int64.random(in: 0...300, using: &generator))
            // Groups of the lowest level decide: those above them are made from them.
            let groups = stride(from: 0, to: count, by: 64).map { start -> Bool in
                let events = entries[start..<min(start + 64, count)].filter { $0.type == .events }
                guard let least = events.map(\.minTimestamp).min() else { return false }
                guard let greatest = events.map(\.maxTimestamp).max() else { return false }
                return least <= range.upperBound && greatest >= range.lowerBound
            }
            let model = (0..<count).filter { groups[$0 / 64] }
            #expect(
                (0..<count).filter { pyramid.mayOverlap(block: $0, range) } == model, "seed \(seed), \(round)"
            )
            var (found, number) = ([Int](), 0)
            while true {
                number = pyramid.nextCandidate(from: number, count: count, range)
                guard number < count else { break }
                found.append(number)
                number += 1
            }
            #expect(found == model, "seed \(seed), \(round)")
            #expect(pyramid.nextCandidate(from: count, count: count, range) == count)
            // No block that overlaps by itself is passed over.
            for (number, entry) in entries.enumerated()
            where entry.type == .events && entry.minTimestamp <= range.upperBound
                && entry.maxTimestamp >= range.lowerBound
            {
                #expect(pyramid.mayOverlap(block: number, range), "seed \(seed), \(round)")
            }
        }
    }

    @Test(
        "Levels shrink by 64 to a single top",
        arguments: [(0, []), (1, [1]), (64, [1]), (65, [2, 1]), (4097, [65, 2, 1])])
    func levels(blocks: Int, sizes: [Int]) {
        #expect(TimePyramid(Sample.entries(blocks)).levels.map(\.count) == sizes)
    }
}
