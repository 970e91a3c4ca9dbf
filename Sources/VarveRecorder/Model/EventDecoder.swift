import VarveJSON

/// Reads events and checkpoints from their JSON. Its memory is reused: use one for each thread.
///
/// Keys come in any order, unknown ones are ignored, and an optional one may be missing. Everything else that does not fit is a
/// ``SessionJSONError``, with its path and its place: what is no JSON, a missing key, a known key twice, a value of another type or
/// out of range, a time without an offset, nesting that would be deeper than ``SessionJSON/depthMax`` in a session.
public final class EventDecoder {
    private let reader = JSONNodeReader()
    private let events: KnownMembers<EventKey>
    private let results: KnownMembers<ResultKey>
    private let recorded: KnownMembers<RecordedEventKey>
    private let checkpoints: KnownMembers<CheckpointKey>

    /// A decoder.
    public init() {
        events = KnownMembers(reader)
        results = KnownMembers(reader)
        recorded = KnownMembers(reader)
        checkpoints = KnownMembers(reader)
    }

    /// Reads an event. Linear.
    public func event(_ json: UnsafeRawBufferPointer) throws(SessionJSONError) -> AppEvent {
        // Three levels are around it in a session.
        try event(document(json, depthMax: SessionJSON.depthMax - 3), in: json, .alone)
    }

    /// Reads an event with its index and the time of its recording. Linear.
    public func recordedEvent(_ json: UnsafeRawBufferPointer) throws(SessionJSONError) -> RecordedEvent {
        try recordedEvent(document(json, depthMax: SessionJSON.depthMax - 2), in: json)
    }

    /// Reads a checkpoint. Linear.
    public func checkpoint(_ json: UnsafeRawBufferPointer) throws(SessionJSONError) -> StateCheckpoint {
        try checkpoint(document(json, depthMax: SessionJSON.depthMax - 2), in: json)
    }

    // MARK: Documents

    /// Parses bytes after which 64 more are readable, and which stay until the next call; their depth was checked.
    internal func padded(_ json: UnsafeRawBufferPointer) throws(SessionJSONError) -> JSONNode {
        do throws(JSONStreamError) {
            return try reader.parse(json, isPadded: true)
        } catch {
            throw SessionJSONError(byteOffset: error.byteOffset, path: "", reason: error.reason)
        }
    }

    private func document(
        _ json: UnsafeRawBufferPointer, depthMax: Int
    ) throws(SessionJSONError) -> JSONNode {
        if let deep = JSONNodeReader.firstBracket(deeperThan: depthMax, in: json) {
            throw SessionJSONError(
                byteOffset: UInt64(deep), path: "", reason: "nested deeper than \(depthMax)")
        }
        do throws(JSONStreamError) {
            return try reader.parse(json)
        } catch {
            throw SessionJSONError(byteOffset: error.byteOffset, path: "", reason: error.reason)
        }
    }

    private func raw(_ node: JSONNode, in json: UnsafeRawBufferPointer) -> RawJSON {
        RawJSON(validated: Array(json[node.range]))
    }

    // MARK: Values

    /// A string, or a time as a string, that is a document.
    internal func string(_ node: JSONNode) throws(SessionJSONError) -> String {
        guard let bytes = node.string else { throw .init(byteOffset: 0, path: "", reason: "not a string") }
        return String(decoding: bytes, as: UTF8.self)
    }

    internal func time(_ node: JSONNode) throws(SessionJSONError) -> Int64 {
        guard let bytes = node.string else { throw .init(byteOffset: 0, path: "", reason: "not a string") }
        guard let time = RFC3339.parse(bytes, defaultOffsetSeconds: nil) else {
            throw .init(byteOffset: 0, path: "", reason: SessionJSON.wrongTime)
        }
        return time
    }

    internal func recordedEvent(
        _ node: JSONNode, in json: UnsafeRawBufferPointer
    ) throws(SessionJSONError) -> RecordedEvent {
        try recorded.load(node, path: "")
        return RecordedEvent(
            index: try recorded.unsigned(.index, in: json), timestamp: try recorded.time(.timestamp),
            event: try event(try recorded.node(.event), in: json, .recorded))
    }

