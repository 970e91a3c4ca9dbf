import Testing
import Varve
import VarveTestKit

@Suite("Durability, as its article shows it")
struct DurabilityExamples {
    private let directory: TemporaryDirectory
    private let output = Output()
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func print(_ items: Any...) { output.print(items) }

    @Test("One sync for many events")
    func together() throws {
        let orders = ["1", "2", "3"]
        let store = try EventStore.open(path)
        let session = try store.startSession("orders")
        let placed = try store.kind("order.placed", .json)

        var last: UInt64 = 0
        for order in orders { last = try session.append(order, kind: placed) }
        try store.blockUntilDurable(through: last)  // in a task: await store.waitUntilDurable(through: last)

        #expect(store.durableThrough == 2)
        try store.close()
    }

    @Test("Each append durable when it returns")
    func synced() throws {
        var options = StoreOptions()
        options.durability = .synced
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("orders")
        let placed = try store.kind("order.placed", .json)
        let number = try session.append(#"{"order":17}"#, kind: placed)
        print(store.durableThrough == number)

        #expect(output.lines == ["true"])
        try store.close()
    }

    @Test("A full disk passes, and a failed sync ends the opening", arguments: [true, false])
    func refused(isFull: Bool) throws {
        let disk = FaultInjectingFileSystem()
        var options = StoreOptions()
        options.fileSystem = disk
        var store = try EventStore.open(path, options: options)
        var session = try store.startSession("orders")
        try store.flush()
        disk.inject(
            .init(
                isFull ? .write : .sync, onPathsEndingIn: ".seg", code: isFull ? 28 : 5, isForGood: isFull))
        let number = try session.append("{}", kind: try store.kind("order.placed", .json))

        do {
            try store.blockUntilDurable(through: number)
        } catch StoreError.outOfSpace {
            // Recorded, and written once there is space. To be waited for again, not to be appended again.
            print("the disk is full")
        } catch StoreError.poisoned(let reason) {
            print("a sync failed: \(reason)")
            try? store.close()
            store = try EventStore.open(path, options: options)
            session = try store.startSession("orders, continued")
        }

        #expect(output.lines.count == 1 && output.lines[0].hasPrefix(isFull ? "the disk" : "a sync"))
        disk.heal()
        // Writing is tried again in the background.
        while (try? store.flush()) == nil {}
        try session.append("{}", kind: try store.kind("order.placed", .json))
        try store.close()
        #expect(try EventStore.openReadOnly(path).count() == 2)
    }

    /// Records an event, and goes away as a process does that is killed: what is left is in `TAIL`.
    private func leave() throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("night")
        try session.append("on its way", kind: try store.kind("stdout", .utf8))
    }

    @Test("What a killed writer left is there")
    func recovery() throws {
        try leave()

        let store = try EventStore.open(path)
        if let found = store.recovery {
            print("\(found.recoveredEvents) events were not known to be durable")
            if let ordinal = found.interruptedSession { print("session \(ordinal) was cut off") }
            for gap in found.gaps { print("lost: \(gap.sequences), \(gap.reason.rawValue)") }
        }

        #expect(output.lines.contains("session 1 was cut off"))
        #expect(try store.count() == 1)
        try store.close()
    }

    @Test("Damage is found, and what is outside of it is saved")
    func repair() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("night")
        let line = try store.kind("stdout", .utf8)
        for number in 0..<500 { try session.append("line \(number)", kind: line) }
        try store.close()
        try damage(try #require(try segments(of: path).first))
        let saved = directory.path("saved")

        let report = try EventStore.openReadOnly(path).verify()
        for damage in report.damage { print("\(damage.file), byte \(damage.offset): \(damage.reason)") }
        if !report.isIntact {
            let repair = try EventStore.repair(path, into: saved, salvage: true)
            print("\(repair.events) events saved, missing: \(repair.gaps.map(\.sequences))")
        }

        #expect(output.lines.count >= 2 && output.lines.last?.contains("events saved") == true)
        let count = try EventStore.openReadOnly(saved).count()
        #expect(count > 0 && count < 500)
    }
}
