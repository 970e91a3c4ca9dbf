#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A new directory, removed with everything in it when the object ends.
public final class TemporaryDirectory: Sendable {
    /// Where it is; absolute.
    public let path: String

    /// Makes the directory under `TMPDIR`, or `/tmp`.
    ///
    /// - Throws: ``TemporaryDirectoryFailure`` when the system refuses.
    public init() throws {
        let parent = environment("TMPDIR").flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var template = Array("\(parent)/varve-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { mkdtemp($0) != nil } ?? false
        }
        guard made else { throw TemporaryDirectoryFailure(path: parent, code: errno) }
        path = template.withUnsafeBufferPointer { buffer in
            String(decoding: buffer.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    deinit {
        TemporaryDirectory.remove(path)
    }

    /// A path inside.
    public func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Removes a directory and everything in it. Symbolic links are removed, not followed.
    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            var names: [String] = []
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                    // SAFETY: the system terminates the name inside the entry.
                    field.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
                }
                if name != ".", name != ".." { names.append("\(path)/\(name)") }
            }
            closedir(stream)
            for name in names where unlink(name) != 0 { remove(name) }
        }
        rmdir(path)
    }
}

/// A temporary directory could not be made.
public struct TemporaryDirectoryFailure: Error, CustomStringConvertible {
    /// The directory it should have been made in.
    public let path: String
    /// The system's `errno`.
    public let code: Int32

    /// One line for people.
    public var description: String { "can't make a temporary directory in \(path): errno \(code)" }
}
