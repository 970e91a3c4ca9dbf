import Varve

/// Prints the sequence number of each event, one a line, once it is durable (`--acks`).
struct Acknowledgments {
    private let output = Output()
    private let isWanted: Bool
    private var next: UInt64?
    private var last: UInt64?
    private var isClosed = false

    init(isWanted: Bool) { self.isWanted = isWanted }

    /// Whether numbers wait for their events to become durable.
    var arePending: Bool {
        guard let next, let last, !isClosed else { return false }
        return next <= last
    }

    /// Says which numbers the store has given to the recording so far, from the first to the last.
    mutating func update(_ sequences: ClosedRange<UInt64>?) {
        guard isWanted, let sequences else { return }
        if last == nil { next = sequences.lowerBound }
        last = sequences.upperBound
    }

    /// Prints the numbers up to that one.
    mutating func print(through durable: UInt64?) throws {
        guard arePending, var number = next, let last, let durable, number <= durable else { return }
        let end = min(last, durable)
        do {
            while true {
                try output.line { $0.append(integer: number) }
                if number == end { break }
                number += 1
            }
            try output.flush()
        } catch is ClosedPipe {
            // Nobody wants the numbers any more; the recording goes on.
            isClosed = true
        }
        next = end == UInt64.max ? nil : end + 1
    }
}
