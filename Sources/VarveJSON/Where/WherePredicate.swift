import CSimdJSON
public import Varve

/// A condition on events in the language of `--where`: on what is in JSON payloads, and on what stands beside
/// them.
///
/// ```swift
/// let suspicious = try WherePredicate(#"kind == "ProcessAccess" and number(GrantedAccess) == 0x1000"#)
/// let query = suspicious.narrowing(Query().matching(suspicious))
/// ```
///
/// **Values.** An operand has no value, one, or several: a path with `[]`, and `**`, have one for each place
/// that is there. A test holds where some value of its operand fulfils it; of two operands, some pair.
/// Whether paths to many values on both sides have an equal pair is told in time that is linear in their
/// number, but for arrays and objects among them; other tests of many with many look at every pair. `exists`
/// is that there is a value, `is missing` that there is none. `a != b`, `is not`, `not in`, `not
/// contains` and the like are `not` of the test without: they also hold where the path is missing. `null` is
/// a value.
///
/// **Members.** Of members with the same key the last counts, also for `**`, which stands for every text,
/// number, `true`, `false` and `null` at any depth.
///
/// **Comparing.** A number never equals a text. Numbers are compared exactly: whole ones whatever their size,
/// decimals as the doubles that they are nearest to, one with the other by their values (`1 == 1.0`). Texts
/// are equal, and in order, by their UTF-8. Arrays and objects equal each other where all in them does,
/// whatever the order of members. `<`, `<=`, `>` and `>=` are false of values of different types, and of all
/// but numbers, texts, times and lengths of time.
///
/// **Texts.** `contains`, `startswith`, `endswith`, `has` and `matches` are false of all but texts. `has`
/// finds a text at whose start and end no token goes on, a token being a run of ASCII letters, digits and
/// characters beyond ASCII. `nocase` and `lower` bring letters of ASCII to lower case, and other characters
/// to their simple lower case in Unicode where that is one character beyond ASCII. `matches` finds a regular
/// expression as ``RegularExpression`` has it.
///
/// **Functions.** `number(x)` is a number itself, or what a text such as `12`, `-3.5`, `1e3` or `0x154` says
/// (white space around it does not matter); `lower(x)` a text in lower case; `size(x)` the code points of a
/// text, the elements of an array, the members of an object; `time(x, "+02:00")` a time in RFC 3339, of that
/// zone where it names none (UTC without one), or a number since 1970 as ``NumericTime`` reads it. Of
/// anything else they have no value.
///
/// **Times.** `timestamp` and `time(…)` are times. A text in quotes that is compared with one, or subtracted,
/// is read as RFC 3339 or a date. The difference of two times is a length of time, as `10s` is one (`ns us ms
/// s m h d`); a time less a length is a time, and missing where it does not fit.
///
/// **Elements.** In `any(path, condition)` and `all(path, condition)` paths begin at the element, `.` is the
/// element itself, and attributes are the event's. `all` over nothing is false.
///
/// **Attributes.** `kind`, `session`, `sequence`, `index`, `timestamp` and `length` are the event's when they
/// stand alone and are spelled so; `.kind`, `Kind` and `kind.name` are of the payload. Words of the language
/// are the same in upper case.
///
/// **Payloads that are no JSON**, which is told by their bytes and not by their kind, or are nested deeper
/// than 1,023 levels: a test that has an operand in the payload is neither true nor false for them, its `not`
/// is not either, and an event matches only where the condition is true whatever those were. So `not (x ==
/// 1)` does not match, and `kind == "line" or x == 1` does where the kind is that.
public struct WherePredicate: EventPredicate {
    /// The names that mean what stands beside a payload where they stand alone.
    package static let attributeNames: Set<String> = [
        "kind", "session", "sequence", "index", "timestamp", "length",
    ]

    /// Whether a name at the beginning of a path may mean anything but a member of that name: `not.a == 1` is
    /// the opposite of `.a == 1`.
    package static func isReserved(_ name: String) -> Bool { WhereParser.isReserved(name) }

    /// As it was written.
    public let expression: String
    /// What the payload of every event that matches holds. Stored, because cursors ask for it again and again.
    public let textRequirement: TextRequirement
    let test: WhereTest
    let program: WhereProgram

    /// Reads a condition. Linear in its length, which is at most 64 KiB; brackets and functions are nested at
    /// most 100 deep.
    ///
    /// - Parameters:
    ///   - expression: the text.
    ///   - defaultOffsetSeconds: the offset from UTC of times without a zone, in the text and in payloads.
    /// - Throws: where it is wrong, and the remedy.
    public init(_ expression: String, defaultOffsetSeconds: Int = 0) throws(WhereFault) {
        self.expression = expression
        test = try WhereParser.parse(expression, defaultOffsetSeconds: defaultOffsetSeconds)
        program = WhereProgram(test)
        textRequirement = test.textRequirement
    }

    /// The condition in one spelling: of those that are written differently and read as the same it is the
    /// same.
    public var description: String { test.description }

    /// Whether anything in it is of payloads.
    public var needsPayload: Bool { program.needsPayload }

