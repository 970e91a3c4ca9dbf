public import VarveFormat

// What is known here of each structure: where its numbers and parts are, and how its checksums are mended.

/// A block. Its bytes start anywhere in a file.
public enum BlockBytes {
    /// Bytes of a header.
    public static let headerBytes = 176
    /// Bytes of an entry of the directory of sub-blocks.
    public static let entryBytes = 20

    /// Bytes of the block at `start` with its padding, where they are within.
    public static func length(in bytes: [UInt8], at start: Int) -> Int? {
        guard let body = bytes.u32(at: start + 32).map(Int.init) else { return nil }
        let length = (headerBytes + body + 7) & ~7
        return length <= bytes.count - start ? length : nil
    }

    /// The entries of the directory, and the ranges of the stored sub-blocks, as far as they are within.
    public static func subBlocks(in bytes: [UInt8], at start: Int = 0) -> [(entry: Int, stored: Range<Int>)] {
        guard let small = bytes.u32(at: start + 36).map(Int.init),
            let count = bytes.u32(at: start + 40)
        else { return [] }
        var found: [(Int, Range<Int>)] = []
        var stored = start + headerBytes + small
        for position in 0..<Int(min(count, 1_000)) {
            let entry = start + headerBytes + entryBytes * position
            guard let length = bytes.u32(at: entry + 8).map(Int.init), length <= bytes.count - stored
            else { break }
            found.append((entry, stored..<stored + length))
            stored += length
        }
        return found
    }

    /// Where its numbers and parts are.
    public static func layout(of bytes: [UInt8], at start: Int = 0) -> Layout {
        var layout = Layout()
        addFields(to: &layout, at: start)
        guard let small = bytes.u32(at: start + 36).map(Int.init), small <= bytes.count - start - headerBytes
        else { return layout }
        let subBlocks = subBlocks(in: bytes, at: start)
        for (entry, stored) in subBlocks {
            layout.add([0, 4, 8], bytes: 4, from: entry)
            layout.add([12], bytes: 1, from: entry)
            layout.parts.append(entry..<min(entry + entryBytes, bytes.count))
            layout.parts.append(stored)
        }
        let columns = start + headerBytes + entryBytes * subBlocks.count
        let end = start + headerBytes + small
        if columns < end { layout.parts.append(columns..<end) }
        return layout
    }

    /// Adds the numbers of the header.
    static func addFields(to layout: inout Layout, at start: Int) {
        layout.add([28, 29], bytes: 1, from: start)
        layout.add([24, 32, 36, 40, 44, 160, 164], bytes: 4, from: start)
        layout.add(Array(stride(from: 48, to: 160, by: 8)), bytes: 8, from: start)
    }

    /// Mends its checksums. With `adopting` it is made the block of that number in that segment.
    public static func mend(
        _ bytes: inout [UInt8], at start: Int = 0, adopting: (segment: UniqueID, number: UInt32)? = nil
    ) {
        if let adopting {
            bytes.put(adopting.segment, at: start + 8)
            bytes.put(adopting.number, at: start + 24)
        }
        guard let segment = bytes.uniqueID(at: start + 8), let number = bytes.u32(at: start + 24),
            let small = bytes.u32(at: start + 36).map(Int.init)
        else { return }
        bytes.put("VARVEBLK", at: start)
        for (position, subBlock) in subBlocks(in: bytes, at: start).enumerated() {
            bytes.mendChecksum(
                of: subBlock.stored, at: subBlock.entry + 16,
                after: Checksum.seed(segment: segment, block: number, part: UInt32(2 + position)))
        }
        let body = start + headerBytes
        bytes.mendChecksum(
            of: body..<body + small, at: start + 168,
            after: Checksum.seed(segment: segment, block: number, part: 1))
        mendHeader(&bytes, at: start)
    }

    /// Mends the header's checksum alone.
    public static func mendHeader(_ bytes: inout [UInt8], at start: Int = 0) {
        guard let segment = bytes.uniqueID(at: start + 8), let number = bytes.u32(at: start + 24) else {
            return
        }
        bytes.put("VARVEBLK", at: start)
        bytes.mendChecksum(
            of: start..<start + 172, at: start + 172,
            after: Checksum.seed(segment: segment, block: number, part: 0))
    }
}

/// The header of a segment.
public enum SegmentHeaderBytes {
    /// Bytes before the sections.
    public static let fixedBytes = 152

