import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("What others do to a store's files is told, and ends no reader")
struct ForeignHandsTests {
    /// A closed store of several segments.
    private static func makeStore(_ path: String, events: UInt64, segmentBytes: Int = 65_536) throws {
        let run = try ChildProcess.run(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(
                path, run: 1, durability: "none", events: events, "--segment-bytes", "\(segmentBytes)"))
        try #require(run.outcome == .exited(0), "\(run.text.suffix(300)) \(run.errors)")
    }

    private static func segments(of path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".seg") }.sorted().map
        {
            path + "/" + $0
        }
    }

    /// What a reader said: the events, those that are nobody's, those covered by a gap, and whether it was refused.
    private struct Answer {
        var events: Set<UInt64> = []
        var wrong = 0
        var gaps: [ClosedRange<UInt64>] = []
        var refusals: [String] = []

        init(_ lines: [String]) {
            for line in lines {
                let words = line.split(separator: " ")
                switch words[0] {
                case "event": if let sequence = UInt64(words[1]) { events.insert(sequence) }
                case "wrong": wrong += 1
                case "gap": if let a = UInt64(words[1]), let b = UInt64(words[2]) { gaps.append(a...b) }
                case "failed": refusals.append(line)
                default: break
                }
            }
        }

        /// Events of which nothing was said.
        func missing(of count: UInt64) -> [UInt64] {
            refusals.isEmpty
                ? (0..<count).filter { number in
                    !events.contains(number) && !gaps.contains { $0.contains(number) }
                } : []
        }
    }

    /// A reader that has read its first event when `change` is made.
    private static func read(_ path: String, _ change: () throws -> Void) throws -> (
        answer: Answer, outcome: ChildProcess.Outcome
    ) {
        let child = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            ["read", path, "--payload-bytes", "\(WriterRun.payloadBytes)"])
        child.read(lines: 2)
        #expect(child.lines.last == "paused")
        try change()
        try child.send("\n")
        let outcome = try child.finish()
        return (Answer(child.lines), outcome)
    }

    @Test("A file cut beside a reader is a gap; the rest is answered", arguments: [0, 5, 50, 95])
    func cutFile(percent: UInt64) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let events: UInt64 = 3_000
        try Self.makeStore(path, events: events)
        let segments = try Self.segments(of: path)
        try #require(segments.count >= 4)
        let cut = segments[segments.count / 2]
        let first = try #require(UInt64(cut.split(separator: "/").last?.prefix(20) ?? ""))
        let after = segments[segments.count / 2 + 1]
        let last = try #require(UInt64(after.split(separator: "/").last?.prefix(20) ?? ""))
        let (answer, outcome) = try Self.read(path) {
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: cut))
            let size = try file.seekToEnd()
            try file.truncate(atOffset: size * percent / 100)
            try file.close()
        }
        #expect(outcome == .exited(0), "\(answer.refusals)")
        #expect(answer.wrong == 0)
        #expect(answer.missing(of: events) == [])
        let rest = Set(0..<events).subtracting(first..<last)
        #expect(rest.subtracting(answer.events) == [])
        #expect(answer.events.count < events)
    }

    @Test("A disk that can't be read any more is a gap or an error", .needs(Machine.ext4))
    func unreadableDisk() throws {
        let image = try DiskImage(megabytes: 64)
        let events: UInt64 = 60_000
        let before = try image.mount()
        // Most of the image, so that its end holds data.
        try Self.makeStore(before.path + "/store", events: events, segmentBytes: 1 << 20)
        try before.unmount()
        // Mounted anew: nothing of it is in memory.
        let mount = try image.mount()
        let (answer, outcome) = try Self.read(mount.path + "/store") {
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: image.path))
            try file.truncate(atOffset: 12 << 20)
            try file.close()
        }
        #expect(outcome == .exited(0) || outcome == .exited(1))
        #expect(answer.wrong == 0)
        #expect(answer.missing(of: events) == [])
        #expect(answer.events.count > 0 && answer.events.count < events)
        print(
            "unreadable disk: \(answer.events.count) of \(events) events, \(answer.gaps.count) gaps, \(answer.refusals)"
        )
        // It can't be read any more: nor can it be unmounted in order, perhaps.
        _ = try? mount.unmount()
    }

    @Test("Links and pipes among the files are neither followed nor waited for, and verify names them")
    func linksAndPipes() throws {
        let directory = try TemporaryDirectory()
        let (path, other) = (directory.path("store"), directory.path("other"))
        try Self.makeStore(path, events: 500)
        try Self.makeStore(other, events: 500)
        let events: UInt64 = 500
        let target = try #require(try Self.segments(of: other).first)
        let names = [
            "00000000000000000900-0000000900-00.seg", "00000000000000000901-0000000901-00.seg", "TAIL",
            "x.tmp",
        ]
        try FileManager.default.createSymbolicLink(atPath: path + "/" + names[0], withDestinationPath: target)
        for name in names.dropFirst() {
            try? FileManager.default.removeItem(atPath: path + "/" + name)
            #expect(mkfifo(path + "/" + name, 0o600) == 0)
        }
        let secret = try Data(contentsOf: URL(fileURLWithPath: target))
        let verify = try ChildProcess.varve("verify", path)
        #expect(verify.outcome == .exited(3))
        for name in names { #expect(verify.text.contains("/\(name): "), "\(name): \(verify.text)") }
        let query = try ChildProcess.varve("query", path, "--count")
        #expect(query.text == "\(events)\n", "\(query.errors)")
        let record = try ChildProcess.varve("record", path, "--text", "--input", "/etc/hostname")
        #expect(record.outcome == .exited(0), "\(record.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == secret)
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() == events + 1)
    }

    @Test(
        "A link or a pipe in place of a file that counts is refused", arguments: ["STORE", "STATE", "LOCK"])
    func inPlace(_ name: String) throws {
        for isLink in [true, false] {
            let directory = try TemporaryDirectory()
            let path = directory.path("store")
            try Self.makeStore(path, events: 200)
            let file = path + "/" + name
            let aside = directory.path("aside")
            try FileManager.default.moveItem(atPath: file, toPath: aside)
            let before = try Data(contentsOf: URL(fileURLWithPath: aside))
            if isLink {
                try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: aside)
            } else {
                #expect(mkfifo(file, 0o600) == 0)
            }
            let verify = try ChildProcess.varve("verify", path)
            #expect(verify.outcome == .exited(3))
            #expect(verify.text.contains("\(name): offset 0"), "\(verify.text)")
            let record = try ChildProcess.varve("record", path, "--text", "--input", "/etc/hostname")
            // Only the lock is needed; the others can be done without.
            #expect(record.outcome == .exited(name == "LOCK" ? 1 : 0), "\(record.errors)")
            if name == "LOCK" { #expect(record.errors.contains("not a regular file"), "\(record.errors)") }
            #expect(try Data(contentsOf: URL(fileURLWithPath: aside)) == before)
            if name == "STATE" {
                // In its place there is one of the store's own.
                let made = try POSIXFileSystem().kind(of: file)
                #expect(made == .regular)
                #expect(try POSIXFileSystem().kind(of: file + ".cut") != nil)
            }
            let query = try ChildProcess.varve("query", path, "--count")
            #expect(query.text == (name == "LOCK" ? "200\n" : "201\n"), "\(query.errors)")
        }
    }
}
