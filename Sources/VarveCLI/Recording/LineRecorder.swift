import Varve
import VarveJSON

/// Turns lines into events: finds their time and kind, and appends them in batches.
final class LineRecorder {
    /// What a line is taken for.
    enum Form {
        case json(LineParsing)
        case text
    }

    /// What is done with a line whose time doesn't parse or fit, and with one that is too long.
    enum BadLines: String, CaseIterable {
        case keep, skip, stop
    }

    /// The time of a line that has none that can be used.
    enum TimeFallback {
        /// When it came.
        case arrival
        /// That of the line before it.
        case previous
    }

    /// What was recorded so far, for the receipt.
    struct Counts {
        var lines: UInt64 = 0
        var events: UInt64 = 0
        var payloadBytes: UInt64 = 0
        var droppedEvents: UInt64 = 0
        /// Bad lines, kept or skipped.
        var bad: UInt64 = 0
        var skipped: UInt64 = 0
        /// Too long, and so split. Bad as well.
        var long: UInt64 = 0
        var notJSON: UInt64 = 0
        /// Without a time of their own.
        var timeless: UInt64 = 0
        /// Events whose time is before that of the one before.
        var stepsBack: UInt64 = 0
        /// Lines by the time field, and by the kind field, that they had.
        var timeFields: [UInt64] = []
        var kindFields: [UInt64] = []
        /// Kinds whose name the store can't take, recorded as `event`.
        var refusedKinds: UInt64 = 0
    }

    /// The longest line that is one event of a store: what it takes as a payload.
    static func lineBytesMax(of store: EventStore) -> Int {
        min(64 << 20, store.limits.bytes.map { Int(clamping: $0 / 8) } ?? .max)
    }

    /// Bytes or events at which a batch goes to the store.
    private static let batchBytes = 256 << 10
    private static let batchEvents = 4096
    /// Lines that are parsed together, at most: a buffer full of empty ones must not take many times its room.
    private static let linesAtOnce = 16_384
    /// Kinds that are taken from lines: the recorder's own must find room too.
    private static let kindsMax = 65_000

    let session: Session
    private let store: EventStore
    private let form: Form
    private let badLines: BadLines
    private let timeFallback: TimeFallback
    // Unchecked, like what follows: no method passes a property on, and a line touches many of them.
    @exclusivity(unchecked) private(set) var counts = Counts()
    /// The sequence numbers that the store gave, from the first to the last.
    private(set) var sequences: ClosedRange<UInt64>?

    @exclusivity(unchecked) private var jsonKinds = KindTable(encoding: .json)
    @exclusivity(unchecked) private var utf8Kinds = KindTable(encoding: .utf8)
    @exclusivity(unchecked) private var binaryKinds = KindTable(encoding: .binary)
    /// What the kinds of parsed lines mean, by thread and number, as far as they were met.
    @exclusivity(unchecked) private var lineKinds: [[LineKind]] = []
    /// Those of parsed lines.
    private var kinds: Set<EventKind> = []
    @exclusivity(unchecked) private var lines: [LineSplitter.Line] = []
    private let batch = EventBatch()
    @exclusivity(unchecked) private var previousTime: Int64
    /// The time of the last event.
    @exclusivity(unchecked) private var lastTime: Int64?

    private enum LineKind {
        case notMet
        case known(EventKind)
        /// The store doesn't take it.
        case refused
    }

    /// - Parameters:
    ///   - startTime: the time of a first line without its own, with ``TimeFallback/previous``.
    init(
        store: EventStore, session: Session, form: Form, badLines: BadLines, timeFallback: TimeFallback,
        startTime: Int64
    ) {
        self.store = store
        self.session = session
        self.form = form
        self.badLines = badLines
        self.timeFallback = timeFallback
        previousTime = startTime
        counts.timeFields = [UInt64](repeating: 0, count: 32)
        counts.kindFields = [UInt64](repeating: 0, count: 32)
    }

    /// How many kinds occurred.
    var kindCount: Int { kinds.union(jsonKinds.kinds + utf8Kinds.kinds + binaryKinds.kinds).count }

    /// Takes the lines of the input that are there. They reach the store with the next ``flush()`` at the latest.
    ///
    /// - Parameter arrival: when they came, in nanoseconds since the epoch.
    func add(_ splitter: inout LineSplitter, arrival: Int64) throws {
        repeat {
            lines.removeAll(keepingCapacity: true)
            while lines.count < Self.linesAtOnce, let line = splitter.next() { lines.append(line) }
            try addLines(arrival: arrival)
        } while lines.count == Self.linesAtOnce
    }

    private func addLines(arrival: Int64) throws {
        switch form {
        case .text:
            for line in lines {
                if line.isPiece {
                    try addPiece(line, arrival: arrival)
                } else {
                    counts.lines += 1
                    try addText(line.bytes, name: "line", at: arrival)
                }
            }
        case .json(let parsing):
            let found = parsing.parse(lines)
            for (line, found) in zip(lines, found) {
                if line.isPiece {
                    try addPiece(line, arrival: arrival)
                } else {
                    counts.lines += 1
                    try add(line.bytes, found, parsing, arrival: arrival)
                }
            }
        }
    }