    /// Where its numbers and parts are.
    public static func layout(of bytes: [UInt8]) -> Layout {
        var layout = Layout()
        layout.add([100], bytes: 1)
        layout.add([8], bytes: 2)
        layout.add([12, 96, 144], bytes: 4)
        layout.add([16, 24, 80, 88, 104, 112, 120, 128, 136], bytes: 8)
        layout.addSections(of: bytes, from: fixedBytes, to: Int(bytes.u32(at: 12) ?? 0))
        return layout
    }

    /// Mends its checksums. Its length stays as it is.
    public static func mend(_ bytes: inout [UInt8]) {
        guard let segment = bytes.uniqueID(at: 48) else { return }
        bytes.put("VARVESEG", at: 0)
        bytes.mendSections(from: fixedBytes, owner: segment)
        bytes.mendChecksum(of: 0..<148, at: 148)
    }
}

/// Footer and trailer, at the end of a file.
public enum FooterBytes {
    /// Bytes of a trailer.
    public static let trailerBytes = 96

    /// Where the footer starts, as the trailer says.
    static func start(in bytes: [UInt8]) -> Int? {
        let trailer = bytes.count - trailerBytes
        guard trailer >= 0, let start = bytes.u64(at: trailer).flatMap({ Int(exactly: $0) }),
            start <= trailer - 8
        else { return nil }
        return start
    }

    /// Where its numbers and parts are.
    public static func layout(of bytes: [UInt8]) -> Layout {
        var layout = Layout()
        guard let start = start(in: bytes) else { return layout }
        let trailer = bytes.count - trailerBytes
        layout.add([68], bytes: 2, from: trailer)
        layout.add([64, 80], bytes: 4, from: trailer)
        layout.add([0, 8, 48, 56, 72], bytes: 8, from: trailer)
        layout.addSections(of: bytes, from: start + 8, to: trailer)
        for section in layout.parts {
            let body = section.lowerBound + 16
            switch bytes.u32(at: section.lowerBound) {
            case 8:
                layout.add([0, 1, 2, 3], bytes: 1, from: body)
                layout.add([4, 8, 12], bytes: 4, from: body)
                for entry in stride(from: body + 16, to: min(section.upperBound, body + 16 + 4 * 400), by: 4)
                {
                    layout.add([0], bytes: 4, from: entry)
                }
            case 16:
                for entry in stride(from: body + 8, to: min(section.upperBound, body + 8 + 80 * 200), by: 80)
                {
                    layout.add([12, 13], bytes: 1, from: entry)
                    layout.add([8, 16, 20, 72, 76], bytes: 4, from: entry)
                    layout.add([0, 24, 32, 40, 48, 56, 64], bytes: 8, from: entry)
                }
            case 26:
                layout.add([8, 12, 136, 140, 144, 148, 152, 156], bytes: 4, from: body)
                layout.add(
                    [0, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 160, 184, 224],
                    bytes: 8, from: body)
            default: break
            }
        }
        return layout
    }

    /// Makes the trailer fit: the file is as long as it says, and the footer ends where the trailer starts. With
    /// `footer` the footer is there, wherever the trailer says; with `owner` both are of that segment.
    public static func mend(_ bytes: inout [UInt8], footer: Int? = nil, owner: UniqueID? = nil) {
        let trailer = bytes.count - trailerBytes
        if let footer { bytes.put(UInt64(footer), at: trailer) }
        guard let start = start(in: bytes), let segment = owner ?? bytes.uniqueID(at: trailer + 32) else {
            return
        }
        bytes.put("VARVEFTR", at: start)
        bytes.put("VARVEEND", at: trailer + 88)
        bytes.put(segment, at: trailer + 32)
        bytes.put(UInt64(trailer - start), at: trailer + 8)
        bytes.put(UInt64(bytes.count), at: trailer + 56)
        bytes.mendSections(from: start + 8, owner: segment)
        var sections = Layout()
        sections.addSections(of: bytes, from: start + 8, to: trailer)
        if let summary = sections.parts.first(where: { bytes.u32(at: $0.lowerBound) == 26 }) {
            bytes.put(UInt64(summary.lowerBound), at: trailer + 72)
        }
        bytes.mendChecksum(of: trailer..<trailer + 84, at: trailer + 84)
    }
}

/// The files beside the segments: `STORE`, `STATE` and `TAIL`, told apart by their magics.
public enum StoreFileBytes {
    private enum Kind { case store, state, tail }

