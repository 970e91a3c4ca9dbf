import Foundation

/// What the figures were measured on.
enum Machine {
    static var lines: [String] {
        [
            "processor: \(processor), \(ProcessInfo.processInfo.activeProcessorCount) cores in use",
            "memory: \(ProcessInfo.processInfo.physicalMemory >> 20) MiB",
            "system: \(ProcessInfo.processInfo.operatingSystemVersionString)",
        ]
    }

    private static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") || $0.hasPrefix("Model") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
            ?? architecture
    }

    private static var architecture: String {
        #if arch(x86_64)
        "x86-64"
        #elseif arch(arm64)
        "arm64"
        #else
        "unknown"
        #endif
    }

    /// The kind of file system that a directory is on, as far as the system tells.
    static func fileSystem(of directory: String) -> String {
        var best = (length: -1, kind: "unknown")
        let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2, fields[1].count > best.length else { continue }
            let point = fields[1] == "/" ? "/" : fields[1] + "/"
            if "\(directory)/".hasPrefix(point) { best = (fields[1].count, String(fields[2])) }
        }
        return best.kind
    }
}
