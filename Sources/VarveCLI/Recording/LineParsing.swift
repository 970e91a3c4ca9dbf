import Dispatch
import Synchronization
import VarveJSON

/// What the lines of one read say, found on two threads when there are many.
///
/// Nothing here touches the store: kinds are numbers that the caller gives a meaning, in order of the lines.
final class LineParsing {
    /// What is found in a line.
    struct Found {
        var timestamp: Int64 = 0
        var hasTimestamp = false
        /// Whether a time field holds anything but null, usable or not.
        var hasTimeField = false
        var isJSON = false
        /// Which of the fields gave the time and the kind; -1 for none.
        var timeField: Int8 = -1
        var kindField: Int8 = -1
        /// The thread that parsed it, and the kind's number there; -1 for none, or one that can't be a name.
        var worker: UInt8 = 0
        var kind: Int32 = -1
    }

    // SAFETY: unchecked, because during a call of `parse` only the thread that took its number uses it.
    private final class Worker: @unchecked Sendable {
        let parser: LineParser
        @exclusivity(unchecked) var kinds = KindNames()

        init(_ parser: LineParser) { self.parser = parser }
    }

    /// Lines that a thread takes at once.
    private static let groupLines = 64
    /// With fewer bytes a second thread costs more than it saves.
    private static let sharedBytesMin = 32 << 10

    private let workers: [Worker]
    private var found = UnsafeMutableBufferPointer<Found>.allocate(capacity: 1024)

    /// - Parameter parser: makes the parser of each thread.
    init(_ parser: () -> LineParser) { workers = [Worker(parser()), Worker(parser())] }

    deinit { found.deallocate() }

    /// How many threads there are.
    var workerCount: Int { workers.count }

    /// The name behind a kind's number.
    func name(of kind: Int32, worker: UInt8) -> [UInt8] { workers[Int(worker)].kinds.names[Int(kind)] }

    /// Looks into each line; pieces of long ones are passed over. The answers are valid until the next call.
    func parse(_ lines: [LineSplitter.Line]) -> UnsafeBufferPointer<Found> {
        if found.count < lines.count {
            found.deallocate()
            found = .allocate(capacity: lines.count * 2)
        }
        guard lines.count > Self.groupLines, let first = lines.first?.bytes.baseAddress,
            let last = lines.last?.bytes,
            let end = last.baseAddress, end + last.count - first >= Self.sharedBytesMin
        else {
            parse(lines, 0..<lines.count, worker: 0, into: found)
            return UnsafeBufferPointer(rebasing: found[..<lines.count])
        }
        // SAFETY: the threads write to different elements, and this one waits for the other.
        nonisolated(unsafe) let (found, lines) = (found, lines)
        nonisolated(unsafe) let parsing = self
        let next = Atomic<Int>(0)
        withExtendedLifetime(next) {
            DispatchQueue.concurrentPerform(iterations: workers.count) { worker in
                while true {
                    let start = next.add(Self.groupLines, ordering: .relaxed).oldValue
                    guard start < lines.count else { return }
                    parsing.parse(
                        lines, start..<min(start + Self.groupLines, lines.count), worker: worker, into: found)
                }
            }
        }
        return UnsafeBufferPointer(rebasing: found[..<lines.count])
    }

    private func parse(
        _ lines: [LineSplitter.Line], _ range: Range<Int>, worker number: Int,
        into found: UnsafeMutableBufferPointer<Found>
    ) {
        let worker = workers[number]
        for position in range {
            if lines[position].isPiece {
                found[position] = Found()
                continue
            }
            let result = worker.parser.parse(lines[position].bytes, isPadded: true)
            var line = Found()
            if let timestamp = result.timestamp {
                line.timestamp = timestamp
                line.hasTimestamp = true
            }
            line.hasTimeField = result.hasTimeField
            line.isJSON = result.isJSON
            line.timeField = Int8(truncatingIfNeeded: result.timeField)
            if let kind = result.kind {
                line.kindField = Int8(truncatingIfNeeded: result.kindField)
                line.kind = worker.kinds.number(of: kind) ?? -1
            }
            line.worker = UInt8(truncatingIfNeeded: number)
            found[position] = line
        }
    }
}
