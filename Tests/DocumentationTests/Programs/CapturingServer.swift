import Dispatch
import Foundation
import Varve

/// A server that answers an order once it is recorded for good.
struct CapturingServer: Sendable {
    struct Order: Codable, Sendable {
        var item: String
        var count: Int
    }

    enum Answer: Hashable, Sendable {
        /// Recorded: not even a power cut takes it back.
        case done(UInt64)
        /// Recorded, and not yet on the disk, which is full. It is written once there is room: to be asked for, not to be sent again.
        case accepted(UInt64)
        /// Not recorded: to be sent again later.
        case refused
        /// A sync failed: whether it is there shows when the store is opened again.
        case unknown
    }

    private let store: EventStore
    private let ledger: Ledger

    init(_ path: String, options: StoreOptions = StoreOptions()) throws {
        store = try EventStore.open(path, options: options)
        ledger = try Ledger(store)
    }

    func answer(_ order: Order) async -> Answer {
        let number: UInt64
        do {
            number = try await ledger.record(order)
        } catch {
            return .refused
        }
        do {
            // Suspends. Orders that wait at the same time share a sync.
            try await store.waitUntilDurable(through: number)
            return .done(number)
        } catch StoreError.outOfSpace {
            return .accepted(number)
        } catch {
            return .unknown
        }
    }

    /// Call when nothing is being answered any more. Ends the session; everything is on the disk when it returns.
    func close() async throws { try await ledger.close(store) }

    /// Serves clients that send 50 orders each, and returns how many were done.
    static func run(_ path: String, clients: Int) async throws -> Int {
        let server = try CapturingServer(path)
        let done = await withTaskGroup(of: Int.self) { group in
            for client in 0..<clients {
                group.addTask {
                    var done = 0
                    for number in 1...50 {
                        let order = Order(item: "item-\(client % 3)", count: number)
                        if case .done = await server.answer(order) { done += 1 }
                    }
                    return done
                }
            }
            return await group.reduce(0, +)
        }
        try await server.close()
        return done
    }
}

/// The totals, and the session they come from. An order is recorded and counted in one step, so that a checkpoint has the state after
/// exactly those orders that stand before it.
actor Ledger {
    private let executor = RecordingExecutor()
    private let session: Session
    private let placed: EventKind
    private var totals: [String: Int] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ store: EventStore) throws {
        session = try store.startSession("orders")
        placed = try store.kind("order.placed", .json)
    }

    func record(_ order: CapturingServer.Order) throws -> UInt64 {
        let number = try session.append([UInt8](JSONEncoder().encode(order)), kind: placed)
        totals[order.item, default: 0] += order.count
        // It saves readers the events before it. Where it can't be made nothing is lost: the order is recorded.
        if (number + 1) % 100 == 0 { try? checkpoint() }
        return number
    }

    private func checkpoint() throws {
        try session.checkpoint("totals", state: [UInt8](JSONEncoder().encode(totals)))
    }

    func close(_ store: EventStore) throws {
        try? checkpoint()
        try store.close()
    }
}

/// A thread for calls that may wait for the disk: those of Swift's own pool are for calls that never do.
final class RecordingExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "recording")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
