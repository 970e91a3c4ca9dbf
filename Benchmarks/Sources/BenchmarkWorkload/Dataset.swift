import VarveTestKit

/// Events in memory, of workload A, workload B or a capture: payloads one after the other, and what stands beside them in plain
/// arrays.
///
/// Every page is touched when it is made, so that no measurement pays for a first touch. Immutable afterwards.
public final class Dataset: @unchecked Sendable {
    /// What the events are, besides themselves.
    public struct Description: Sendable {
        /// The name for reports: `A`, `B` or a file's.
        public var name: String
        /// The names of kinds; at most 256.
        public var kindNames: [String]
        /// The kind whose events are counted: a position in ``kindNames``.
        public var countedKind: Int
        /// A text in few payloads, of ASCII letters, digits and underscores. No kind's name has it.
        public var rareText: String
        /// When a session of the events starts: not after the first one. Nanoseconds since 1970.
        public var startTimestamp: Int64

        /// A description.
        public init(
            name: String, kindNames: [String], countedKind: Int, rareText: String, startTimestamp: Int64
        ) {
            self.name = name
            self.kindNames = kindNames
            self.countedKind = countedKind
            self.rareText = rareText
            self.startTimestamp = startTimestamp
        }
    }

    /// What stands beside a payload.
    public typealias Head = (timestamp: Int64, kind: UInt8)

    /// What the events are.
    public let description: Description
    /// How many events.
    public let count: Int
    /// The bytes of all payloads.
    public let payloads: UnsafeMutableRawBufferPointer
    /// Where each payload begins in ``payloads``. One more than there are events.
    public let offsets: UnsafeMutablePointer<Int>
    /// Nanoseconds since 1970, not negative; ascending, and only in a capture may two be equal.
    public let timestamps: UnsafeMutablePointer<Int64>
    /// Positions in ``Description/kindNames``.
    public let kinds: UnsafeMutablePointer<UInt8>
    /// Whether several events have one time.
    public let hasEqualTimes: Bool

    /// Pieces of the payloads as the limits compress and check them.
    public static let pieceBytes = 64 << 10

    /// Events that `event` makes one after the other.
    ///
    /// - Parameters:
    ///   - expectedBytes: about how many bytes the payloads have.
    ///   - event: appends the payload of the event at a position, and tells what stands beside it.
    public init(
        _ description: Description, count: Int, expectedBytes: Int, event: (Int, inout [UInt8]) -> Head
    ) {
        self.description = description
        self.count = count
        offsets = .allocate(capacity: count + 1)
        timestamps = .allocate(capacity: count)
        kinds = .allocate(capacity: count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(expectedBytes)
        offsets[0] = 0
        for position in 0..<count {
            let head = event(position, &bytes)
            offsets[position + 1] = bytes.count
            timestamps[position] = head.timestamp
            kinds[position] = head.kind
        }
        hasEqualTimes = (0..<count).dropFirst().contains { [timestamps] in
            timestamps[$0] == timestamps[$0 - 1]
        }
        payloads = .allocate(byteCount: max(bytes.count, 1), alignment: 64)
        payloads.copyBytes(from: bytes)
    }

    /// The first `count` events of workload A. About 0.3 µs each.
    public convenience init(count: Int) { self.init(.single, count: count) }

    /// The first `count` events of a workload: A has single objects, and B snapshots.
    public convenience init(_ shape: WorkloadA.Shape, count: Int) {
        let (name, meanBytes) =
            switch shape {
            case .single: ("A", 210)
            case .snapshot: ("B", 4_050)
            }
        let description = Description(
            name: name, kindNames: WorkloadA.kindNames, countedKind: 3, rareText: WorkloadA.rareText,
            startTimestamp: WorkloadA.startTimestamp)
        var workload = WorkloadA(shape)
        self.init(description, count: count, expectedBytes: count * meanBytes) { _, bytes in
            let event = workload.next()
            bytes.append(contentsOf: workload.payload)
            return (event.timestamp, UInt8(event.kind))
        }
    }

    deinit {
        payloads.deallocate()
        offsets.deallocate()
        timestamps.deallocate()
        kinds.deallocate()
    }

    /// The first events, `count` or all: a copy.
    public func prefix(_ count: Int) -> Dataset {
        let count = min(count, self.count)
        return Dataset(description, count: count, expectedBytes: offsets[count]) { position, bytes in
            bytes.append(contentsOf: payload(position))
            return (timestamps[position], kinds[position])
        }
    }

    /// Bytes of all payloads.
    public var byteCount: Int { offsets[count] }

    /// The payload of one event; valid as long as the dataset.
    @inlinable
    @inline(__always)
    public func payload(_ position: Int) -> UnsafeRawBufferPointer {
        // SAFETY: offsets ascend, and the last one is the count of the payloads' bytes.
        UnsafeRawBufferPointer(
            start: payloads.baseAddress.map { $0 + offsets[position] },
            count: offsets[position + 1] - offsets[position])
    }

    /// How many pieces the payloads have.
    public var pieceCount: Int { (byteCount + Dataset.pieceBytes - 1) / Dataset.pieceBytes }

    /// A 64 KiB piece of the payloads; the last one is shorter.
    public func piece(_ number: Int) -> UnsafeRawBufferPointer {
        let start = number * Dataset.pieceBytes
        return UnsafeRawBufferPointer(rebasing: payloads[start..<min(start + Dataset.pieceBytes, byteCount)])
    }
}
