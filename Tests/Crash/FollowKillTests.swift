import Dispatch
import Foundation
import Testing
import Varve
import VarveTestKit

/// A process that records is killed and started again, while this one follows what it records.
@Suite("A follower sees every event once, whatever happens to the writers", .timeLimit(.minutes(60)))
struct FollowKillTests {
    /// Events by their number, as they arrived; or what went wrong.
    private final class Arrivals: @unchecked Sendable {
        private let condition = NSCondition()
        private var payloads: [[UInt8]] = []
        private var failure: String?

        /// Takes events until the follower is cancelled.
        func follow(_ follower: Follower) {
            do {
                while try follower.next({ event in
                    let payload = event.copy()
                    let sequence = event.sequence
                    condition.withLock {
                        if sequence != UInt64(payloads.count) {
                            failure = failure ?? "event \(sequence) arrived at \(payloads.count)"
                        }
                        payloads.append(payload)
                        condition.broadcast()
                    }
                }) {}
                if !follower.coverage.isComplete { fail("gaps: \(follower.coverage.gaps)") }
            } catch {
                fail("\(error)")
            }
        }

        private func fail(_ text: String) {
            condition.withLock {
                failure = failure ?? text
                condition.broadcast()
            }
        }

        /// Waits until so many have arrived, and returns them.
        func wait(for count: Int) throws -> [[UInt8]] {
            condition.lock()
            defer { condition.unlock() }
            while payloads.count < count, failure == nil { condition.wait() }
            try #require(failure == nil)
            return payloads
        }
    }

    private func follow(_ store: String) throws -> (Follower, Arrivals, DispatchGroup) {
        let follower = try EventStore.openReadOnly(store).follower(from: .beginning)
        let arrivals = Arrivals()
        let done = DispatchGroup()
        done.enter()
        Thread.detachNewThread {
            arrivals.follow(follower)
            done.leave()
        }
        return (follower, arrivals, done)
    }

    @Test("What another process appends with synced arrives, while it stays")
    func synced() throws {
        let directory = try TemporaryDirectory()
        let store = directory.path("store")
        let child = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            WriterRun.arguments(store, run: 1, durability: "synced", events: 100, "--stay"))
        child.read(lines: 1)
        let (follower, arrivals, done) = try follow(store)
        let payloads = try arrivals.wait(for: 100)
        #expect(
            payloads == (0..<100).map { NumberedEvent(run: 1, thread: 0, number: $0).payload(bytes: 100) })
        try child.finish()
        follower.cancel()
        done.wait()
        withExtendedLifetime(directory) {}
    }

    @Test("by SIGKILL at any moment, at each durability level", arguments: ["synced", "none", "interval"])
    func kill(durability: String) throws {
        let seed = SplitMix64.freshSeed()
        print("follow kill test: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let directory = try TemporaryDirectory()
        let store = directory.path("store")
        try EventStore.open(store).close()
        let (follower, arrivals, done) = try follow(store)
        var runs: [WriterRun] = []
        for number in 0..<6 as Range<UInt64> {
            let child = try ChildProcess(
                BuiltProducts.url("crash-writer"),
                WriterRun.arguments(store, run: number, durability: durability))
            child.read(lines: Int(random.below(2000)))
            child.kill()
            try child.finish()
            runs.append(WriterRun(run: number, isSynced: durability == "synced", lines: child.lines))
            // What the killed one had only in memory shows before anybody takes it over, every other time.
            if let last = runs.last?.returned.last, random.oneIn(2) {
                _ = try arrivals.wait(for: Int(last.sequence) + 1)
            }
        }
        // Takes over what the last one left.
        try EventStore.open(store).close()
        let recorded = try EventStore.openReadOnly(store).count()
        let payloads = try arrivals.wait(for: Int(recorded))
        follower.cancel()
        done.wait()
        _ = try arrivals.wait(for: 0)
        #expect(payloads.count == recorded)
        for run in runs {
            for returned in run.returned {
                try #require(payloads[Int(returned.sequence)] == returned.event.payload(bytes: 100))
            }
        }
        withExtendedLifetime(directory) {}
    }
}
