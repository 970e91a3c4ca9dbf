import Testing
import VarveJSON

@Suite struct LineSplitterTests {
    struct Piece: Equatable {
        var text: [UInt8]
        var isPiece = false
        var isLast = true
    }

    /// What a splitter makes of the input when reads bring at most `chunk` bytes.
    static func split(_ input: [UInt8], chunk: Int, buffer: Int, lineMax: Int = 1 << 20) -> [Piece] {
        var splitter = LineSplitter(bufferBytes: buffer, lineBytesMax: lineMax)
        var pieces: [Piece] = []
        var offset = 0
        while true {
            let room = splitter.spare()
            let count = min(room.count, chunk, input.count - offset)
            if count == 0 {
                splitter.finish()
            } else {
                room.copyBytes(from: input[offset..<offset + count])
                splitter.commit(count)
            }
            offset += count
            while let line = splitter.next() {
                // The promise: 64 more bytes can be read.
                if let base = line.bytes.baseAddress {
                    for index in 0..<64 {
                        _ = base.load(fromByteOffset: line.bytes.count + index, as: UInt8.self)
                    }
                }
                pieces.append(Piece(text: Array(line.bytes), isPiece: line.isPiece, isLast: line.isLast))
            }
            if count == 0 { return pieces }
        }
    }

    @Test(
        "Lines are the same wherever reads are cut",
        arguments: [
            "", "\n", "a", "a\n", "\n\n", "a\nbb\r\n\nccc",
            "one line that is longer than the buffer\nx\n\n\ny",
        ])
    func cuts(text: String) {
        let input = Array(text.utf8)
        var expected = input.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            Piece(text: Array($0))
        }
        if expected.last?.text.isEmpty == true { expected.removeLast() }
        for chunk in 1...max(input.count, 1) {
            for buffer in 1...20 { #expect(Self.split(input, chunk: chunk, buffer: buffer) == expected) }
        }
    }

    @Test("Random lines come back from random buffers")
    func random() {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        for _ in 0..<100 {
            var input: [UInt8] = []
            var lines: [Piece] = []
            for _ in 0..<random.next() % 40 {
                var line: [UInt8] = []
                for _ in 0..<random.next() % 400 {
                    let byte = UInt8(truncatingIfNeeded: random.next())
                    line.append(byte == 0x0A ? 0x0D : byte)
                }
                input += line + [0x0A]
                lines.append(Piece(text: line))
            }
            let pieces = Self.split(
                input, chunk: Int(random.next() % 300) + 1, buffer: Int(random.next() % 500) + 1)
            #expect(pieces == lines, "seed \(seed)")
        }
    }

    @Test("A line of the longest length is whole, and a longer one comes in pieces")
    func longLines() {
        for chunk in 1...30 {
            let input = Array("abcd\nefghi\njklmnopq\nr\nstuvwxyz0".utf8)
            let pieces = Self.split(input, chunk: chunk, buffer: 3, lineMax: 4)
            func piece(_ text: String, _ isPiece: Bool, _ isLast: Bool) -> Piece {
                Piece(text: Array(text.utf8), isPiece: isPiece, isLast: isLast)
            }
            #expect(
                pieces == [
                    piece("abcd", false, true), piece("efgh", true, false), piece("i", true, true),
                    piece("jklm", true, false),
                    piece("nopq", true, true), piece("r", false, true), piece("stuv", true, false),
                    piece("wxyz", true, false),
                    piece("0", true, true),
                ], "chunk \(chunk)")
        }
    }
}
