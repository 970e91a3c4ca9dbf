import Foundation
import Testing
import VarveTestKit

/// What the machine lets tests do. Each test says what it needs, and is skipped with the reason where that is missing.
enum Machine {
    /// Why something can't be done; nil when it can.
    typealias Missing = String?

    static let root: Missing = geteuid() == 0 ? nil : "only root can do this"

    /// Whether strace runs, and may change what a process is told.
    static let strace: Missing = {
        let tried = try? ChildProcess.shell("strace -o /dev/null -e inject=sync:error=EIO true")
        return tried?.outcome == .exited(0) ? nil : "strace is missing, or not allowed to trace"
    }()

    /// Whether `env` can say what a process does with a signal.
    static let signals: Missing = {
        let tried = try? ChildProcess.shell("env --default-signal=XFSZ true")
        return tried?.outcome == .exited(0) ? nil : "env does not know --default-signal"
    }()

    static let tmpfs: Missing =
        root ?? (probe { try Mount.tmpfs(megabytes: 1) } ? nil : "no tmpfs can be mounted")

    static let bind: Missing =
        root
        ?? (probe {
            let directory = try TemporaryDirectory()
            return try Mount.readOnly(directory.path)
        } ? nil : "no directory can be mounted a second time")

    static let ext4: Missing =
        root
        ?? (probe {
            let image = try DiskImage(megabytes: 16)
            return try image.mount()
        } ? nil : "no ext4 image can be mounted: no mkfs.ext4, or no loop devices")

    private static func probe(_ make: () throws -> Mount) -> Bool { (try? make().unmount()) != nil }

    /// A count from the environment; `otherwise` without one.
    static func count(_ name: String, otherwise: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? otherwise
    }
}

extension Trait where Self == ConditionTrait {
    /// The test runs only where nothing is missing.
    static func needs(_ missing: Machine.Missing) -> ConditionTrait {
        .enabled(if: missing == nil, Comment(rawValue: missing ?? ""))
    }
}

/// Prints a line that `scripts/torture.sh` makes its table from.
func tortureFigure(_ name: String, asked: Int, reached: Int, _ more: KeyValuePairs<String, Int>) {
    let values = more.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    print("torture: \(name): asked=\(asked) reached=\(reached) \(values)")
}
