/// A fixed list of texts as bytes, for generators that must not touch `String` in their loops.
///
/// Immutable once made, so any thread may read it.
final class TextTable: @unchecked Sendable {
    let count: UInt32
    private let bytes: UnsafeMutableBufferPointer<UInt8>
    private let starts: UnsafeMutableBufferPointer<Int>

    init(_ texts: [[UInt8]]) {
        count = UInt32(texts.count)
        bytes = .allocate(capacity: texts.reduce(0) { $0 + $1.count })
        starts = .allocate(capacity: texts.count + 1)
        var position = 0
        for (number, text) in texts.enumerated() {
            starts.initializeElement(at: number, to: position)
            for byte in text {
                bytes.initializeElement(at: position, to: byte)
                position += 1
            }
        }
        starts.initializeElement(at: texts.count, to: position)
    }

    convenience init(_ texts: [String]) {
        self.init(texts.map { Array($0.utf8) })
    }

    deinit {
        bytes.deallocate()
        starts.deallocate()
    }

    /// A text; `number` below ``count``. The bytes live as long as the table.
    subscript(number: UInt32) -> UnsafeBufferPointer<UInt8> {
        precondition(number < count)
        let start = starts[Int(number)]
        return UnsafeBufferPointer(rebasing: bytes[start..<starts[Int(number) + 1]])
    }
}
