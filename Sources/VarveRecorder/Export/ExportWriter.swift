import Varve
package import VarveJSON

/// Writes lines of the export form, each with its newline, into a buffer. See ``ExportLine`` for the form.
///
/// For one thread.
package struct ExportWriter {
    private let validator = JSONValidator()

    package init() {}

    package func header(store: String, metadata: [String: String], to out: inout ByteBuffer) {
        out.append("{\"record\":\"export\",\"version\":")
        out.append(integer: ExportReader.version)
        out.append(",\"store\":")
        out.appendJSONString(store)
        appendMetadata(metadata, to: &out)
        out.append("}\n")
    }

    package func session(_ begin: ExportLine.SessionBegin, to out: inout ByteBuffer) {
        out.append("{\"record\":\"session\",\"session\":")
        out.append(integer: begin.number)
        out.append(",\"id\":")
        out.appendJSONString(begin.id)
        out.append(",\"started_at\":")
        appendTime(begin.startedAt, to: &out)
        appendMetadata(begin.metadata, to: &out)
        out.append("}\n")
    }

    package func pause(session: UInt64, to out: inout ByteBuffer) {
        out.append("{\"record\":\"pause\",\"session\":")
        out.append(integer: session)
        out.append("}\n")
    }

    package func resume(session: UInt64, to out: inout ByteBuffer) {
        out.append("{\"record\":\"resume\",\"session\":")
        out.append(integer: session)
        out.append("}\n")
    }

    package func end(_ end: ExportLine.SessionEnd, to out: inout ByteBuffer) {
        out.append("{\"record\":\"end\",\"session\":")
        out.append(integer: end.number)
        out.append(",\"ended_at\":")
        if let endedAt = end.endedAt { appendTime(endedAt, to: &out) } else { out.append("null") }
        out.append(",\"state\":")
        out.appendJSONString(end.state.rawValue)
        out.append("}\n")
    }

    package func kind(_ kind: ExportLine.Kind, to out: inout ByteBuffer) {
        out.append("{\"record\":\"kind\",\"kind\":")
        out.append(integer: kind.number)
        out.append(",\"name\":")
        out.appendJSONString(kind.name)
        out.append(",\"encoding\":")
        out.appendJSONString(kind.encoding.exportName)
        appendMetadata(kind.metadata, to: &out)
        out.append("}\n")
    }

    /// - Parameter isJSON: whether the event's kind says that its payload is JSON: then it may stand inline.
    package func event(
        session: UInt64, index: UInt64, timestamp: Int64, kind: UInt64, isJSON: Bool,
        payload: UnsafeRawBufferPointer, to out: inout ByteBuffer
    ) {
        out.append("{\"record\":\"event\",\"session\":")
        out.append(integer: session)
        out.append(",\"index\":")
        out.append(integer: index)
        out.append(",\"timestamp\":")
        appendTime(timestamp, to: &out)
        out.append(",\"kind\":")
        out.append(integer: kind)
        appendContent("payload", payload, mayBeInline: isJSON, to: &out)
        out.append("}\n")
    }

    package func checkpoint(
        session: UInt64, id: String, label: String?, timestamp: Int64, eventIndex: UInt64,
        state: UnsafeRawBufferPointer, to out: inout ByteBuffer
    ) {
        out.append("{\"record\":\"checkpoint\",\"session\":")
        out.append(integer: session)
        out.append(",\"id\":")
        out.appendJSONString(id)
        out.append(",\"label\":")
        if let label { out.appendJSONString(label) } else { out.append("null") }
        out.append(",\"timestamp\":")
        appendTime(timestamp, to: &out)
        out.append(",\"event_index\":")
        out.append(integer: eventIndex)
        appendContent("state", state, mayBeInline: true, to: &out)
        out.append("}\n")
    }

    package func ledger(_ ledger: ExportLine.Ledger, to out: inout ByteBuffer) {
        switch ledger {
        case .gap(let events, let reason):
            out.append("{\"record\":\"gap\",\"events\":")
            out.append(integer: events)
            out.append(",\"reason\":")
            out.appendJSONString(reason)
        case .drop(let events):
            out.append("{\"record\":\"drop\",\"events\":")
            out.append(integer: events)
        }
        out.append("}\n")
    }

    /// A member with a payload or a state: inline where it is compact JSON, and as text or base64 otherwise.
    private func appendContent(
        _ key: StaticString, _ bytes: UnsafeRawBufferPointer, mayBeInline: Bool, to out: inout ByteBuffer
    ) {
        out.append(",\"")
        out.append(key)
        if mayBeInline && validator.isCompact(bytes) {
            out.append("\":")
            out.append(bytes)
        } else if JSONText.isUTF8(bytes) {
            out.append("_text\":")
            out.appendJSONString(bytes)
        } else {
            out.append("_base64\":\"")
            out.appendBase64(bytes)
            out.append(UInt8(ascii: "\""))
        }
    }

    private func appendTime(_ time: Int64, to out: inout ByteBuffer) {
        out.append(UInt8(ascii: "\""))
        RFC3339.append(time, to: &out)
        out.append(UInt8(ascii: "\""))
    }

    private func appendMetadata(_ metadata: [String: String], to out: inout ByteBuffer) {
        out.append(",\"metadata\":{")
        var isFirst = true
        // The order of a dictionary differs from run to run.
        for (key, value) in metadata.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            if !isFirst { out.append(UInt8(ascii: ",")) }
            isFirst = false
            out.appendJSONString(key)
            out.append(UInt8(ascii: ":"))
            out.appendJSONString(value)
        }
        out.append("}")
    }
}
