#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A file or standard input that is read from its beginning more than once. What comes from a pipe is kept in a temporary
/// file meanwhile.
final class RepeatableInput {
    /// For messages.
    let name: String
    /// Bytes read since the beginning.
    private(set) var position: UInt64 = 0
    private let input: OwnedDescriptor
    /// What was read of something that can be read only once.
    private let spool: OwnedDescriptor?
    private var spooledBytes: UInt64 = 0

    /// Opens a file; `-` is standard input.
    init(_ path: String) throws {
        name = path == "-" ? "standard input" : path
        input = path == "-" ? OwnedDescriptor(dup(STDIN_FILENO)) : try OwnedDescriptor(reading: path)
        guard input.number >= 0 else { throw CommandFailure("cannot read \(name): \(errorText(errno))") }
        let status = try FileStatus(input.number, name: name)
        let isKept = status.isRegular && lseek(input.number, 0, SEEK_CUR) == 0
        spool = isKept ? nil : try OwnedDescriptor.temporary()
    }

    /// Goes back to the beginning.
    func rewind() throws {
        position = 0
        guard spool == nil, lseek(input.number, 0, SEEK_SET) != 0 else { return }
        throw CommandFailure("cannot read \(name) again: \(errorText(errno))")
    }

    /// Reads on, at most what fits; 0 at the end.
    func read(into room: UnsafeMutableRawBufferPointer) throws -> Int {
        let count: Int
        if let spool, position < spooledBytes {
            count = try readSome(spool.number, into: room, at: position, name: "the temporary file")
        } else {
            count = try readSome(input.number, into: room, name: name)
            if let spool {
                let piece = UnsafeRawBufferPointer(rebasing: room[..<count])
                try writeAll(spool.number, piece, name: "the temporary file")
                spooledBytes += UInt64(count)
            }
        }
        position += UInt64(count)
        return count
    }
}
