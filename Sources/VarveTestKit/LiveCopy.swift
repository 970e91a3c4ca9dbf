internal import Foundation

/// Copies the directory of an open store, as it is at one moment: what a kill leaves.
///
/// Copied again where files came, went or were written meanwhile, since a store works in the background.
public func copyLive(_ source: String, to copy: String) throws {
    while true {
        let before = try? stamps(of: source)
        try? FileManager.default.removeItem(atPath: copy)
        do {
            try FileManager.default.copyItem(atPath: source, toPath: copy)
        } catch {
            // What is gone meanwhile can't be copied.
            if let before, try before == stamps(of: source) { throw error }
            continue
        }
        if let before, try before == stamps(of: source) { return }
    }
}

/// What changes with each file that comes, goes, or is written.
private func stamps(of directory: String) throws -> [String: [UInt64]] {
    var stamps: [String: [UInt64]] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
        let changed = (attributes[.modificationDate] as? Date)?.timeIntervalSinceReferenceDate ?? 0
        stamps[name] = [
            (attributes[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0,
            (attributes[.size] as? NSNumber)?.uint64Value ?? 0, changed.bitPattern,
        ]
    }
    return stamps
}
