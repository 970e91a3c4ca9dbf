import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Standard output, collected in a large buffer and written when that is full or somebody may be waiting.
final class Output {
    private static let flushBytes = 256 << 10

    /// What is not written yet. Whoever appends calls ``flushIfFull()`` now and then.
    var buffer = ByteBuffer(capacity: 2 * flushBytes)
    private let descriptor: Int32

    init(_ descriptor: Int32 = STDOUT_FILENO) { self.descriptor = descriptor }

    /// Appends text as it is.
    func text(_ text: String) throws {
        buffer.append(string: text)
        try flushIfFull()
    }

    /// Appends a line.
    func line(_ build: (inout ByteBuffer) throws -> Void) throws {
        try build(&buffer)
        buffer.append(UInt8(ascii: "\n"))
        try flushIfFull()
    }

    @inline(__always)
    func flushIfFull() throws {
        if buffer.count >= Self.flushBytes { try flush() }
    }

    /// Writes what is held.
    ///
    /// - Throws: ``ClosedPipe`` when nobody reads any more.
    func flush() throws {
        guard buffer.count > 0 else { return }
        defer { buffer.removeAll() }
        try buffer.withUnsafeBytes { try writeAll(descriptor, $0, name: "standard output") }
    }
}
