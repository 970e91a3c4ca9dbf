import Varve

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The file of `--input`: what it is, and whether the store has it already.
struct InputFile {
    /// The keys of a session's metadata that say what it was recorded from.
    enum Key {
        static let path = "input.path"
        static let bytes = "input.bytes"
        static let digest = "input.xxh64"
    }

    let path: String
    let descriptor: OwnedDescriptor
    /// Nanoseconds since the epoch.
    let modifiedAt: Int64
    /// Bytes and digest of a regular file; `nil` for a pipe or a device, which can be read only once.
    let content: (bytes: UInt64, digest: String)?

    /// Opens the file, and reads it once for its digest, which has to be known before the recording.
    init(_ path: String) throws {
        let descriptor = try OwnedDescriptor(reading: path)
        let status = try FileStatus(descriptor.number, name: path)
        guard !status.isDirectory else { throw CommandFailure("cannot read \(path): is a directory") }
        self.path = path
        self.descriptor = descriptor
        modifiedAt = status.modifiedAt
        content = status.isRegular ? try Self.digest(descriptor, path) : nil
        if status.isRegular, lseek(descriptor.number, 0, SEEK_SET) != 0 {
            throw CommandFailure("cannot read \(path) again: \(errorText(errno))")
        }
    }

    private static func digest(_ descriptor: OwnedDescriptor, _ path: String) throws -> (UInt64, String) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var digest = XXH64()
        var bytes: UInt64 = 0
        while true {
            let count = try readSome(descriptor.number, into: buffer, name: path)
            if count == 0 { return (bytes, digest.hexadecimal()) }
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            bytes += UInt64(count)
        }
    }

    /// What the session's metadata says.
    var metadata: [String: String] {
        var metadata = [Key.path: absolutePath(path)]
        if let content {
            metadata[Key.bytes] = String(content.bytes)
            metadata[Key.digest] = content.digest
        }
        return metadata
    }

    /// The session that was recorded from the same bytes, if there is one.
    func earlierSession(among sessions: [SessionInfo]) -> SessionInfo? {
        guard let content else { return nil }
        return sessions.last {
            $0.metadata[Key.bytes] == String(content.bytes) && $0.metadata[Key.digest] == content.digest
        }
    }
}
