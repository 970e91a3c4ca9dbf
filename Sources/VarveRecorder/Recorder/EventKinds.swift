import Foundation
package import Varve

/// The kinds that events are of in a store: called like their types. Any thread may ask.
package final class EventKinds: @unchecked Sendable {
    /// The kind of events whose type can't be one.
    static let other = "other"
    private static let knownTypes = [
        "Ipc", "StateChange", "DomMutation", "DomInteraction", "WindowEvent", "Console",
    ]
    /// More types that nobody knows are of one kind: a store has 65,535 kinds in all, and for good.
    private static let unknownTypesMax = 1_000

    private let store: EventStore
    private let lock = NSLock()
    // Guarded by `lock`.
    private var unknownTypes: Set<String> = []

    package init(store: EventStore) { self.store = store }

    /// Before types that nobody knows take the room. A store that takes no kinds says so when an event is recorded.
    func internKnown() {
        for name in Self.knownTypes + [Self.other] { _ = try? store.kind(name, .json) }
    }

    /// The kind that is called like the event's type; a name that is none, or one type more than a store has room for, is `other`.
    func kind(of event: AppEvent) throws(StoreError) -> EventKind {
        let type = event.type
        if case .unknown = event, !takes(type) { return try store.kind(Self.other, .json) }
        do throws(StoreError) {
            return try store.kind(type, .json)
        } catch {
            switch error {
            case .beyondLimit, .invalid: return try store.kind(Self.other, .json)
            default: throw error
            }
        }
    }

    private func takes(_ unknownType: String) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if unknownTypes.contains(unknownType) { return true }
        guard unknownTypes.count < Self.unknownTypesMax else { return false }
        unknownTypes.insert(unknownType)
        return true
    }
}
