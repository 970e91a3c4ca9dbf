import Varve
import VarveJSON
import VarveRecorder
import VarveTestKit

/// Records into an open store through an `EventRecorder`, and notes what it did as items of the history.
struct RecorderLife {
    private(set) var notes: CrashRecorder
    private let recorder: EventRecorder
    private var session: (ordinal: UInt64, id: String) = (0, "")
    private var nextIndex: UInt64 = 0

    init(_ notes: CrashRecorder) {
        self.notes = notes
        recorder = EventRecorder(store: notes.store)
    }

    /// Sessions that are stopped, replaced by an import and left to the store's end; imports that are taken and that are not.
    mutating func run(_ life: Int, events: Int, _ scenario: PowerLossTests.Scenario) throws {
        func event(_ number: Int) -> AppEvent { Self.event(life * 1000 + number, scenario) }
        func imported(_ id: String, _ indices: [UInt64]) -> ImportedSession {
            ImportedSession(
                id: id,
                events: indices.enumerated().map { position, index in
                    VarveRecorder.RecordedEvent(
                        index: index, timestamp: Int64(index), event: event(500 + position))
                })
        }
        for number in 0..<events {
            let next = event(number)
            switch number {
            case 0: try start("session \(life)")
            case events / 4:
                try stop()
                try recorder.record(next)
                try refuse(imported("none", Array(0..<12)))
                try start("session \(life)")
            case events / 2: try importSession(imported("unsorted", [5, 9, 2, 2] + (20..<32)))
            case events * 3 / 4:
                try stop()
                try importSession(imported("short", [7, 3]))
            default: break
            }
            try record(next, at: Int64(life * 1000 + number))
            if number % 7 == 3 { try checkpoint("cp \(number)", at: Int64(life * 1000 + number)) }
        }
        if life == 1 { try stop() }
        try close()
    }

    private static func event(_ number: Int, _ scenario: PowerLossTests.Scenario) -> AppEvent {
        let text = PowerLossTests.payload(number, scenario).map { 32 + $0 % 64 }
        return .console(
            Console(
                level: "\(number)", message: String(decoding: text, as: UTF8.self), timestamp: Int64(number)))
    }

    /// Where a session begins: the recorder has just made it.
    private mutating func enter() throws -> Session {
        guard let active = notes.store.activeSession else {
            throw CrashHistory.Mismatch("no session is active")
        }
        session = (active.ordinal, active.id)
        return active
    }

    private mutating func start(_ id: String) throws {
        notes.willRecord()
        try recorder.start(id, at: 0)
        let session = try enter()
        nextIndex = 0
        notes.didRecord(.begin(ordinal: session.ordinal, id: id), isDurable: false)
    }

    private mutating func record(_ event: AppEvent, at time: Int64) throws {
        notes.willRecord()
        let item = try item(event, index: nextIndex, sequence: notes.store.nextSequence, at: time)
        try recorder.record(event, at: time)
        notes.didRecord(item, isDurable: notes.isSynced)
        nextIndex += 1
    }

    private func item(
        _ event: AppEvent, index: UInt64, sequence: UInt64, at time: Int64
    ) throws -> Recorded {
        var json = ByteBuffer()
        event.appendJSON(to: &json)
        return .event(
            RecordedEvent(
                sequence: sequence, session: session.ordinal, index: index, sessionID: session.id,
                timestamp: time, kind: try notes.store.kind("Console", .json),
                payload: json.withUnsafeBytes { Array($0) }))
    }

    private mutating func checkpoint(_ id: String, at time: Int64) throws {
        notes.willRecord()
        let state = try RawJSON("{\"recorded\":\(nextIndex)}")
        let made = try recorder.checkpoint(id, state: state, at: time)
        guard made.eventIndex == nextIndex else {
            throw CrashHistory.Mismatch("checkpoint \(made) before event \(nextIndex)")
        }
        notes.didRecord(.checkpoint(made, state: state.bytes), isDurable: notes.isSynced)
    }

    private mutating func stop() throws {
        notes.willRecord()
        guard try recorder.stop()?.id == session.id else {
            throw CrashHistory.Mismatch("another session is stopped than \(session)")
        }
        notes.didRecord(.end(ordinal: session.ordinal), isDurable: true)
    }

    private mutating func importSession(_ imported: ImportedSession) throws {
        let before = recorder.isRecording ? session.ordinal : nil
        notes.willRecord(before == nil ? 2 : 3)
        let first = notes.store.nextSequence
        try recorder.importSession(imported.json)
        let active = try enter()
        var parts = [Recorded.begin(ordinal: active.ordinal, id: active.id)]
        for (position, event) in imported.events.enumerated() {
            parts.append(
                try item(
                    event.event, index: event.index, sequence: first + UInt64(position), at: event.timestamp))
        }
        for checkpoint in try recorder.checkpoints() {
            parts.append(.checkpoint(checkpoint, state: Array(ImportedSession.state.utf8)))
        }
        parts.append(.end(ordinal: active.ordinal))
        if let before { notes.didRecord(.end(ordinal: before), isDurable: true) }
        notes.didRecord(.imported(parts), isDurable: true)
        notes.didRecord(.resumed(ordinal: active.ordinal), isDurable: false)
        nextIndex = (imported.events.last?.index ?? 0) + 1
    }

    /// What can't be read to its end when it is read again leaves nothing.
    private func refuse(_ imported: ImportedSession) throws {
        var readings = 0
        do {
            try recorder.importSession {
                readings += 1
                var json = try imported.json.dropLast(readings == 1 ? 0 : 2)
                return { room in
                    let count = min(room.count, json.count)
                    room.copyBytes(from: json.prefix(count))
                    json = json.dropFirst(count)
                    return count
                }
            }
        } catch is SessionJSONError { return }
        throw CrashHistory.Mismatch("an import that ends early is taken")
    }

    private mutating func close() throws {
        let isActive = recorder.isRecording
        if isActive { notes.willRecord() }
        try notes.store.close()
        if isActive { notes.didRecord(.end(ordinal: session.ordinal), isDurable: true) }
    }
}

/// A session that another recorder has exported.
struct ImportedSession {
    static let state = "{\"imported\":true}"

    let id: String
    let events: [VarveRecorder.RecordedEvent]

    /// With a checkpoint whose index is none of an event's.
    var json: [UInt8] {
        get throws {
            var text: [UInt8] = []
            let writer = SessionJSON.Writer(id: id, startedAt: 0) { text += $0 }
            for event in events { try writer.append(event) }
            try writer.append(
                StateCheckpoint(
                    id: "imported", label: nil, timestamp: 0, state: try RawJSON(Self.state), eventIndex: 4))
            try writer.finish()
            return text
        }
    }
}
