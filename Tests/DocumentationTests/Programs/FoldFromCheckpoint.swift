import Foundation
import Varve
import VarveJSON
import VarveRecorder

/// The history of a shopping cart: what was in it at any time.
struct CartHistory {
    struct Change: Codable {
        var item: String
        var count: Int
    }

    struct Cart: Codable, Equatable {
        var counts: [String: Int] = [:]

        mutating func apply(_ change: Change) {
            let count = counts[change.item, default: 0] + change.count
            counts[change.item] = count == 0 ? nil : count
        }
    }

    let session: RecordedSession

    /// Records changes, one a second, with a checkpoint before every hundredth.
    static func record(_ changes: [Change], to path: String) throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("cart-17", at: 0)
        let changed = try store.kind("cart.changed", .json)
        var cart = Cart()
        for (second, change) in changes.enumerated() {
            let now = Int64(second) * 1_000_000_000
            if second % 100 == 0 {
                try session.checkpoint("cp-\(second)", state: [UInt8](JSONEncoder().encode(cart)), at: now)
            }
            try session.append([UInt8](JSONEncoder().encode(change)), kind: changed, at: now)
            cart.apply(change)
        }
        try store.close()
    }

    /// The cart at a moment: the nearest checkpoint's, and each change after that.
    func cart(at moment: RecordedSession.Moment) throws -> RecordedSession.Fold<Cart> {
        try session.foldPayloads(at: moment, from: Cart()) { _, state in
            try JSONDecoder().decode(Cart.self, from: Data(state))
        } apply: { cart, event in
            guard event.kind.name == "cart.changed" else { return }
            cart.apply(try event.decode(Change.self))
        }
    }

    static func run(_ path: String, at moments: [RecordedSession.Moment], print: (String) -> Void) throws {
        let store = try EventStore.openReadOnly(path)
        let history = CartHistory(session: try store.recordedSession(ordinal: 1))
        for moment in moments {
            let fold = try history.cart(at: moment)
            let items = fold.state.counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            let start = fold.checkpoint?.id ?? "the beginning"
            print("\(items.joined(separator: ", ")): from \(start), \(fold.eventsApplied) changes")
            if !fold.isComplete { print("not all changes could be read: \(fold.coverage.gaps)") }
        }
        try store.close()
    }
}
