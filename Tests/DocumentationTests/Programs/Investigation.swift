import Foundation
import Varve

/// Looks for events of some kinds in a capture, also while it is written, and goes on the next time where it left off.
struct Investigation {
    var capture: String
    /// The file that keeps the position between two runs.
    var bookmark: String

    func run(_ kinds: Set<String>, in time: ClosedRange<Int64>, print: (String) -> Void) throws {
        // Takes no lock and writes nothing: whoever records does not notice.
        let store = try EventStore.openReadOnly(capture)
        let snapshot = try store.snapshot()

        var query = Query().time(time)
        query.kindNames = kinds
        if let position = try lastPosition() {
            do {
                query = try snapshot.query(query, after: position)
            } catch StoreError.invalid(_, let reason) {
                print("from the beginning: \(reason)")
            }
        }

        var position: CursorPosition?
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            let text = String(decoding: event.copy(), as: UTF8.self)
            print("\(event.sequence) \(event.sessionID) \(event.kind.name) \(text)")
            position = event.position
        }
        for gap in cursor.coverage.gaps {
            print("missing: \(gap.sequences) (\(gap.reason.rawValue): \(gap.note))")
        }
        if cursor.coverage.isComplete { print("complete") }
        if let position { try save(position) }
        try store.close()
    }

    private func lastPosition() throws -> CursorPosition? {
        guard FileManager.default.fileExists(atPath: bookmark) else { return nil }
        return CursorPosition(try String(contentsOfFile: bookmark, encoding: .utf8))
    }

    private func save(_ position: CursorPosition) throws {
        try position.description.write(toFile: bookmark, atomically: true, encoding: .utf8)
    }
}
