public import VarveJSON

extension SessionJSON {
    /// Reads a session while its bytes arrive, in memory that depends on its largest event or checkpoint, and not on their number.
    ///
    /// Keys come in any order, so that `id` may stand behind all events: what needs it first reads twice, with ``validate()`` and
    /// then another reader's ``next()``. Unknown keys are ignored. For one thread at a time.
    public final class Reader {
        private enum Key: String, CaseIterable {
            case id
            case startedAt = "started_at"
            case events, checkpoints
        }
        private enum Place { case start, session, events, checkpoints, end }

        private let stream: JSONStreamReader
        private let decoder = EventDecoder()
        private var place = Place.start
        /// The key of the session that is being read.
        private var key = ""
        private var seen: Set<Key> = []
        private var id = ""
        private var startedAt: Int64 = 0
        private var eventCount: UInt64 = 0
        private var checkpointCount: UInt64 = 0
        private var lastEventIndex: UInt64?
        private var failure: (any Error)?

        /// A reader.
        ///
        /// - Parameters:
        ///   - chunkBytes: how many bytes are asked for at a time.
        ///   - valueBytesMax: longer events, checkpoints and values of unknown keys are an error; at most 384 MiB.
        ///   - source: where the document's bytes come from.
        public init(
            chunkBytes: Int = 64 << 10, valueBytesMax: Int = JSONStreamReader.valueBytesMax,
            source: @escaping JSONStreamReader.Source
        ) {
            stream = JSONStreamReader(chunkBytes: chunkBytes, valueBytesMax: valueBytesMax, source: source)
        }

        /// What was read; nil before the end, which is when ``next()`` gave nil.
        public var summary: Summary? {
            guard place == .end else { return nil }
            return Summary(
                id: id, startedAt: startedAt, eventCount: eventCount, checkpointCount: checkpointCount,
                lastEventIndex: lastEventIndex)
        }

        /// Bytes of memory that are held for the document.
        public var bufferBytes: Int { stream.bufferBytes }

        /// Reads all that is left.
        ///
        /// - Throws: as ``next()``.
        public func validate() throws -> Summary {
            while true {
                if let summary { return summary }
                _ = try next()
            }
        }

        /// The next event or checkpoint, in the order of the file; nil at the end.
        ///
        /// - Throws: ``SessionJSONError``, or what the source throws; from then on always the same.
        public func next() throws -> Item? {
            if let failure { throw failure }
            do {
                return try advance()
            } catch let error as JSONStreamError {
                let located = SessionJSONError(byteOffset: error.byteOffset, path: path, reason: error.reason)
                failure = located
                throw located
            } catch {
                failure = error
                throw error
            }
        }

        private func advance() throws -> Item? {
            while true {
                switch place {
                case .start:
                    try stream.beginObject()
                    place = .session
                case .session:
                    guard let key = try stream.nextKey() else {
                        try end()
                        return nil
                    }
                    try enter(key)
                    self.key = ""
                case .events:
                    guard try stream.nextElement() else {
                        place = .session
                        continue
                    }
                    let event = try element { json throws(SessionJSONError) in
                        try limit(json.count, Self.payloadBytesMax, "")
                        return try decoder.recordedEvent(try decoder.padded(json), in: json)
                    }
                    lastEventIndex = event.index
                    eventCount += 1
                    return .event(event)
                case .checkpoints:
                    guard try stream.nextElement() else {
                        place = .session
                        continue
                    }
                    let checkpoint = try element { json throws(SessionJSONError) in
                        let checkpoint = try decoder.checkpoint(try decoder.padded(json), in: json)
                        try limit(checkpoint.id.utf8.count, Self.idBytesMax, "id")
                        try limit(checkpoint.label?.utf8.count ?? 0, Self.idBytesMax, "label")
                        try limit(checkpoint.state.bytes.count, Self.payloadBytesMax, "state")
                        return checkpoint
                    }
                    checkpointCount += 1
                    return .checkpoint(checkpoint)
                case .end: return nil
                }
            }
        }

        /// Reads the value of a key of the session, or steps into it.
        private func enter(_ found: JSONStreamReader.Key) throws {
            key = found.name
            let known = Key(rawValue: found.name)
            if let known, !seen.insert(known).inserted {
                throw SessionJSONError(byteOffset: found.byteOffset, path: key, reason: "a second time")
            }
            switch known {
            case .id:
                id = try element { json throws(SessionJSONError) in
                    let id = try decoder.string(try decoder.padded(json))
                    try limit(id.utf8.count, Self.idBytesMax, "")
                    return id
                }
            case .startedAt:
                startedAt = try element { json throws(SessionJSONError) in
                    try decoder.time(try decoder.padded(json))
                }
            case .events:
                try stream.beginArray()
                place = .events
            case .checkpoints:
                try stream.beginArray()
                place = .checkpoints
            case nil: _ = try stream.value()
            }
        }

        private func end() throws {
            if let missing = Key.allCases.first(where: { !seen.contains($0) }) {
                throw SessionJSONError(
                    byteOffset: stream.byteOffset - 1, path: missing.rawValue, reason: "missing")
            }
            try stream.finish()
            place = .end
        }

        /// Takes the next value and decodes it.
        private func element<Answer>(
            _ decode: (UnsafeRawBufferPointer) throws(SessionJSONError) -> Answer
        ) throws -> Answer {
            let value = try stream.unvalidatedValue()
            do throws(SessionJSONError) {
                return try decode(value.bytes)
            } catch {
                throw error.moved(by: value.byteOffset, under: path)
            }
        }

        // What a store takes: an import is refused for it while nothing of it is recorded yet. An event gets members that it lacks.
        private static let idBytesMax = 64 << 10
        private static let payloadBytesMax = (64 << 20) - 1024

        private func limit(_ count: Int, _ max: Int, _ path: String) throws(SessionJSONError) {
            guard count > max else { return }
            throw SessionJSONError(
                byteOffset: 0, path: path, reason: "\(count) bytes, over the limit of \(max)")
        }

        /// Where in the document the reader is.
        private var path: String {
            switch place {
            case .start, .end: ""
            case .session: key
            case .events: "events[\(eventCount)]"
            case .checkpoints: "checkpoints[\(checkpointCount)]"
            }
        }
    }
}
