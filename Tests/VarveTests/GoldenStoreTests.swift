import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// Counts calls.
private final class Calls: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0

    func next() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }
}

/// The system's files with a clock that stands still and random bytes that are always the same, so that golden stores differ
/// only where the format does.
private struct StillFileSystem: ForwardingFileSystem {
    let base: any FileSystem = POSIXFileSystem()
    private let calls = Calls()
    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File { try base.open(path, mode) }
    func now() -> Int64 { 1_778_416_496_000_000_000 }
    func monotonic() -> UInt64 { 0 }
    func randomBytes(_ count: Int) -> [UInt8] {
        let call = calls.next()
        return (0..<count).map { UInt8(truncatingIfNeeded: $0 * 17 + call * 29 + 3) }
    }
    func bootIdentity() -> [UInt8] { [UInt8](repeating: 7, count: 16) }
}

@Suite("Golden stores")
struct GoldenStoreTests {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Formats/vectors/stores")
    static let start: Int64 = 1_778_416_496_100_000_000

    static let recipes: [String: @Sendable (String, inout StoreOptions) throws -> EventStore] = [
        "small": { path, options in
            let store = try EventStore.open(path, options: options)
            let session = try store.startSession(
                "s1", at: start, metadata: ["host": "example", "program": "demo"])
            let console = try store.kind("Console", .json, metadata: ["schema": "console-1"])
            let line = try store.kind("stdout", .utf8)
            let raw = try store.kind("packet", .binary)
            try session.append(#"{"level":"info","message":"gr\u00fc\u00dfe"}"#, kind: console, at: start)
            try session.append(
                "plain \"text\" with \\ and \u{1} and a line\nbreak, é", kind: line, at: start - 5)
            try session.append([0, 255, 1, 254], kind: raw, at: start + 10)
            try session.append("{\n  \"a\": [1, 2]\r\n}", kind: console, at: .min)
            try session.append("not JSON", kind: console, at: .max)
            try session.append([UInt8](), kind: line, at: 0)
            try session.append([0xC3, 0x28], kind: line, at: start + 20)
            try session.end(at: start + 30)
            return store
        },
        "sessions": { path, options in
            let store = try EventStore.open(path, options: options)
            let kind = try store.kind("tick", .json)
            for number in 0..<2 {
                let session = try store.startSession("same id", at: start + Int64(number))
                for tick in 0..<50 {
                    try session.append(#"{"tick":\#(tick)}"#, kind: kind, at: start + Int64(tick * 1_000_000))
                    if tick % 20 == 10 {
                        try session.checkpoint(
                            "cp\(tick)", label: tick == 10 ? "ten" : nil,
                            state: Array(#"{"n":\#(tick)}"#.utf8),
                            at: start + Int64(tick * 1_000_000))
                    }
                }
                try session.checkpoint("text", state: Array("no JSON".utf8), at: start)
                try session.checkpoint("bytes", label: "", state: [0xFF, 0], at: start)
                try session.end(at: start + 60_000_000)
            }
            return store
        },
        "unsealed": { path, options in
            options.keepsTail = false
            let store = try EventStore.open(path, options: options)
            let session = try store.startSession("cut off", at: start)
            let kind = try store.kind("line", .utf8)
            for number in 0..<300 {
                try session.append("line \(number)", kind: kind, at: start + Int64(number))
            }
            try session.checkpoint("before", state: Array("{}".utf8), at: start + 300)
            try session.append("the last", kind: kind, at: start + 301)
            try store.flush()
            return store
        },
        "dictionary": { path, options in
            options.usesDictionary = true
            options.blockBytes = 16 << 10
            options.subBlockBytes = 2 << 10
            let store = try EventStore.open(path, options: options)
            let session = try store.startSession("d", at: start)
            let kind = try store.kind("row", .json)
            for number in 0..<1_000 {
                try session.append(
                    #"{"number":\#(number),"name":"name \#(number % 13)","text":"the same again and again"}"#,
                    kind: kind,
                    at: start + Int64(number * 250))
            }
            try session.end(at: start + 1_000_000)
            return store
        },
        "filters": { path, options in
            options.blockBytes = 16 << 10
            options.subBlockBytes = 2 << 10
            options.segmentBytes = 8 << 10
            let recorder = try EventStore.open(path, options: options)
            let session = try recorder.startSession("f", at: start)
            let row = try recorder.kind("row", .json)
            let line = try recorder.kind("line", .utf8)
            let raw = try recorder.kind("raw", .binary)
            for number in 0..<600 {
                let time = start + Int64(number) * 1_000
                let user = ["Ada", "Grace", "gr\\u00fc\\u00DFe", "\\uD834\\uDD1E\\nnew line"][number / 150]
                try session.append(
                    #"{"service":"checkout","request":\#(1_000 + number),"user":"\#(user)"}"#, kind: row,
                    at: time)
                try session.append(
                    "WARN retry of request \(1_000 + number), 線路 \\u0041", kind: line, at: time + 500)
                // Keys without end: their sub-blocks get no filter.
                if number % 200 == 199 {
                    for part in 0..<6 {
                        let bytes = (0..<400).map { UInt8(97 + ($0 * $0 * (part + number) / 7 + $0) % 26) }
                        try session.append(bytes, kind: raw, at: time)
                    }
                }
                if number == 300 { try session.checkpoint("half", state: Array("{}".utf8), at: time) }
            }
            try session.end(at: start + 600_000)
            try recorder.close()
            let store = try EventStore.open(path, options: options)
            _ = try store.buildFilters()
            return store
        },
        "retained": { path, options in
            options.segmentBytes = 16 << 10
            options.limits = RetentionLimits(events: 250, checkpoints: 4)
            let recorder = try EventStore.open(path, options: options)
            func record(_ id: String, _ count: Int, in store: EventStore) throws -> UInt64 {
                let kind = try store.kind("row", .json)
                let session = try store.startSession(id, at: start)
                for number in 0..<count {
                    let time = start + Int64(number) * 1_000
                    try session.append(#"{"session":"\#(id)","number":\#(number)}"#, kind: kind, at: time)
                    if number % 40 == 39 {
                        try session.checkpoint("\(id) \(number)", state: Array("{}".utf8), at: time)
                    }
                }
                try session.end(at: start + 1_000_000)
                return session.ordinal
            }
            try recorder.pin(session: try record("pinned", 50, in: recorder))
            _ = try record("dropped", 60, in: recorder)
            _ = try record("in part", 120, in: recorder)
            try recorder.pin(sequences: 60...69)
            try recorder.pin(sequences: 120...139)
            _ = try record("late", 150, in: recorder)
            _ = try recorder.compact()
            try recorder.unpin(sequences: 130...400)
            try recorder.close()
            // What it hides stands in the files still.
            let store = try EventStore.open(path, options: options)
            _ = try record("last", 30, in: store)
            return store
        },
        "imported": { path, options in
            let store = try EventStore.open(path, options: options)
            let kind = try store.kind("old", .json)
            let session = try store.startImportedSession("import", at: start)
            for index in [5, 9, 2, UInt64.max - 1, 7] {
                try session.append(Array("{}".utf8), kind: kind, at: start, index: index)
            }
            try session.end(at: start)
            return store
        },
    ]

    /// Writes a store by its recipe and copies its files, as they are before or after it is closed.
    private func write(_ name: String, to target: String) throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/store"
        var options = StoreOptions()
        options.durability = .none
        options.compactsInBackground = false
        options.fileSystem = StillFileSystem()
        let recipe = try #require(Self.recipes[name])
        let store = try recipe(path, &options)
        func copy() throws {
            try? FileManager.default.removeItem(atPath: target)
            try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
            for file in try FileManager.default.contentsOfDirectory(atPath: path) where file != "LOCK" {
                try FileManager.default.copyItem(atPath: "\(path)/\(file)", toPath: "\(target)/\(file)")
            }
        }
        if name == "unsealed" { try copy() }
        try store.close()
        if name != "unsealed" { try copy() }
        withExtendedLifetime(scratch) {}
    }

    @Test("a store written now says what the golden one says", arguments: recipes.keys.sorted())
    func meaning(_ name: String) throws {
        let golden = Self.directory.appending(path: name).path
        if ProcessInfo.processInfo.environment["VARVE_REGENERATE_VECTORS"] == "1" {
            try write(name, to: golden)
        }
        let scratch = try TemporaryDirectory()
        let fresh = scratch.path + "/fresh"
        try write(name, to: fresh)
        let (left, right) = (try EventStore.openReadOnly(golden), try EventStore.openReadOnly(fresh))
        var first = try left.cursor()
        var second = try right.cursor()
        var events = 0
        while let event = try first.nextEvent() {
            #expect(try second.nextEvent() == event)
            events += 1
        }
        #expect(try second.nextEvent() == nil)
        #expect(events > 0)
        #expect(try left.sessions() == right.sessions())
        #expect(try left.checkpoints() == right.checkpoints())
        for checkpoint in try left.checkpoints() {
            #expect(try left.state(of: checkpoint) == right.state(of: checkpoint))
        }
        #expect(try left.verify().isIntact)
        let gaps = try left.snapshot().cursor().coverage.gaps
        #expect(gaps.allSatisfy { $0.reason == .retention } && gaps.isEmpty == (name != "retained"))
        withExtendedLifetime(scratch) {}
    }
}
