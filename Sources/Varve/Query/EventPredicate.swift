/// A condition that the engine can't judge itself: what stands in payloads, a condition of a query language. `VarveJSON` has those on
/// text, regular expressions and JSON.
///
/// Two predicates of one type with the same description are the same condition.
public protocol EventPredicate: Sendable, CustomStringConvertible {
    /// Whether matching takes more than what stands beside the payloads. Without, none is decompressed.
    var needsPayload: Bool { get }

    /// What the payload of every event that matches holds: by it token filters rule out what need not be read.
    var textRequirement: TextRequirement { get }

    /// What evaluates the condition, with memory of its own: one for each reader, or several where blocks are decoded ahead. Each is used
    /// by one thread at a time, and sees some of the blocks, in any order.
    func makeEvaluator() -> any PredicateEvaluator
}

/// Evaluates a condition on many events at once.
public protocol PredicateEvaluator: AnyObject {
    /// Keeps the rows that match, in their order, at the start of `rows`, and returns how many those are. Called once a sub-block, with
    /// the payloads.
    func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int

    /// The same before anything is decompressed: it may keep rows that do not match, and must where it would take the payload to
    /// know. Where the predicate needs no payload this is all that is called, and exact.
    func prefilter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int
}

extension PredicateEvaluator {
    /// Keeps all rows.
    public func prefilter(
        _ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows
    ) -> Int { rows.count }
}

/// Events of one block, by their row, as a predicate looks at them. Lent for one call.
public struct CandidateRows: ~Escapable {
    let run: UnsafePointer<CursorRun>
    let core: CursorCore
    /// The first payload of the sub-block at hand; nil where nothing is decompressed.
    let base: UnsafeRawPointer?
    /// Of each row's payload from `base`.
    let offsets: UnsafePointer<UInt32>
    /// Bytes after the last payload that may be read, whatever is in them.
    public let readableAfter: Int

    @_lifetime(immortal)
    init(
        run: UnsafePointer<CursorRun>, core: CursorCore, base: UnsafeRawPointer?,
        offsets: UnsafePointer<UInt32>, readableAfter: Int
    ) {
        self.run = run
        self.core = core
        self.base = base
        self.offsets = offsets
        self.readableAfter = readableAfter
    }

    /// A row's payload; empty in `prefilter`. The payloads of rows that follow each other follow each other in memory.
    public func payload(_ row: UInt32) -> UnsafeRawBufferPointer {
        guard let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(
            start: base + Int(offsets[Int(row)]), count: Int(run.pointee.lengths[Int(row)]))
    }

    /// Bytes of a row's payload, also in `prefilter`.
    public func payloadByteCount(_ row: UInt32) -> Int { Int(run.pointee.lengths[Int(row)]) }

    /// A row's sequence number.
    public func sequence(_ row: UInt32) -> UInt64 { run.pointee.firstSequence &+ UInt64(row) }

    /// A row's position in its session.
    public func index(_ row: UInt32) -> UInt64 {
        if let indices = run.pointee.indices { return indices[Int(row)] }
        return run.pointee.firstIndex &+ UInt64(row)
    }

    /// When it happened, in nanoseconds since the Unix epoch.
    public func timestamp(_ row: UInt32) -> Int64 { run.pointee.timestamps[Int(row)] }

    /// The kind's number: dense, from 0, the same for all calls of one evaluator: a key for what it keeps of a kind.
    public func kindNumber(_ row: UInt32) -> UInt32 {
        run.pointee.kindNumbers[Int(run.pointee.kinds[Int(row)])]
    }

    /// What a row is.
    public func kind(_ row: UInt32) -> EventKind { core.kind(number: kindNumber(row)) }

    /// The session of all rows.
    public var sessionOrdinal: UInt64 { run.pointee.session }

    /// The id of the session of all rows.
    public var sessionID: String { core.sessionID(sessionOrdinal, ofEvent: sequence(0)) }
}

/// Texts that a payload must hold for an event to match.
///
/// All of them ignore the case of ASCII letters. In payloads of a JSON kind they may stand in the bytes as they are, or in the text
/// that those mean: with `\n`, `\u00e9`, `\\` and the like undone.
public indirect enum TextRequirement: Sendable {
    /// Nothing that is known.
    case nothing
    /// These bytes. At its start, or at its end, a token may begin or end: a run of ASCII letters, digits, and bytes from 0x80 on.
    /// Where it must, more can be ruled out.
    case text([UInt8], startsToken: Bool = false, endsToken: Bool = false)
    /// All of these.
    case all([TextRequirement])
    /// One of these, or more.
    case any([TextRequirement])
    /// What the function says when it is told which of these are fulfilled. More of them must never be less to it.
    case combination([TextRequirement], @Sendable ([Bool]) -> Bool)
}
