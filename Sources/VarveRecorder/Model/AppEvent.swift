/// Something that happened in an application, as the recorder keeps it: one JSON object, told apart by its `type`.
///
/// Times are nanoseconds since 1970 in UTC.
public enum AppEvent: Hashable, Sendable {
    /// A call from a webview to the application's core.
    case ipc(IpcCall)
    /// A change of the application's state.
    case stateChange(StateChange)
    /// Changes of a webview's document.
    case domMutation(DomMutation)
    /// What the user did in a webview.
    case domInteraction(DomInteraction)
    /// What happened to a window.
    case windowEvent(WindowEvent)
    /// A line on a webview's console.
    case console(Console)
    /// An event of a type that this version does not know.
    case unknown(UnknownEvent)

    /// The `type` in its JSON.
    public var type: String {
        switch self {
        case .ipc: "Ipc"
        case .stateChange: "StateChange"
        case .domMutation: "DomMutation"
        case .domInteraction: "DomInteraction"
        case .windowEvent: "WindowEvent"
        case .console: "Console"
        case .unknown(let event): event.type
        }
    }

    /// The time within the event; of an unknown one its `timestamp`, where that is a time, found by parsing the event.
    public var timestamp: Int64? {
        switch self {
        case .ipc(let event): event.timestamp
        case .stateChange(let event): event.timestamp
        case .domMutation(let event): event.timestamp
        case .domInteraction(let event): event.timestamp
        case .windowEvent(let event): event.timestamp
        case .console(let event): event.timestamp
        case .unknown(let event): event.timestamp
        }
    }
}

/// A call from a webview to the application's core.
public struct IpcCall: Hashable, Sendable {
    /// How the call ended.
    public enum Result: Hashable, Sendable {
        /// It has not ended.
        case pending
        /// It gave a value.
        case ok(RawJSON)
        /// It failed, with a message.
        case error(String)
    }

    /// Names the call.
    public var id: String
    /// What was called.
    public var command: String
    /// When it began, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64
    /// How long it took, where it has ended.
    public var durationMilliseconds: UInt64?
    /// How it ended.
    public var result: Result
    /// The size of its arguments.
    public var argumentBytes: UInt
    /// Where it came from.
    public var webviewLabel: String

    /// A call.
    public init(
        id: String, command: String, timestamp: Int64, durationMilliseconds: UInt64?, result: Result,
        argumentBytes: UInt, webviewLabel: String
    ) {
        self.id = id
        self.command = command
        self.timestamp = timestamp
        self.durationMilliseconds = durationMilliseconds
        self.result = result
        self.argumentBytes = argumentBytes
        self.webviewLabel = webviewLabel
    }
}

/// A change of the application's state.
public struct StateChange: Hashable, Sendable {
    /// What changed.
    public var key: String
    /// When, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64
    /// What made it change, where that is known.
    public var causedBy: String?

    /// A change.
    public init(key: String, timestamp: Int64, causedBy: String?) {
        self.key = key
        self.timestamp = timestamp
        self.causedBy = causedBy
    }
}

/// Changes of a webview's document.
public struct DomMutation: Hashable, Sendable {
    /// The webview.
    public var webviewLabel: String
    /// When, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64
    /// How many changes they are.
    public var mutationCount: UInt32

    /// Changes of a document.
    public init(webviewLabel: String, timestamp: Int64, mutationCount: UInt32) {
        self.webviewLabel = webviewLabel
        self.timestamp = timestamp
        self.mutationCount = mutationCount
    }
}

/// What the user did in a webview.
public struct DomInteraction: Hashable, Sendable {
    /// The kinds of interaction, by their names in JSON.
    public enum Action: String, CaseIterable, Hashable, Sendable {
        /// A click.
        case click = "Click"
        /// A double click.
        case doubleClick = "DoubleClick"
        /// Text was put into a field.
        case fill = "Fill"
        /// A key was pressed.
        case keyPress = "KeyPress"
        /// Something was chosen.
        case select = "Select"
        /// Another page was gone to.
        case navigate = "Navigate"
        /// The page was scrolled.
        case scroll = "Scroll"
    }

    /// What was done.
    public var action: Action
    /// The element it was done to.
    public var selector: String
    /// What was put in, chosen or gone to, where there is such a thing.
    public var value: String?
    /// When, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64
    /// The webview.
    public var webviewLabel: String

    /// An interaction.
    public init(action: Action, selector: String, value: String?, timestamp: Int64, webviewLabel: String) {
        self.action = action
        self.selector = selector
        self.value = value
        self.timestamp = timestamp
        self.webviewLabel = webviewLabel
    }
}

/// What happened to a window.
public struct WindowEvent: Hashable, Sendable {
    /// The window.
    public var label: String
    /// What happened, such as `focus`.
    public var event: String
    /// When, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64

    /// An event of a window.
    public init(label: String, event: String, timestamp: Int64) {
        self.label = label
        self.event = event
        self.timestamp = timestamp
    }
}

/// A line on a webview's console.
public struct Console: Hashable, Sendable {
    /// Its level, such as `warn`.
    public var level: String
    /// The text.
    public var message: String
    /// When, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64

    /// A line.
    public init(level: String, message: String, timestamp: Int64) {
        self.level = level
        self.message = message
        self.timestamp = timestamp
    }
}

/// An event of a type that this version does not know: kept, and written again, byte for byte. Made by reading one
/// (``AppEvent/init(json:)``), so that its type is always the one in its JSON.
public struct UnknownEvent: Hashable, Sendable {
    /// The `type` in its JSON.
    public let type: String
    /// The whole object.
    public let json: RawJSON

    internal init(type: String, json: RawJSON) {
        self.type = type
        self.json = json
    }
}
