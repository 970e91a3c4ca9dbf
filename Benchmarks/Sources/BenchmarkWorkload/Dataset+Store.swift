import Varve
import VarveTestKit

extension StoreOptions {
    /// Those of what is measured: nothing works beside it.
    public static var recording: StoreOptions {
        var options = StoreOptions()
        options.compactsInBackground = false
        return options
    }
}

extension Dataset {
    /// The kinds of the workloads in a store, in the order of `WorkloadA.kindNames`.
    public static func kinds(of store: EventStore) throws -> [EventKind] {
        try WorkloadA.kindNames.map { try store.kind($0, .json) }
    }

    /// The events' kinds in a store, in the order of ``Description/kindNames``.
    public func kinds(in store: EventStore) throws -> [EventKind] {
        try description.kindNames.map { try store.kind($0, .json) }
    }

    /// A session of the events, which has none yet.
    public func startSession(in store: EventStore) throws -> Session {
        try store.startSession("bench", at: description.startTimestamp)
    }

    /// Appends all events one by one, as a session of their own.
    public func append(to store: EventStore) throws {
        let storeKinds = try kinds(in: store)
        let session = try startSession(in: store)
        for position in 0..<count {
            try session.append(
                payload(position), kind: storeKinds[Int(kinds[position])], at: timestamps[position])
        }
    }
}