    internal func checkpoint(
        _ node: JSONNode, in json: UnsafeRawBufferPointer
    ) throws(SessionJSONError) -> StateCheckpoint {
        try checkpoints.load(node, path: "")
        return StateCheckpoint(
            id: try checkpoints.string(.id), label: try checkpoints.optionalString(.label),
            timestamp: try checkpoints.time(.timestamp), state: raw(try checkpoints.node(.state), in: json),
            eventIndex: try checkpoints.unsigned(.eventIndex, in: json))
    }

    /// Where an event stands: what is before its keys in a path.
    private enum Place {
        case alone, recorded

        var path: StaticString { self == .alone ? "" : "event" }
        var resultPath: StaticString { self == .alone ? "result" : "event.result" }
    }

    private func event(
        _ node: JSONNode, in json: UnsafeRawBufferPointer, _ place: Place
    ) throws(SessionJSONError) -> AppEvent {
        try events.load(node, path: place.path)
        let type = try events.string(.type)
        switch type {
        case "Ipc":
            return .ipc(
                IpcCall(
                    id: try events.string(.id), command: try events.string(.command),
                    timestamp: try events.time(.timestamp),
                    durationMilliseconds: try optionalUnsigned(.durationMilliseconds, in: json),
                    result: try result(in: json, place),
                    argumentBytes: try events.unsigned(.argumentBytes, in: json),
                    webviewLabel: try events.string(.webviewLabel)))
        case "StateChange":
            return .stateChange(
                StateChange(
                    key: try events.string(.key), timestamp: try events.time(.timestamp),
                    causedBy: try events.optionalString(.causedBy)))
        case "DomMutation":
            return .domMutation(
                DomMutation(
                    webviewLabel: try events.string(.webviewLabel), timestamp: try events.time(.timestamp),
                    mutationCount: try events.unsigned(.mutationCount, in: json)))
        case "DomInteraction":
            guard let action = DomInteraction.Action(rawValue: try events.string(.action)) else {
                let names = DomInteraction.Action.allCases.map(\.rawValue).joined(separator: ", ")
                throw events.error(.action, "none of \(names)")
            }
            return .domInteraction(
                DomInteraction(
                    action: action, selector: try events.string(.selector),
                    value: try events.optionalString(.value), timestamp: try events.time(.timestamp),
                    webviewLabel: try events.string(.webviewLabel)))
        case "WindowEvent":
            return .windowEvent(
                WindowEvent(
                    label: try events.string(.label), event: try events.string(.event),
                    timestamp: try events.time(.timestamp)))
        case "Console":
            return .console(
                Console(
                    level: try events.string(.level), message: try events.string(.message),
                    timestamp: try events.time(.timestamp)))
        default:
            return .unknown(UnknownEvent(type: type, json: raw(node, in: json)))
        }
    }

    private func optionalUnsigned(
        _ key: EventKey, in json: UnsafeRawBufferPointer
    ) throws(SessionJSONError) -> UInt64? {
        guard try events.has(key), try events.node(key).kind != .null else { return nil }
        return try events.unsigned(key, in: json)
    }

    private func result(
        in json: UnsafeRawBufferPointer, _ place: Place
    ) throws(SessionJSONError) -> IpcCall.Result {
        let node = try events.node(.result)
        if let text = node.string, text.elementsEqual("Pending".utf8) { return .pending }
        let reason = #"not "Pending", {"Ok": …} or {"Err": "…"}"#
        guard node.kind == .object else { throw events.error(.result, reason) }
        try results.load(node, path: place.resultPath)
        switch (try results.has(.ok), try results.has(.error)) {
        case (true, false): return .ok(raw(try results.node(.ok), in: json))
        case (false, true): return .error(try results.string(.error))
        default: throw events.error(.result, reason)
        }
    }

    /// The `timestamp` of an event of any type, where it has one that is a time.
    internal func timestamp(_ json: UnsafeRawBufferPointer) -> Int64? {
        do throws(SessionJSONError) {
            try events.load(document(json, depthMax: SessionJSON.depthMax), path: "")
            return try events.time(.timestamp)
        } catch {
            return nil
        }
    }
}

extension AppEvent {
    /// Reads one event. For many of them an ``EventDecoder`` is faster.
    public init(json: [UInt8]) throws(SessionJSONError) {
        self = try json.withBytes { bytes throws(SessionJSONError) in try EventDecoder().event(bytes) }
    }
}

extension UnknownEvent {
    /// Its `timestamp`, where it has one that is a time. Linear: the event is parsed.
    public var timestamp: Int64? { json.bytes.withUnsafeBytes { EventDecoder().timestamp($0) } }
}
