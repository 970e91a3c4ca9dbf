import VarveJSON

extension SessionJSON {
    /// Writes a session piece by piece: compact, keys in their fixed order. Memory depends on the largest event or checkpoint, and
    /// not on their number. All events are written before the first checkpoint; another order is a programmer error.
    ///
    /// What the sink throws is thrown on, and the document is not usable then. For one thread at a time.
    public final class Writer {
        /// Takes the next bytes of the document, which are valid during the call only.
        public typealias Sink = (UnsafeRawBufferPointer) throws -> Void

        private enum Place { case events, checkpoints, end }

        private static let chunkBytes = 64 << 10

        private var buffer: ByteBuffer
        private let sink: Sink
        private var place = Place.events
        private var isFirst = true

        /// A writer of a session. Nothing goes to the sink before there is enough of it.
        ///
        /// - Parameters:
        ///   - id: the session's id.
        ///   - startedAt: when it began, in nanoseconds since 1970 in UTC.
        ///   - sink: where the document goes.
        public init(id: String, startedAt: Int64, sink: @escaping Sink) {
            self.sink = sink
            buffer = ByteBuffer(capacity: 2 * Self.chunkBytes)
            buffer.append("{\"id\":")
            buffer.appendJSONString(id)
            buffer.append(",\"started_at\":")
            buffer.append(time: startedAt)
            buffer.append(",\"events\":[")
        }

        /// Writes an event.
        public func append(_ event: RecordedEvent) throws {
            beginEvent()
            event.appendJSON(to: &buffer)
            try flushIfFull()
        }

        /// Writes an event whose JSON is there already, as ``AppEvent/appendJSON(to:)`` makes it; it is not looked at.
        public func appendEvent(index: UInt64, timestamp: Int64, json: UnsafeRawBufferPointer) throws {
            beginEvent()
            RecordedEvent.appendHead(index: index, timestamp: timestamp, to: &buffer)
            buffer.append(json)
            buffer.append("}")
            try flushIfFull()
        }

        /// Writes a checkpoint.
        public func append(_ checkpoint: StateCheckpoint) throws {
            beginCheckpoint()
            checkpoint.appendJSON(to: &buffer)
            try flushIfFull()
        }

        /// Writes a checkpoint whose state is valid JSON; it is not looked at.
        public func appendCheckpoint(
            id: String, label: String?, timestamp: Int64, state: UnsafeRawBufferPointer, eventIndex: UInt64
        ) throws {
            beginCheckpoint()
            StateCheckpoint.append(
                id: id, label: label, timestamp: timestamp, state: state, eventIndex: eventIndex, to: &buffer)
            try flushIfFull()
        }

        /// Ends the document and hands over what is left of it.
        public func finish() throws {
            endEvents()
            precondition(place != .end, "the session was finished")
            place = .end
            buffer.append("]}")
            try flush()
        }

        private func beginEvent() {
            precondition(place == .events, "events stand before checkpoints")
            separate()
        }

        private func beginCheckpoint() {
            endEvents()
            precondition(place == .checkpoints, "the session was finished")
            separate()
        }

        private func endEvents() {
            guard place == .events else { return }
            place = .checkpoints
            isFirst = true
            buffer.append("],\"checkpoints\":[")
        }

        private func separate() {
            if !isFirst { buffer.append(UInt8(ascii: ",")) }
            isFirst = false
        }

        private func flushIfFull() throws {
            if buffer.count >= Self.chunkBytes { try flush() }
        }

        private func flush() throws {
            try buffer.withUnsafeBytes { try sink($0) }
            // One huge state shall not hold its memory for the rest of the session.
            if buffer.count > 16 * Self.chunkBytes { buffer = ByteBuffer(capacity: 2 * Self.chunkBytes) }
            buffer.removeAll()
        }
    }
}
