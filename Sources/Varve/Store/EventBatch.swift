internal import VarveFormat

/// Events gathered by a caller, to be appended with one call. Reusable; one thread at a time.
public final class EventBatch {
    // Unchecked: no method passes a property on, and a check an access would cost more than the rest of `add`.
    @exclusivity(unchecked) private(set) var rows: UnsafeMutablePointer<EventRow>
    @exclusivity(unchecked) private var rowCapacity = 1024
    @exclusivity(unchecked) private var storage: UnsafeMutableRawPointer
    @exclusivity(unchecked) private var byteCapacity = 64 << 10
    @exclusivity(unchecked) private var registry: UInt64 = 0
    /// Events in it.
    @exclusivity(unchecked) public private(set) var count = 0
    /// Bytes of their payloads.
    @exclusivity(unchecked) public private(set) var byteCount = 0

    /// An empty batch; its room grows with what is added, and is kept for the next use.
    public init() {
        rows = .allocate(capacity: rowCapacity)
        storage = .allocate(byteCount: byteCapacity, alignment: 64)
    }

    deinit {
        rows.deallocate()
        storage.deallocate()
    }

    /// Whether there is nothing in it.
    public var isEmpty: Bool { count == 0 }

    /// Adds an event; copies its payload. Amortised O(bytes). Errors: `beyondLimit`, `foreignKind` when kinds of two stores
    /// are mixed.
    public func add(_ payload: UnsafeRawBufferPointer, kind: EventKind, at timestamp: Int64)
        throws(StoreError)
    {
        guard payload.count <= Limits.payloadBytesMax else {
            throw .beyondLimit(
                what: "the size of a payload", value: UInt64(payload.count),
                limit: UInt64(Limits.payloadBytesMax))
        }
        if count == 0 { registry = kind.registry }
        guard kind.registry == registry else { throw .foreignKind(name: kind.name) }
        if count == rowCapacity {
            let fresh = UnsafeMutablePointer<EventRow>.allocate(capacity: rowCapacity * 2)
            fresh.moveInitialize(from: rows, count: count)
            rows.deallocate()
            rows = fresh
            rowCapacity *= 2
        }
        if byteCount + payload.count > byteCapacity {
            let capacity = max(byteCapacity * 2, byteCount + payload.count)
            let fresh = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
            fresh.copyMemory(from: storage, byteCount: byteCount)
            storage.deallocate()
            storage = fresh
            byteCapacity = capacity
        }
        // SAFETY: both have room for one more, as was just made sure.
        rows[count] = EventRow(
            timestamp: timestamp, index: 0, length: UInt32(payload.count), kind: kind.number)
        if let source = payload.baseAddress {
            (storage + byteCount).copyMemory(from: source, byteCount: payload.count)
        }
        count += 1
        byteCount += payload.count
    }

    /// The same for an array of bytes.
    public func add(_ payload: [UInt8], kind: EventKind, at timestamp: Int64) throws(StoreError) {
        try payload.withBytes { bytes throws(StoreError) in try add(bytes, kind: kind, at: timestamp) }
    }

    /// Bytes of the payloads of the first `count` events. O(count).
    public func byteCount(ofFirst count: Int) -> Int {
        var sum = 0
        for row in 0..<min(count, self.count) { sum += Int(rows[row].length) }
        return sum
    }

    /// Empties it; the memory is kept.
    public func removeAll() {
        count = 0
        byteCount = 0
    }

    func isOf(registry: UInt64) -> Bool { count == 0 || self.registry == registry }

    func payload(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: storage + offset, count: length)
    }
}
