import ArgumentParser
import VarveJSON

/// What `varve import` takes.
enum ImportForm: String, ExpressibleByArgument, CaseIterable {
    /// What `varve export` writes when nothing else is said.
    case jsonl
    /// A recorder's session.
    case session

    /// The form that a document looks like; `nil`: neither.
    ///
    /// Its first object tells: a line of an export has its `record`, a session is the object that `events` and `checkpoints` are
    /// arrays of. Their keys stand in any order. What is broken before that is taken for a session, whose errors have a
    /// place, unless it has shown to be a line.
    ///
    /// - Throws: what the source throws.
    static func recognise(_ source: @escaping JSONStreamReader.Source) throws -> ImportForm? {
        let reader = JSONStreamReader(source: source)
        do {
            try reader.beginObject()
        } catch is JSONStreamError {
            return nil
        }
        var isLine = false
        var isSession = false
        do {
            while let key = try reader.nextKey() {
                switch key.name {
                case "events", "checkpoints":
                    try reader.beginArray()
                    return .session
                case "record":
                    isLine = try reader.value().bytes.first == UInt8(ascii: "\"")
                case "id", "started_at":
                    isSession = true
                    _ = try reader.value()
                default: _ = try reader.value()
                }
            }
        } catch is JSONStreamError {
            return isLine ? .jsonl : .session
        }
        return isLine ? .jsonl : isSession ? .session : nil
    }
}
