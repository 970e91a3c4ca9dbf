import Foundation

/// The repository that these tests were built from.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func path(_ path: String) -> String {
        root.appending(path: path).path(percentEncoded: false)
    }

    /// The text of a file, by its path from the root.
    static func text(_ file: String) throws -> String {
        try String(contentsOfFile: path(file), encoding: .utf8)
    }

    static func exists(_ file: String) -> Bool { FileManager.default.fileExists(atPath: path(file)) }

    /// How long a file is; nil when there is none.
    static func byteCount(_ file: String) -> Int? {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path(file))
        return (attributes?[.size] as? NSNumber)?.intValue
    }

    /// Names of the directories in a directory, sorted.
    static func directories(in directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(directory))
            .filter { name in
                var isDirectory: ObjCBool = false
                FileManager.default.fileExists(
                    atPath: path("\(directory)/\(name)"), isDirectory: &isDirectory)
                return isDirectory.boolValue
            }
            .sorted()
    }

    /// Paths from the root of the files below a directory, sorted.
    static func files(under directory: String, withExtension pathExtension: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path(directory))
            .filter { $0.hasSuffix(".\(pathExtension)") }
            .map { "\(directory)/\($0)" }
            .sorted()
    }
}
