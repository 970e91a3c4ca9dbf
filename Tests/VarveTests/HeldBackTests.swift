import Dispatch
import Foundation
import Testing
import VarveIO
import VarveTestKit

@testable import Varve

extension WhenFull {
    /// What an append throws that finds no room and must not wait.
    fileprivate var refusal: StoreError { self == .dropAndCount ? .dropped : .queueFull }
}

// An event that was appended by another thread while a checkpoint was being written stood in TAIL, and the checkpoint before it
// nowhere: after a kill the log went on behind a hole that nobody knew of.
@Suite("What comes after something that TAIL does not hold waits until that is written")
struct HeldBackTests {
    private let directory: TemporaryDirectory
    private let live: String
    private let killed: String
    private let system = ControlledFileSystem()

    init() throws {
        directory = try TemporaryDirectory()
        live = directory.path("live")
        killed = directory.path("killed")
    }

    /// A copy of the files of an open store is what a kill leaves.
    private func kill() throws -> EventStore {
        try? FileManager.default.removeItem(atPath: killed)
        try copyLive(live, to: killed)
        return try EventStore.openReadOnly(killed)
    }

    /// Does `body` on a thread of its own.
    private func inBackground(_ body: @escaping @Sendable () throws -> Void) -> DispatchGroup {
        let group = DispatchGroup()
        group.enter()
        Thread.detachNewThread {
            do { try body() } catch { Issue.record(error) }
            group.leave()
        }
        return group
    }

    /// Queues a checkpoint while nothing can be written.
    private func checkpoint(_ session: Session) throws -> DispatchGroup {
        let made = inBackground { try session.checkpoint("cp", state: noise(1, 2000)) }
        try #require(try comesTrue { try !session.store.checkpoints().isEmpty })
        return made
    }

    @Test(
        "Behind a checkpoint that is being written an append is refused at once",
        arguments: [WhenFull.fail, .dropAndCount])
    func refused(whenFull: WhenFull) throws {
        var options = smallBlocks(on: system)
        options.whenFull = whenFull
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        try session.append("before", kind: kind)
        let made = try checkpoint(session)
        #expect(throws: whenFull.refusal) { try session.append("after", kind: kind) }
        let reader = try kill()
        #expect(try reader.collect().map(\.payload.count) == [6] && reader.checkpoints() == [])
        system.openGate()
        made.wait()
        #expect(try session.append("after", kind: kind) == 1)
        #expect(try kill().checkpoints().map(\.eventIndex) == [1])
        try store.close()
    }

