import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("Durability is what the options say")
struct DurabilityTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    @Test("With synced appends each returns after a sync that covers it")
    func synced() throws {
        let system = CountingFileSystem()
        var options = StoreOptions()
        options.fileSystem = system
        options.durability = .synced
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        for number in 0..<UInt64(10) {
            let before = system.total { $0.hasSuffix(".seg") }.syncs
            #expect(try session.append("event", kind: kind) == number)
            #expect(store.durableThrough == number)
            #expect(system.total { $0.hasSuffix(".seg") }.syncs > before)
        }
        try store.close()
    }

    @Test("Synced appends of many threads are all durable when they return")
    func syncedThreads() throws {
        var options = StoreOptions()
        options.durability = .synced
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        let failures = Locked<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for number in 0..<50 {
                do {
                    let sequence = try session.append("\(thread) \(number)", kind: kind)
                    let durable = store.durableThrough
                    if durable.map({ $0 < sequence }) ?? true {
                        failures.withLock { $0.append("\(sequence) is not durable: \(durable as Any)") }
                    }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
        }
        #expect(failures.withLock { $0 } == [])
        try store.close()
        let texts = try EventStore.openReadOnly(path).collect().map {
            String(decoding: $0.payload, as: UTF8.self)
        }
        #expect(texts.count == 400)
        for thread in 0..<8 {
            #expect(texts.filter { $0.hasPrefix("\(thread) ") } == (0..<50).map { "\(thread) \($0)" })
        }
    }

    @Test("Without durability no segment is synced before the session ends")
    func unsynced() throws {
        let clock = ControlledFileSystem()
        let system = CountingFileSystem(clock)
        var options = smallBlocks(on: system)
        options.durability = .none
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(200) {
            try session.append(noise(number, 1000), kind: kind)
            clock.advanceClock(nanoseconds: 1_000_000_000)
        }
        // The queue is short: most was written before the last append was taken.
        let written = system.total { $0.hasSuffix(".seg") }
        #expect(written.bytesWritten > 150_000 && written.syncs == 0)
        #expect(store.durableThrough == nil)
        try session.end()
        #expect(system.total { $0.hasSuffix(".seg") }.syncs == 1)
        #expect(store.durableThrough == 199)
        try store.close()
    }
}

@Suite("After a sync that failed nothing is taken any more, whatever it failed for")
struct FailedSyncTests {
    // A full disk at the sync of a complete segment was taken for one at a write: the writer went on when there was space.
    @Test(
        "A sync that fails for want of space while a segment is sealed poisons the store",
        arguments: [28, 122])
    func noSpace(code: Int32) throws {
        let directory = try TemporaryDirectory()
        let faulty = FaultInjectingFileSystem()
        let (sealed, goesOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        var options = smallBlocks(on: faulty)
        options.segmentBytes = 16 << 10
        options.durability = .none
        // The background thread stops here: the next segments are sealed where they are written.
        options.diagnostics = {
            guard case .sealed = $0 else { return }
            sealed.signal()
            goesOn.wait()
        }
        let store = try EventStore.open(directory.path("store"), options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(20) { try session.append(noise(number, 1000), kind: kind) }
        #expect(sealed.isSignalled())
        faulty.inject(.init(.sync, onPathsEndingIn: ".seg", code: code))
        let failure = #expect(throws: StoreError.self) {
            for number in UInt64(20)..<200 { try session.append(noise(number, 1000), kind: kind) }
        }
        #expect(failure.map { if case .poisoned = $0 { true } else { false } } == true, "\(failure as Any)")
        #expect(faulty.injectedCount == 1)
        goesOn.signal()
        #expect(throws: StoreError.self) { try store.close() }
    }
}
