import ArgumentParser
import VarveJSON

/// A column of `--fields`.
struct FieldColumn {
    /// As it was written.
    let name: String
    /// Its UTF-8 as a key of the payload, or keys with dots between; nil where it begins like a path alone.
    fileprivate let key: [UInt8]?
    /// Where the dots are in the key, if it is of names alone.
    fileprivate let dots: [Int]
    /// What it says with brackets.
    fileprivate let path: JSONPath?
    /// Whether it may have several values.
    fileprivate let isList: Bool

    /// The columns of the option.
    ///
    /// - Throws: `ValidationError`, which names the column.
    static func columns(_ option: String?) throws -> [FieldColumn] {
        try option.map { try TopColumn.split($0).map(FieldColumn.init) } ?? []
    }

    private init(_ text: String) throws {
        name = text
        if text == "." {
            (key, dots, path, isList) = (nil, [], .root, false)
            return
        }
        let bytes = Array(text.utf8)
        let isPath = bytes.first == UInt8(ascii: ".") || bytes.first == UInt8(ascii: "[")
        if isPath || bytes.contains(UInt8(ascii: "[")) || bytes.contains(UInt8(ascii: "\"")) {
            do throws(JSONPath.Fault) {
                let path = try JSONPath(text)
                self.path = path
                isList = path.isList
            } catch {
                throw ValidationError("--fields \(error)")
            }
            (key, dots) = (isPath ? nil : bytes, [])
            return
        }
        // Other characters than a path's are allowed: it was always so.
        let places = bytes.indices.filter { bytes[$0] == UInt8(ascii: ".") }
        for (start, end) in zip([-1] + places, places + [bytes.count]) where end - start == 1 {
            throw ValidationError("--fields \(text): column \(end + 1): a name is missing")
        }
        (key, dots, path, isList) = (bytes, places, nil, false)
    }
}

/// Reads values out of JSON payloads: a whole key where there is one, else what the path names.
final class FieldReader {
    private let reader = JSONPathReader()

    /// The cells: a string's text, other values as they stand in the payload, several as a JSON array; nothing for what is missing or
    /// null, and for everything in a payload that is no JSON.
    func values(_ columns: [FieldColumn], in payload: UnsafeRawBufferPointer) -> [String] {
        guard reader.parse(payload, locatesDecimals: false) else { return columns.map { _ in "" } }
        return columns.map(value)
    }

    private func value(_ column: FieldColumn) -> String {
        if let key = column.key, let place = find(key[...], column.dots[...], in: reader.root) {
            return reader.text(place)
        }
        guard let path = column.path else { return "" }
        let places = reader.places(path)
        if column.isList, !places.isEmpty {
            return "[" + places.map(reader.json).joined(separator: ",") + "]"
        }
        return places.first.map(reader.text) ?? ""
    }

    private func find(
        _ key: ArraySlice<UInt8>, _ dots: ArraySlice<Int>, in object: JSONPathReader.Place
    ) -> JSONPathReader.Place? {
        if let whole = reader.member(key, of: object) { return whole }
        for (place, dot) in zip(dots.indices, dots) {
            if let inner = reader.member(key[..<dot], of: object),
                let found = find(key[(dot + 1)...], dots[(place + 1)...], in: inner)
            {
                return found
            }
        }
        return nil
    }
}
