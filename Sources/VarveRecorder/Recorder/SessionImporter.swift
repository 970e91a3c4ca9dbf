package import Varve
import VarveJSON

/// Adds sessions of session JSON to a store, each read twice: validated first, then recorded.
///
/// For one thread. The store has no active session at first, and nobody else starts one meanwhile.
package struct SessionImporter {
    private let store: EventStore
    private let kinds: EventKinds

    package init(store: EventStore, kinds: EventKinds) {
        self.store = store
        self.kinds = kinds
    }

    /// What was recorded of a session.
    package struct Imported {
        /// The session's.
        package fileprivate(set) var ordinal: UInt64
        package fileprivate(set) var events: UInt64 = 0
        package fileprivate(set) var checkpoints: UInt64 = 0
        package fileprivate(set) var payloadBytes: UInt64 = 0
        /// The latest time of the session.
        fileprivate var end: Int64
    }

    /// Reads all of it, and hands over how many events there were after each item.
    ///
    /// Errors: as `SessionJSON.Reader.next`; `RecorderError.indicesUsedUp`.
    package static func validate(
        _ reader: SessionJSON.Reader, progress: (UInt64) -> Void = { _ in }
    ) throws -> SessionJSON.Summary {
        var events: UInt64 = 0
        while let item = try reader.next() {
            if case .event = item { events += 1 }
            progress(events)
        }
        let summary = try reader.validate()
        // A block's worth of indices is kept free.
        guard summary.lastEventIndex ?? 0 < .max - (1 << 17) else { throw RecorderError.indicesUsedUp }
        return summary
    }

    /// Records what the reader gives, as a session that has ended at its latest time. Nothing of it is kept when it throws.
    ///
    /// Errors: those of `validate`, also for another document than the one that was validated; what the store throws.
    package func add(
        _ reader: SessionJSON.Reader, validated summary: SessionJSON.Summary,
        progress: (Imported) -> Void = { _ in }
    ) throws -> Imported {
        kinds.internKnown()
        let session = try RecorderError.storing { () throws(StoreError) in
            try store.startImportedSession(summary.id, at: summary.startedAt)
        }
        var imported = Imported(ordinal: session.ordinal, end: summary.startedAt)
        do {
            while let item = try reader.next() {
                try record(item, in: session, &imported)
                progress(imported)
            }
            guard reader.summary == summary else {
                throw SessionJSONError(
                    byteOffset: 0, path: "", reason: "it has changed while it was read")
            }
            try session.end(at: imported.end)
        } catch {
            session.abandon()
            throw error
        }
        return imported
    }

    private func record(
        _ item: SessionJSON.Item, in session: Session, _ imported: inout Imported
    ) throws {
        switch item {
        case .event(let recorded):
            var json = ByteBuffer()
            recorded.event.appendJSON(to: &json)
            let bytes = json.withUnsafeBytes { Array($0) }
            try session.append(
                bytes, kind: try kinds.kind(of: recorded.event), at: recorded.timestamp, index: recorded.index
            )
            imported.events += 1
            imported.payloadBytes += UInt64(bytes.count)
            imported.end = max(imported.end, recorded.timestamp)
        case .checkpoint(let checkpoint):
            try session.checkpoint(
                checkpoint.id, label: checkpoint.label, state: checkpoint.state.bytes,
                at: checkpoint.timestamp, eventIndex: checkpoint.eventIndex)
            imported.checkpoints += 1
            imported.end = max(imported.end, checkpoint.timestamp)
        }
    }
}
