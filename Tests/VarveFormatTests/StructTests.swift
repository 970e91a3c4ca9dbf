import Testing

@testable import VarveFormat

/// A seed to print with what fails.
private func seededGenerator() -> (seed: UInt64, generator: SeededGenerator) {
    let seed = UInt64.random(in: .min ... .max)
    return (seed, SeededGenerator(seed))
}

/// Whether the bytes are refused; fails when by anything but an error of the format.
func isRefused(_ read: () throws -> Void) -> Bool {
    do {
        try read()
        return false
    } catch {
        #expect(error is FormatError)
        return true
    }
}

/// The bytes with the four at `offset` replaced by the checksum of `range`, after `seed`.
func sealed(_ bytes: [UInt8], _ range: Range<Int>, at offset: Int, seed: UInt32 = 0) -> [UInt8] {
    var writer = ByteWriter()
    writer.putRaw(bytes)
    writer.patch(bytes[range].withUnsafeBytes { Checksum.crc($0, after: seed) }, at: offset)
    return writer.bytes
}

private func byteCount(_ write: (inout ByteWriter) -> Void) -> Int {
    var writer = ByteWriter()
    write(&writer)
    return writer.count
}

@Suite("Structures of the format")
struct StructTests {
    @Test("Structures of fixed size have the size that the pages say, and are written at it")
    func sizes() {
        #expect(SegmentHeader.fixedBytes == 152)
        #expect(BlockHeader.byteCount == 176 && EncodedBlock.headerRoom == 176)
        #expect(BlockIndexEntry.byteCount == 80)
        #expect(SubBlockDirectoryEntry.byteCount == 20)
        #expect(SegmentSummary.byteCount == 232)
        #expect(Trailer.byteCount == 96)
        #expect(StoreIdentity.fixedBytes == 64)
        #expect(StateSlot.byteCount == 128 && StateSlot.stride == 4096 && StateFile.byteCount == 8192)
        #expect(TailHeader.byteCount == 4096 && TailSlot.rowsOffset == 64 && TailSlot.rowBytes == 24)
        #expect(Section.headerBytes == 16)
        #expect(MemoryLayout<EventRow>.stride == 24)
        #expect(byteCount { Sample.summary.encode(to: &$0) } == 232)
        #expect(byteCount { Sample.extremeEntry.encode(to: &$0) } == 80)
        #expect(byteCount { Sample.trailer.encode(to: &$0) } == 96)
        #expect(StoreIdentity(store: .zero, createdAt: 0, metadata: nil).encode().count == 64)
        // The header, and a section of 16 bytes.
        #expect(Sample.smallestSegmentHeader.encode().count == 152 + 32)
        #expect(Sample.state.encode().count == 4096)
        #expect(Sample.tailHeader.encode().count == 4096)
    }

