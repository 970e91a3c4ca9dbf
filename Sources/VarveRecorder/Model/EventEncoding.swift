public import VarveJSON

extension AppEvent {
    /// Appends the event as one JSON object: compact, keys in their fixed order, `null` for nil, times with the fewest fraction
    /// digits that keep them exact. An unknown event, and JSON within one, as it was read. Linear.
    public func appendJSON(to out: inout ByteBuffer) {
        switch self {
        case .ipc(let call):
            out.append("{\"type\":\"Ipc\",\"id\":")
            out.appendJSONString(call.id)
            out.append(",\"command\":")
            out.appendJSONString(call.command)
            out.append(",\"timestamp\":")
            out.append(time: call.timestamp)
            out.append(",\"duration_ms\":")
            if let duration = call.durationMilliseconds {
                out.append(integer: duration)
            } else {
                out.append("null")
            }
            out.append(",\"result\":")
            switch call.result {
            case .pending: out.append("\"Pending\"")
            case .ok(let value):
                out.append("{\"Ok\":")
                out.append(json: value)
                out.append("}")
            case .error(let message):
                out.append("{\"Err\":")
                out.appendJSONString(message)
                out.append("}")
            }
            out.append(",\"arg_size_bytes\":")
            out.append(integer: UInt64(call.argumentBytes))
            out.append(",\"webview_label\":")
            out.appendJSONString(call.webviewLabel)
        case .stateChange(let change):
            out.append("{\"type\":\"StateChange\",\"key\":")
            out.appendJSONString(change.key)
            out.append(",\"timestamp\":")
            out.append(time: change.timestamp)
            out.append(",\"caused_by\":")
            out.append(optional: change.causedBy)
        case .domMutation(let mutation):
            out.append("{\"type\":\"DomMutation\",\"webview_label\":")
            out.appendJSONString(mutation.webviewLabel)
            out.append(",\"timestamp\":")
            out.append(time: mutation.timestamp)
            out.append(",\"mutation_count\":")
            out.append(integer: UInt64(mutation.mutationCount))
        case .domInteraction(let interaction):
            out.append("{\"type\":\"DomInteraction\",\"action\":")
            out.appendJSONString(interaction.action.rawValue)
            out.append(",\"selector\":")
            out.appendJSONString(interaction.selector)
            out.append(",\"value\":")
            out.append(optional: interaction.value)
            out.append(",\"timestamp\":")
            out.append(time: interaction.timestamp)
            out.append(",\"webview_label\":")
            out.appendJSONString(interaction.webviewLabel)
        case .windowEvent(let event):
            out.append("{\"type\":\"WindowEvent\",\"label\":")
            out.appendJSONString(event.label)
            out.append(",\"event\":")
            out.appendJSONString(event.event)
            out.append(",\"timestamp\":")
            out.append(time: event.timestamp)
        case .console(let line):
            out.append("{\"type\":\"Console\",\"level\":")
            out.appendJSONString(line.level)
            out.append(",\"message\":")
            out.appendJSONString(line.message)
            out.append(",\"timestamp\":")
            out.append(time: line.timestamp)
        case .unknown(let event):
            out.append(json: event.json)
            return
        }
        out.append("}")
    }
}

extension RecordedEvent {
    /// Appends the event as a session's JSON has it. See ``AppEvent/appendJSON(to:)``.
    public func appendJSON(to out: inout ByteBuffer) {
        Self.appendHead(index: index, timestamp: timestamp, to: &out)
        event.appendJSON(to: &out)
        out.append("}")
    }

    /// What stands before the event itself.
    internal static func appendHead(index: UInt64, timestamp: Int64, to out: inout ByteBuffer) {
        out.append("{\"index\":")
        out.append(integer: index)
        out.append(",\"timestamp\":")
        out.append(time: timestamp)
        out.append(",\"event\":")
    }
}

extension StateCheckpoint {
    /// Appends the checkpoint as a session's JSON has it, with the state as it was given.
    public func appendJSON(to out: inout ByteBuffer) {
        state.bytes.withUnsafeBytes {
            Self.append(
                id: id, label: label, timestamp: timestamp, state: $0, eventIndex: eventIndex, to: &out)
        }
    }

    internal static func append(
        id: String, label: String?, timestamp: Int64, state: UnsafeRawBufferPointer, eventIndex: UInt64,
        to out: inout ByteBuffer
    ) {
        out.append("{\"id\":")
        out.appendJSONString(id)
        out.append(",\"label\":")
        out.append(optional: label)
        out.append(",\"timestamp\":")
        out.append(time: timestamp)
        out.append(",\"state\":")
        out.append(state)
        out.append(",\"event_index\":")
        out.append(integer: eventIndex)
        out.append("}")
    }
}

extension ByteBuffer {
    /// Appends a time as a JSON string.
    internal mutating func append(time: Int64) {
        append(UInt8(ascii: "\""))
        RFC3339.appendShortest(time, to: &self)
        append(UInt8(ascii: "\""))
    }

    /// Appends a JSON string, or `null`.
    fileprivate mutating func append(optional text: String?) {
        if let text { appendJSONString(text) } else { append("null") }
    }

    fileprivate mutating func append(json: RawJSON) { json.bytes.withUnsafeBytes { append($0) } }
}
