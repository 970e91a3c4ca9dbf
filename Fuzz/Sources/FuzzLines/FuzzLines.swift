import FuzzSupport
import VarveJSON

/// Lines that are recorded: split from pieces of any size, and looked into for a time and a kind.
///
/// The first two bytes of an input say how large the pieces are, and how long a line may be.
@main
struct FuzzLines {
    struct Piece: Equatable {
        var bytes: [UInt8]
        var isPiece: Bool
        var isLast: Bool
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
        var found: [Piece] = []
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
                found.append(
                    Piece(bytes: Array(line.bytes), isPiece: line.isPiece, isLast: line.isLast))
                if !line.isPiece { look(line.bytes) }
            }
            if count == 0 { break }
        }
        require(found == pieces(bytes, lineBytesMax), "lines are what stands between newlines")
    }

    /// The lines as they should be.
    static func pieces(_ bytes: UnsafeRawBufferPointer, _ lineBytesMax: Int) -> [Piece] {
        var pieces: [Piece] = []
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() {
            // What follows the last newline is a line only where it is not empty.
            if number == lines.count - 1, line.isEmpty { break }
            var rest = Array(line)
            var isInPieces = false
            while rest.count > lineBytesMax {
                pieces.append(
                    Piece(bytes: Array(rest.prefix(lineBytesMax)), isPiece: true, isLast: false))
                rest.removeFirst(lineBytesMax)
                isInPieces = true
            }
            pieces.append(Piece(bytes: rest, isPiece: isInPieces, isLast: true))
        }
        return pieces
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
