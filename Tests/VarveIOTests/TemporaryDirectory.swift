import Foundation
import Testing
import VarveIO

/// A directory for one test, removed at its end with what is in it.
final class TemporaryDirectory: Sendable {
    let path: String
    private let fileSystem = POSIXFileSystem()

    /// - Parameter parent: where to make it; the system's place for temporary files unless given.
    init(in parent: String = FileManager.default.temporaryDirectory.path) throws {
        let name = fileSystem.randomBytes(8).map { String(format: "%02x", $0) }.joined()
        path = "\(parent)/varve-\(name)"
        try fileSystem.makeDirectory(path)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of a name in it.
    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a file with these bytes and returns its path.
    func file(_ name: String, _ bytes: [UInt8] = []) throws -> String {
        let file = try fileSystem.open(self(name), .createExclusive)
        try file.write(bytes, at: 0)
        file.close()
        return self(name)
    }
}

/// What `body` throws, or `nil` if it throws nothing.
func failure<Value>(_ body: () throws -> Value) -> IOFailure? {
    do {
        _ = try body()
    } catch let failure as IOFailure {
        return failure
    } catch {
        Issue.record(error)
    }
    return nil
}
