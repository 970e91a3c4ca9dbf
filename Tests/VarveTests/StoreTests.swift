import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("A store")
struct StoreTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    // MARK: Opening

    @Test("Opening a closed store reads footers and no data, and a point read touches one block")
    func readsFootersOnly() throws {
        var options = smallBlocks()
        options.blockBytes = 64 << 10
        options.subBlockBytes = 16 << 10
        options.segmentBytes = 1 << 20
        let writer = try EventStore.open(path, options: options)
        let kind = try writer.kind("noise", .binary)
        let session = try writer.startSession("s")
        for number in 0..<UInt64(1000) { try session.append(noise(number, 4 << 10), kind: kind) }
        try writer.close()
        let storedBytes = try segments(of: path).map { try Data(contentsOf: URL(filePath: $0)).count }
            .reduce(0, +)
        #expect(try segments(of: path).count >= 4)

        let system = CountingFileSystem()
        options.fileSystem = system
        let reader = try EventStore.openReadOnly(path, options: options)
        let opening = system.total { $0.hasSuffix(".seg") }
        #expect(opening.bytesRead > 0 && opening.bytesRead < UInt64(storedBytes / 50))
        #expect(opening.bytesPopulated == 0)

        system.reset()
        var cursor = try reader.cursor(Query().sequences(500...500))
        #expect(try cursor.nextEvent()?.payload == noise(500, 4 << 10))
        #expect(cursor.statistics.subBlocksDecoded == 1)
        let oneBlock: ClosedRange<UInt64> = 1...UInt64(68 << 10)
        #expect(oneBlock.contains(cursor.statistics.bytesRead))
        let reading = system.total { $0.hasSuffix(".seg") }
        #expect(reading.bytesPopulated <= oneBlock.upperBound)
        #expect(reading.bytesRead + reading.bytesPopulated < UInt64(storedBytes / 25))
    }

    @Test("A second writer is refused, also in the process, and writes nothing")
    func secondWriter() throws {
        let writer = try EventStore.open(path)
        try writer.startSession("s").append("first", kind: writer.kind("k", .utf8))
        try writer.flush()
        let before = try contents(of: path)
        let system = CountingFileSystem()
        #expect(throws: StoreError.alreadyOpen(path: path)) {
            try EventStore.open(path, options: smallBlocks(on: system))
        }
        #expect(system.total().bytesWritten == 0 && system.total().syncs == 0)
        #expect(try contents(of: path) == before)
        try writer.close()
        try EventStore.open(path).close()
    }

    @Test("A reader beside the writer sees what was flushed")
    func readerBesideWriter() throws {
        let writer = try EventStore.open(path)
        let kind = try writer.kind("k", .utf8)
        let session = try writer.startSession("s")
        let reader = try EventStore.openReadOnly(path)
        for number in 1...3 {
            try session.append("event \(number)", kind: kind)
            try writer.flush()
            #expect(try reader.collect().map(\.payload) == writer.collect().map(\.payload))
            #expect(try reader.count() == UInt64(number))
            #expect(try reader.sessions().map(\.state) == [.active])
        }
        try writer.close()
        #expect(try reader.sessions().map(\.state) == [.closed])
    }

    // MARK: Segments

    private func record(
        _ events: UInt64, _ options: StoreOptions, each: (EventStore) throws -> Void = { _ in }
    ) throws -> StoreInfo {
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<events {
            try session.append(noise(number, 1000), kind: kind)
            try each(store)
        }
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.payload) == (0..<events).map { noise($0, 1000) })
        #expect(try reader.verify().isIntact)
        return try reader.info()
    }

    @Test("A segment is sealed when its file has the size that the options say")
    func sealedBySize() throws {
        var options = smallBlocks()
        #expect(try record(200, options).segmentCount == 1)
        try FileManager.default.removeItem(atPath: path)
        options.segmentBytes = 32 << 10
        let info = try record(200, options)
        #expect(info.segmentCount >= 200 * 1000 / (32 << 10) && info.segmentCount <= 10)
        #expect(info.sealedCount == info.segmentCount)
        #expect(try segments(of: path).count == info.segmentCount)
    }

    @Test("A segment is sealed when it has as many blocks as the options say")
    func sealedByBlocks() throws {
        var options = smallBlocks()
        options.segmentBlocksMax = 8
        let info = try record(60, options) { try $0.flush() }
        #expect(info.segmentCount >= 60 / 8 && info.sealedCount == info.segmentCount)
        #expect(try segments(of: path).count == info.segmentCount)
    }

    @Test("A segment is sealed at the first write after its age", arguments: [999, 1000])
    func sealedByAge(nanoseconds: UInt64) throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.segmentAgeNanoseconds = 1000
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        let session = try store.startSession("s")
        try session.append("young", kind: kind)
        try store.flush()
        system.advanceClock(nanoseconds: nanoseconds)
        try session.append("old", kind: kind)
        try store.close()
        #expect(try segments(of: path).count == (nanoseconds < 1000 ? 1 : 2))
        #expect(try EventStore.openReadOnly(path).count() == 2)
    }

    @Test("A segment to which nothing is written is sealed for its age all the same")
    func sealedByAgeWhileIdle() throws {
        let system = ControlledFileSystem()
        let sealed = DispatchSemaphore(value: 0)
        var options = smallBlocks(on: system)
        options.segmentAgeNanoseconds = 1000
        options.diagnostics = { if case .sealed = $0 { sealed.signal() } }
        let store = try EventStore.open(path, options: options)
        try store.startSession("s").append("the last for long", kind: try store.kind("k", .utf8))
        try store.flush()
        system.advanceClock(nanoseconds: 1000)
        #expect(sealed.isSignalled())
        #expect(try store.info().sealedCount == 1)
        try store.close()
    }

    // MARK: A full queue

    /// Appends 1,000-byte events to two batches of 4 KiB while nothing can be written, until one is refused.
    private func fill(_ session: Session, _ kind: EventKind) throws -> StoreError? {
        for number in 0..<UInt64(9) {
            do throws(StoreError) {
                #expect(try session.append(noise(number, 1000), kind: kind, at: 0) == number)
            } catch {
                #expect(number == 8)
                return error
            }
        }
        return nil
    }

    @Test("An event that a full queue refuses leaves no hole")
    func queueFull() throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.whenFull = .fail
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        #expect(try fill(session, kind) == .queueFull)
        #expect(throws: StoreError.queueFull) { try session.append("again", kind: kind) }
        #expect(store.nextSequence == 8 && session.nextIndex == 8)
        system.openGate()
        try store.flush()
        #expect(try session.append("there is room", kind: kind) == 8)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.sequence) == Array(0...8))
        #expect(try reader.collect().map(\.index) == Array(0...8))
        #expect(try reader.info().drops == [] && reader.info().gaps == [])
    }

    @Test("A dropped event takes no number and no index, and is reported for good")
    func dropped() throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.whenFull = .dropAndCount
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        #expect(try fill(session, kind) == .dropped)
        for time: Int64 in [50, -7, 20] {
            #expect(throws: StoreError.dropped) { try session.append(noise(9, 500), kind: kind, at: time) }
        }
        #expect(store.nextSequence == 8 && session.nextIndex == 8)
        system.openGate()
        try store.flush()
        #expect(try session.append("there is room", kind: kind) == 8)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.sequence) == Array(0...8))
        #expect(try reader.collect().map(\.index) == Array(0...8))
        // One record or more: the first is queued when the next event is refused.
        let info = try reader.info()
        #expect(info.gaps == [] && info.drops.map(\.events).reduce(0, +) == 4)
        #expect(info.drops.map(\.bytes).reduce(0, +) == 2500)
        #expect(
            info.drops.map(\.time.lowerBound).min() == -7 && info.drops.map(\.time.upperBound).max() == 50)
        #expect(info.drops.allSatisfy { $0.before == 8 && $0.sessionOrdinal == session.ordinal })
    }

    // Only the first event that found no room was counted.
    @Test("Of a batch that finds too little room the beginning is recorded, and the rest is counted")
    func droppedInBatch() throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.whenFull = .dropAndCount
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        defer { system.openGate() }
        let batch = EventBatch()
        for number in 0..<UInt64(30) { try batch.add(noise(number, 1000), kind: kind, at: 0) }
        let recorded = try session.append(batch)
        #expect(recorded.lowerBound == 0 && recorded.count < 30)
        #expect(throws: StoreError.dropped) { try session.append(batch) }
        system.openGate()
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.payload) == recorded.map { noise($0, 1000) })
        #expect(try reader.info().drops.map(\.events).reduce(0, +) == 60 - UInt64(recorded.count))
    }

    // MARK: Snapshots

    @Test("What was appended is read without a flush, and an older snapshot does not change")
    func readYourWrites() throws {
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        var snapshots: [(count: UInt64, snapshot: Snapshot)] = []
        for number in 0..<UInt64(40) {
            try session.append(noise(number, 700), kind: kind)
            snapshots.append((number + 1, try store.snapshot()))
            #expect(try store.snapshot().event(sequence: number)?.payload == noise(number, 700))
        }
        try store.close()
        for (count, snapshot) in snapshots {
            var seen: UInt64 = 0
            var cursor = try snapshot.cursor()
            while let event = try cursor.nextEvent() {
                #expect(event.sequence == seen && event.payload == noise(seen, 700))
                seen += 1
            }
            #expect(seen == count)
            #expect(try snapshot.count() == count && snapshot.sessions().first?.state == .active)
        }
    }
}