    @Test(
        "Limits are those of the pages",
        arguments: [
            (Limits.payloadBytesMax, 67_108_864), (Limits.blockEventsMax, 65_536),
            (Limits.blockRawBytesMax, 134_217_728), (Limits.subBlocksMax, 65_536),
            (Limits.smallPartBytesMax, 16_777_216), (Limits.blockBodyBytesMax, 268_435_456),
            (Limits.segmentBlocksMax, 16_384), (Limits.segmentKindsMax, 65_535),
            (Limits.kindNameBytesMax, 255), (Limits.idBytesMax, 65_536), (Limits.metadataBytesMax, 65_536),
            (Limits.dictionaryBytesMax, 65_536), (Limits.headerBytesMax, 67_108_864),
            (Limits.sectionBytesMax, 67_108_864),
        ])
    func limits(actual: Int, specified: Int) { #expect(actual == specified) }

    @Test("A flipped bit is refused where a checksum covers it, and elsewhere never means the same")
    func flippedBits() throws {
        for vector in Vector.all where vector.golden.folder != "tail" && vector.golden.folder != "state" {
            var bytes = vector.golden.bytes
            for bit in 0..<bytes.count * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8)
                defer { bytes[bit / 8] ^= 1 << (bit % 8) }
                var read: JSON?
                let refused = isRefused { read = try vector.read(bytes) }
                if vector.isSealed ? !refused : read == vector.golden.json {
                    Issue.record("\(vector.testDescription): bit \(bit) can be flipped")
                    break
                }
            }
        }
    }

    @Test("A flipped bit of a slot of STATE is refused, with the zeros that follow it")
    func flippedBitsOfState() {
        for slot in [Sample.state, Sample.extremeState] {
            var bytes = slot.encode()
            for bit in 0..<bytes.count * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8)
                if !isRefused({ _ = try bytes.withUnsafeBytes { try StateSlot.decode($0) } }) {
                    Issue.record("bit \(bit) can be flipped")
                }
                bytes[bit / 8] ^= 1 << (bit % 8)
            }
        }
    }

    @Test("A flipped bit of the header of TAIL is refused; in a slot it never makes another event")
    func flippedBitsOfTail() throws {
        let bytes = Tail(header: Sample.tailHeader, kinds: Sample.kinds, slots: Sample.tailSlots).encode()
        var header = Array(bytes[..<TailHeader.byteCount])
        for bit in 0..<header.count * 8 {
            header[bit / 8] ^= 1 << (bit % 8)
            #expect(
                isRefused { _ = try header.withUnsafeBytes { try TailHeader(decoding: $0) } }, "bit \(bit)")
            header[bit / 8] ^= 1 << (bit % 8)
        }
        for slot in Sample.tailSlots.compactMap(\.self) {
            var bytes = slot.encode(header: Sample.tailHeader)
            for bit in 0..<bytes.count * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8)
                defer { bytes[bit / 8] ^= 1 << (bit % 8) }
                let read = bytes.withUnsafeBytes { try? TailSlot.decode($0, header: Sample.tailHeader) }
                guard let read else { continue }
                #expect(read.number == slot.number && read.firstSequence == slot.firstSequence, "bit \(bit)")
                // Rows of an import have no checksum, and are not recovered.
                if !slot.hasExplicitIndices {
                    // Those that are there are the slot's first; a count that grows takes none in.
                    #expect(read.rows == Array(slot.rows.prefix(read.rows.count)), "bit \(bit)")
                }
                if bit < 40 * 8 { Issue.record("bit \(bit) of a slot's header can be flipped") }
            }
        }
    }

    @Test("What is cut short anywhere is refused", arguments: Vector.all)
    func truncations(_ vector: Vector) throws {
        let bytes = vector.golden.bytes
        // Files of whole pages: a few lengths in each.
        let step = bytes.count > 4096 ? 61 : 1
        for count in stride(from: 0, to: bytes.count, by: step) {
            #expect(isRefused { _ = try vector.read(Array(bytes[..<count])) }, "\(count) bytes")
        }
    }

    @Test("Bytes overwritten with junk are refused or read, and never trap")
    func junk() throws {
        var (seed, generator) = seededGenerator()
        var (refused, accepted) = (0, 0)
        for vector in Vector.all where vector.golden.bytes.count < 4096 {
            for _ in 0..<300 {
                var bytes = vector.golden.bytes
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let start = Int.random(in: 0..<bytes.count, using: &generator)
                    for place in start..<min(bytes.count, start + Int.random(in: 1...9, using: &generator)) {
                        bytes[place] =
                            Bool.random(using: &generator)
                            ? 0xFF : UInt8(truncatingIfNeeded: generator.next())
                    }
                }
                if isRefused({ _ = try vector.read(bytes) }) { refused += 1 } else { accepted += 1 }
            }
        }
        #expect(refused > 1000 && accepted > 100, "seed \(seed): the mutations test nothing")
    }

    @Test("Junk under a valid checksum never traps, and what is read is written as it was")
    func sealedJunk() throws {
        var (seed, generator) = seededGenerator()
        func mutated(_ bytes: [UInt8], _ range: Range<Int>) -> [UInt8] {
            var bytes = bytes
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: range, using: &generator)
                bytes[place] =
                    [0, 1, 0x7F, 0xFF, UInt8(truncatingIfNeeded: generator.next())]
                    .randomElement(using: &generator) ?? 0
            }
            return bytes
        }
        var accepted = 0
        for round in 0..<4000 {
            var header = Sample.segmentHeader.encode()
            header = sealed(mutated(header, 8..<148), 0..<148, at: 148)
            if let read = try? header.withUnsafeBytes({ try SegmentHeader(decoding: $0) }) {
                accepted += 1
                #expect(read.encode() == header, "seed \(seed), round \(round)")
            }
            for sample in [Sample.eventsHeader, Sample.extremeHeader, Sample.endHeader] {
                var block = [UInt8](repeating: 0, count: BlockHeader.byteCount)
                block.withUnsafeMutableBytes { sample.encode(into: $0) }
                block = mutated(block, 28..<172)
                block = sealed(
                    block, 0..<172, at: 172,
                    seed: Checksum.seed(segment: sample.segment, block: sample.number, part: 0))
                let read = block.withUnsafeBytes {
                    try? BlockHeader(decoding: $0, segment: sample.segment, number: sample.number)
                }
                guard let read else { continue }
                accepted += 1
                _ = (read.nextSequence, read.blockLength)
                var again = [UInt8](repeating: 0, count: BlockHeader.byteCount)
                again.withUnsafeMutableBytes { read.encode(into: $0) }
                #expect(again == block, "seed \(seed), round \(round)")
            }
            let trailer = sealed(mutated(trailerBytes(Sample.extremeTrailer), 0..<84), 0..<84, at: 84)
            let length =
                Bool.random(using: &generator) ? Sample.extremeTrailer.fileLength : generator.next() >> 40
            _ = trailer.withUnsafeBytes { try? Trailer(decodingEndOf: $0, fileLength: max(length, 96)) }
            let state = sealed(mutated(Sample.extremeState.encode(), 8..<124), 0..<124, at: 124)
            if let read = state.withUnsafeBytes({ try? StateSlot.decode($0) }) {
                #expect(read.encode() == state, "seed \(seed), round \(round)")
            }
            let tail = sealed(mutated(Sample.tailHeader.encode(), 8..<92), 0..<92, at: 92)
            if let read = tail.withUnsafeBytes({ try? TailHeader(decoding: $0) }) {
                #expect(read.encode() == tail, "seed \(seed), round \(round)")
                _ = tail.withUnsafeBytes { read.kinds(in: $0) }
            }
        }
        #expect(accepted > 1000, "seed \(seed): the mutations test nothing")
    }

    @Test(
        "Reserved bytes and bits that are set are refused, also under a valid checksum",
        arguments: [10, 11, 101, 102, 103])
    func reservedOfSegmentHeader(offset: Int) {
        var bytes = Sample.segmentHeader.encode()
        bytes[offset] = 1
        bytes = sealed(bytes, 0..<148, at: 148)
        #expect(isRefused { _ = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) } })
    }

    @Test(
        "Reserved bytes, unknown flags and values of a block's header are refused under a valid checksum",
        arguments: [(28, 0), (28, 9), (29, 8), (29, 0x80), (30, 1), (31, 1)] as [(Int, UInt8)])
    func reservedOfBlockHeader(offset: Int, value: UInt8) {
        let header = Sample.eventsHeader
        var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        bytes[offset] = value
        bytes = sealed(
            bytes, 0..<172, at: 172,
            seed: Checksum.seed(segment: header.segment, block: header.number, part: 0))
        #expect(
            isRefused {
                _ = try bytes.withUnsafeBytes {
                    try BlockHeader(decoding: $0, segment: header.segment, number: nil)
                }
            })
    }

    @Test("Reserved bytes of the other structures are refused under a valid checksum")
    func reservedElsewhere() {
        for offset in [70, 71, 80, 83] {
            var bytes = trailerBytes(Sample.trailer)
            bytes[offset] = 1
            bytes = sealed(bytes, 0..<84, at: 84)
            #expect(
                isRefused {
                    _ = try bytes.withUnsafeBytes {
                        try Trailer(decodingEndOf: $0, fileLength: Sample.trailer.fileLength)
                    }
                }, "trailer \(offset)")
        }
        for (offset, value) in [(10, 1), (15, 1), (120, 2), (123, 1), (128, 1), (4095, 1)] as [(Int, UInt8)] {
            var bytes = Sample.state.encode()
            bytes[offset] = value
            bytes = sealed(bytes, 0..<124, at: 124)
            #expect(
                isRefused { _ = try bytes.withUnsafeBytes { try StateSlot.decode($0) } }, "state \(offset)")
        }
        for offset in [10, 76, 88, 96, 4095] {
            var bytes = Sample.tailHeader.encode()
            bytes[offset] = 1
            bytes = sealed(bytes, 0..<92, at: 92)
            #expect(
                isRefused { _ = try bytes.withUnsafeBytes { try TailHeader(decoding: $0) } }, "tail \(offset)"
            )
        }
        var store = StoreIdentity(store: Sample.store, createdAt: 1, metadata: nil).encode()
        store[10] = 1
        store = sealed(store, 0..<60, at: 60)
        #expect(isRefused { _ = try store.withUnsafeBytes { try StoreIdentity(decoding: $0) } })
    }

    @Test("Versions and incompatible features that are not known are named, compatible ones are read")
    func features() throws {
        var header = Sample.segmentHeader
        header.incompatibleFeatures = 4
        #expect(throws: FormatError.unknownFeatures(4, of: "the segment")) {
            try header.encode().withUnsafeBytes { try SegmentHeader(decoding: $0) }
        }
        var bytes = Sample.segmentHeader.encode()
        bytes[8] = 7
        bytes = sealed(bytes, 0..<148, at: 148)
        #expect(throws: FormatError.unknownVersion(7, of: "the segment")) {
            try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
        }
        header.incompatibleFeatures = 0
        header.compatibleFeatures = 5
        #expect(try header.encode().withUnsafeBytes { try SegmentHeader(decoding: $0) } == header)
    }

    @Test("A block in a wrong place, and a section of another owner, are refused")
    func seeds() {
        var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
        bytes.withUnsafeMutableBytes { Sample.eventsHeader.encode(into: $0) }
        for (segment, number) in [(Sample.segment, 6), (Sample.lastSegment, 7)] as [(UniqueID, UInt32)] {
            #expect(
                isRefused {
                    _ = try bytes.withUnsafeBytes {
                        try BlockHeader(decoding: $0, segment: segment, number: number)
                    }
                })
        }
        var writer = ByteWriter()
        writer.putSection(1, owner: Sample.segment) { $0.put(UInt32(1)) }
        #expect(
            isRefused {
                _ = try readAll(writer.bytes) { (r) throws(FormatError) in
                    try Section(from: &r, owner: Sample.store)
                }
            })
    }

    @Test("Sections of unknown types are skipped unless they are required; order and repetition count")
    func sections() throws {
        func read(_ types: [(UInt32, Bool)]) throws -> [UInt32] {
            var writer = ByteWriter()
            for (type, isRequired) in types {
                writer.putSection(type, isRequired: isRequired, owner: Sample.segment) { $0.put(type) }
            }
            return try readAll(writer.bytes) { (r) throws(FormatError) in
                var known: [UInt32] = []
                try Section.readAll(UInt32(types.count), from: &r, owner: Sample.segment) {
                    (type, _) throws(FormatError) in
                    if type < 100 { known.append(type) }
                    return type < 100
                }
                return known
            }
        }
        #expect(try read([(1, true), (3, false), (200, false)]) == [1, 3])
        #expect(throws: FormatError.unknownFeatures(200, of: "section 200")) {
            try read([(1, false), (200, true)])
        }
        #expect(throws: FormatError.self) { try read([(1, false), (1, false)]) }
        #expect(throws: FormatError.self) { try read([(3, false), (1, false)]) }
    }

    @Test("Values that the pages exclude are refused")
    func exclusions() {
        func refuses(_ change: (inout SegmentHeader) -> Void) -> Bool {
            var header = Sample.segmentHeader
            change(&header)
            return isRefused { _ = try header.encode().withUnsafeBytes { try SegmentHeader(decoding: $0) } }
        }
        #expect(!refuses { _ in })
        #expect(refuses { $0.ordinal = 0 })
        #expect(refuses { $0.epoch = 0 })
        #expect(refuses { $0.digestAlgorithm = 2 })
        #expect(refuses { $0.session?.flags = [] })
        #expect(refuses { $0.session?.ordinal = 0 })
        #expect(refuses { $0.pins = [Pin(session: 2, first: 0), Pin(session: 2, first: 0)] })
        #expect(refuses { $0.kinds = [KindDefinition(name: "", encoding: .binary)] })
        #expect(
            refuses {
                $0.kinds = [KindDefinition(name: String(repeating: "k", count: 256), encoding: .binary)]
            })

        func refuses(_ sample: BlockHeader, _ change: (inout BlockHeader) -> Void) -> Bool {
            var header = sample
            change(&header)
            var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
            bytes.withUnsafeMutableBytes { header.encode(into: $0) }
            return isRefused {
                _ = try bytes.withUnsafeBytes {
                    try BlockHeader(decoding: $0, segment: header.segment, number: nil)
                }
            }
        }
        let extreme = Sample.extremeHeader
        #expect(!refuses(extreme) { _ in })
        #expect(refuses(extreme) { $0.number = 16_384 })
        #expect(refuses(extreme) { $0.bodyLength += 1 })
        #expect(refuses(extreme) { $0.smallLength += 1 })
        #expect(refuses(extreme) { $0.subBlockCount += 1 })
        #expect(refuses(extreme) { $0.eventCount += 1 })
        #expect(refuses(extreme) { $0.eventCount = 0 })
        #expect(refuses(extreme) { $0.rawBytes += 1 })
        #expect(refuses(extreme) { $0.kindCount += 1 })
        #expect(refuses(extreme) { $0.firstSequence += 1 })
        #expect(refuses(extreme) { $0.kindSet -= 1 })
        #expect(refuses(extreme) { $0.flags = .manyKinds })
        #expect(refuses(Sample.eventsHeader) { $0.minTimestamp = $0.maxTimestamp + 1 })
        #expect(refuses(Sample.eventsHeader) { $0.smallLength = 59 })
        #expect(refuses(Sample.endHeader) { $0.eventCount = 1 })
        #expect(refuses(Sample.endHeader) { $0.kindSet = 1 })
        #expect(refuses(Sample.endHeader) { $0.flags = .usesDictionary })
        #expect(refuses(Sample.endHeader) { ($0.type, $0.bodyLength) = (.padding, 21) })
    }

    @Test(
        "Records with values that the pages exclude are refused",
        arguments: [
            // A begin record: ordinal 0, a reserved flag.
            (1, [0, 0, 0, 0, 0, 0]), (1, [1, 16, 0, 0, 0, 0]),
            // An end record: ordinal 0, reasons 0 and 3.
            (2, [0, 1, 0, 0, 0, 0]), (2, [1, 0, 0, 0, 0, 0]), (2, [1, 3, 0, 0, 0, 0]),
            // A checkpoint record: ordinal 0, a label's mark of 2.
            (3, [0, 1, 0, 0, 0, 0, 0]), (3, [1, 1, 0, 2, 0, 0, 0]),
            // A gap: reversed, reasons 0 and 6, bytes after it. A pin of 2. Limits: 6, in descending order.
            (4, [1, 5, 2, 1, 1, 0, 0]), (4, [1, 5, 1, 2, 0, 0, 0]), (4, [1, 5, 1, 2, 6, 0, 0]),
            (4, [1, 6, 1, 2, 1, 0, 0, 0]), (4, [4, 2, 1, 2]), (4, [4, 5, 1, 5, 7, 9, 2]),
            (4, [3, 3, 1, 6, 0]),
            (4, [3, 5, 2, 2, 0, 1, 0]),
            // A drop's reason 0; a retention record reversed; a body longer than the bytes.
            (4, [2, 7, 0, 0, 0, 0, 0, 0, 0]), (4, [6, 3, 2, 1, 0]), (4, [9, 5, 1, 2]),
            // A kind: no name, encoding 3, a name that is not UTF-8.
            (5, [0, 0, 0]), (5, [1, 0x6B, 3, 0]), (5, [1, 0xFF, 0, 0]),
            // A digest: algorithm 2, scopes 0 and 3, lengths that don't fit, a reserved byte.
            (6, [2, 1, 0, 0, 0, 0, 0, 0]), (6, [0, 0, 0, 0, 0, 0, 0, 0]), (6, [0, 3, 0, 0, 0, 0, 0, 0]),
            (6, [0, 1, 0, 0, 1, 0, 0, 0, 9]), (6, [1, 1, 0, 0, 0, 0, 0, 0]), (6, [0, 1, 1, 0, 0, 0, 0, 0]),
            // A pyramid: fan-out 63, a reserved byte, two levels of one, no top, a count beyond the bytes.
            (7, [63, 0, 0, 0, 0, 0, 0, 0]),
            (7, [64, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 16)),
            (
                7,
                [64, 0, 0, 0, 2, 0, 0, 0] + [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 16)
                    + [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 16)
            ),
            (7, [64, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 32)),
            (7, [64, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]),
        ] as [(Int, [UInt8])])
    func excludedRecords(structure: Int, bytes: [UInt8]) {
        #expect(
            isRefused {
                try readAll(bytes) { (r) throws(FormatError) in
                    switch structure {
                    case 1: _ = try SessionBegin(from: &r)
                    case 2: _ = try SessionEnd(from: &r)
                    case 3: _ = try CheckpointRecord(from: &r)
                    case 4: _ = try LedgerRecord(from: &r)
                    case 5: _ = try KindDefinition(from: &r)
                    case 6: _ = try Digest(from: &r)
                    default: _ = try TimePyramid(from: &r)
                    }
                }
            })
    }

    @Test("Ledger records of unknown types are kept as they are")
    func unknownLedgerRecord() throws {
        let pin: [UInt8] = [4, 14, 0, 1, 0] + Array(repeating: 0xFF, count: 9) + [1, 0]
        let bytes: [UInt8] = [2, 9, 2, 0xAA, 0xBB] + pin
        let read = try readAll(bytes) { (r) throws(FormatError) in
            try r.ledgerRecords()
        }
        #expect(
            read == [
                .unknown(type: 9, body: [0xAA, 0xBB]), .pin(Pin(session: 1, first: 0), isPinned: false),
            ])
        var writer = ByteWriter()
        writer.put(read)
        #expect(writer.bytes == bytes)
    }

    @Test(
        "Control blocks that contradict their header or the limits are refused",
        arguments: [
            "continued", "undeclared dictionary", "no kinds", "too many kinds", "copies", "lengths", "state",
        ])
    func controlBlocks(_ what: String) throws {
        var (type, record, subBlocks) = (BlockType.sessionBegin, ByteWriter(), [ControlBlock.SubBlock]())
        var header = Sample.blockHeader(.sessionBegin)
        switch what {
        case "continued": Sample.summaryOfSession.begin.encode(to: &record)
        case "undeclared dictionary":
            type = .checkpoint
            Sample.checkpoint.encode(to: &record)
            subBlocks = [.init(method: .lz4WithDictionary, rawBytes: 9, stored: [1])]
        case "state":
            type = .checkpoint
            Sample.checkpoint.encode(to: &record)
            subBlocks = [.init(method: .lz4, rawBytes: Limits.payloadBytesMax + 1, stored: [1])]
        case "no kinds", "too many kinds":
            type = .kinds
            record.put(what == "no kinds" ? [] : [KindDefinition](repeating: Sample.kinds[1], count: 5))
        case "copies":
            type = .dictionary
            subBlocks = [
                .init(method: .raw, rawBytes: 1, stored: [1]),
                .init(method: .raw, rawBytes: 2, stored: [1, 2]),
            ]
        default: Sample.begin.encode(to: &record)
        }
        header.type = type
        let (assembled, bytes) = ControlBlock.assemble(header, record: record.bytes, subBlocks: subBlocks)
        var stored = assembled
        if what == "lengths" { stored.bodyLength += 8 }
        let small = Array(bytes[BlockHeader.byteCount..<BlockHeader.byteCount + Int(stored.smallLength)])
        #expect(isRefused { _ = try small.withUnsafeBytes { try ControlBlock.decode($0, of: stored) } })
    }

    @Test("Small parts of control blocks with junk under a valid checksum never trap")
    func junkOfControlBlocks() throws {
        var (seed, generator) = seededGenerator()
        var accepted = 0
        for block in BlockVector.all where block.header.type != .events && block.header.smallLength > 0 {
            let small = Array(
                block.bytes[BlockHeader.byteCount..<BlockHeader.byteCount + Int(block.header.smallLength)])
            for _ in 0..<500 {
                var bytes = small
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8(
                    truncatingIfNeeded: generator.next())
                let refused = isRefused {
                    _ = try bytes.withUnsafeBytes { try ControlBlock.decode($0, of: block.header) }
                }
                accepted += refused ? 0 : 1
            }
        }
        #expect(accepted > 100, "seed \(seed): the mutations test nothing")
    }

    @Test("Slots of TAIL whose rows or numbers don't fit are refused")
    func tailSlots() throws {
        let header = Sample.tailHeader
        func read(_ slot: TailSlot, _ change: (inout [UInt8]) -> Void = { _ in }) throws -> TailSlot? {
            var bytes = slot.encode(header: header)
            change(&bytes)
            return try bytes.withUnsafeBytes { try TailSlot.decode($0, header: header) }
        }
        guard let slot = Sample.tailSlots[0] else { return }
        #expect(try read(slot) == slot)
        #expect(throws: FormatError.self) { try read(slot) { $0[40] = 5 } }
        // Rows prove themselves: a count that is too low hides none, and one that is too high makes none.
        #expect(try read(slot) { $0[40] = 0 } == slot)
        let short = try read(slot) { $0[40] = 4 }
        #expect(short?.rows == slot.rows && short?.lostRows == 2)
        // About to be used again.
        #expect(
            try read(slot) {
                $0[40] = 0
                $0[8] ^= 1
            } == nil)
        #expect(throws: FormatError.self) { try read(slot) { $0[48] = 1 } }
        // The first row's payload: one more byte than a slot has.
        for (offset, value) in [(16, UInt8(65)), (19, 0xFF), (8, 1), (0, 1)] {
            let torn = try read(slot) { $0[64 + offset] ^= value }
            #expect(torn?.rows == [] && torn?.lostRows == slot.rows.count)
        }
        var overflowing = slot
        overflowing.firstSequence = .max
        #expect(throws: FormatError.self) { try read(overflowing) }
        overflowing = slot
        overflowing.firstIndex = .max
        #expect(throws: FormatError.self) { try read(overflowing) }
        var unused = slot
        unused.number = 0
        #expect(throws: FormatError.self) { try read(unused) }
        #expect(try read(slot) { $0.replaceSubrange(..<64, with: repeatElement(0, count: 64)) } == nil)
        var otherEpoch = header
        otherEpoch.epoch += 1
        #expect(throws: FormatError.self) {
            try slot.encode(header: header).withUnsafeBytes { try TailSlot.decode($0, header: otherEpoch) }
        }
    }

    @Test(
        "A slot of STATE names the store's last segment and where that one's data end",
        arguments: [false, true])
    func stateAfter(isClosed: Bool) {
        func slot(after last: SegmentSummary?) -> StateSlot {
            StateSlot(
                store: Sample.store, counter: 3, nextSequence: 170, epoch: 4, sessionsBegun: 8, writtenAt: 99,
                isClosed: isClosed, last: last)
        }
        var expected = StateSlot(store: Sample.store, counter: 3)
        (expected.nextSequence, expected.epoch, expected.sessionsBegun) = (170, 4, 8)
        (expected.writtenAt, expected.isClosed) = (99, isClosed)
        #expect(slot(after: nil) == expected)
        (expected.watermarkSegment, expected.watermarkOffset) = (3, 1 << 20)
        expected.watermarkUUID = Sample.segment
        #expect(slot(after: Sample.summary) == expected)
    }

    @Test("A scan that knows no segment learns from a block's header which one it names")
    func namedSegment() {
        var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
        bytes.withUnsafeMutableBytes { Sample.eventsHeader.encode(into: $0) }
        #expect(bytes.withUnsafeBytes { BlockHeader.namedSegment(in: $0) } == Sample.segment)
        #expect(bytes.dropLast().withUnsafeBytes { BlockHeader.namedSegment(in: $0) } == nil)
    }

    @Test("A file of TAIL ends with its last slot")
    func tailLength() {
        #expect(Sample.tailHeader.fileBytes == 4096 + 4096 + 3 * 4096)
    }

    @Test("The latest slot of STATE is the valid one with the higher counter")
    func latestState() {
        var newer = Sample.state
        newer.counter += 1
        let never = [UInt8](repeating: 0, count: StateSlot.stride)
        let (old, new) = (Sample.state.encode(), newer.encode())
        var damaged = new
        damaged[40] ^= 1
        func latest(_ bytes: [UInt8]) -> StateSlot? { bytes.withUnsafeBytes { StateFile.latest(of: $0) } }
        #expect(latest(old + new) == newer)
        #expect(latest(new + old) == newer)
        #expect(latest(damaged + old) == Sample.state)
        #expect(latest(never + old) == Sample.state)
        #expect(latest(never + never) == nil)
        #expect(latest(damaged + never) == nil)
        #expect(latest(old + new + [0]) == nil)
    }
}

/// A trailer's bytes.
func trailerBytes(_ trailer: Trailer) -> [UInt8] {
    var writer = ByteWriter()
    trailer.encode(to: &writer)
    return writer.bytes
}
