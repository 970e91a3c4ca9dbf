import FuzzSupport
import VarveJSON

/// Lines that are recorded: split from pieces of any size, and looked into for a time and a kind.
///
/// The first two bytes of an input say how large the pieces are, and how long a line may be.
@main
struct FuzzLines {
    /// The lines as they should be, one piece after the other.
    struct Pieces {
        let bytes: UnsafeRawBufferPointer
        let lineBytesMax: Int
        var position = 0
        var isInPieces = false

        init(_ bytes: UnsafeRawBufferPointer, _ lineBytesMax: Int) {
            (self.bytes, self.lineBytesMax) = (bytes, lineBytesMax)
        }

        mutating func next() -> (bytes: UnsafeRawBufferPointer, isPiece: Bool, isLast: Bool)? {
            // What follows the last newline is a line only where it is not empty.
            guard isInPieces || position < bytes.count else { return nil }
            let start = position
            // No farther than a piece and what shows that there is more.
            let window = bytes[start..<start + min(bytes.count - start, lineBytesMax + 1)]
            let end = start + (firstNewline(in: UnsafeRawBufferPointer(rebasing: window)) ?? window.count)
            guard end - start <= lineBytesMax else {
                position += lineBytesMax
                isInPieces = true
                return (UnsafeRawBufferPointer(rebasing: bytes[start..<position]), true, false)
            }
            position = end + 1
            defer { isInPieces = false }
            return (UnsafeRawBufferPointer(rebasing: bytes[start..<end]), isInPieces, true)
        }
    }

    // For one thread; made once, as a recording does.
    nonisolated(unsafe) static let parser = LineParser()
    nonisolated(unsafe) static let other = LineParser()
    nonisolated(unsafe) static let validator = JSONValidator()

    static func main() {
        let mutation = structured { Layout(linesOf: $0, from: 2) }
        fuzz(allocating: { 64 * $0 + (2 << 20) }, mutation: mutation) { input in
            guard input.count >= 2 else { return }
            let pieceBytes = 1 + Int(input[0]) * 16
            let lineBytesMax = input[1] == 255 ? 64 << 20 : 1 + Int(input[1]) * 4
            let bytes = UnsafeRawBufferPointer(rebasing: input[2...])
            split(bytes, pieceBytes: pieceBytes, lineBytesMax: lineBytesMax)
            times(bytes)
        }
    }

    static func split(_ bytes: UnsafeRawBufferPointer, pieceBytes: Int, lineBytesMax: Int) {
        var splitter = LineSplitter(bufferBytes: 64, lineBytesMax: lineBytesMax)
        var expected = Pieces(bytes, lineBytesMax)
        var position = 0
        while true {
            let count = min(pieceBytes, bytes.count - position)
            if count == 0 {
                splitter.finish()
            } else {
                let room = splitter.spare()
                require(!room.isEmpty, "there is room for more")
                let taken = min(count, room.count)
                room.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + taken]))
                splitter.commit(taken)
                position += taken
            }
            while let line = splitter.next() {
                let piece = expected.next()
                require(
                    piece.map {
                        $0.isPiece == line.isPiece && $0.isLast == line.isLast
                            && isEqual($0.bytes, line.bytes)
                    } ?? false, "lines are what stands between newlines")
                if !line.isPiece { look(line.bytes) }
            }
            if count == 0 { break }
        }
        require(expected.next() == nil, "no line is left out")
    }

    /// A line as it stands in the splitter, and an exact copy: both must say the same.
    static func look(_ line: UnsafeRawBufferPointer) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: line.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyMemory(from: line)
        let padded = parser.parse(line, isPadded: true)
        let exact = other.parse(UnsafeRawBufferPointer(copy), isPadded: false)
        require(
            padded.isJSON == exact.isJSON && padded.timestamp == exact.timestamp
                && padded.timeField == exact.timeField && padded.hasTimeField == exact.hasTimeField
                && padded.kindField == exact.kindField
                && padded.kind.map(Array.init) == exact.kind.map(Array.init),
            "what follows a line does not matter")
        require(padded.timestamp == nil || padded.hasTimeField, "a time stands in a field")
        require((padded.kind == nil) == (padded.kindField < 0), "a kind stands in a field")
        if line.first != UInt8(ascii: "{") || padded.isJSON {
            require(validator.isValid(line) == padded.isJSON, "a line is JSON for all who look at it")
        }
    }

    /// A time that is read and written is read again as the same.
    static func times(_ bytes: UnsafeRawBufferPointer) {
        let text = UnsafeRawBufferPointer(rebasing: bytes.prefix(64))
        _ = NumericTime.parse(decimal: text)
        guard let time = RFC3339.parse(text) else { return }
        let again = Array(RFC3339.string(time).utf8).withUnsafeBytes { RFC3339.parse($0) }
        require(again == time, "a time comes back as it was")
    }
}
