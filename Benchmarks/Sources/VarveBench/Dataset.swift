import VarveTestKit

/// Workload A in memory: payloads one after the other, and what stands beside them in plain arrays.
///
/// Every page is touched when it is made, so that no measurement pays for a first touch. Immutable afterwards.
final class Dataset: @unchecked Sendable {
    let count: Int
    let payloads: UnsafeMutableRawBufferPointer
    /// One more than there are events.
    let offsets: UnsafeMutablePointer<Int>
    let timestamps: UnsafeMutablePointer<Int64>
    let kinds: UnsafeMutablePointer<UInt8>

    /// Pieces of the payloads as the limits compress and check them.
    static let pieceBytes = 64 << 10

    init(count: Int) {
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

    var byteCount: Int { offsets[count] }

    @inline(__always)
    func payload(_ position: Int) -> UnsafeRawBufferPointer {
        // SAFETY: offsets ascend, and the last one is the count of the payloads' bytes.
        UnsafeRawBufferPointer(
            start: payloads.baseAddress.map { $0 + offsets[position] },
            count: offsets[position + 1] - offsets[position])
    }

    var pieceCount: Int { (byteCount + Dataset.pieceBytes - 1) / Dataset.pieceBytes }

    /// A 64 KiB piece of the payloads; the last one is shorter.
    func piece(_ number: Int) -> UnsafeRawBufferPointer {
        let start = number * Dataset.pieceBytes
        return UnsafeRawBufferPointer(rebasing: payloads[start..<min(start + Dataset.pieceBytes, byteCount)])
    }
}
