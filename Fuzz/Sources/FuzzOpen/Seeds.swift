import Foundation
import FuzzSupport
import Varve

extension FuzzOpen {
    /// Writes seeds where the environment asks for them; false: it doesn't.
    static func writeSeeds() -> Bool {
        let environment = ProcessInfo.processInfo.environment
        guard let target = environment["VARVE_FUZZ_SEEDS"] else { return false }
        var stores: [String: [String: [UInt8]]] = [:]
        do {
            if let golden = environment["VARVE_FUZZ_STORES"] { stores = try read(stores: golden) }
            for (name, files) in stores {
                for missing in files.keys {
                    var rest = files
                    rest[missing] = nil
                    stores["\(name)-without-\(missing)"] = rest
                    rest[missing] = files[missing].map { Array($0.prefix($0.count * 2 / 3)) }
                    stores["\(name)-cut-\(missing)"] = rest
                }
            }
            for (number, files) in try images().enumerated() { stores["image-\(number)"] = files }
            // Small ones: what a large one has more of, it has many times.
            for (name, files) in stores where (1..<12 << 10).contains(Archive.pack(files).count) {
                try Data(Archive.pack(files)).write(to: URL(fileURLWithPath: "\(target)/seed-store-\(name)"))
            }
        } catch {
            FileHandle.standardError.write(Data("no seeds: \(error)\n".utf8))
            exit(1)
        }
        return true
    }

    private static func read(stores directory: String) throws -> [String: [String: [UInt8]]] {
        var stores: [String: [String: [UInt8]]] = [:]
        for store in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let path = "\(directory)/\(store)"
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { continue }
            for name in names where name != "LOCK" {
                stores[store, default: [:]][name] = Array(
                    try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
            }
        }
        return stores
    }

    /// A store as it is at many moments of its life, as if its writer had been killed then.
    private static func images() throws -> [[String: [UInt8]]] {
        var images: [[String: [UInt8]]] = []
        for usesDictionary in [false, true] {
            var fileSystem = MemoryFileSystem([:])
            for opening in 0..<3 {
                var options = options(fileSystem)
                options.create = true
                options.usesDictionary = usesDictionary
                options.segmentBytes = 16 << 10
                options.segmentBlocksMax = 8
                let store = try EventStore.open(MemoryFileSystem.directory, options: options)
                images.append(fileSystem.files)
                let json = try store.kind("json", .json, metadata: ["a": "b"])
                let binary = try store.kind("binary", .binary)
                for number in 0..<2 {
                    let session = try store.startSession("session-\(number)", at: 10, metadata: ["k": "v"])
                    for event in 0..<12 {
                        try session.append(
                            "{\"event\":\(event),\"text\":\"the same words again and again\"}", kind: json)
                        if event % 4 == 0 { try session.append([0, 1, 2, 255], kind: binary, at: .max) }
                    }
                    images.append(fileSystem.files)
                    try session.checkpoint("checkpoint", label: "label", state: Array("{}".utf8))
                    try store.flush()
                    images.append(fileSystem.files)
                    if number == 0 { try session.end() }
                }
                let image = fileSystem.files
                try store.close()
                images.append(fileSystem.files)
                // Killed once, closed once.
                fileSystem = MemoryFileSystem(opening == 0 ? image : fileSystem.files)
            }
            var options = options(fileSystem)
            options.durability = .synced
            let store = try EventStore.open(MemoryFileSystem.directory, options: options)
            let kind = try store.kind("json", .json)
            let imported = try store.startImportedSession("imported", at: 5)
            try imported.append(Array("1".utf8), kind: kind, at: 6, index: 40)
            images.append(fileSystem.files)
            try imported.append(Array("2".utf8), kind: kind, at: 6, index: 7)
            try imported.end(at: 8)
            images.append(fileSystem.files)
            _ = try store.resume(session: 1).append("3", kind: kind)
            images.append(fileSystem.files)
            try store.close()
        }
        return images
    }
}
