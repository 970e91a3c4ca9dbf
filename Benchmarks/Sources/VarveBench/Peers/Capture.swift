import Foundation
import VarveJSON

/// Reads captures: files of JSON Lines whose time stands in `@timestamp` and whose kind in `Channel`.
struct Capture {
    private struct Event {
        var timestamp: Int64
        var kind: UInt8
        /// Within the file.
        var payload: UnsafeRawBufferPointer
    }

    private var kindNames: [String] = []
    private var events: [Event] = []

    /// The events of a file's first `lineCount` lines, or of all.
    ///
    /// Payloads are the lines' bytes, as `varve record` keeps them. Events are put in the order of time; those of one time stay in the
    /// order of the file. The counted kind is that of the event in the middle, and the rare text is a word of it or of one after it.
    static func events(of path: String, lineCount: Int?) throws -> Dataset {
        let file: Data
        do {
            file = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)
        } catch {
            throw PeerFailure("can't read \(path): \(error.localizedDescription)")
        }
        let name = URL(filePath: path).lastPathComponent
        return try file.withUnsafeBytes { bytes in
            do {
                return try Capture(bytes, lineCount: lineCount).dataset(name)
            } catch let failure as PeerFailure {
                throw PeerFailure("\(path): \(failure)")
            }
        }
    }

    private init(_ file: UnsafeRawBufferPointer, lineCount: Int?) throws {
        let parser = LineParser(timeFields: ["@timestamp"], kindFields: ["Channel"])
        var kinds: [String: UInt8] = [:]
        let lines = file.split(
            separator: UInt8(ascii: "\n"), maxSplits: lineCount ?? .max, omittingEmptySubsequences: false)
        for (number, line) in lines.prefix(lineCount ?? .max).enumerated() {
            let payload = UnsafeRawBufferPointer(rebasing: line)
            if payload.allSatisfy({ $0 == UInt8(ascii: "\r") }) { continue }
            let found = parser.parse(payload, isPadded: false)
            guard found.isJSON, let timestamp = found.timestamp, timestamp >= 0 else {
                throw PeerFailure("line \(number + 1) is no JSON with a time since 1970 in @timestamp")
            }
            let kind = found.kind.map { String(decoding: $0, as: UTF8.self) } ?? ""
            let name = kind.isEmpty ? "event" : kind
            if kinds[name] == nil {
                // The stores keep a kind as one byte, or its name as it is between quotation marks, or after a byte with its length.
                let isPlain = name.utf8.allSatisfy {
                    $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
                }
                guard kindNames.count <= UInt8.max, isPlain, name.utf8.count <= UInt8.max else {
                    throw PeerFailure("line \(number + 1) has a kind that not every store here can keep")
                }
                kinds[name] = UInt8(kindNames.count)
                kindNames.append(name)
            }
            events.append(Event(timestamp: timestamp, kind: kinds[name, default: 0], payload: payload))
        }
        guard !events.isEmpty else { throw PeerFailure("there are no events") }
        // Stable: what is sorted are times with their places.
        events = events.enumerated()
            .sorted { ($0.element.timestamp, $0.offset) < ($1.element.timestamp, $1.offset) }
            .map(\.element)
    }

    private func dataset(_ name: String) throws -> Dataset {
        let middle = events[events.count / 2]
        guard let rareText = rareText() else {
            throw PeerFailure("there is no word of 12 letters and digits to look for")
        }
        let description = Dataset.Description(
            name: name, kindNames: kindNames, countedKind: Int(middle.kind), rareText: rareText,
            startTimestamp: events[0].timestamp)
        let byteCount = events.reduce(0) { $0 + $1.payload.count }
        return Dataset(description, count: events.count, expectedBytes: byteCount) { position, bytes in
            let event = events[position]
            bytes.append(contentsOf: event.payload)
            return (event.timestamp, event.kind)
        }
    }

    /// The rarest word of the event in the middle; where all of its words are frequent, of the first one after it (and then from the
    /// beginning) that has a word in at most one event of a hundred. Of equally rare ones it is the first.
    private func rareText() -> String? {
        var seen: Set<String> = []
        var rarest: (word: String, count: Int)?
        let middle = events.count / 2
        for event in events[middle...] + events[..<middle] {
            for word in words(of: event.payload) where seen.insert(word).inserted {
                guard let count = eventCount(with: word, below: rarest?.count ?? .max) else { continue }
                rarest = (word, count)
                if count == 1 { return word }
            }
            if let rarest, rarest.count <= events.count / 100 { break }
        }
        return rarest?.word
    }

    /// The first words of a payload, up to 256: 12 to 64 ASCII letters and digits, but not digits alone, which a time may have. What a
    /// kind's name has is none: the name stands beside payloads.
    private func words(of payload: UnsafeRawBufferPointer) -> [String] {
        payload.split { !$0.isASCIILetter && !$0.isASCIIDigit }
            .filter { (12...64).contains($0.count) && $0.contains { $0.isASCIILetter } }
            .prefix(256)
            .map { String(decoding: $0, as: UTF8.self) }
            .filter { word in !kindNames.contains { $0.contains(word) } }
    }

    /// How many events have a word; nil when there are not fewer than `limit`.
    private func eventCount(with word: String, below limit: Int) -> Int? {
        let needle = Needle(word)
        var count = 0
        for event in events where needle.stands(in: event.payload) {
            count += 1
            if count >= limit { return nil }
        }
        return count
    }
}

extension UInt8 {
    fileprivate var isASCIIDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    fileprivate var isASCIILetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }
}
