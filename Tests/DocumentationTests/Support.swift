import Foundation
import Varve
import VarveTestKit

/// What the articles' code prints: the suites have a `print` of their own, and look at what it got.
final class Output: Sendable {
    private let text = Locked<[String]>([])
    var lines: [String] { text.withLock { $0 } }

    func print(_ items: [Any]) {
        let line = items.map { "\($0)" }.joined(separator: " ")
        text.withLock { $0.append(line) }
    }
}

/// Changes a byte in the middle of a file.
func damage(_ path: String) throws {
    var bytes = try Data(contentsOf: URL(filePath: path))
    bytes[bytes.count / 2] ^= 0x10
    try bytes.write(to: URL(filePath: path))
}

/// The segment files of a store, in the order of the log.
func segments(of directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".seg") }.sorted()
        .map { "\(directory)/\($0)" }
}

/// Small blocks, so that a few events fill several, and a partition or a gap is not the whole store.
func smallBlocks() -> StoreOptions {
    var options = StoreOptions()
    options.blockBytes = 4 << 10
    options.subBlockBytes = 1 << 10
    return options
}