    /// What evaluates it.
    public func makeEvaluator() -> any PredicateEvaluator { WhereEvaluator(self) }
}

/// A condition for the rows of blocks.
final class WhereEvaluator: PredicateEvaluator {
    private let program: WhereProgram
    private let machine: WhereMachine
    private let sieve: WhereSieve?
    private var kinds: [WhereValue?] = []
    private var session: (ordinal: UInt64, id: WhereValue)?
    private var memory: [UnsafeMutablePointer<UInt8>] = []

    /// `sieves`: whether payloads are ruled out by their bytes before they are parsed. The answers are the
    /// same.
    init(_ predicate: WherePredicate, sieves: Bool = true) {
        program = predicate.program
        machine = WhereMachine(program)
        sieve = sieves ? WhereSieve(WhereNeed(predicate.test)) : nil
    }

    deinit { for pointer in memory { pointer.deallocate() } }

    /// One event, by itself.
    func matches(payload: UnsafeRawBufferPointer, attributes: WhereAttributes, isPadded: Bool = false) -> Bool
    {
        machine.attributes = attributes
        switch machine.verdict() {
        case .yes: return true
        case .no: return false
        case .unknown:
            if let sieve, let base = payload.baseAddress {
                sieve.begin(upTo: base.assumingMemoryBound(to: UInt8.self) + payload.count)
                guard sieve.keeps(payload) else { return false }
            }
            return machine.matches(payload: payload, isPadded: isPadded)
        }
    }

    func prefilter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
        guard program.looksAtAttributes else { return rows.count }
        var kept = 0
        for row in rows {
            load(row, of: block)
            guard machine.verdict() != .no else { continue }
            rows[kept] = row
            kept += 1
        }
        return kept
    }

    func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
        guard let first = rows.first, let last = rows.last, first > last else {
            return filterUp(rows, of: block)
        }
        // From the last to the first: payloads are looked through in the order of memory all the same.
        Self.reverse(rows, rows.count)
        let kept = filterUp(rows, of: block)
        Self.reverse(rows, kept)
        return kept
    }

    private static func reverse(_ rows: UnsafeMutableBufferPointer<UInt32>, _ count: Int) {
        for place in 0..<count / 2 { rows.swapAt(place, count - 1 - place) }
    }

    private func filterUp(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows)
        -> Int
    {
        guard let highest = rows.max() else { return 0 }
        // What comes after the last of them in memory is another payload, or what the block says of its last
        // one.
        let last = block.payload(highest)
        let readableEnd = last.baseAddress.map { $0 + last.count + block.readableAfter }
        var kept = 0
        // Up to where rows follow each other, so that their payloads are looked through at once.
        var runEnd = 0
        for place in rows.indices {
            let row = rows[place]
            if sieve != nil, place >= runEnd { runEnd = beginRun(rows, place, block) }
            if program.usesAttributes { load(row, of: block) }
            switch program.looksAtAttributes ? machine.verdict() : .unknown {
            case .no: continue
            case .yes: break
            case .unknown:
                let payload = block.payload(row)
                guard let base = payload.baseAddress, let readableEnd else { continue }
                if let sieve, !sieve.keeps(payload) { continue }
                let isPadded = readableEnd - base >= payload.count + Int(varve_json_padding)
                guard machine.matches(payload: payload, isPadded: isPadded) else { continue }
            }
            rows[kept] = row
            kept += 1
        }
        return kept
    }

    /// Starts the sieve at a row, and returns the place after the last that follows it without a gap.
    private func beginRun(
        _ rows: UnsafeMutableBufferPointer<UInt32>, _ place: Int, _ block: borrowing CandidateRows
    ) -> Int {
        var end = place + 1
        while end < rows.count, rows[end] == rows[end - 1] &+ 1 { end += 1 }
        let last = block.payload(rows[end - 1])
        if let base = last.baseAddress {
            sieve?.begin(upTo: base.assumingMemoryBound(to: UInt8.self) + last.count)
        }
        return end
    }

    private func load(_ row: UInt32, of block: borrowing CandidateRows) {
        machine.attributes.sequence = block.sequence(row)
        machine.attributes.index = block.index(row)
        machine.attributes.timestamp = block.timestamp(row)
        machine.attributes.length = UInt64(block.payloadByteCount(row))
        if program.usesKind {
            let number = Int(block.kindNumber(row))
            if number >= kinds.count {
                kinds += [WhereValue?](repeating: nil, count: number + 1 - kinds.count)
            }
            let known = kinds[number] ?? keep(block.kind(row).name)
            kinds[number] = known
            machine.attributes.kind = known
        }
        if program.usesSession {
            if session?.ordinal != block.sessionOrdinal {
                session = (block.sessionOrdinal, keep(block.sessionID))
            }
            if let session { machine.attributes.session = session.id }
        }
    }

    /// A text that stays as long as the evaluator.
    private func keep(_ text: String) -> WhereValue {
        let bytes = Array(text.utf8)
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        room.initialize(from: bytes, count: bytes.count)
        memory.append(room)
        return .text(room, bytes.count)
    }
}
