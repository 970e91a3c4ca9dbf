import FuzzSupport

@testable import VarveJSON
@testable import VarveRecorder

/// A session as one JSON document: read in pieces, compared with its tree, written and read again.
///
/// The first byte of an input says how large the pieces are.
@main
struct FuzzSessionJSON {
    /// What was read of a document, or why it was refused.
    enum Answer: Equatable {
        case session(SessionJSON.Summary, [SessionJSON.Item])
        case fault(SessionJSONError)
    }

    // For one thread; made once.
    nonisolated(unsafe) static let validator = JSONValidator()

    static func main() {
        let mutation = structured { Layout(valuesOf: $0, from: 1) }
        fuzz(allocating: { 64 * $0 + (2 << 20) }, mutation: mutation) { input in
            guard let first = input.first else { return }
            look(UnsafeRawBufferPointer(rebasing: input.dropFirst()), pieceBytes: 1 + Int(first))
        }
    }

    static func look(_ bytes: UnsafeRawBufferPointer, pieceBytes: Int) {
        let answer = read(bytes, pieceBytes: bytes.count + 1)
        require(answer == read(bytes, pieceBytes: pieceBytes), "the size of pieces does not matter")
        let mark = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        let document = UnsafeRawBufferPointer(rebasing: bytes[mark...])
        let isShallow = JSONNodeReader.firstBracket(deeperThan: SessionJSON.depthMax, in: document) == nil
        let isValid = validator.isValid(document)
        if isShallow {
            require((JSONFault.offset(in: document) == nil) == isValid, "a fault is found where there is one")
        }
        switch answer {
        case .fault(let error):
            require(error.byteOffset <= bytes.count, "a fault is in the document, or at its end")
        case .session(let summary, let items):
            require(isValid && isShallow, "what is read is JSON")
            let tree = JSONTree(validated: document)
            require(isModel(tree, summary, items), "what is read is what the document says")
            writeAgain(summary, items)
        }
    }

    static func read(_ bytes: UnsafeRawBufferPointer, pieceBytes: Int) -> Answer {
        var position = 0
        let reader = SessionJSON.Reader(chunkBytes: 64) { room in
            let count = min(pieceBytes, room.count, bytes.count - position)
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
            position += count
            return count
        }
        var items: [SessionJSON.Item] = []
        do {
            while let item = try reader.next() { items.append(item) }
        } catch {
            guard let fault = error as? SessionJSONError else {
                require(false, "only the document is wrong")
                return .fault(SessionJSONError(byteOffset: 0, path: "", reason: ""))
            }
            return .fault(fault)
        }
        guard let summary = reader.summary else {
            require(false, "a session that was read has a summary")
            return .fault(SessionJSONError(byteOffset: 0, path: "", reason: ""))
        }
        return .session(summary, items)
    }

    // MARK: The document's tree

    static func isModel(_ tree: JSONTree, _ summary: SessionJSON.Summary, _ items: [SessionJSON.Item]) -> Bool
    {
        var events: [RecordedEvent] = []
        var checkpoints: [StateCheckpoint] = []
        for item in items {
            switch item {
            case .event(let event): events.append(event)
            case .checkpoint(let checkpoint): checkpoints.append(checkpoint)
            }
        }
        guard text(tree, "id") == Array(summary.id.utf8), time(tree, "started_at") == summary.startedAt,
            case .array(let eventTrees) = member(tree, "events"),
            case .array(let checkpointTrees) = member(tree, "checkpoints"),
            summary.eventCount == events.count, eventTrees.count == events.count,
            summary.checkpointCount == checkpoints.count, checkpointTrees.count == checkpoints.count,
            summary.lastEventIndex == events.last?.index
        else { return false }
        return zip(eventTrees, events).allSatisfy(isModel)
            && zip(checkpointTrees, checkpoints).allSatisfy(isModel)
    }