    private static func kind(of bytes: [UInt8]) -> Kind? {
        switch bytes.prefix(8) {
        case [UInt8]("VARVESTR".utf8)[...]: .store
        case [UInt8]("VARVESTA".utf8)[...]: .state
        case [UInt8]("VARVETAI".utf8)[...]: .tail
        default: nil
        }
    }

    /// Where its numbers and parts are.
    public static func layout(of bytes: [UInt8]) -> Layout {
        var layout = Layout()
        switch kind(of: bytes) {
        case .store:
            layout.add([8], bytes: 2)
            layout.add([12, 56], bytes: 4)
            layout.add([16, 24, 48], bytes: 8)
            layout.addSections(of: bytes, from: 64, to: bytes.count)
        case .state:
            for slot in [0, 4_096] where slot + 128 <= bytes.count {
                layout.add([120], bytes: 4, from: slot)
                layout.add([32, 40, 48, 56, 64, 72, 80, 88, 96], bytes: 8, from: slot)
                layout.parts.append(slot..<slot + 128)
            }
        case .tail:
            layout.add([12, 64, 68, 72], bytes: 4)
            layout.add([48, 56, 80], bytes: 8)
            layout.add([4_096], bytes: 4)
            for definition in tailKinds(of: bytes) {
                layout.add([0], bytes: 4, from: definition.lowerBound)
                layout.parts.append(definition.lowerBound..<definition.upperBound + 4)
            }
            for start in slots(of: bytes) {
                layout.add([32, 40], bytes: 4, from: start)
                layout.add([0, 8, 16, 24], bytes: 8, from: start)
                for row in stride(from: start + 64, to: min(start + 64 + 24 * 8, bytes.count), by: 24) {
                    layout.add([0, 8], bytes: 8, from: row)
                    layout.add([16, 20], bytes: 4, from: row)
                }
            }
        case nil: break
        }
        return layout
    }

    private static func slots(of bytes: [UInt8]) -> [Int] {
        guard let slots = bytes.u32(at: 12),
            let slotBytes = bytes.u64(at: 56).flatMap({ Int(exactly: $0) }), slotBytes < 1 << 32,
            let kindsBytes = bytes.u32(at: 72)
        else { return [] }
        return (0..<Int(min(slots, 64))).map { 4_096 + Int(kindsBytes) + $0 * slotBytes }
            .filter { $0 <= bytes.count - 64 }
    }

    /// Mends its checksums. With `store` it is made that store's, and with `boot` that boot's.
    public static func mend(_ bytes: inout [UInt8], adopting store: UniqueID? = nil, boot: UniqueID? = nil) {
        switch kind(of: bytes) {
        case .store:
            if let store { bytes.put(store, at: 32) }
            guard let owner = bytes.uniqueID(at: 32) else { return }
            bytes.put(UInt32(clamping: bytes.count), at: 12)
            bytes.mendSections(from: 64, owner: owner)
            bytes.mendChecksum(of: 0..<60, at: 60)
        case .state:
            for slot in [0, 4_096] where bytes.u64(at: slot) ?? 0 != 0 {
                if let store { bytes.put(store, at: slot + 16) }
                bytes.mendChecksum(of: slot..<slot + 124, at: slot + 124)
            }
        case .tail:
            guard bytes.count >= 4_096 else { return }
            if let store { bytes.put(store, at: 16) }
            if let boot { bytes.put(boot, at: 32) }
            let seed = bytes[48..<56].withUnsafeBytes { Checksum.crc($0) }
            for definition in tailKinds(of: bytes) {
                bytes.mendChecksum(of: definition, at: definition.upperBound, after: seed)
            }
            for start in slots(of: bytes) {
                bytes.mendChecksum(of: start..<start + 40, at: start + 44, after: seed)
                if let seed = bytes.u32(at: start + 44) { mendRows(of: &bytes, slot: start, after: seed) }
            }
            bytes.mendChecksum(of: 0..<92, at: 92)
        case nil: break
        }
    }

