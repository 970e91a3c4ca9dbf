import Dispatch
import Foundation
import Testing
import VarveTestKit

@testable import Varve

/// Readers open and query a store while its writer starts, seals and seals anew one segment after the other.
@Suite("Reading beside a writer")
struct BesideTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func options() -> StoreOptions {
        var options = smallBlocks()
        options.segmentBytes = 16 << 10
        return options
    }

    /// Reads until `isDone`, at least once after it: each answer is complete, and a prefix, which holds the last one and is no shorter
    /// than `least`.
    private func readUntil(
        least: UInt64? = nil, _ isDone: () -> Bool, _ open: () throws -> EventStore
    ) throws -> UInt64 {
        var seen: UInt64 = 0
        var isLast = false
        while true {
            var cursor = try open().cursor()
            var count: UInt64 = 0
            while let event = try cursor.nextEvent() {
                guard event.sequence == count, event.payload == noise(count, 256) else {
                    Issue.record("event \(event.sequence) stands at \(count)")
                    return count
                }
                count += 1
            }
            #expect(cursor.coverage.isComplete && count >= least ?? seen, "\(cursor.coverage.gaps)")
            seen = count
            if isLast { return seen }
            isLast = isDone()
        }
    }

    @Test("While segments are started and sealed every answer is complete", arguments: [true, false])
    func rotation(opensAnew: Bool) throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let written = DispatchGroup()
        written.enter()
        Thread.detachNewThread {
            do {
                for number in 0..<3000 as Range<UInt64> {
                    try session.append(noise(number, 256), kind: kind)
                    if number % 50 == 0 { try store.flush() }
                }
                try store.close()
            } catch {
                Issue.record(error)
            }
            written.leave()
        }
        let path = path
        let reader = try EventStore.openReadOnly(path)
        let seen = try readUntil({ written.wait(timeout: .now()) == .success }) {
            opensAnew ? try EventStore.openReadOnly(path) : reader
        }
        #expect(seen == 3000)
    }

    // While the next writer recovers a store, what only `TAIL` holds is with that one; what is written shows all the time.
    @Test("While a crashed store is recovered and sealed anew every answer is complete")
    func recovery() throws {
        let live = directory.path("live")
        let store = try EventStore.open(live, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<400 as Range<UInt64> { try session.append(noise(number, 256), kind: kind) }
        try session.checkpoint("written", state: [])
        for number in 400..<410 as Range<UInt64> { try session.append(noise(number, 256), kind: kind) }
        try FileManager.default.copyItem(atPath: live, toPath: path)
        try store.close()
        for _ in 0..<20 {
            let copy = directory.path("copy")
            try? FileManager.default.removeItem(atPath: copy)
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            let opened = DispatchGroup()
            opened.enter()
            Thread.detachNewThread {
                do {
                    try EventStore.open(copy, options: smallBlocks()).close()
                } catch {
                    Issue.record(error)
                }
                opened.leave()
            }
            #expect(try EventStore.openReadOnly(path).count() == 410)
            let seen = try readUntil(least: 400, { opened.wait(timeout: .now()) == .success }) {
                try EventStore.openReadOnly(copy)
            }
            #expect(seen == 410)
        }
    }
}
