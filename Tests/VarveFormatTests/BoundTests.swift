import Testing

@testable import VarveFormat

/// What a hostile file may claim under valid checksums, and what the readers make of it.
@Suite("Bounds, one by one")
struct BoundTests {
    private func decoded(_ header: BlockHeader) throws -> BlockHeader {
        var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return try bytes.withUnsafeBytes {
            try BlockHeader(decoding: $0, segment: header.segment, number: header.number)
        }
    }

    // MARK: Readers

    @Test("A count that the bytes left can't hold is refused before anything is read of it")
    func counts() throws {
        let bytes: [UInt8] = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        let fits = try readAll(bytes) { (reader) throws(FormatError) in
            let count = try reader.count(itemBytes: 1)
            _ = try reader.take(9)
            return count
        }
        #expect(fits == 5)
        #expect(throws: FormatError.truncated("numbers")) {
            try bytes.withReader("numbers") { (reader) throws(FormatError) in
                _ = try reader.count(itemBytes: 2)
            }
        }
        #expect(throws: FormatError.beyondLimit("numbers's count", value: 5, limit: 4)) {
            try bytes.withReader("numbers") { (reader) throws(FormatError) in
                _ = try reader.count(itemBytes: 1, max: 4)
            }
        }
        // An item of no bytes bounds nothing, and must not divide by zero.
        #expect(
            try bytes.withReader("numbers") { (reader) throws(FormatError) in
                try reader.count(itemBytes: 0)
            } == 5)
    }

    @Test("Nothing is taken beyond the end, and no negative number of bytes")
    func takes() {
        for count in [4, -1, Int.max, Int.min] {
            #expect(throws: FormatError.truncated("three bytes"), "\(count)") {
                try [1, 2, 3].withReader("three bytes") { (reader) throws(FormatError) in
                    _ = try reader.take(count)
                }
            }
        }
        #expect(throws: FormatError.truncated("three bytes")) {
            try [1, 2, 3].withReader("three bytes") { (reader) throws(FormatError) in
                _ = try reader.u32()
            }
        }
    }

    // MARK: Headers

    @Test("A segment header of more than 64 MiB is refused by its first bytes", arguments: [8, 1 << 20])
    func segmentHeaderLength(beyond: UInt32) throws {
        func length(_ value: UInt32) throws -> Int {
            var writer = ByteWriter()
            writer.putRaw(Array(Sample.segmentHeader.encode()[..<SegmentHeader.fixedBytes]))
            writer.patch(value, at: 12)
            let bytes = sealed(writer.bytes, 0..<148, at: 148)
            return try bytes.withUnsafeBytes { try SegmentHeader.byteCount(ofPrefix: $0) }
        }
        let most = UInt32(Limits.headerBytesMax)
        #expect(try length(most) == Limits.headerBytesMax)
        #expect(
            throws: FormatError.beyondLimit(
                "a segment header", value: UInt64(most + beyond), limit: UInt64(most))
        ) { try length(most + beyond) }
        for odd in [0, 144, 151, 153, 156] as [UInt32] {
            #expect(throws: FormatError.self, "\(odd)") { try length(odd) }
        }
    }

    @Test("A segment header without settings is refused")
    func withoutSettings() {
        var bytes = Array(Sample.smallestSegmentHeader.encode()[..<SegmentHeader.fixedBytes])
        (bytes[12], bytes[144]) = (UInt8(SegmentHeader.fixedBytes), 0)
        bytes = sealed(bytes, 0..<148, at: 148)
        #expect(throws: FormatError.invalid("a segment header", reason: "it has no settings")) {
            try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        }
    }

    @Test("A section of more than 64 MiB is refused, even where all its bytes are there")
    func sectionLength() {
        func read(_ count: Int) throws(FormatError) {
            var writer = ByteWriter()
            writer.putSection(1, owner: .zero) { $0.putZeros(count) }
            try writer.bytes.withReader("sections") { (reader) throws(FormatError) in
                _ = try Section(from: &reader, owner: .zero)
            }
        }
        let most = Limits.sectionBytesMax
        #expect(throws: Never.self) { try read(most) }
        #expect(
            throws: FormatError.beyondLimit("a section", value: UInt64(most + 1), limit: UInt64(most))
        ) { try read(most + 1) }
    }

    @Test("Reserved flags of a section are refused")
    func sectionFlags() {
        var writer = ByteWriter()
        writer.putSection(1, owner: .zero) { $0.put(UInt32(7)) }
        writer.patch(2, at: 4)
        #expect(throws: FormatError.invalid("a section", reason: "reserved flags are set")) {
            try writer.bytes.withReader("sections") { (reader) throws(FormatError) in
                _ = try Section(from: &reader, owner: .zero)
            }
        }
    }

    @Test("A STORE file whose length is not the one it states is refused", arguments: [-1, 1, 8, 1 << 20])
    func storeLength(difference: Int) throws {
        let whole = StoreIdentity(store: Sample.store, createdAt: 1, metadata: ["a": "b"]).encode()
        var writer = ByteWriter()
        writer.putRaw(whole)
        writer.patch(UInt32(whole.count + difference), at: 12)
        let bytes = sealed(writer.bytes, 0..<60, at: 60)
        #expect(throws: FormatError.invalid("STORE", reason: "its length is not the file's")) {
            try bytes.withUnsafeBytes { try StoreIdentity(decoding: $0) }
        }
    }

    @Test("A STORE file of another version, or with features that must be known, says so")
    func storeFeatures() {
        var identity = StoreIdentity(store: Sample.store, createdAt: 1, metadata: nil)
        identity.incompatibleFeatures = 2
        #expect(throws: FormatError.unknownFeatures(2, of: "the store")) {
            try identity.encode().withUnsafeBytes { try StoreIdentity(decoding: $0) }
        }
        identity.incompatibleFeatures = 0
        var bytes = identity.encode()
        bytes[8] = 9
        #expect(throws: FormatError.unknownVersion(9, of: "the store")) {
            try bytes.withUnsafeBytes { try StoreIdentity(decoding: $0) }
        }
    }

    // MARK: Trailers and footers

    @Test("A trailer whose lengths do not fit the file is refused, whichever it is")
    func trailerLengths() {
        func reads(_ change: (inout Trailer) -> Void, fileLength: UInt64? = nil) -> Bool {
            var trailer = Sample.trailer
            change(&trailer)
            return trailerBytes(trailer).withUnsafeBytes {
                (try? Trailer(decodingEndOf: $0, fileLength: fileLength ?? Sample.trailer.fileLength)) != nil
            }
        }
        #expect(reads { _ in })
        #expect(!reads({ _ in }, fileLength: Sample.trailer.fileLength + 1))
        #expect(!reads { $0.fileLength += 8 })
        #expect(!reads { $0.footerOffset += 8 })
        #expect(!reads { $0.footerOffset += 1 })
        #expect(!reads { ($0.footerOffset, $0.footerLength) = ($0.footerOffset + 1, $0.footerLength - 1) })
        #expect(!reads { $0.footerLength -= 8 })
        #expect(!reads { $0.footerLength = .max })
        #expect(!reads { ($0.footerOffset, $0.footerLength) = ($0.footerOffset + $0.footerLength, 0) })
        #expect(!reads { $0.summaryOffset = $0.footerOffset })
        #expect(!reads { $0.summaryOffset = $0.footerOffset - 8 })
        #expect(!reads { $0.summaryOffset = $0.footerOffset + $0.footerLength })
        #expect(!reads { $0.summaryOffset += 4 })
        #expect(!reads { $0.ordinal = 0 })
        #expect(!reads { $0.sectionCount = 65 })
        // A file that is shorter than a trailer.
        #expect(
            !reads(
                { ($0.footerOffset, $0.footerLength, $0.fileLength) = (.max - 87, 80, 88) }, fileLength: 88))
    }

    @Test("A trailer of another version says so")
    func trailerVersion() {
        var bytes = trailerBytes(Sample.trailer)
        bytes[68] = 3
        bytes = sealed(bytes, 0..<84, at: 84)
        #expect(throws: FormatError.unknownVersion(3, of: "the segment")) {
            try bytes.withUnsafeBytes {
                try Trailer(decodingEndOf: $0, fileLength: Sample.trailer.fileLength)
            }
        }
    }

    @Test("An entry of the block index whose fields contradict each other or a limit is refused")
    func indexEntries() throws {
        func reads(_ change: (inout BlockIndexEntry) -> Void) -> Bool {
            var entry = Sample.entries(1)[0]
            change(&entry)
            var writer = ByteWriter()
            entry.encode(to: &writer)
            let read = try? writer.bytes.withReader("an entry") { (reader) throws(FormatError) in
                try BlockIndexEntry(from: &reader)
            }
            return read == entry
        }
        #expect(reads { _ in })
        #expect(!reads { $0.eventCount = UInt32(Limits.blockEventsMax + 1) })
        #expect(!reads { $0.rawBytes = UInt32(Limits.blockRawBytesMax + 1) })
        #expect(
            !reads { ($0.smallLength, $0.length) = (UInt32(Limits.smallPartBytesMax + 1), 128 << 20) })
        #expect(!reads { $0.subBlockCount = UInt32(Limits.subBlocksMax + 1) })
        #expect(!reads { $0.offset += 4 })
        #expect(!reads { $0.length += 4 })
        #expect(!reads { $0.smallLength = $0.length })
        #expect(!reads { $0.length = UInt32(BlockHeader.byteCount + Limits.blockBodyBytesMax + 16) })
        #expect(!reads { $0.maxTimestamp = $0.minTimestamp - 1 })
        #expect(!reads { $0.firstSequence = .max })
    }

    @Test("An index that claims more entries than there are bytes takes no memory for them")
    func indexCount() {
        var body = ByteWriter()
        body.put(UInt32(Limits.segmentBlocksMax))
        body.put(UInt32(BlockIndexEntry.byteCount))
        body.putZeros(BlockIndexEntry.byteCount)
        #expect(throws: FormatError.truncated("the block index")) { try footer(withIndex: body.bytes) }
        body.patch(UInt32(Limits.segmentBlocksMax + 1), at: 0)
        #expect(
            throws: FormatError.beyondLimit("the block index", value: 16_385, limit: 16_384)
        ) { try footer(withIndex: body.bytes) }
    }

    /// Reads a footer that starts with this block index; what follows is not reached.
    private func footer(withIndex body: [UInt8]) throws(FormatError) {
        var writer = ByteWriter()
        writer.putMagic(Footer.magic)
        writer.putSection(SectionType.blockIndex, owner: Sample.segment) { $0.putRaw(body) }
        let result: Result<Footer, FormatError> = writer.bytes.withUnsafeBytes { bytes in
            do throws(FormatError) {
                return .success(try Footer(decoding: bytes, trailer: Sample.trailer))
            } catch { return .failure(error) }
        }
        _ = try result.get()
    }

    // MARK: Blocks

    @Test("A block that claims more sub-blocks than its small part has room for is refused")
    func directory() {
        var header = Sample.eventsHeader
        header.subBlockCount = header.smallLength / 20
        #expect(throws: Never.self) { try decoded(header) }
        header.subBlockCount += 1
        #expect(throws: FormatError.invalid("a block", reason: "its lengths contradict each other")) {
            try decoded(header)
        }
    }

    @Test("A column whose numbers have more than 64 bits is refused, even where all its bytes are there")
    func columnWidth() {
        for width in [65, 66, 128, 255] as [UInt8] {
            let bytes = [1, 0, 1, width] + [UInt8](repeating: 0, count: 64)
            #expect(throws: FormatError.invalid("a packed column", reason: "its width is over 64")) {
                try bytes.withReader("a column") { (reader) throws(FormatError) in
                    let room = UnsafeMutablePointer<Int64>.allocate(capacity: 2)
                    defer { room.deallocate() }
                    try PackedColumn.decode(&reader, count: 2, range: .min ... .max, into: room)
                }
            }
        }
    }

    @Test("A sub-block that claims more than LZ4 can expand to is refused before memory is taken for it")
    func subBlockRatio() {
        let stored: [UInt8] = [0x1F, 0, 1, 0, 255, 255]
        let most = stored.count * 255
        func decode(_ rawBytes: Int) throws(FormatError) {
            _ = try SubBlockBuffer().decode(
                stored, method: .lz4, rawBytes: rawBytes, wanted: rawBytes)
        }
        let reason = FormatError.invalid("a sub-block", reason: "it can't hold so much")
        #expect(throws: reason) { try decode(most + 1) }
        #expect(throws: reason) { try decode(Limits.blockRawBytesMax) }
        #expect(throws: FormatError.invalid("a sub-block", reason: "it can't be decompressed")) {
            try decode(most)
        }
    }

    @Test("A sub-block of more than 128 MiB, or stored in more than 256, is refused")
    func subBlockLength() {
        let limit = Limits.blockBodyBytesMax
        // Memory that nothing touches.
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: limit + 1, alignment: 4096)
        defer { room.deallocate() }
        func decode(_ count: Int, rawBytes: Int) throws(FormatError) {
            _ = try SubBlockBuffer().decode(
                stored: UnsafeRawBufferPointer(rebasing: room[..<count]), method: .raw, rawBytes: rawBytes,
                wanted: 0, dictionary: nil, dictionaryIdentity: 0)
        }
        let most = Limits.blockRawBytesMax
        #expect(throws: Never.self) { try decode(most, rawBytes: most) }
        #expect(
            throws: FormatError.beyondLimit("a sub-block", value: UInt64(most + 1), limit: UInt64(most))
        ) { try decode(most + 1, rawBytes: most + 1) }
        #expect(
            throws: FormatError.beyondLimit("a sub-block", value: UInt64(limit + 1), limit: UInt64(limit))
        ) { try decode(limit + 1, rawBytes: 1) }
    }

    @Test("A compressed sub-block of no bytes at all is refused")
    func emptySubBlock() {
        #expect(throws: FormatError.truncated("a sub-block")) {
            try SubBlockBuffer().decode(nothing: .lz4)
        }
    }

    // MARK: TAIL

    @Test("A header of TAIL whose sizes do not fit each other is refused, whichever they are")
    func tailSizes() {
        func reads(_ change: (inout TailHeader) -> Void) -> Bool {
            var header = Sample.tailHeader
            change(&header)
            return header.encode().withUnsafeBytes { (try? TailHeader(decoding: $0)) != nil }
        }
        #expect(reads { _ in })
        #expect(!reads { $0.slotCount = 0 })
        #expect(!reads { $0.slotCount = 65 })
        #expect(!reads { $0.slotBytes = 4097 })
        #expect(!reads { $0.slotBytes = 256 << 20 + 4096 })
        #expect(!reads { ($0.slotCount, $0.slotBytes) = (8, 256 << 20) })
        #expect(!reads { $0.slotRows = 0 })
        #expect(!reads { $0.slotRows = 65_537 })
        #expect(!reads { $0.slotRows = 65_536 })
        #expect(!reads { $0.slotPayloadBytes = 4096 })
        #expect(!reads { ($0.slotPayloadBytes, $0.slotBytes) = (64 << 20 + 1, 128 << 20) })
        #expect(!reads { $0.kindsBytes = 0 })
        #expect(!reads { $0.kindsBytes = 4 })
        #expect(!reads { $0.kindsBytes = 64 << 20 + 4096 })
    }

    @Test("TAIL of another version says so")
    func tailVersion() {
        var bytes = Sample.tailHeader.encode()
        bytes[8] = 5
        bytes = sealed(bytes, 0..<92, at: 92)
        #expect(throws: FormatError.unknownVersion(5, of: "TAIL")) {
            try bytes.withUnsafeBytes { try TailHeader(decoding: $0) }
        }
    }

    @Test("A slot of TAIL that ends before the header says is refused, and nothing beyond is read")
    func tailSlotLength() throws {
        let header = Sample.tailHeader
        let slot = try #require(Sample.tailSlots[0])
        let whole = slot.encode(header: header)
        #expect(whole.count == Int(header.slotBytes))
        for count in [0, 8, 63, 64, 88, whole.count - 1] {
            #expect(throws: FormatError.truncated("a slot of TAIL"), "\(count)") {
                try Array(whole[..<count]).withUnsafeBytes { try TailSlot.decode($0, header: header) }
            }
        }
    }

    /// A file of a header and its region of kinds.
    private func tail(_ committed: UInt32? = nil) -> [UInt8] {
        let header = Sample.tailHeader
        let entries = Sample.kinds.enumerated().flatMap { header.encode($1, id: UInt32(10 + $0)) }
        var writer = ByteWriter()
        writer.putRaw(header.encode())
        writer.put(committed ?? UInt32(entries.count))
        writer.put(UInt32(0))
        writer.putRaw(entries)
        writer.putZeros(header.slotOffset(0) - writer.count)
        return writer.bytes
    }

    @Test("TAIL's region of kinds gives what was committed, and nothing when it claims more than its room")
    func tailKinds() {
        func kinds(_ bytes: [UInt8]) -> [KindDefinition] {
            bytes.withUnsafeBytes { Sample.tailHeader.kinds(in: $0).map(\.definition) }
        }
        #expect(kinds(tail()) == Sample.kinds)
        #expect(kinds(tail(0)) == [])
        #expect(kinds(tail(4088)) == Sample.kinds)
        #expect(kinds(tail(4089)) == [])
        #expect(kinds(Array(tail().dropLast())) == [])
    }

    @Test("A flipped bit in TAIL's region of kinds never makes another kind")
    func tailKindBits() {
        var bytes = tail()
        let end =
            TailHeader.byteCount + 8
            + Sample.kinds.reduce(0) {
                $0 + Sample.tailHeader.encode($1, id: 0).count
            }
        for bit in (TailHeader.byteCount + 8) * 8..<end * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8)
            let kinds = bytes.withUnsafeBytes { Sample.tailHeader.kinds(in: $0) }
            #expect(
                kinds.map(\.definition) == Array(Sample.kinds.prefix(kinds.count))
                    && kinds.map(\.id) == Array([10, 11].prefix(kinds.count)) && kinds.count < 2, "bit \(bit)"
            )
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }
}

extension SubBlockBuffer {
    /// Decodes bytes that are nowhere.
    fileprivate func decode(nothing method: SubBlockMethod) throws(FormatError) {
        _ = try decode(
            stored: UnsafeRawBufferPointer(start: nil, count: 0), method: method, rawBytes: 0, wanted: 0,
            dictionary: nil, dictionaryIdentity: 0)
    }

    /// Decodes bytes of an array, for what is thrown.
    fileprivate func decode(
        _ stored: [UInt8], method: SubBlockMethod, rawBytes: Int, wanted: Int
    ) throws(FormatError) -> Int {
        let result: Result<Int, FormatError> = stored.withUnsafeBytes { bytes in
            do throws(FormatError) {
                _ = try decode(
                    stored: bytes, method: method, rawBytes: rawBytes, wanted: wanted, dictionary: nil,
                    dictionaryIdentity: 0)
                return .success(wanted)
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}