    private func add(
        _ bytes: UnsafeRawBufferPointer, _ found: LineParsing.Found, _ parsing: LineParsing, arrival: Int64
    ) throws {
        let time: Int64
        if found.hasTimestamp {
            counts.timeFields[Int(found.timeField)] += 1
            time = found.timestamp
            previousTime = time
        } else {
            if found.hasTimeField {
                guard try keepsBadLine("its time can't be used") else { return }
            }
            counts.timeless += 1
            time = fallbackTime(arrival)
        }
        guard found.isJSON else {
            counts.notJSON += 1
            return try addText(bytes, name: "line", at: time)
        }
        try append(bytes, kind: try kind(of: found, parsing), at: time)
    }

    /// Takes a line of a stream: text of that kind, at the time when it came.
    func add(_ line: LineSplitter.Line, stream: StaticString, arrival: Int64) throws {
        if line.isLast { counts.lines += 1 }
        if line.isPiece, line.isLast { counts.long += 1 }
        try addText(line.bytes, name: stream, at: arrival)
    }

    /// Records a JSON event of the command's own.
    func add(json: [UInt8], kind name: StaticString, at time: Int64) throws {
        let kind = try jsonKinds.kind(name, in: store)
        try json.withUnsafeBytes { try append($0, kind: kind, at: time) }
    }

    /// Hands what is collected to the store.
    func flush() throws {
        guard !batch.isEmpty else { return }
        defer { batch.removeAll() }
        do {
            let range = try session.append(batch)
            counts.events += UInt64(range.count)
            counts.droppedEvents += UInt64(batch.count - range.count)
            counts.payloadBytes += UInt64(
                range.count == batch.count ? batch.byteCount : batch.byteCount(ofFirst: range.count))
            if let last = range.last { sequences = (sequences?.lowerBound ?? range.lowerBound)...last }
        } catch {
            guard error == .dropped else { throw error }
            counts.droppedEvents += UInt64(batch.count)
        }
    }

    private func fallbackTime(_ arrival: Int64) -> Int64 {
        switch timeFallback {
        case .arrival: arrival
        case .previous: previousTime
        }
    }

    /// A piece of a line that is too long: of kind `line`, and binary, since it may end within a character.
    private func addPiece(_ line: LineSplitter.Line, arrival: Int64) throws {
        if badLines == .stop {
            let most = SizeText.exact(UInt64(Self.lineBytesMax(of: store)))
            let limit =
                store.limits.bytes.flatMap {
                    $0 / 8 < 64 << 20 ? ": with --max-bytes \(SizeText.exact($0)) no event has more" : nil
                } ?? ""
            try stop("it is longer than \(most)\(limit)", line: counts.lines + 1)
        }
        if line.isLast {
            counts.lines += 1
            counts.long += 1
            counts.bad += 1
            if badLines == .skip { counts.skipped += 1 }
        }
        if badLines == .skip { return }
        try append(line.bytes, kind: try binaryKinds.kind("line", in: store), at: fallbackTime(arrival))
    }

    /// Counts a bad line, and says whether it is recorded all the same.
    private func keepsBadLine(_ reason: String) throws -> Bool {
        counts.bad += 1
        switch badLines {
        case .keep: return true
        case .skip:
            counts.skipped += 1
            return false
        case .stop: try stop(reason, line: counts.lines)
        }
    }

    private func stop(_ reason: String, line: UInt64) throws -> Never {
        throw CommandFailure("line \(line): \(reason): what came before it is recorded")
    }

    private func addText(_ bytes: UnsafeRawBufferPointer, name: StaticString, at time: Int64) throws {
        let kind =
            JSONText.isUTF8(bytes)
            ? try utf8Kinds.kind(name, in: store) : try binaryKinds.kind(name, in: store)
        try append(bytes, kind: kind, at: time)
    }

    private func kind(of line: LineParsing.Found, _ parsing: LineParsing) throws -> EventKind {
        if line.kindField >= 0 {
            switch try meaning(of: line, parsing) {
            case .known(let kind):
                counts.kindFields[Int(line.kindField)] += 1
                return kind
            case .refused, .notMet: counts.refusedKinds += 1
            }
        }
        return try jsonKinds.kind("event", in: store)
    }

    private func meaning(of line: LineParsing.Found, _ parsing: LineParsing) throws -> LineKind {
        guard line.kind >= 0 else { return .refused }
        let (worker, number) = (Int(line.worker), Int(line.kind))
        if lineKinds.isEmpty { lineKinds = Array(repeating: [], count: parsing.workerCount) }
        if number < lineKinds[worker].count {
            let known = lineKinds[worker][number]
            if case .notMet = known {} else { return known }
        }
        while lineKinds[worker].count <= number { lineKinds[worker].append(.notMet) }
        let name = String(decoding: parsing.name(of: line.kind, worker: line.worker), as: UTF8.self)
        var meaning = LineKind.refused
        if kinds.count < Self.kindsMax {
            do {
                let kind = try store.kind(name, .json)
                kinds.insert(kind)
                meaning = .known(kind)
            } catch {
                switch error {
                // A name that the store doesn't take, or one kind more than it takes: no reason to lose the line.
                case .invalid, .beyondLimit: break
                default: throw error
                }
            }
        }
        lineKinds[worker][number] = meaning
        return meaning
    }

    @inline(__always)
    private func append(_ payload: UnsafeRawBufferPointer, kind: EventKind, at time: Int64) throws {
        if let lastTime, time < lastTime { counts.stepsBack += 1 }
        lastTime = time
        try batch.add(payload, kind: kind, at: time)
        if batch.byteCount >= Self.batchBytes || batch.count >= Self.batchEvents { try flush() }
    }
}
