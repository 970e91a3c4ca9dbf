import VarveJSON

/// Reads values out of JSON payloads by their paths: a whole key where there is one, else keys with dots between.
final class FieldReader {
    /// One for each level of a path, since a reader keeps one document.
    private var readers: [JSONObjectReader] = []

    /// The values: a string's text, other values as they stand in the payload; `nil` for what is missing or null,
    /// and for everything in a payload that is no JSON object.
    func values(_ paths: [String], in payload: UnsafeRawBufferPointer) -> [String?] {
        let reader = reader(0)
        guard (try? reader.parse(payload)) != nil else { return paths.map { _ in nil } }
        return paths.map { value($0, reader, payload, level: 0) }
    }

    private func reader(_ level: Int) -> JSONObjectReader {
        while readers.count <= level { readers.append(JSONObjectReader()) }
        return readers[level]
    }

    private func value(
        _ path: String, _ reader: JSONObjectReader, _ object: UnsafeRawBufferPointer, level: Int
    ) -> String? {
        if let range = reader.rawValue(path) {
            let raw = object[range]
            if raw.first == UInt8(ascii: "\"") { return (try? reader.string(path)) ?? nil }
            let text = String(decoding: raw, as: UTF8.self)
            return text == "null" ? nil : text
        }
        var end = path.startIndex
        while let dot = path[end...].firstIndex(of: ".") {
            let (head, tail) = (String(path[..<dot]), String(path[path.index(after: dot)...]))
            end = path.index(after: dot)
            guard let range = reader.rawValue(head) else { continue }
            let inner = UnsafeRawBufferPointer(rebasing: object[range])
            let nested = self.reader(level + 1)
            guard (try? nested.parse(inner)) != nil else { continue }
            if let value = value(tail, nested, inner, level: level + 1) { return value }
        }
        return nil
    }
}
