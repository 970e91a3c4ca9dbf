import Dispatch
import Foundation
import Testing
import VarveIO
import VarveTestKit

@testable import Varve

/// How a follower sees the store.
private enum Place: CaseIterable, Sendable {
    /// Through the object that records.
    case writer
    /// Read-only, told of changes.
    case beside
    /// Read-only, looking now and then.
    case polling
}

@Suite("Following a store", .timeLimit(.minutes(60)))
struct FollowTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func reader(_ place: Place, of writer: EventStore) throws -> EventStore {
        switch place {
        case .writer: writer
        case .beside: try EventStore.openReadOnly(path)
        case .polling: try EventStore.openReadOnly(path, options: smallBlocks(on: UntoldFileSystem()))
        }
    }

    private func check(_ events: [Event], _ numbers: Range<UInt64>) {
        #expect(events.map(\.sequence) == Array(numbers))
        #expect(events.map(\.payload) == numbers.map { noise($0, 32) })
    }

    /// Appends events whose payloads tell their numbers.
    private func append(_ numbers: Range<UInt64>, to session: Session, _ kind: EventKind) throws {
        for number in numbers { try session.append(noise(number, 32), kind: kind, at: Int64(number)) }
    }

    private static var manyEvents: UInt64 {
        #if DEBUG
        UInt64(environmentNumber("VARVE_FOLLOW_EVENTS") ?? 200_000)
        #else
        UInt64(environmentNumber("VARVE_FOLLOW_EVENTS") ?? 1_000_000)
        #endif
    }

    @Test("Through rotation and sealing every event arrives once and in order", arguments: Place.allCases)
    fileprivate func rotation(place: Place) throws {
        var options = StoreOptions()
        options.blockBytes = 16 << 10
        options.segmentBytes = 256 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("number", .binary)
        let session = try store.startSession("s")
        let follower = try reader(place, of: store).follower()
        let count = Self.manyEvents
        let writer = DispatchQueue(label: "writer")
        writer.async {
            do {
                for number in 0..<count {
                    try withUnsafeBytes(of: number) {
                        _ = try session.append($0, kind: kind, at: Int64(number))
                    }
                }
                try store.flush()
            } catch {
                Issue.record(error)
                follower.cancel()
            }
        }
        var next: UInt64 = 0
        while next < count,
            try follower.next({ event in
                let number = event.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
                try #require(event.sequence == next && number == next)
                next += 1
            })
        {}
        #expect(next == count)
        #expect(follower.coverage.isComplete)
        #expect(follower.position?.sequence == count - 1)
        writer.sync {}
        try store.close()
    }

    @Test(
        "Beside dropping and compaction every event that is still retained arrives once and in order; the rest is told",
        arguments: Place.allCases)
    fileprivate func dropping(place: Place) throws {
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.segmentBytes = 16 << 10
        options.compactsInBackground = false
        options.limits = RetentionLimits(events: 2_500)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("number", .binary)
        let session = try store.startSession("s")
        let follower = try reader(place, of: store).follower()
        let count: UInt64 = 30_000
        let writer = DispatchQueue(label: "writer")
        writer.async {
            do {
                for number in 0..<count {
                    try withUnsafeBytes(of: number) {
                        _ = try session.append($0, kind: kind, at: Int64(number))
                    }
                    if number % 3_000 == 2_999 { _ = try store.compact() }
                }
                try store.flush()
            } catch {
                Issue.record(error)
                follower.cancel()
            }
        }
        var next: UInt64 = 0
        var missing: [UInt64] = []
        while next < count,
            try follower.next({ event in
                let number = event.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
                try #require(event.sequence == number && number >= next)
                missing += next..<number
                next = number + 1
            })
        {}
        #expect(next == count)
        let gaps = follower.coverage.gaps
        #expect(gaps.allSatisfy { $0.reason == .retention })
        #expect(Set(missing) == Set(gaps.flatMap { Array($0.sequences) }))
        writer.sync {}
        try store.close()
    }

    @Test("It begins where it is told to", arguments: Place.allCases)
    fileprivate func starts(place: Place) throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        try append(0..<100, to: session, kind)
        try store.flush()
        let reader = try reader(place, of: store)
        let position = try #require(try store.snapshot().cursor().position(of: 41))
        let followers: [(Follower, first: UInt64)] = [
            (try reader.follower(from: .now), 100), (try reader.follower(from: .beginning), 0),
            (try reader.follower(from: .last(7)), 93), (try reader.follower(from: .last(1000)), 0),
            (try reader.follower(from: .last(0)), 100), (try reader.follower(from: .after(position)), 42),
        ]
        try append(100..<120, to: session, kind)
        try store.flush()
        for (follower, first) in followers {
            check(try follower.take(Int(120 - first)), first..<120)
            #expect(follower.position?.sequence == 119)
        }
        try store.close()
    }

    @Test("Conditions and limits hold, and what does not match is passed")
    func conditions() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let (even, odd) = (try store.kind("even", .binary), try store.kind("odd", .binary))
        let reader = try EventStore.openReadOnly(path)
        let lent = try reader.follower(Query().limit(3))
        let followers = try [
            reader.follower(Query().kinds("odd").limit(5)),
            reader.follower(Query().session("second").limit(3)),
            reader.follower(Query().time(10...12)),
            reader.follower(Query().sequences(4...6)),
        ]
        for id in ["first", "second"] {
            let session = try store.startSession(id)
            for number in 0..<20 {
                try session.append([UInt8(number)], kind: number % 2 == 0 ? even : odd, at: Int64(number))
            }
            try session.end()
        }
        try store.flush()
        #expect(try followers[0].take(.max).map(\.sequence) == [1, 3, 5, 7, 9])
        #expect(followers[0].position?.sequence == 9)
        #expect(try followers[1].take(.max).map(\.sequence) == [20, 21, 22])
        #expect(try followers[2].take(6).map(\.sequence) == [10, 11, 12, 30, 31, 32])
        #expect(try followers[3].take(.max).map(\.sequence) == [4, 5, 6])
        // What the limit leaves out is not passed.
        while try lent.next({ _ in #expect(lent.coverage.isComplete) }) {}
        #expect(lent.position?.sequence == 2)
        try store.close()
    }

    @Test("What can't be followed is refused")
    func refusals() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        try append(0..<10, to: try store.startSession("s"), try store.kind("noise", .binary))
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(throws: StoreError.self) { try reader.follow(Query().reversed()) }
        let position = try #require(try reader.snapshot().cursor().position(of: 9))
        _ = try reader.follow(after: position)
        for wrong in [
            CursorPosition(store: UniqueID(low: 1, high: 2), epoch: position.epoch, sequence: 9),
            CursorPosition(store: position.store, epoch: position.epoch, sequence: 10),
            CursorPosition(store: position.store, epoch: position.epoch + 1, sequence: 9),
        ] {
            #expect(throws: StoreError.self) { try reader.follow(after: wrong) }
        }
    }

    @Test("Another thread ends the wait", arguments: Place.allCases)
    fileprivate func cancel(place: Place) throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let follower = try reader(place, of: store).follower()
        Thread.detachNewThread { follower.cancel() }
        #expect(try follower.nextBatch() == nil)
        #expect(try follower.nextBatch() == nil)
        try store.close()
    }

    @Test("The end of a task ends its sequence", arguments: Place.allCases)
    fileprivate func endOfTask(place: Place) async throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let events = try reader(place, of: store).follow()
        let (arrived, arrivals) = AsyncStream<UInt64>.makeStream()
        let task = Task {
            var count = 0
            for try await event in events {
                count += 1
                arrivals.yield(event.sequence)
            }
            return count
        }
        try append(0..<3, to: session, kind)
        var seen: [UInt64] = []
        for await number in arrived {
            seen.append(number)
            if seen.count == 3 { break }
        }
        #expect(seen == [0, 1, 2])
        task.cancel()
        #expect(try await task.value == 3)
        try store.close()
    }

    @Test("In the writer's process an event shows once it is appended, and closing the store ends it")
    func sameProcess() async throws {
        // The clock stands still: nothing is written for its age.
        let system = ControlledFileSystem()
        let store = try EventStore.open(path, options: smallBlocks(on: system))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        system.closeGate()
        var events = try store.follow().makeAsyncIterator()
        for number in 0..<20 as Range<UInt64> {
            try session.append(noise(number, 32), kind: kind)
            #expect(try await events.next()?.sequence == number)
        }
        system.openGate()
        try store.close()
        #expect(try await events.next() == nil)
    }

    @Test("Batches carry positions to go on from")
    func positions() async throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        try append(0..<5000, to: try store.startSession("s"), kind)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        var position: CursorPosition?
        var next: UInt64 = 0
        while next < 5000 {
            // A new reader each time, as after a restart.
            var batches = try reader.follow(from: position.map { .after($0) } ?? .beginning).batches
                .makeAsyncIterator()
            let batch = try #require(try await batches.next())
            #expect(batch.map(\.sequence) == Array(next..<next + UInt64(batch.count)))
            next += UInt64(batch.count)
            position = batch.position
            #expect(batch.coverage.isComplete)
        }
    }

    @Test("A writer's end and the next one's beginning change nothing", arguments: [true, false])
    func restart(isTold: Bool) throws {
        let options = smallBlocks()
        let first = try EventStore.open(path, options: options)
        let reader = try EventStore.openReadOnly(
            path, options: isTold ? options : smallBlocks(on: UntoldFileSystem()))
        let follower = try reader.follower()
        for round in 0..<5 as Range<UInt64> {
            let store = round == 0 ? first : try EventStore.open(path, options: options)
            let numbers = round * 300..<(round + 1) * 300
            try append(numbers, to: try store.startSession("\(round)"), try store.kind("noise", .binary))
            try store.close()
            // Every other time the next writer has come and gone before the follower looks.
            if round % 2 == 1 { check(try follower.take(600), (round - 1) * 300..<(round + 1) * 300) }
        }
        check(try follower.take(300), 1200..<1500)
        #expect(follower.coverage.isComplete)
    }

    // A snapshot of a store that nobody wrote did not look again when a writer had come and gone.
    @Test("A reader sees what a writer recorded that came and went")
    func cameAndWent() throws {
        let options = smallBlocks()
        let store = try EventStore.open(path, options: options)
        try append(0..<10, to: try store.startSession("s"), try store.kind("noise", .binary))
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.count() == 10)
        let next = try EventStore.open(path, options: options)
        try append(10..<15, to: try next.startSession("t"), try next.kind("noise", .binary))
        try next.close()
        #expect(try reader.count() == 15)
    }

    @Test("What only TAIL holds shows, and does not come again from the segment that takes it over")
    func tail() throws {
        let system = ControlledFileSystem()
        let live = directory.path("live")
        let store = try EventStore.open(live, options: smallBlocks(on: system))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        try append(0..<50, to: session, kind)
        try store.flush()
        system.closeGate()
        try append(50..<80, to: session, kind)
        try copyLive(live, to: path)
        system.openGate()
        try store.close()

        let follower = try EventStore.openReadOnly(path).follower(from: .beginning)
        check(try follower.take(80), 0..<80)
        let next = try EventStore.open(path, options: smallBlocks())
        try append(80..<100, to: try next.startSession("t"), try next.kind("noise", .binary))
        try next.flush()
        check(try follower.take(20), 80..<100)
        try next.close()
        #expect(follower.coverage.isComplete)
    }

    @Test("A store that was put back, or is another one, is an error that says so", arguments: [true, false])
    func putBack(isWritten: Bool) throws {
        let options = smallBlocks()
        let backup = directory.path("backup")
        for round in 0..<2 as Range<UInt64> {
            let store = try EventStore.open(path, options: options)
            let kind = try store.kind("noise", .binary)
            try append(round * 10..<(round + 1) * 10, to: try store.startSession("s"), kind)
            try store.close()
            if round == 0 { try FileManager.default.copyItem(atPath: path, toPath: backup) }
        }
        let follower = try EventStore.openReadOnly(path).follower(from: .beginning)
        let other = try EventStore.openReadOnly(path).follower(from: .beginning)
        check(try follower.take(20), 0..<20)
        check(try other.take(20), 0..<20)

        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.moveItem(atPath: backup, toPath: path)
        // Two openings more, so that the numbers are given again in another one.
        for _ in 0..<(isWritten ? 2 : 0) {
            let store = try EventStore.open(path, options: options)
            try append(10..<30, to: try store.startSession("s"), try store.kind("noise", .binary))
            try store.close()
        }
        if !isWritten {
            #expect(throws: StoreError.self) { try follower.nextBatch() }
        }
        try FileManager.default.removeItem(atPath: path)
        let error = #expect(throws: StoreError.self) { try other.nextBatch() }
        guard case .notAStore? = error else { return #expect(Bool(false), "\(String(describing: error))") }
        try EventStore.open(path, options: options).close()
        let anew = #expect(throws: StoreError.self) { try other.nextBatch() }
        guard case .notAStore? = anew else { return #expect(Bool(false), "\(String(describing: anew))") }
    }

    @Test("A number that was given again is noticed, however the store was put back")
    func givenAgain() throws {
        let options = smallBlocks()
        let backup = directory.path("backup")
        try EventStore.open(path, options: options).close()
        try FileManager.default.copyItem(atPath: path, toPath: backup)
        let store = try EventStore.open(path, options: options)
        try append(0..<10, to: try store.startSession("s"), try store.kind("noise", .binary))
        try store.close()
        let follower = try EventStore.openReadOnly(path).follower(from: .beginning)
        check(try follower.take(10), 0..<10)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.moveItem(atPath: backup, toPath: path)
        try EventStore.open(path, options: options).close()
        let again = try EventStore.open(path, options: options)
        try append(0..<20, to: try again.startSession("s"), try again.kind("noise", .binary))
        try again.close()
        let error = #expect(throws: StoreError.self) { try follower.nextBatch() }
        #expect("\(String(describing: error))".contains("put back"))
    }

    @Test("A writer that has not come as far as a position refuses it at once")
    func beyondWriter() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        try append(0..<5, to: try store.startSession("s"), try store.kind("noise", .binary))
        let epoch = try store.info().epoch
        func position(_ sequence: UInt64) -> CursorPosition {
            CursorPosition(store: store.identifier, epoch: epoch, sequence: sequence)
        }
        let error = #expect(throws: StoreError.self) { try store.follower(from: .after(position(5))) }
        #expect("\(String(describing: error))".contains("put back"))
        check(try store.follower(from: .after(position(3))).take(1), 4..<5)
        #expect(try store.follower(from: .after(position(4))).isQuiet)
        try store.close()
    }

    @Test("Events of an import in another process show once it is complete")
    func imports() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let follower = try EventStore.openReadOnly(path).follower()
        let abandoned = try store.startImportedSession("given up", at: 0)
        for number in 0..<10 as Range<UInt64> {
            try abandoned.append(noise(number, 32), kind: kind, at: 0, index: number)
        }
        try store.close()
        let next = try EventStore.open(path, options: smallBlocks())
        let late = try next.kind("noise", .binary)
        let session = try next.startImportedSession("import", at: 0)
        for number in 10..<20 as Range<UInt64> {
            try session.append(noise(number, 32), kind: late, at: 0, index: number)
        }
        try next.flush()
        let early = try EventStore.openReadOnly(path).follower(from: .beginning)
        #expect(try early.isQuiet)
        try session.end()
        try next.flush()
        check(try follower.take(10), 10..<20)
        // It has not passed what was not there yet.
        let start = early.position.map { FollowStart.after($0) } ?? .beginning
        check(try EventStore.openReadOnly(path).follower(from: start).take(10), 10..<20)
        try next.close()
    }

    @Test("Damage met on the way is passed over, and told", arguments: Place.allCases)
    fileprivate func damage(place: Place) throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        try append(0..<1000, to: try store.startSession("s"), kind)
        try store.close()
        let file = try FileHandle(forUpdating: URL(filePath: try #require(try segments(of: path).first)))
        try file.seek(toOffset: 20_000)
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: 20_000)
        try file.write(contentsOf: [byte ^ 0x10])
        try file.close()
        let next = try EventStore.open(path, options: smallBlocks())
        let follower = try reader(place, of: next).follower(from: .beginning)
        try append(1000..<1100, to: try next.startSession("t"), try next.kind("noise", .binary))
        try next.flush()
        var seen: [UInt64] = []
        while seen.last != 1099, let batch = try follower.nextBatch() { seen += batch.map(\.sequence) }
        let gaps = follower.coverage.gaps
        #expect(gaps.allSatisfy { $0.reason == .damage } && !gaps.isEmpty)
        let missing = Set(gaps.flatMap { Array($0.sequences) })
        #expect(seen == (0..<1100).filter { !missing.contains($0) })
        try next.close()
    }

    @Test("On a simulated disk it is the same")
    func simulated() throws {
        let system = SimulatedFileSystem(seed: 7)
        try system.makeDirectory("/d")
        var options = smallBlocks(on: system)
        options.segmentBytes = 16 << 10
        let store = try EventStore.open("/d/store", options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let follower = try EventStore.openReadOnly("/d/store", options: options).follower()
        for round in 0..<20 as Range<UInt64> {
            try append(round * 100..<(round + 1) * 100, to: session, kind)
            try store.flush()
            check(try follower.take(100), round * 100..<(round + 1) * 100)
        }
        try store.close()
    }
}

extension Follower {
    /// Whether there is nothing to give out now; no use afterwards.
    fileprivate var isQuiet: Bool {
        get throws {
            cancel()
            return try nextBatch() == nil
        }
    }
}

extension EventCursor {
    /// The position of an event.
    fileprivate consuming func position(of sequence: UInt64) throws -> CursorPosition? {
        var cursor = self
        while let event = try cursor.next() {
            if event.sequence == sequence { return event.position }
        }
        return nil
    }
}
