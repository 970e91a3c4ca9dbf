import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// What each sync is for, one story each: without it a power cut at the worst instant takes something.
@Suite("What syncs are for")
struct SyncStories {
    private static let store = "/data/store"
    /// Power cuts at an instant, each of which takes something else.
    private static let cuts = UInt64(0)..<60

    private func disk(_ seed: UInt64) throws -> SimulatedFileSystem {
        let system = SimulatedFileSystem(seed: seed)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        return system
    }

    private func options(
        _ system: SimulatedFileSystem, segmentBytes: Int = 1 << 20, durability: Durability = .none
    ) -> StoreOptions {
        var options = StoreOptions()
        // Its own crash tests: RetentionCrashTests.
        options.compactsInBackground = false
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = UInt64(segmentBytes)
        options.encoderThreads = 1
        options.queueBatches = 2
        options.durability = durability
        options.fileSystem = system
        return options
    }

    private func payload(_ number: Int) -> [UInt8] {
        var random = SplitMix64(seed: UInt64(number))
        return (0..<500).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    /// Records events into a session of its own, without closing the store.
    @discardableResult
    private func record(_ events: Range<Int>, in store: EventStore) throws -> Varve.Session {
        let session = try store.startSession("from \(events.lowerBound)", at: 0)
        let kind = try store.kind("noise", .binary)
        for number in events { try session.append(payload(number), kind: kind, at: Int64(number)) }
        return session
    }

    /// Appends an event, and makes room each time the disk is full; how often it was.
    private func append(
        _ number: Int, to session: Varve.Session, _ kind: EventKind, makingRoomOn system: SimulatedFileSystem
    ) throws -> Int {
        var fullCount = 0
        let isAppended = try comesTrue {
            do {
                try session.append(payload(number), kind: kind, at: Int64(number))
                return true
            } catch let error as StoreError {
                guard error.isOutOfSpace else { throw error }
                fullCount += 1
                system.limitSpace(to: nil)
                return false
            }
        }
        try #require(isAppended)
        return fullCount
    }

    private func openReadOnly(_ system: SimulatedFileSystem, _ path: String = store) throws -> EventStore {
        try EventStore.openReadOnly(path, options: options(system))
    }

    private func segmentNames(_ system: SimulatedFileSystem) throws -> [String] {
        try system.list(Self.store).map(\.name).filter { $0.hasSuffix(".seg") }.sorted()
    }

    private func bytes(_ path: String, _ system: SimulatedFileSystem) throws -> [UInt8] {
        let file = try system.open(path, .read)
        defer { file.close() }
        return try file.read(at: 0, count: Int(try file.size()))
    }

    private func hasTrailer(_ system: SimulatedFileSystem) throws -> Bool {
        for name in try system.list(Self.store).map(\.name) where name.hasSuffix(".seg") {
            if try bytes(Self.store + "/" + name, system).suffix(8).elementsEqual("VARVEEND".utf8) {
                return true
            }
        }
        return false
    }

    @Test("A footer that has outlived a power cut has its data")
    func dataBeforeFooter() throws {
        let system = try disk(1)
        // Nobody waits for events to be durable: segments that are full are sealed all the same.
        let store = try EventStore.open(Self.store, options: options(system, segmentBytes: 16 << 10))
        system.record()
        try record(0..<60, in: store)
        try store.close()
        var instant = try #require(system.journal).cursor()
        var sealed = 0
        repeat {
            for seed in Self.cuts {
                let found = instant.afterPowerLoss(seed: seed)
                guard try hasTrailer(found) else { continue }
                sealed += 1
                let reader = try openReadOnly(found)
                var cursor = try reader.cursor()
                while try cursor.nextEvent() != nil {}
                let damage = cursor.coverage.gaps.filter { $0.reason != .unconfirmedTail }
                #expect(damage == [], "after change \(instant.changesMade), power cut \(seed)")
                try reader.close()
            }
        } while instant.advance()
        #expect(sealed > 0)
    }

    @Test("What comes after a segment's zeros is acknowledged once the block made of them is durable")
    func paddingBeforeSuccessor() throws {
        let system = try disk(14)
        var options = options(system, segmentBytes: 16 << 10, durability: .synced)
        // The background thread stops once it has sealed the first segment: nothing else syncs the second one.
        let (sealed, goesOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        options.diagnostics = {
            guard case .sealed = $0 else { return }
            sealed.signal()
            goesOn.wait()
        }
        let store = try EventStore.open(Self.store, options: options)
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("noise", .binary)
        var count = 0
        for segmentCount in 2...3 {
            while try segmentNames(system).count < segmentCount {
                try session.append(payload(count), kind: kind, at: Int64(count))
                count += 1
            }
            if segmentCount == 2 { sealed.wait() }
        }
        for seed in Self.cuts {
            let reader = try openReadOnly(system.afterPowerLoss(seed: seed))
            #expect(try reader.count() == UInt64(count), "power cut \(seed)")
            try reader.close()
        }
        for _ in 0..<100 { goesOn.signal() }
        try store.close()
    }

    /// At every instant, after each of some power cuts, a store that nobody synced is a prefix without damage, if there is one.
    private func expectPrefixes(_ system: SimulatedFileSystem, cuts: Range<UInt64>) throws {
        var instant = try #require(system.journal).cursor()
        repeat {
            for seed in cuts {
                let found = instant.afterPowerLoss(seed: seed)
                guard try segmentNames(found).count > 1 else { continue }
                let reader = try openReadOnly(found)
                var cursor = try reader.cursor()
                var next: UInt64 = 0
                while let event = try cursor.nextEvent() {
                    #expect(event.sequence == next, "after change \(instant.changesMade), power cut \(seed)")
                    next = event.sequence + 1
                }
                let damage = cursor.coverage.gaps.filter { $0.reason != .unconfirmedTail }
                #expect(damage == [], "after change \(instant.changesMade), power cut \(seed)")
                try reader.close()
            }
        } while instant.advance()
    }

    // A segment that a full disk had ended has no footer, and nothing synced it: the footer of the one after it called it durable, and a
    // power cut left a hole in the middle of the log.
    @Test("A footer that has outlived a power cut has the segment before it that a full disk has ended")
    func givenUpSegment() throws {
        let system = try disk(5)
        let store = try EventStore.open(Self.store, options: options(system, segmentBytes: 16 << 10))
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("noise", .binary)
        system.record()
        var fullCount = 0
        for number in 0..<80 {
            if number == 10 { system.limitSpace(to: 6000) }
            fullCount += try append(number, to: session, kind, makingRoomOn: system)
        }
        try #require(fullCount > 0)
        try store.close()
        try expectPrefixes(system, cuts: 0..<12)
    }

    @Test("A footer that has outlived a power cut has the names of the segments before it")
    func namesBeforeFooter() throws {
        let system = try disk(6)
        let store = try EventStore.open(Self.store, options: options(system, segmentBytes: 16 << 10))
        system.record()
        try record(0..<120, in: store)
        try store.close()
        try expectPrefixes(system, cuts: 0..<12)
    }

    // An opening's number was durable only with its first block: after a power cut two openings had the same one, and gave the same
    // sequence numbers to different events under it.
    @Test("No two openings have the same epoch, whatever a power cut takes", arguments: [false, true])
    func epochs(isNew: Bool) throws {
        let system = try disk(9)
        if !isNew {
            let before = try EventStore.open(Self.store, options: options(system))
            try record(0..<20, in: before)
            try before.close()
        }
        let store = try EventStore.open(Self.store, options: options(system))
        let epoch = try store.info().epoch
        for events in [0..<0, 0..<3] {
            // Nothing waits until it is durable.
            if !events.isEmpty { try record(events, in: store) }
            for seed in Self.cuts {
                let next = try EventStore.open(
                    Self.store, options: options(system.afterPowerLoss(seed: seed)))
                #expect(try next.info().epoch > epoch, "power cut \(seed)")
                try next.close()
            }
        }
        try store.close()
    }

    // The name of STATE may be known to the page cache alone, and it is written in place where it is.
    @Test("Nor when the opening before was killed at any instant")
    func epochsAfterKill() throws {
        let system = try disk(19)
        system.record()
        try EventStore.open(Self.store, options: options(system)).close()
        var cursor = try #require(system.journal).cursor()
        repeat {
            let killed = cursor.afterKill(cuttingWrite: UInt64(cursor.changesMade))
            let store = try EventStore.open(Self.store, options: options(killed))
            let epoch = try store.info().epoch
            for seed in UInt64(0)..<8 {
                let next = try EventStore.open(
                    Self.store, options: options(killed.afterPowerLoss(seed: seed)))
                // A power cut may take a store that never was acknowledged: another one comes in its place.
                if next.identifier == store.identifier {
                    let found = try next.info().epoch
                    #expect(found > epoch, "killed after change \(cursor.changesMade), power cut \(seed)")
                }
                try next.close()
            }
            try store.close()
        } while cursor.advance()
    }

    // Every one of them was to be copied into the same segment, which has no room for so many: no opening succeeded again.
    @Test("Segments that a disk has left which was full again and again are sealed one by one")
    func fullAgainAndAgain() throws {
        let system = try disk(10)
        var options = options(system)
        options.segmentBlocksMax = 16
        let store = try EventStore.open(Self.store, options: options)
        let session = try store.startSession("s", at: 0)
        let kind = try store.kind("noise", .binary)
        var fullCount = 0
        for number in 0..<390 {
            if number % 50 == 40 { system.limitSpace(to: 6000) }
            fullCount += try append(number, to: session, kind, makingRoomOn: system)
        }
        try #require(fullCount > 5)
        let killed = system.afterKill()
        let before = try segmentNames(killed)
        try store.close()
        options.fileSystem = killed
        killed.record()
        let next = try EventStore.open(Self.store, options: options)
        #expect(next.recovery?.recoveredEvents == 390)
        #expect(next.recovery?.unsealedSegments == before.count)
        #expect(try segmentNames(killed).count > 3)
        #expect(try next.verify().damage.isEmpty)
        try next.close()
        // Killed at any instant of it, it begins again.
        var instant = try #require(killed.journal).cursor()
        repeat {
            options.fileSystem = instant.afterKill()
            let again = try EventStore.open(Self.store, options: options)
            var found: [[UInt8]] = []
            var cursor = try again.cursor()
            while let event = try cursor.nextEvent() { found.append(event.payload) }
            #expect(found == (0..<390).map(payload), "after change \(instant.changesMade)")
            try again.close()
        } while instant.advance()
        try expectPrefixes(killed, cuts: 0..<12)
    }

    @Test("What closing a store has left is there after a power cut, byte for byte")
    func closed() throws {
        let system = try disk(2)
        for life in 0..<2 {
            let store = try EventStore.open(Self.store, options: options(system))
            try record(life * 20..<life * 20 + 20, in: store)
            try store.close()
        }
        let names = ["STORE", "STATE"] + (try segmentNames(system))
        for seed in Self.cuts {
            let found = system.afterPowerLoss(seed: seed)
            for name in names {
                let path = Self.store + "/" + name
                #expect(try bytes(path, found) == bytes(path, system), "\(name), power cut \(seed)")
            }
        }
    }

    // A killed writer's last footer may be in the page cache alone. What comes after it is another segment's: nobody would sync
    // that file again, or look for what a power cut has left of its footer.
    @Test("A footer that a killed writer had not synced is durable once the next one has opened the store")
    func footerOfAKilledWriter() throws {
        let system = try disk(3)
        system.record()
        let store = try EventStore.open(Self.store, options: options(system))
        try record(0..<30, in: store)
        try store.close()
        var cursor = try #require(system.journal).cursor()
        var killed = cursor.afterKill()
        while !(((try? hasTrailer(killed)) ?? false)), cursor.advance() { killed = cursor.afterKill() }
        try #require(try hasTrailer(killed))
        let next = try EventStore.open(Self.store, options: options(killed, segmentBytes: 16 << 10))
        try record(30..<150, in: next)
        try next.close()
        #expect(try segmentNames(killed).count > 3)
        for seed in Self.cuts {
            let reader = try openReadOnly(killed.afterPowerLoss(seed: seed))
            #expect(try reader.verify().damage.map(\.reason) == [], "power cut \(seed)")
            #expect(try reader.count() == 150, "power cut \(seed)")
            try reader.close()
        }
    }

    /// A store whose writer was killed after its first event was acknowledged: recovery copies all of it.
    private func killed(_ seed: UInt64) throws -> SimulatedFileSystem {
        let system = try disk(seed)
        let store = try EventStore.open(Self.store, options: options(system))
        try record(0..<10, in: store)
        try store.flush()
        let killed = system.afterKill()
        try store.close()
        return killed
    }

    @Test("At no instant of a recovery does a power cut take what was acknowledged before")
    func recovery() throws {
        let killed = try killed(4)
        killed.record()
        let store = try EventStore.open(Self.store, options: options(killed))
        var cursor = try #require(killed.journal).cursor()
        try store.close()
        repeat {
            for seed in Self.cuts {
                let reader = try openReadOnly(cursor.afterPowerLoss(seed: seed))
                #expect(
                    try reader.count() == 10, "after change \(cursor.changesMade), power cut \(seed)")
                try reader.close()
            }
        } while cursor.advance()
    }

    @Test("A segment that recovery has replaced does not come back after a power cut")
    func removedByRecovery() throws {
        let killed = try killed(5)
        let before = try segmentNames(killed)
        let store = try EventStore.open(Self.store, options: options(killed))
        let names = try segmentNames(killed)
        #expect(Set(names).isDisjoint(with: before))
        for seed in Self.cuts {
            #expect(try segmentNames(killed.afterPowerLoss(seed: seed)) == names, "power cut \(seed)")
        }
        try store.close()
    }

    @Test("A segment whose footer was mended does not come back as it was after a power cut")
    func removedByMending() throws {
        let system = try disk(6)
        let store = try EventStore.open(Self.store, options: options(system))
        try record(0..<30, in: store)
        let state = try system.open(Self.store + "/STATE", .readWrite)
        let open = try state.read(at: 0, count: Int(try state.size()))
        try store.close()
        // As a kill before the last step of closing leaves it: nothing that opening does about it syncs the directory.
        try state.write(open, at: 0)
        try state.sync()
        state.close()
        let before = try segmentNames(system)
        let file = try system.open(Self.store + "/" + (try #require(before.first)), .readWrite)
        // The trailer's first field says where the footer starts.
        let start = try file.read(at: try file.size() - 96, count: 8).reversed().reduce(UInt64(0)) {
            $0 << 8 | UInt64($1)
        }
        try file.write([UInt8](repeating: 0, count: 64), at: start)
        try file.sync()
        file.close()
        let next = try EventStore.open(Self.store, options: options(system))
        let names = try segmentNames(system)
        #expect(Set(names).isDisjoint(with: before))
        for seed in Self.cuts {
            #expect(try segmentNames(system.afterPowerLoss(seed: seed)) == names, "power cut \(seed)")
        }
        try next.close()
    }

    @Test("At no instant of a compaction does a power cut take anything")
    func compacted() throws {
        let system = try disk(8)
        let store = try EventStore.open(Self.store, options: options(system, segmentBytes: 16 << 10))
        try record(0..<120, in: store).end()
        try store.flush()
        system.record()
        #expect(try store.compact().segmentsBefore > 3)
        var cursor = try #require(system.journal).cursor()
        try store.close()
        repeat {
            for seed in Self.cuts {
                let reader = try openReadOnly(cursor.afterPowerLoss(seed: seed))
                #expect(
                    try reader.count() == 120, "after change \(cursor.changesMade), power cut \(seed)")
                try reader.close()
            }
        } while cursor.advance()
    }

    @Test("A segment that limits have removed does not come back after a power cut")
    func removedByLimits() throws {
        let system = try disk(9)
        var options = options(system, segmentBytes: 16 << 10)
        let store = try EventStore.open(Self.store, options: options)
        try record(0..<120, in: store).end()
        try store.close()
        let before = try segmentNames(system)
        options.limits = RetentionLimits(events: 30)
        options.keepsTail = false
        let limited = try EventStore.open(Self.store, options: options)
        let removed = Set(before).subtracting(try segmentNames(system))
        #expect(removed.count > 1)
        for seed in Self.cuts {
            let found = try segmentNames(system.afterPowerLoss(seed: seed))
            #expect(removed.isDisjoint(with: found), "power cut \(seed)")
        }
        try limited.close()
    }

    @Test("A store that repair has made is there after a power cut, whole")
    func repaired() throws {
        let system = try disk(7)
        let store = try EventStore.open(Self.store, options: options(system, segmentBytes: 16 << 10))
        try record(0..<60, in: store)
        try store.close()
        let new = "/data/new"
        _ = try EventStore.repair(Self.store, into: new, options: options(system))
        let names = try system.list(new).map(\.name).sorted()
        #expect(names.contains("STATE") && names.contains("STORE"))
        for seed in Self.cuts {
            let found = system.afterPowerLoss(seed: seed)
            guard try found.kind(of: new) != nil else {
                Issue.record("power cut \(seed) takes the new store")
                continue
            }
            #expect(try found.list(new).map(\.name).sorted() == names, "power cut \(seed)")
            for name in names {
                #expect(
                    (try? bytes(new + "/" + name, found)) == (try bytes(new + "/" + name, system)),
                    "\(name), power cut \(seed)")
            }
        }
    }
}
