/// Events that were read together, with their own copy of everything: what a bulk replay hands from task to task.
///
/// All payloads stand in one allocation.
public struct ReplayBatch: Sendable, RandomAccessCollection {
    fileprivate struct Row {
        let sequence: UInt64
        let sessionOrdinal: UInt64
        let index: UInt64
        let timestamp: Int64
        let kind: Int
        let bytes: Range<Int>
    }

    fileprivate final class Storage: Sendable {
        let rows: [Row]
        let bytes: [UInt8]
        let kinds: [EventKind]
        let snapshot: Snapshot

        init(rows: [Row], bytes: [UInt8], kinds: [EventKind], snapshot: Snapshot) {
            self.rows = rows
            self.bytes = bytes
            self.kinds = kinds
            self.snapshot = snapshot
        }
    }

    /// An event of a batch. It keeps the batch.
    public struct Element: Sendable {
        fileprivate let storage: Storage
        fileprivate let row: Row

        /// Unique in the store.
        public var sequence: UInt64 { row.sequence }
        /// The session's ordinal.
        public var sessionOrdinal: UInt64 { row.sessionOrdinal }
        /// The session's id.
        public var sessionID: String { storage.snapshot.sessionID(row.sessionOrdinal, ofEvent: row.sequence) }
        /// Position in the session.
        public var index: UInt64 { row.index }
        /// When it happened, in nanoseconds since the Unix epoch.
        public var timestamp: Int64 { row.timestamp }
        /// What it is.
        public var kind: EventKind { storage.kinds[row.kind] }
        /// Bytes of the payload.
        public var payloadByteCount: Int { row.bytes.count }

        /// Runs `body` with the payload's bytes; they must not be kept. Nothing is copied.
        public func withUnsafeBytes<R, E: Error>(
            _ body: (UnsafeRawBufferPointer) throws(E) -> R
        ) throws(E) -> R {
            let result: Result<R, E> = storage.bytes.withUnsafeBytes { bytes in
                do throws(E) {
                    return .success(try body(UnsafeRawBufferPointer(rebasing: bytes[row.bytes])))
                } catch {
                    return .failure(error)
                }
            }
            return try result.get()
        }

        /// The event with its own copy of everything.
        public var event: Event {
            Event(
                sequence: sequence, sessionOrdinal: sessionOrdinal, sessionID: sessionID, index: index,
                timestamp: timestamp, kind: kind, payload: Array(storage.bytes[row.bytes]))
        }
    }

    fileprivate let storage: Storage
    /// Where a reader is that has seen the whole batch; nil for one without events.
    public let position: CursorPosition?
    /// What is missing in the answer, as far as it was read.
    public let coverage: Coverage

    /// 0.
    public var startIndex: Int { 0 }
    /// The number of events.
    public var endIndex: Int { storage.rows.count }

    /// The event at a position below `endIndex`.
    public subscript(position: Int) -> Element { Element(storage: storage, row: storage.rows[position]) }
}

extension ReplayBatch {
    /// The cursor's next events; none after its last. `coverage` makes of the cursor's coverage what the batch says.
    init(
        reading cursor: inout EventCursor, of snapshot: Snapshot, eventsMax: Int, bytesMax: Int,
        coverage: (Coverage) -> Coverage = { $0 }
    ) throws(StoreError) {
        var rows: [Row] = []
        var bytes: [UInt8] = []
        var kinds: [EventKind] = []
        var kindNumbers: [UInt32: Int] = [:]
        var epoch: UInt64 = 0
        while rows.count < eventsMax, bytes.count < bytesMax, let view = try cursor.next() {
            let number = view.kindNumber
            let kind: Int
            if let known = kindNumbers[number] {
                kind = known
            } else {
                kind = kinds.count
                kindNumbers[number] = kind
                kinds.append(view.kind)
            }
            let start = bytes.count
            view.withUnsafeBytes { bytes.append(contentsOf: $0) }
            rows.append(
                Row(
                    sequence: view.sequence, sessionOrdinal: view.sessionOrdinal, index: view.index,
                    timestamp: view.timestamp, kind: kind, bytes: start..<bytes.count))
            epoch = view.epoch
        }
        let last = rows.last.map {
            CursorPosition(store: snapshot.store.identifier, epoch: epoch, sequence: $0.sequence)
        }
        self.init(
            storage: Storage(rows: rows, bytes: bytes, kinds: kinds, snapshot: snapshot),
            position: last, coverage: coverage(cursor.coverage))
    }
}

/// The events of a query in batches, as an asynchronous sequence: `for try await batch in snapshot.batches(query)`.
///
/// A batch is read when it is asked for, on the thread that asks. One without events comes last where the end could not be read.
public struct ReplayBatches: AsyncSequence, Sendable {
    /// Events that were read together.
    public typealias Element = ReplayBatch
    /// What is thrown when the system refuses to read; damage is skipped.
    public typealias Failure = StoreError

    let snapshot: Snapshot
    let query: Query
    let eventsMax: Int
    let bytesMax: Int

    /// Reads one batch after the other. Copies made after the first call share a position.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private final class Reader {
            var cursor: EventCursor
            init(_ cursor: consuming EventCursor) { self.cursor = cursor }
        }

        private let sequence: ReplayBatches
        private var reader: Reader?
        private var coverage: Coverage?
        private var isFinished = false

        init(_ sequence: ReplayBatches) { self.sequence = sequence }

        /// The next batch, or nil after the last.
        public mutating func next() async throws(StoreError) -> ReplayBatch? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError)
            -> ReplayBatch?
        {
            guard !isFinished else { return nil }
            if reader == nil { reader = Reader(try sequence.snapshot.cursor(sequence.query)) }
            guard let reader else { return nil }
            let batch = try ReplayBatch(
                reading: &reader.cursor, of: sequence.snapshot, eventsMax: sequence.eventsMax,
                bytesMax: sequence.bytesMax)
            isFinished = batch.isEmpty
            // Where nothing came and nothing more is missing there is nothing to say.
            if batch.isEmpty, batch.coverage == coverage ?? Coverage() { return nil }
            coverage = batch.coverage
            return batch
        }
    }

    /// Starts at the query's first event; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension Snapshot {
    /// The events that match, in batches of at most `eventsMax` events that end with the event that takes them to `bytesMax` bytes.
    public func batches(
        _ query: Query = Query(), eventsMax: Int = 4096, bytesMax: Int = 1 << 20
    ) -> ReplayBatches {
        ReplayBatches(
            snapshot: self, query: query, eventsMax: Swift.max(eventsMax, 1), bytesMax: Swift.max(bytesMax, 1)
        )
    }
}
