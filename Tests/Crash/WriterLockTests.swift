import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("One writer at a time")
struct WriterLockTests {
    /// Names, bytes and times of change of a directory's files.
    private static func content(of path: String) throws -> [String: String] {
        var files: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
            files[name] = "\(attributes[.modificationDate] ?? 0) \(bytes.base64EncodedString())"
        }
        return files
    }

    @Test("A second one is refused at once and changes nothing; the lock of a killed one is no obstacle")
    func second() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let writer = BuiltProducts.url("crash-writer")
        let first = try ChildProcess(
            writer, WriterRun.arguments(path, run: 1, durability: "synced", events: 20, "--stay"))
        // Its last event returned: it stays, and writes nothing more.
        first.read(lines: 1 + 1 + 20 + 1)
        let before = try Self.content(of: path)
        let second = try ChildProcess.run(
            writer, WriterRun.arguments(path, run: 2, durability: "synced", events: 20))
        #expect(second.outcome == .exited(1))
        #expect(second.text.hasPrefix("failed \(path) is being written by another writer"), "\(second.text)")
        let line = directory.path("line")
        try Data("one more\n".utf8).write(to: URL(fileURLWithPath: line))
        let command = try ChildProcess.varve("record", path, "--text", "--input", line)
        #expect(command.outcome == .exited(1))
        #expect(command.errors.contains("is being written by another writer"), "\(command.errors)")
        #expect(try Self.content(of: path) == before)
        first.kill()
        try first.finish()
        #expect(FileManager.default.fileExists(atPath: path + "/LOCK"))
        let third = try ChildProcess.varve("record", path, "--text", "--input", line)
        #expect(third.outcome == .exited(0), "\(third.errors)")
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() == 21)
        #expect(try reader.verify().isIntact)
    }

    @Test(
        "Where nothing can be written, all that reads works, and recording says why not", .needs(Machine.bind)
    )
    func readOnly() throws {
        let directory = try TemporaryDirectory()
        let writer = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(directory.path("cut"), run: 1, durability: "synced", events: 300, "--stay"))
        writer.read(lines: 300)
        writer.kill()
        try writer.finish()
        let closed = try ChildProcess.run(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(directory.path("closed"), run: 1, durability: "synced", events: 300))
        #expect(closed.outcome == .exited(0))
        let mount = try Mount.readOnly(directory.path)
        for store in ["closed", "cut"].map({ mount.path + "/" + $0 }) {
            let before = try Self.content(of: store)
            for command in ["query", "info", "verify", "export", "sessions", "checkpoints"] {
                let run = try ChildProcess.varve(command, store)
                #expect(run.outcome == .exited(0) && !run.text.isEmpty, "\(command): \(run.errors)")
            }
            let count = try ChildProcess.varve("query", store, "--count")
            #expect((Int(count.text.dropLast()) ?? 0) >= 260, "\(count.text)")
            let record = try ChildProcess.varve("record", store, "--text", "--input", "/etc/hostname")
            #expect(record.outcome == .exited(1))
            #expect(
                record.errors.hasPrefix("varve: error:") && record.errors.contains("read-only file system"),
                "\(record.errors)")
            #expect(try Self.content(of: store) == before)
        }
        let new = try ChildProcess.varve("record", mount.path + "/new", "--text", "--input", "/etc/hostname")
        #expect(new.outcome == .exited(1) && new.errors.contains("read-only file system"), "\(new.errors)")
        try mount.unmount()
    }
}
