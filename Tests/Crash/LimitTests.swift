import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("Where room or descriptors run out, nothing is lost and nothing traps")
struct LimitTests {
    private static let payload = 1_000

    private static func content(_ number: UInt64) -> [UInt8] {
        NumberedEvent(run: 7, thread: 0, number: number).payload(bytes: payload)
    }

    /// That the store holds these events and no others, unharmed.
    private static func check(_ path: String, events: UInt64) throws {
        let store = try EventStore.openReadOnly(path)
        var count: UInt64 = 0
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() {
            #expect(event.sequence == count && event.payload == content(count))
            count += 1
        }
        #expect(count == events)
        let report = try store.verify()
        #expect(report.damage == [] && report.gaps == [])
        try store.close()
    }

    @Test(
        "A full disk stalls appends; when there is room again they go on in a new segment",
        .needs(Machine.tmpfs))
    func fullDisk() throws {
        let memory = try Mount.tmpfs(megabytes: 4)
        let filler = memory.path + "/filler"
        try Data(count: 3 << 20).write(to: URL(fileURLWithPath: filler))
        let path = memory.path + "/store"
        let resumed = DispatchSemaphore(value: 0)
        var options = StoreOptions()
        options.blockBytes = 16 << 10
        options.queueBatches = 2
        options.diagnostics = { if case .resumed = $0 { resumed.signal() } }
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("full")
        let kind = try store.kind("numbered", .binary)
        var (events, refusal): (UInt64, StoreError?) = (0, nil)
        while events < 10_000, refusal == nil {
            do throws(StoreError) {
                try session.append(Self.content(events), kind: kind, at: 0)
                events += 1
            } catch {
                refusal = error
            }
        }
        #expect(refusal?.isOutOfSpace == true)
        #expect(refusal?.description.hasPrefix("no space left for \(path)") == true, "\(refusal as Any)")
        let segments = try store.info().segmentCount
        // A reader is answered as long as it lasts.
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() > 0)
        try FileManager.default.removeItem(atPath: filler)
        #expect(resumed.isSignalled())
        for _ in 0..<100 {
            try session.append(Self.content(events), kind: kind, at: 0)
            events += 1
        }
        try store.close()
        try Self.check(path, events: events)
        let again = try EventStore.openReadOnly(path)
        #expect(try again.info().segmentCount > segments)
        tortureFigure("full disks", asked: 1, reached: 1, ["returned": Int(events)])
    }

    @Test("The command says that the disk is full, and what it acknowledged is there", .needs(Machine.tmpfs))
    func fullDiskCommand() throws {
        let memory = try Mount.tmpfs(megabytes: 2)
        let path = memory.path + "/store"
        let run = try ChildProcess.shell(
            // 8 MB that do not compress.
            "head -c 8000000 /dev/urandom | base64 -w 100 | timeout 600 \"$1\" record \"$2\" --text --acks",
            BuiltProducts.url("varve").path, path)
        #expect(run.outcome == .exited(1))
        #expect(
            run.errors.hasPrefix("varve: error:") && run.errors.contains("no space left"), "\(run.errors)")
        let acknowledged = run.text.split(separator: "\n").prefix { $0.allSatisfy(\.isNumber) }.count
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() >= UInt64(acknowledged))
        let report = try reader.verify()
        #expect(report.damage == [])
    }

    @Test(
        "A limit on the size of files is a full disk, also where its signal kills", arguments: [true, false])
    func fileSize(isIgnored: Bool) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        // In blocks of 512 bytes: 400 KB, in the middle of a write.
        let run = try ChildProcess.shell(
            "ulimit -f 800; exec env --\(isIgnored ? "ignore" : "default")-signal=XFSZ \"$1\" append \"$2\" --run 3 --durability synced"
                + " --events 10000 --payload-bytes \(WriterRun.payloadBytes) --segment-bytes 10000000"
                + " --checkpoint-every 1000000", BuiltProducts.url("crash-writer").path, path)
        #expect(run.outcome == (isIgnored ? .exited(1) : .signalled(SIGXFSZ)))
        let lines = run.text.split(separator: "\n").map(String.init)
        let report = WriterRun(run: 3, isSynced: true, lines: lines)
        #expect(report.returned.count > 100)
        if isIgnored {
            #expect(
                report.failures.first?.contains("no space left for \(path)") == true, "\(report.failures)")
        }
        var runs = [report]
        #expect(try StoreComparison.check(path, recover: true, &runs, "file size").acknowledged == 0)
    }

    @Test(
        "With few descriptors a store of many segments is answered in full, or refused",
        arguments: [8, 12, 16, 24, 64])
    func descriptors(_ limit: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let events = 3_000
        let written = try ChildProcess.run(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(
                path, run: 1, durability: "none", events: UInt64(events), "--segment-bytes", "16384"))
        #expect(written.outcome == .exited(0))
        for command in ["query \"$2\" --count", "verify \"$2\"", "record \"$2\" --text --input \"$3\""] {
            let line = directory.path("line")
            try Data("one more\n".utf8).write(to: URL(fileURLWithPath: line))
            let run = try ChildProcess.shell(
                "ulimit -n \(limit); exec \"$1\" \(command)", BuiltProducts.url("varve").path, path, line)
            let name = Comment(rawValue: "\(command) with \(limit): \(run.text) \(run.errors)")
            switch run.outcome {
            case .exited(0):
                if command.hasPrefix("query") { #expect(run.text == "\(events)\n", name) }
                if command.hasPrefix("verify") { #expect(run.text.hasPrefix("intact"), name) }
            case .exited(1): #expect(run.errors.contains("too many open files"), name)
            // Incomplete, and said to be.
            case .exited(3): #expect((run.text + run.errors).contains("too many open files"), name)
            // The loader itself found no descriptor for a library.
            case .exited(127): #expect(run.errors.contains("error while loading"), name)
            default: Issue.record(name)
            }
        }
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() >= UInt64(events))
        #expect(try reader.verify().isIntact)
    }
}
