import VarveTestKit

/// Workload A in memory: payloads one after the other, and what stands beside them in plain arrays.
///
/// Every page is touched when it is made, so that no measurement pays for a first touch. Immutable afterwards.
public final class Dataset: @unchecked Sendable {
    /// How many events.
    public let count: Int
    /// The bytes of all payloads.
    public let payloads: UnsafeMutableRawBufferPointer
    /// Where each payload begins in ``payloads``. One more than there are events.
    public let offsets: UnsafeMutablePointer<Int>
    /// Nanoseconds since 1970; ascending.
    public let timestamps: UnsafeMutablePointer<Int64>
    /// Positions in `WorkloadA.kindNames`.
    public let kinds: UnsafeMutablePointer<UInt8>

    /// Pieces of the payloads as the limits compress and check them.
    public static let pieceBytes = 64 << 10

    /// The first `count` events of the workload. About 0.3 µs each.
    public init(count: Int) {
        self.count = count
        offsets = .allocate(capacity: count + 1)
        timestamps = .allocate(capacity: count)
        kinds = .allocate(capacity: count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 210)
        var workload = WorkloadA()
        offsets[0] = 0
        for position in 0..<count {
            let event = workload.next()
            bytes.append(contentsOf: workload.payload)
            offsets[position + 1] = bytes.count
            timestamps[position] = event.timestamp
            kinds[position] = UInt8(event.kind)
        }
        payloads = .allocate(byteCount: max(bytes.count, 1), alignment: 64)
        payloads.copyBytes(from: bytes)
    }

    deinit {
        payloads.deallocate()
        offsets.deallocate()
        timestamps.deallocate()
        kinds.deallocate()
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