    @Test("Behind a checkpoint that is being written an append that may wait returns after it")
    func waits() throws {
        let store = try EventStore.open(live, options: smallBlocks(on: system))
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        let early = Locked<[Int]>([])
        defer { system.openGate() }
        // One that does not wait is not seen to every time.
        for round in 1...50 {
            system.closeGate()
            let made = inBackground { try session.checkpoint("cp", state: noise(1, 2000)) }
            try #require(try comesTrue { try store.checkpoints().count == round })
            let system = system
            let started = DispatchSemaphore(value: 0)
            let appended = inBackground {
                started.signal()
                try session.append("after", kind: kind)
                if system.isGateClosed { early.withLock { $0.append(round) } }
            }
            started.wait()
            for _ in 0..<20 { sched_yield() }
            system.openGate()
            appended.wait()
            made.wait()
        }
        try store.close()
        #expect(early.withLock { $0 } == [])
        #expect(
            try EventStore.openReadOnly(live).checkpoints().map(\.eventIndex) == (0..<50).map { UInt64($0) })
    }

    // A checkpoint that met a full disk returns and stays queued; when writing went on, appends overtook it.
    @Test("Behind a checkpoint that found no space an append is refused until it is written")
    func afterStall() throws {
        let faulty = FaultInjectingFileSystem(system)
        var options = smallBlocks(on: faulty)
        options.whenFull = .fail
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        faulty.inject(.init(.write, onPathsEndingIn: ".seg", code: 28, isForGood: true))
        try session.checkpoint("cp", state: noise(1, 2000))
        var refusals: Set<String> = []
        func append() -> Bool {
            do throws(StoreError) {
                try session.append("after", kind: kind)
                return true
            } catch {
                if case .outOfSpace = error {
                    refusals.insert("no space")
                } else {
                    refusals.insert("\(error)")
                }
                return false
            }
        }
        #expect(!append() && refusals == ["no space"])
        system.closeGate()
        defer { system.openGate() }
        faulty.heal()
        // Writing goes on; before something was written it is not known to.
        try #require(comesTrue { system.isGateAwaited })
        #expect(!append() && refusals == ["no space"])
        let reader = try kill()
        #expect(try reader.count() == 0 && reader.checkpoints() == [])
        system.openGate()
        try #require(comesTrue { append() })
        #expect(try kill().checkpoints().map(\.eventIndex) == [0])
        try store.close()
    }

    @Test(
        "A large payload does not block who asked not to be blocked, and what follows is refused",
        arguments: [WhenFull.fail, .dropAndCount])
    func large(whenFull: WhenFull) throws {
        var options = smallBlocks(on: system)
        options.whenFull = whenFull
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        let returned = inBackground { try session.append(noise(1, 100_000), kind: kind) }
        try #require(returned.isLeft())
        #expect(throws: whenFull.refusal) { try session.append("small", kind: kind) }
        #expect(try kill().count() == 0)
        system.openGate()
        returned.wait()
        try store.flush()
        #expect(try session.append("small", kind: kind) == 1)
        try store.close()
        let reader = try EventStore.openReadOnly(live)
        #expect(try reader.collect().map(\.payload.count) == [100_000, 5])
        #expect(try reader.info().drops.map(\.events) == (whenFull == .dropAndCount ? [1] : []))
    }

    @Test("Of a batch what follows a large payload is dropped and counted while that is written")
    func largeInBatch() throws {
        var options = smallBlocks(on: system)
        options.whenFull = .dropAndCount
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        let returned = inBackground {
            let batch = EventBatch()
            for size in [10, 20_000, 30, 40] { try batch.add(noise(1, size), kind: kind, at: 0) }
            let recorded = try session.append(batch)
            #expect(recorded == 0..<2)
        }
        try #require(returned.isLeft())
        system.openGate()
        returned.wait()
        try store.close()
        let reader = try EventStore.openReadOnly(live)
        #expect(try reader.collect().map(\.payload.count) == [10, 20_000])
        #expect(try reader.info().drops.map { [$0.events, $0.bytes] } == [[2, 70]])
    }

    // It would be followed by drops of its own, and so on for good.
    @Test("A record of drops that is being written holds nothing back")
    func drops() throws {
        var options = smallBlocks(on: system)
        options.whenFull = .dropAndCount
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        for number in 0..<UInt64(8) { try session.append(noise(number, 1000), kind: kind) }
        #expect(throws: StoreError.dropped) { try session.append(noise(8, 1000), kind: kind) }
        system.openGate()
        try store.blockUntilDurable(through: 7)
        system.closeGate()
        #expect(try session.append(noise(8, 1000), kind: kind) == 8)
        system.openGate()
        try store.close()
        #expect(try EventStore.openReadOnly(live).info().drops.map(\.before) == [8])
    }

    // The count waited for another append, a flush or the store's end, however late they came.
    @Test("A count of drops is written although nothing is appended after it")
    func dropsAlone() throws {
        var options = smallBlocks(on: system)
        options.whenFull = .dropAndCount
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        for number in 0..<UInt64(8) { try session.append(noise(number, 1000), kind: kind) }
        #expect(throws: StoreError.dropped) { try session.append(noise(8, 1000), kind: kind) }
        system.openGate()
        var drops: [Drop] = []
        let areThere = try comesTrue {
            drops = try EventStore.openReadOnly(live).info().drops
            return !drops.isEmpty
        }
        #expect(areThere)
        #expect(drops.map(\.events) == [1])
        try store.close()
    }

    @Test("Where nothing outlives the process nothing is held back")
    func withoutTail() throws {
        var options = smallBlocks(on: system)
        options.keepsTail = false
        options.whenFull = .fail
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        try session.checkpoint("cp", state: [])
        try session.append(noise(1, 100_000), kind: kind)
        #expect(try session.append("small", kind: kind) == 1)
        system.openGate()
        try store.close()
    }

    @Test("An append that waited for the disk in vain keeps its number, and is written once there is space")
    func largeWithoutSpace() throws {
        let resumed = DispatchSemaphore(value: 0)
        let faulty = FaultInjectingFileSystem()
        var options = smallBlocks(on: faulty)
        options.diagnostics = { if case .resumed = $0 { resumed.signal() } }
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("k", .binary)
        let session = try store.startSession("s")
        faulty.inject(.init(.write, onPathsEndingIn: ".seg", code: 28, isForGood: true))
        for (size, nextIndex) in [(100_000, UInt64(1)), (10, 1), (100_000, 1)] {
            let failure = #expect(throws: StoreError.self) {
                try session.append(noise(1, size), kind: kind)
            }
            guard case .outOfSpace = failure else {
                Issue.record("\(failure as Any)")
                continue
            }
            #expect(session.nextIndex == nextIndex)
        }
        faulty.heal()
        #expect(resumed.isSignalled())
        try store.close()
        #expect(try EventStore.openReadOnly(live).collect().map(\.payload) == [noise(1, 100_000)])
    }

    @Test("A stall is told once, however often writing is tried meanwhile, and its end once")
    func toldOnce() throws {
        let disk = FullDisk()
        let told = Locked<[String]>([])
        let resumed = DispatchSemaphore(value: 0)
        var options = smallBlocks(on: disk)
        options.diagnostics = {
            switch $0 {
            case .stalled: told.withLock { $0.append("stalled") }
            case .resumed:
                told.withLock { $0.append("resumed") }
                resumed.signal()
            default: break
            }
        }
        let store = try EventStore.open(live, options: options)
        let session = try store.startSession("s")
        let kind = try store.kind("k", .binary)
        try store.flush()
        disk.isFull.withLock { $0 = true }
        #expect(throws: StoreError.self) { try session.append(noise(1, 100_000), kind: kind) }
        for _ in 0..<4 { try #require(disk.refused.isSignalled()) }
        disk.isFull.withLock { $0 = false }
        #expect(resumed.isSignalled())
        try store.close()
        #expect(told.withLock { $0 } == ["stalled", "resumed"])
        #expect(try EventStore.openReadOnly(live).collect().map(\.payload) == [noise(1, 100_000)])
    }
}

/// The system's files; while it is full no segment takes anything, and each that is refused is told.
private final class FullDisk: ForwardingFileSystem {
    let base: any FileSystem = POSIXFileSystem()
    let isFull = Locked(false)
    let refused = DispatchSemaphore(value: 0)

    private final class SegmentFile: PassThroughFile {
        let base: any File
        private let disk: FullDisk

        init(_ base: any File, _ disk: FullDisk) {
            self.base = base
            self.disk = disk
        }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
            if disk.isFull.withLock({ $0 }) {
                disk.refused.signal()
                throw IOFailure(.write, path: path, code: ENOSPC)
            }
            try base.write(bytes, at: offset)
        }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? SegmentFile(file, self) : file
    }
}
