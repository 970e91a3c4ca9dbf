import Varve
import VarveJSON

/// Turns lines into events: finds their time and kind, and appends them in batches.
final class LineRecorder {
    /// What a line is taken for.
    enum Form {
        case json(LineParser)
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

    /// The longest line that is one event.
    static let lineBytesMax = 64 << 20
    /// Bytes or events at which a batch goes to the store.
    private static let batchBytes = 256 << 10
    private static let batchEvents = 4096

    let session: Session
    private let store: EventStore
    private let form: Form
    private let badLines: BadLines
    private let timeFallback: TimeFallback
    private(set) var counts = Counts()
    /// The sequence numbers that the store gave, from the first to the last.
    private(set) var sequences: ClosedRange<UInt64>?

    private var jsonKinds = KindCache(encoding: .json)
    private var utf8Kinds = KindCache(encoding: .utf8)
    private var binaryKinds = KindCache(encoding: .binary)
    private let batch = EventBatch()
    private var previousTime: Int64
    /// The time of the last event.
    private var lastTime: Int64?

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
    var kindCount: Int { jsonKinds.entries.count + utf8Kinds.entries.count + binaryKinds.entries.count }

    /// Takes a line of the input. It reaches the store with the next ``flush()`` at the latest.
    ///
    /// - Parameter arrival: when it came, in nanoseconds since the epoch.
    func add(_ line: LineSplitter.Line, arrival: Int64) throws {
        if line.isPiece { return try addPiece(line, arrival: arrival) }
        counts.lines += 1
        switch form {
        case .text:
            try addText(line.bytes, name: "line", at: arrival)
        case .json(let parser):
            let found = parser.parse(line.bytes, isPadded: true)
            var time = found.timestamp
            if let time {
                counts.timeFields[found.timeField] += 1
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
                return try addText(line.bytes, name: "line", at: time ?? arrival)
            }
            try append(line.bytes, kind: try kind(of: found), at: time ?? arrival)
        }
    }

    /// Takes a line of a stream: text of that kind, at the time when it came.
    func add(_ line: LineSplitter.Line, stream: StaticString, arrival: Int64) throws {
        if line.isLast { counts.lines += 1 }
        if line.isPiece, line.isLast { counts.long += 1 }
        try addText(line.bytes, name: stream, at: arrival)
    }

    /// Records a JSON event of the command's own.
    func add(json: [UInt8], kind name: StaticString, at time: Int64) throws {
        let kind = try jsonKinds.kind(Self.bytes(of: name), in: store)
        try json.withUnsafeBytes { try append($0, kind: kind, at: time) }
    }

    /// Hands what is collected to the store.
    func flush() throws {
        guard !batch.isEmpty else { return }
        defer { batch.removeAll() }
        do {
            let range = try session.append(batch)
            counts.events += UInt64(batch.count)
            counts.payloadBytes += UInt64(batch.byteCount)
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
        if badLines == .stop { try stop("it is longer than 64 MiB", line: counts.lines + 1) }
        if line.isLast {
            counts.lines += 1
            counts.long += 1
            counts.bad += 1
            if badLines == .skip { counts.skipped += 1 }
        }
        if badLines == .skip { return }
        let kind = try binaryKinds.kind(Self.bytes(of: "line"), in: store)
        try append(line.bytes, kind: kind, at: fallbackTime(arrival))
    }

    /// The bytes of a literal, which live as long as the process.
    private static func bytes(of name: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
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
        let name = Self.bytes(of: name)
        let kind =
            JSONText.isUTF8(bytes)
            ? try utf8Kinds.kind(name, in: store) : try binaryKinds.kind(name, in: store)
        try append(bytes, kind: kind, at: time)
    }

    private func kind(of line: LineParser.Result) throws -> EventKind {
        if let name = line.kind {
            do {
                let kind = try jsonKinds.kind(name, in: store)
                counts.kindFields[line.kindField] += 1
                return kind
            } catch {
                switch error as StoreError {
                // A name that is empty or too long, or one more than the store takes: no reason to lose the line.
                case .invalid, .beyondLimit: counts.refusedKinds += 1
                default: throw error
                }
            }
        }
        return try jsonKinds.kind(Self.bytes(of: "event"), in: store)
    }

    @inline(__always)
    private func append(_ payload: UnsafeRawBufferPointer, kind: EventKind, at time: Int64) throws {
        if let lastTime, time < lastTime { counts.stepsBack += 1 }
        lastTime = time
        try batch.add(payload, kind: kind, at: time)
        if batch.byteCount >= Self.batchBytes || batch.count >= Self.batchEvents { try flush() }
    }
}
