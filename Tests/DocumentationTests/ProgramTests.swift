import Foundation
import Testing
import Varve
import VarveRecorder
import VarveTestKit

@Suite("The articles' programs do what the articles say")
struct ProgramTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    // MARK: A server capturing

    @Test(
        "The server's answers are on the disk, and each checkpoint has the state after the orders before it")
    func server() async throws {
        #expect(try await CapturingServer.run(path, clients: 8) == 400)
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let session = try #require(try snapshot.sessions().first)
        #expect(session.state == .closed && session.eventCount == 400)
        let orders = try orders(snapshot)
        let checkpoints = try snapshot.checkpoints()
        #expect(checkpoints.map(\.eventIndex) == [100, 200, 300, 400, 400])
        for checkpoint in checkpoints {
            let state = try JSONDecoder().decode(
                [String: Int].self, from: Data(try snapshot.state(of: checkpoint)))
            var totals: [String: Int] = [:]
            for order in orders.prefix(Int(checkpoint.eventIndex)) {
                totals[order.item, default: 0] += order.count
            }
            #expect(state == totals)
        }
    }

    private func orders(_ snapshot: Snapshot) throws -> [CapturingServer.Order] {
        var orders: [CapturingServer.Order] = []
        try snapshot.replay { event in
            orders.append(
                try JSONDecoder().decode(CapturingServer.Order.self, from: Data(event.copy())))
        }
        return orders
    }

    @Test("On a full disk the server takes back nothing, refuses the rest, and goes on when there is room")
    func fullDisk() async throws {
        let disk = FaultInjectingFileSystem()
        let (diagnostics, continuation) = AsyncStream.makeStream(of: Diagnostic.self)
        var options = StoreOptions()
        options.fileSystem = disk
        options.diagnostics = { continuation.yield($0) }
        let server = try CapturingServer(path, options: options)
        let order = CapturingServer.Order(item: "lamp", count: 1)
        #expect(await server.answer(order) == .done(0))
        disk.inject(.init(.write, onPathsEndingIn: ".seg", code: 28, isForGood: true))
        // One is recorded before the disk's answer is known; more while writing is tried again, until one is refused.
        var recorded: [CapturingServer.Answer] = []
        while true {
            let answer = await server.answer(order)
            if answer == .refused { break }
            recorded.append(answer)
        }
        #expect(!recorded.isEmpty && recorded == recorded.indices.map { .accepted(UInt64($0) + 1) })
        disk.heal()
        for await diagnostic in diagnostics where diagnostic == .resumed { break }
        #expect(await server.answer(order) == .done(UInt64(recorded.count) + 1))
        try await server.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        #expect(try orders(snapshot).count == recorded.count + 2)
    }

    @Test("After a failed sync the server does not say that an order is recorded, nor that it is not")
    func failedSync() async throws {
        let disk = FaultInjectingFileSystem()
        var options = StoreOptions()
        options.fileSystem = disk
        let server = try CapturingServer(path, options: options)
        let order = CapturingServer.Order(item: "lamp", count: 1)
        #expect(await server.answer(order) == .done(0))
        disk.inject(.init(.sync, onPathsEndingIn: ".seg", code: 5))
        #expect(await server.answer(order) == .unknown)
        #expect(await server.answer(order) == .refused)
        await #expect(throws: StoreError.self) { try await server.close() }
    }

    // MARK: An investigation

    private func investigate(in time: ClosedRange<Int64> = 0...1000) throws -> [String] {
        let investigation = Investigation(capture: path, bookmark: directory.path("bookmark"))
        var lines: [String] = []
        try investigation.run(["error", "warning"], in: time) { lines.append($0) }
        return lines
    }

    @Test("The investigation reads beside a writer, and goes on where it left off")
    func investigation() throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("night")
        let (info, error) = (try store.kind("info", .utf8), try store.kind("error", .utf8))
        try session.append("started", kind: info, at: 10)
        try session.append("too early", kind: error, at: 0)
        try session.append("no route", kind: error, at: 20)
        try store.flush()
        #expect(try investigate(in: 5...1000) == ["2 night error no route", "complete"])
        #expect(try investigate(in: 5...1000) == ["complete"])
        try session.append("still none", kind: error, at: 30)
        try session.append("too late", kind: error, at: 2000)
        try store.flush()
        #expect(try investigate(in: 5...1000) == ["3 night error still none", "complete"])
        try store.close()
    }

    @Test("The investigation names what is damaged, and does not take another capture for its own")
    func investigationOfDamage() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("night")
        let error = try store.kind("error", .utf8)
        for number in 0..<500 { try session.append("no route \(number)", kind: error, at: Int64(number)) }
        try store.close()
        try damage(try #require(try segments(of: path).first))
        let lines = try investigate()
        #expect(lines.count < 501 && lines.contains { $0.hasPrefix("missing: ") && $0.contains("damage") })

        try FileManager.default.removeItem(atPath: path)
        let other = try EventStore.open(path)
        let otherSession = try other.startSession("day")
        try otherSession.append("well", kind: try other.kind("error", .utf8), at: 1)
        try other.close()
        let anew = try investigate()
        #expect(anew.first?.hasPrefix("from the beginning: ") == true)
        #expect(anew.dropFirst() == ["0 day error well", "complete"])
    }

    // MARK: A fold from a checkpoint

    @Test("The fold gives the cart at any time, from the nearest checkpoint")
    func fold() throws {
        let items = ["lamp", "chair", "table"]
        let changes = (0..<250).map { CartHistory.Change(item: items[$0 % 3], count: $0 % 7 == 6 ? -1 : 1) }
        try CartHistory.record(changes, to: path)
        let session = try EventStore.openReadOnly(path).recordedSession(ordinal: 1)
        for index in [0, 1, 99, 100, 101, 249, 250] {
            var cart = CartHistory.Cart()
            for change in changes.prefix(index) { cart.apply(change) }
            let fold = try CartHistory(session: session).cart(at: .index(UInt64(index)))
            #expect(fold.state == cart && fold.isComplete)
        }
        var lines: [String] = []
        try CartHistory.run(path, at: [.index(2), .time(100_500_000_000)]) { lines.append($0) }
        #expect(lines == ["1 chair, 1 lamp: from cp-0, 2 changes", lines[1]])
        #expect(lines[1].hasSuffix("from cp-100, 1 changes"))
    }
}
