/// The keys of all known events.
enum EventKey: Int, MemberKey {
    case type, id, command, timestamp, durationMilliseconds, result, argumentBytes, webviewLabel, key,
        causedBy
    case mutationCount, action, selector, value, label, event, level, message

    var name: StaticString {
        switch self {
        case .type: "type"
        case .id: "id"
        case .command: "command"
        case .timestamp: "timestamp"
        case .durationMilliseconds: "duration_ms"
        case .result: "result"
        case .argumentBytes: "arg_size_bytes"
        case .webviewLabel: "webview_label"
        case .key: "key"
        case .causedBy: "caused_by"
        case .mutationCount: "mutation_count"
        case .action: "action"
        case .selector: "selector"
        case .value: "value"
        case .label: "label"
        case .event: "event"
        case .level: "level"
        case .message: "message"
        }
    }
}

/// The keys of a call's result.
enum ResultKey: Int, MemberKey {
    case ok, error

    var name: StaticString {
        switch self {
        case .ok: "Ok"
        case .error: "Err"
        }
    }
}

/// The keys of a recorded event.
enum RecordedEventKey: Int, MemberKey {
    case index, timestamp, event

    var name: StaticString {
        switch self {
        case .index: "index"
        case .timestamp: "timestamp"
        case .event: "event"
        }
    }
}

/// The keys of a checkpoint.
enum CheckpointKey: Int, MemberKey {
    case id, label, timestamp, state, eventIndex

    var name: StaticString {
        switch self {
        case .id: "id"
        case .label: "label"
        case .timestamp: "timestamp"
        case .state: "state"
        case .eventIndex: "event_index"
        }
    }
}