    /// The kinds that `TAIL` defines, as far as their lengths make sense: each an id and a definition, before its checksum.
    private static func tailKinds(of bytes: [UInt8]) -> [Range<Int>] {
        let start = 4_096 + 8
        guard let committed = bytes.u32(at: 4_096).map(Int.init), committed <= bytes.count - start
        else { return [] }
        let end = start + committed
        var position = start
        /// Skips a varint and gives it back.
        func varint() -> Int? {
            var (value, shift) = (0, 0)
            while position < end, shift < 28 {
                let byte = Int(bytes[position])
                position += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }
        func skipText() -> Bool {
            guard let count = varint(), count <= end - position else { return false }
            position += count
            return true
        }
        var found: [Range<Int>] = []
        while position < end {
            let first = position
            position += 4
            guard skipText() else { break }
            position += 1
            guard let pairs = varint(), pairs <= end - position,
                (0..<2 * pairs).allSatisfy({ _ in skipText() }), position <= end - 4
            else { break }
            found.append(first..<position)
            position += 4
        }
        return found
    }

    /// Mends the checksums of the rows that a slot counts; where indices are explicit, rows have none.
    private static func mendRows(of bytes: inout [UInt8], slot: Int, after seed: UInt32) {
        guard let committed = bytes.u32(at: slot + 40), bytes.u32(at: slot + 32) == 0,
            let room = bytes.u32(at: 64), committed <= min(room, 65_536)
        else { return }
        var payload = slot + 64 + 24 * Int(room)
        for row in (0..<Int(committed)).map({ slot + 64 + 24 * $0 }) {
            guard let length = bytes.u32(at: row + 16).map(Int.init), payload + length <= bytes.count
            else { return }
            // Timestamp, length and kind, then the payload.
            let covered = Array(bytes[row..<row + 8] + bytes[row + 16..<row + 24])
            let sum = covered.withUnsafeBytes { Checksum.crc($0, after: seed) }
            let checksum = bytes[payload..<payload + length].withUnsafeBytes { Checksum.crc($0, after: sum) }
            bytes.put(UInt64(checksum), at: row + 8)
            payload += length
        }
    }
}

/// A segment's whole file.
public enum SegmentFileBytes {
    /// Where the blocks are, from the header's end as far as their lengths make sense.
    public static func blocks(in bytes: [UInt8]) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var offset = Int(bytes.u32(at: 12) ?? 0)
        while bytes.hasMagic("VARVEBLK", at: offset), let length = BlockBytes.length(in: bytes, at: offset) {
            found.append(offset..<offset + length)
            offset += length
        }
        return found
    }

    /// Where its numbers and parts are.
    public static func layout(of bytes: [UInt8]) -> Layout {
        var layout = SegmentHeaderBytes.layout(of: bytes)
        let footer = FooterBytes.layout(of: bytes)
        layout.numbers += footer.numbers
        layout.parts += footer.parts
        for block in blocks(in: bytes) {
            // Twice: blocks are what a segment is made of.
            layout.parts += [block, block]
            let inner = BlockBytes.layout(of: bytes, at: block.lowerBound)
            layout.numbers += inner.numbers
            layout.parts += inner.parts
        }
        return layout
    }

    /// Mends all checksums. Blocks become the segment's own, with dense numbers; a footer is where it starts now.
    public static func mend(_ bytes: inout [UInt8], adopting store: UniqueID?) {
        if let store { bytes.put(store, at: 32) }
        SegmentHeaderBytes.mend(&bytes)
        guard let segment = bytes.uniqueID(at: 48) else { return }
        let blocks = blocks(in: bytes)
        for (number, block) in blocks.enumerated() {
            BlockBytes.mend(&bytes, at: block.lowerBound, adopting: (segment, UInt32(number)))
        }
        let end = blocks.last?.upperBound ?? Int(bytes.u32(at: 12) ?? 0)
        guard bytes.hasMagic("VARVEFTR", at: end) else { return }
        if let store { bytes.put(store, at: bytes.count - FooterBytes.trailerBytes + 16) }
        FooterBytes.mend(&bytes, footer: end, owner: segment)
    }
}

extension Layout {
    /// Adds the sections from `start` to `end`, as far as their lengths make sense.
    mutating func addSections(of bytes: [UInt8], from start: Int, to end: Int) {
        var offset = start
        let end = min(end, bytes.count)
        while offset <= end - 16, let length = bytes.u32(at: offset + 8).map(Int.init),
            length <= end - offset - 16
        {
            add([0, 4, 8], bytes: 4, from: offset)
            let next = min(offset + 16 + (length + 7) / 8 * 8, end)
            parts.append(offset..<next)
            offset = next
        }
    }
}
