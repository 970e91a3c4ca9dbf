import Foundation
import Testing
import Varve
import VarveTestKit

/// The built command is killed while it records, again and again into one store.
@Suite("A killed recording keeps what it acknowledged")
struct KillTests {
    /// More than a run gets to.
    private static let lineCount: UInt64 = 400_000

    private static func line(_ number: UInt64) -> [UInt8] {
        Array(
            "{\"kind\":\"k\(number % 5)\",\"time\":\(1_700_000_000_000 + number),\"number\":\(number)}".utf8)
    }

    /// Half of `VARVE_KILLS`, whose other half `LibraryKillTests` makes.
    private static let kills = Machine.count("VARVE_KILLS", otherwise: 12) / 2

    @Test(
        "by SIGKILL at any moment, at each durability level that acknowledges on the way",
        .timeLimit(.minutes(60)))
    func kill() throws {
        let seed = SplitMix64.freshSeed()
        print("kill test: VARVE_SEED=0x\(String(seed, radix: 16)), \(Self.kills) kills")
        var random = SplitMix64(seed: seed)
        let directory = try TemporaryDirectory()
        let input = directory.path("lines")
        var content = Data()
        for number in 0..<Self.lineCount {
            content += Self.line(number)
            content.append(0x0A)
        }
        try content.write(to: URL(fileURLWithPath: input))
        var (next, lost) = (UInt64(0), UInt64(0))
        for run in 0..<Self.kills {
            // Another store now and then, so that opening it stays cheap.
            let store = directory.path("store-\(run / 25)")
            if run % 25 == 0 { next = 0 }
            let durability = run % 2 == 0 ? "synced" : "interval:5ms"
            let acknowledged = try record(
                input, into: store, session: "run-\(run)", durability: durability,
                // Some before the first acknowledgment.
                killAfter: run % 4 == 3 ? 0 : UInt64(random.below(60_000)), from: next)
            let found = try check(store, session: "run-\(run)", acknowledged: acknowledged, from: next)
            next = found.next
            lost += found.lost
            if run % 25 == 24 || run == Self.kills - 1, EventStore.exists(at: store) {
                let reader = try EventStore.openReadOnly(store)
                #expect(try reader.verify().damage.isEmpty)
                try reader.close()
                try FileManager.default.removeItem(atPath: store)
            }
        }
        tortureFigure(
            "kills of the command", asked: Self.kills, reached: Self.kills,
            ["lost-acknowledged": Int(lost)])
        withExtendedLifetime(directory) {}
    }

    /// Records, and kills the command once it has acknowledged so many events; how many it did acknowledge.
    private func record(
        _ input: String, into store: String, session: String, durability: String, killAfter: UInt64,
        from first: UInt64
    ) throws -> UInt64 {
        let process = Process()
        process.executableURL = BuiltProducts.url("varve")
        process.arguments = [
            "record", store, "--session", session, "--durability", durability, "--acks",
        ]
        process.standardInput = FileHandle(forReadingAtPath: input)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var text = Data()
        var count: UInt64 = 0
        while count < killAfter {
            let piece = output.fileHandleForReading.availableData
            if piece.isEmpty { break }
            text += piece
            count += UInt64(piece.count { $0 == 0x0A })
        }
        Foundation.kill(process.processIdentifier, SIGKILL)
        text += output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        // A line that was cut off by the kill acknowledges nothing.
        let lines = text.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast()
        for (position, line) in lines.enumerated() {
            guard UInt64(String(decoding: line, as: UTF8.self)) == first + UInt64(position) else {
                Issue.record(
                    "\(session): acknowledgment \(position) is \(String(decoding: line, as: UTF8.self))")
                return 0
            }
        }
        return UInt64(lines.count)
    }

    /// That the session holds the first lines, and all that were acknowledged. Returns the next sequence number, and how many
    /// acknowledged events are missing.
    private func check(_ path: String, session: String, acknowledged: UInt64, from first: UInt64) throws
        -> (next: UInt64, lost: UInt64)
    {
        guard EventStore.exists(at: path) else {
            #expect(acknowledged == 0)
            return (first, acknowledged)
        }
        // A reader sees it, and so does the writer that recovers it.
        let reader = try EventStore.openReadOnly(path)
        var lost = try check(reader, session, acknowledged, first)
        try reader.close()
        let writer = try EventStore.open(path)
        lost = max(lost, try check(writer, session, acknowledged, first))
        let next = writer.nextSequence
        try writer.close()
        return (next, lost)
    }

    /// How many acknowledged events are missing.
    private func check(_ store: EventStore, _ id: String, _ acknowledged: UInt64, _ first: UInt64) throws
        -> UInt64
    {
        guard let session = try store.sessions().last(where: { $0.id == id }) else {
            #expect(acknowledged == 0, "\(id) is gone")
            return acknowledged
        }
        #expect(session.state == .interrupted || session.state == .closed)
        var count: UInt64 = 0
        var cursor = try store.cursor(Query().session(ordinal: session.ordinal))
        while let event = try cursor.nextEvent() {
            guard event.index == count, event.sequence == first + count, event.payload == Self.line(count)
            else {
                Issue.record("\(id): event \(count) is another one")
                break
            }
            count += 1
        }
        #expect(count >= acknowledged, "\(id): \(count) of \(acknowledged) acknowledged events are left")
        return acknowledged - min(count, acknowledged)
    }
}
