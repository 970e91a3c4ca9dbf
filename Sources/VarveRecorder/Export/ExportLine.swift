package import Varve

/// One line of the JSON Lines export form.
///
/// The form is a file of JSON objects, one a line, in the order of the log:
///
/// ```
/// {"record":"export","version":1,"store":"…","metadata":{}}
/// {"record":"session","session":1,"id":"s1","started_at":"2026-05-10T12:34:56.000000000Z","metadata":{}}
/// {"record":"kind","kind":1,"name":"Console","encoding":"json","metadata":{}}
/// {"record":"event","session":1,"index":0,"timestamp":"…","kind":1,"payload":{"level":"info"}}
/// {"record":"checkpoint","session":1,"id":"cp1","label":null,"timestamp":"…","event_index":1,"state":{}}
/// {"record":"end","session":1,"ended_at":"…","state":"closed"}
/// ```
///
/// Sessions and kinds are numbered within the file, from 1, in order of appearance; a kind stands before its
/// first event, a session before everything of it. `pause` and `resume` (`{"record":"pause","session":1}`)
/// enclose what other sessions recorded within a session that was resumed later. Ledger lines say what the
/// store knows to be missing at that place: `{"record":"gap","events":12,"reason":"damage"}`.
///
/// A payload (and a state) stands inline, as `payload`, when it is JSON without line breaks or outer white
/// space; as `payload_text` when it is other UTF-8; as `payload_base64` otherwise. Keys may come in any order;
/// unknown keys are ignored, unknown records are not.
package enum ExportLine: Equatable {
    case header(Header)
    case session(SessionBegin)
    case resume(session: UInt64)
    case pause(session: UInt64)
    case end(SessionEnd)
    case kind(Kind)
    case event(Event)
    case checkpoint(Checkpoint)
    case ledger(Ledger)

    package struct Header: Equatable {
        /// The identity of the exported store; `nil` when the lines come from elsewhere.
        package var store: String?
        package var metadata: [String: String]
    }

    package struct SessionBegin: Equatable {
        package var number: UInt64
        package var id: String
        package var startedAt: Int64
        package var metadata: [String: String]

        package init(number: UInt64, id: String, startedAt: Int64, metadata: [String: String]) {
            self.number = number
            self.id = id
            self.startedAt = startedAt
            self.metadata = metadata
        }
    }

    package struct SessionEnd: Equatable {
        package var number: UInt64
        /// `nil` while it is active.
        package var endedAt: Int64?
        package var state: SessionState

        package init(number: UInt64, endedAt: Int64?, state: SessionState) {
            self.number = number
            self.endedAt = endedAt
            self.state = state
        }
    }

    package struct Kind: Equatable {
        package var number: UInt64
        package var name: String
        package var encoding: PayloadEncoding
        package var metadata: [String: String]

        package init(number: UInt64, name: String, encoding: PayloadEncoding, metadata: [String: String]) {
            self.number = number
            self.name = name
            self.encoding = encoding
            self.metadata = metadata
        }
    }

    package struct Event: Equatable {
        package var session: UInt64
        /// `nil`: the session's next one.
        package var index: UInt64?
        package var timestamp: Int64
        package var kind: UInt64
        package var payload: [UInt8]
    }

    package struct Checkpoint: Equatable {
        package var session: UInt64
        package var id: String
        package var label: String?
        package var timestamp: Int64
        /// `nil`: the session's next one.
        package var eventIndex: UInt64?
        package var state: [UInt8]
    }

    /// What the exported store says about itself at this place. It can't be made again in another store.
    package enum Ledger: Equatable {
        case gap(events: UInt64, reason: String)
        case drop(events: UInt64)
    }
}

/// Why a line is no line of the export form.
package struct ExportFormatError: Error, Equatable, CustomStringConvertible {
    /// Counted from 1.
    package var line: UInt64
    package var reason: String

    package var description: String { "line \(line): \(reason)" }
}
