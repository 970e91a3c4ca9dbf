internal import VarveFormat

/// What a cursor works in. The next one of the store takes it over: a short query would spend more on it than on its work.
final class CursorBuffers {
    let columns = EventColumns()
    var subBlock = SubBlockBuffer()
    let scratch = ScratchBuffer()
    var payloadScratch = ScratchBuffer()
    /// Rows on a list, and the offsets of all: as many of each as `rowCapacity`.
    var selected: UnsafeMutablePointer<UInt32>
    var offsets: UnsafeMutablePointer<UInt32>
    var rowCapacity = 1024
    var kindMap: UnsafeMutablePointer<UInt32>
    var kindCapacity = 64

    init() {
        selected = .allocate(capacity: rowCapacity)
        offsets = .allocate(capacity: rowCapacity)
        kindMap = .allocate(capacity: kindCapacity)
    }

    deinit {
        selected.deallocate()
        offsets.deallocate()
        kindMap.deallocate()
    }

    /// Room for so many rows; what was listed is gone.
    func reserveRows(_ count: Int) {
        guard count > rowCapacity else { return }
        selected.deallocate()
        offsets.deallocate()
        rowCapacity = count
        selected = .allocate(capacity: count)
        offsets = .allocate(capacity: count)
    }

    /// Room for so many kinds; what was in the map is gone.
    func reserveKinds(_ count: Int) {
        guard count > kindCapacity else { return }
        kindMap.deallocate()
        kindCapacity = count
        kindMap = .allocate(capacity: count)
    }

    /// Little enough to be kept.
    fileprivate var isSmall: Bool {
        rowCapacity <= 16 << 10
            && scratch.byteCount + payloadScratch.byteCount + subBlock.byteCount <= 1 << 20
    }
}

/// Buffers of cursors that are done, for the next ones. Any thread may call.
final class CursorBufferPool: @unchecked Sendable {
    private static let countMax = 4

    private let monitor = Monitor()
    private var free: [CursorBuffers] = []

    func take() -> CursorBuffers { monitor.withLock { free.popLast() } ?? CursorBuffers() }

    func giveBack(_ buffers: CursorBuffers) {
        guard buffers.isSmall else { return }
        monitor.withLock { if free.count < Self.countMax { free.append(buffers) } }
    }
}
