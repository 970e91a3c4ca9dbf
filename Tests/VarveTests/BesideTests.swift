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

    /// Does something on a thread of its own; the group is left when it is done.
    private func inBackground(_ body: @escaping @Sendable () throws -> Void) -> DispatchGroup {
        let done = DispatchGroup()
        done.enter()
        Thread.detachNewThread {
            do { try body() } catch { Issue.record(error) }
            done.leave()
        }
        return done
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
        let written = inBackground {
            for number in 0..<3000 as Range<UInt64> {
                try session.append(noise(number, 256), kind: kind)
                if number % 50 == 0 { try store.flush() }
            }
            try store.close()
        }
        let path = path
        let reader = try EventStore.openReadOnly(path)
        let seen = try readUntil({ written.wait(timeout: .now()) == .success }) {
            opensAnew ? try EventStore.openReadOnly(path) : reader
        }
        #expect(seen == 3000)
    }

    /// What one look shows: the pinned events, then neighbours up to the end, no more than the limit allows.
    private func look(_ snapshot: Snapshot, limit: UInt64, pinned: UInt64) throws -> Range<UInt64> {
        var cursor = try snapshot.cursor()
        var found: [UInt64] = []
        while let event = try cursor.nextEvent() {
            guard event.payload == noise(event.sequence, 256) else {
                Issue.record("event \(event.sequence) is another one")
                break
            }
            found.append(event.sequence)
        }
        #expect(cursor.coverage.gaps.allSatisfy { $0.reason == .retention }, "\(cursor.coverage.gaps)")
        #expect(UInt64(found.count) <= limit)
        #expect(Array(found.prefix(Int(pinned))) == Array(0..<min(pinned, UInt64(found.count))))
        let rest = found.dropFirst(Int(pinned))
        guard let first = rest.first, let last = rest.last else { return pinned..<pinned }
        #expect(Array(rest) == Array(first...last))
        let checkpoints = try snapshot.checkpoints()
        #expect(checkpoints.count <= 5)
        for checkpoint in checkpoints {
            #expect(try snapshot.state(of: checkpoint) == noise(checkpoint.sequence, 900))
        }
        return first..<last + 1
    }

    @Test(
        "While segments are dropped and compacted every answer is what the limits keep",
        arguments: [true, false])
    func retention(opensAnew: Bool) throws {
        var options = options()
        options.limits = RetentionLimits(events: 700, checkpoints: 5)
        options.compactsInBackground = true
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let first = try store.startSession("pinned")
        for number in 0..<20 as Range<UInt64> { try first.append(noise(number, 256), kind: kind) }
        try first.end()
        try store.pin(session: first.ordinal)
        let session = try store.startSession("s")
        let written = inBackground {
            for number in 20..<6000 as Range<UInt64> {
                try session.append(noise(number, 256), kind: kind)
                if number % 300 == 7 { try session.checkpoint("cp", state: noise(number + 1, 900)) }
                if number % 50 == 0 { try store.flush() }
                if number % 1_000 == 999 { _ = try store.compact() }
            }
            try store.close()
        }
        let reader = try EventStore.openReadOnly(path)
        var held = try reader.snapshot()
        var before = try look(held, limit: 700, pinned: 20)
        var shown = before
        var (isLast, looks) = (false, 0)
        while true {
            let isDone = written.wait(timeout: .now()) == .success
            let snapshot = try opensAnew ? EventStore.openReadOnly(path).snapshot() : reader.snapshot()
            let now = try look(snapshot, limit: 700, pinned: 20)
            #expect(now.lowerBound >= shown.lowerBound && now.upperBound >= shown.upperBound)
            shown = now
            // One from before still says what it said.
            #expect(try look(held, limit: 700, pinned: 20) == before)
            if looks % 5 == 4 { (held, before) = (snapshot, now) }
            looks += 1
            if isLast { break }
            isLast = isDone
        }
        #expect(shown == 5_320..<6_000)
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
        try copyLive(live, to: path)
        try store.close()
        for _ in 0..<20 {
            let copy = directory.path("copy")
            try? FileManager.default.removeItem(atPath: copy)
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            // Verified while its own segments are sealed anew, which made them look lost.
            let opened = inBackground {
                let store = try EventStore.open(copy, options: smallBlocks())
                let damage = try store.verify().damage
                #expect(damage == [])
                try store.close()
            }
            #expect(try EventStore.openReadOnly(path).count() == 410)
            let seen = try readUntil(least: 400, { opened.wait(timeout: .now()) == .success }) {
                try EventStore.openReadOnly(copy)
            }
            #expect(seen == 410)
        }
    }
}
