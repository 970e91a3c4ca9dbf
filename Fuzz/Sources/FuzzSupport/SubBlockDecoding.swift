public import VarveFormat

// For one thread; made once, as a cursor does.
nonisolated(unsafe) private let whole = SubBlockBuffer()
nonisolated(unsafe) private let part = SubBlockBuffer()
nonisolated(unsafe) private var identity: UInt64 = 0

/// Decodes the whole of a sub-block and a part of it with the library, and compares with a decoder that follows the
/// description of LZ4 byte by byte.
public func compareDecodings(
    of stored: UnsafeRawBufferPointer, method: SubBlockMethod, rawBytes: Int, wanted: Int,
    dictionary: [UInt8]?
) {
    // A buffer that has seen an identity keeps its dictionary.
    identity += 1
    func decoded(_ buffer: SubBlockBuffer, _ wanted: Int) -> UnsafeRawBufferPointer? {
        let start = try? buffer.decode(
            stored: stored, method: method, rawBytes: rawBytes, wanted: wanted, dictionary: dictionary,
            dictionaryIdentity: identity)
        return start.map { UnsafeRawBufferPointer(start: $0, count: wanted) }
    }
    let all = decoded(whole, rawBytes)
    let some = decoded(part, wanted)
    if method == .raw {
        require(all == nil || all?.elementsEqual(stored) == true, "a raw sub-block is what is stored")
        return
    }
    let expected = ReferenceLZ4.decode(
        stored, rawBytes: rawBytes, dictionary: method == .lz4WithDictionary ? dictionary ?? [] : [])
    // It may refuse more than the description does: LZ4 wants blocks to end in literals.
    guard let all else { return }
    require(some != nil, "a part of a good sub-block can be decoded")
    switch expected {
    // LZ4 takes a match at distance 0 for good, and then gives whatever its output held before.
    case .matchAtDistanceZero: return
    case .bytes(let bytes):
        require(all.elementsEqual(bytes), "a sub-block is decoded as LZ4 is described")
        require(some?.elementsEqual(bytes.prefix(wanted)) == true, "a part of a sub-block is its beginning")
    case .invalid: require(false, "what is no LZ4 block is refused")
    }
}

/// LZ4's block format, decoded a byte at a time.
enum ReferenceLZ4 {
    enum Decoded {
        case bytes([UInt8])
        case matchAtDistanceZero
        case invalid
    }

    /// Decodes a block that yields exactly `rawBytes`.
    static func decode(_ block: UnsafeRawBufferPointer, rawBytes: Int, dictionary: [UInt8]) -> Decoded {
        let end = dictionary.count + rawBytes
        var output = dictionary
        output.reserveCapacity(end)
        var position = 0
        func length(_ nibble: UInt8) -> Int? {
            guard nibble == 15 else { return Int(nibble) }
            var sum = 15
            while position < block.count {
                let byte = block[position]
                position += 1
                sum += Int(byte)
                if byte < 255 { return sum }
            }
            return nil
        }
        while position < block.count {
            let token = block[position]
            position += 1
            guard let literals = length(token >> 4), literals <= block.count - position,
                literals <= end - output.count
            else { return .invalid }
            output.append(contentsOf: block[position..<position + literals])
            position += literals
            if position == block.count {
                return output.count == end ? .bytes(Array(output[dictionary.count...])) : .invalid
            }
            guard position + 2 <= block.count else { return .invalid }
            let distance = Int(block[position]) | Int(block[position + 1]) << 8
            position += 2
            guard let match = length(token & 15).map({ $0 + 4 }), distance <= output.count,
                match <= end - output.count
            else { return .invalid }
            if distance == 0 { return .matchAtDistanceZero }
            // As many as there are before it overlaps, again and again.
            var missing = match
            while missing > 0 {
                let start = output.count - distance
                output.append(contentsOf: output[start..<start + min(distance, missing)])
                missing -= min(distance, missing)
            }
        }
        return .invalid
    }
}
