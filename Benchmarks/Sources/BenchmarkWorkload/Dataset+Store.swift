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
    /// The kinds of the workload in a store, in the order of `WorkloadA.kindNames`.
    public static func kinds(of store: EventStore) throws -> [EventKind] {
        try WorkloadA.kindNames.map { try store.kind($0, .json) }
    }

    /// Appends all events one by one, as a session of their own.
    public func append(to store: EventStore) throws {
        let storeKinds = try Dataset.kinds(of: store)
        let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
        for position in 0..<count {
            try session.append(
                payload(position), kind: storeKinds[Int(kinds[position])], at: timestamps[position])
        }
    }
}