    static func isModel(_ tree: JSONTree, _ event: RecordedEvent) -> Bool {
        guard let inner = member(tree, "event"), member(tree, "index") == number(event.index),
            time(tree, "timestamp") == event.timestamp, text(inner, "type") == Array(event.event.type.utf8)
        else { return false }
        func has(_ key: String, _ value: String) -> Bool { text(inner, key) == Array(value.utf8) }
        func has(_ key: String, optional value: String?) -> Bool {
            guard let value else { return [nil, .null].contains(member(inner, key)) }
            return has(key, value)
        }
        func has(_ value: Int64) -> Bool { time(inner, "timestamp") == value }
        switch event.event {
        case .ipc(let call):
            let result = member(inner, "result")
            let isResult =
                switch call.result {
                case .pending: result == .string(Array("Pending".utf8))
                case .ok(let value): result.flatMap { member($0, "Ok") } == self.tree(value)
                case .error(let message): result.flatMap { text($0, "Err") } == Array(message.utf8)
                }
            let duration = member(inner, "duration_ms")
            return isResult && has("id", call.id) && has("command", call.command) && has(call.timestamp)
                && (call.durationMilliseconds.map { duration == number($0) }
                    ?? [nil, .null].contains(duration))
                && member(inner, "arg_size_bytes") == number(UInt64(call.argumentBytes))
                && has("webview_label", call.webviewLabel)
        case .stateChange(let change):
            return has("key", change.key) && has(change.timestamp)
                && has("caused_by", optional: change.causedBy)
        case .domMutation(let mutation):
            return has("webview_label", mutation.webviewLabel) && has(mutation.timestamp)
                && member(inner, "mutation_count") == number(UInt64(mutation.mutationCount))
        case .domInteraction(let interaction):
            return has("action", interaction.action.rawValue) && has("selector", interaction.selector)
                && has("value", optional: interaction.value) && has(interaction.timestamp)
                && has("webview_label", interaction.webviewLabel)
        case .windowEvent(let event):
            return has("label", event.label) && has("event", event.event) && has(event.timestamp)
        case .console(let line):
            return has("level", line.level) && has("message", line.message) && has(line.timestamp)
        case .unknown(let event): return inner == self.tree(event.json)
        }
    }

    static func isModel(_ tree: JSONTree, _ checkpoint: StateCheckpoint) -> Bool {
        let label = member(tree, "label")
        return text(tree, "id") == Array(checkpoint.id.utf8)
            && (checkpoint.label.map { label == .string(Array($0.utf8)) } ?? [nil, .null].contains(label))
            && time(tree, "timestamp") == checkpoint.timestamp
            && member(tree, "state") == self.tree(checkpoint.state)
            && member(tree, "event_index") == number(checkpoint.eventIndex)
    }

    static func member(_ tree: JSONTree, _ key: String) -> JSONTree? {
        guard case .object(let members) = tree else { return nil }
        return members[Array(key.utf8)]
    }

    static func text(_ tree: JSONTree, _ key: String) -> [UInt8]? {
        guard case .string(let text) = member(tree, key) else { return nil }
        return text
    }

    static func time(_ tree: JSONTree, _ key: String) -> Int64? {
        text(tree, key)?.withUnsafeBytes { RFC3339.parse($0, defaultOffsetSeconds: nil) }
    }

    static func tree(_ json: RawJSON) -> JSONTree { json.bytes.withUnsafeBytes { JSONTree(validated: $0) } }

    static func number(_ value: UInt64) -> JSONTree {
        Array("\(value)".utf8).withUnsafeBytes { JSONTree(validated: $0) }
    }

    // MARK: Writing

    /// What is written is read as the same, and written with the same bytes then.
    static func writeAgain(_ summary: SessionJSON.Summary, _ items: [SessionJSON.Item]) {
        let written = write(summary, items)
        let again = written.withUnsafeBytes { read($0, pieceBytes: 4096) }
        let sorted = items.filter(isEvent) + items.filter { !isEvent($0) }
        require(again == .session(summary, sorted), "a session that was read and written is read as the same")
        guard case .session(let summary, let items) = again else { return }
        let twice = write(summary, items)
        let isSame = written.withUnsafeBytes { left in twice.withUnsafeBytes { isEqual(left, $0) } }
        require(isSame, "what was written is written with the same bytes")
    }

    static func isEvent(_ item: SessionJSON.Item) -> Bool {
        if case .event = item { true } else { false }
    }

    static func write(_ summary: SessionJSON.Summary, _ items: [SessionJSON.Item]) -> [UInt8] {
        var bytes: [UInt8] = []
        let writer = SessionJSON.Writer(id: summary.id, startedAt: summary.startedAt) { bytes += $0 }
        do {
            for case .event(let event) in items { try writer.append(event) }
            for case .checkpoint(let checkpoint) in items { try writer.append(checkpoint) }
            try writer.finish()
        } catch {
            require(false, "a sink that takes everything stops nobody")
        }
        return bytes
    }
}

extension Layout {
    /// The strings, objects, arrays and members of a document, as far as its brackets make sense.
    init(valuesOf bytes: [UInt8], from start: Int) {
        self.init()
        var open: [(bracket: Int, member: Int)] = []
        var quote: Int?
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\\"): index += 1
            case UInt8(ascii: "\""):
                if let begin = quote { parts.append(begin..<index + 1) }
                quote = quote == nil ? index : nil
            case _ where quote != nil: break
            case UInt8(ascii: "{"), UInt8(ascii: "["): open.append((index, index + 1))
            case UInt8(ascii: ","):
                if let last = open.last {
                    parts.append(last.member..<index + 1)
                    open[open.count - 1].member = index + 1
                }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if let last = open.popLast() { parts += [last.member..<index, last.bracket..<index + 1] }
            default: break
            }
            index += 1
        }
    }
}
