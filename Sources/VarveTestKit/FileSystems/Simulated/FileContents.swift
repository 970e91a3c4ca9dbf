/// The bytes of a simulated file: a value that is copied when it is changed while shared, so that many states of a
/// disk cost the bytes in which they differ.
///
/// Pinned, it is memory that stays where it is, for a writable mapping: then all copies of the value are the same
/// bytes, and ``copy()`` makes others.
// SAFETY: a storage that is shared is never changed, unless it is pinned; then it is shared memory by nature.
struct FileContents: @unchecked Sendable {
    private final class Storage {
        let base: UnsafeMutableRawPointer
        let capacity: Int

        init(capacity: Int) {
            self.capacity = capacity
            base = .allocate(byteCount: max(capacity, 1), alignment: SimulatedDisk.pageBytes)
        }

        deinit { base.deallocate() }
    }

    private var storage: Storage
    private(set) var count: Int
    private(set) var isPinned = false

    private static let nothing = FileContents(storage: Storage(capacity: 0), count: 0)

    private init(storage: Storage, count: Int) {
        self.storage = storage
        self.count = count
    }

    init() { self = FileContents.nothing }

    /// The bytes. They stay while `owner` is held, and are not changed, unless pinned.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage.base, count: count) }
    /// What keeps ``bytes`` alive.
    var owner: AnyObject { storage }
    /// The memory of a pinned file.
    var pinnedBase: UnsafeMutableRawPointer { storage.base }

    func copy() -> FileContents {
        var copy = FileContents()
        copy.makeRoom(for: count)
        copy.storage.base.copyMemory(from: storage.base, byteCount: count)
        copy.count = count
        return copy
    }

    /// Moves the bytes to where they stay from now on. A pinned file does not outgrow its pages.
    mutating func pin() {
        guard !isPinned else { return }
        let page = SimulatedDisk.pageBytes
        let fresh = Storage(capacity: (count + page - 1) / page * page)
        fresh.base.copyMemory(from: storage.base, byteCount: count)
        (fresh.base + count).initializeMemory(as: UInt8.self, repeating: 0, count: fresh.capacity - count)
        storage = fresh
        isPinned = true
    }

    /// Whether the file may have that length.
    func canHold(_ byteCount: Int) -> Bool { !isPinned || byteCount <= storage.capacity }

    /// Sets the length; what is new is zeros.
    mutating func setCount(_ newCount: Int) {
        if newCount > count {
            makeRoom(for: newCount)
            (storage.base + count).initializeMemory(as: UInt8.self, repeating: 0, count: newCount - count)
        }
        count = newCount
    }

    /// Writes, extending with zeros where needed.
    mutating func write(_ source: UnsafeRawBufferPointer, at offset: Int) {
        guard let from = source.baseAddress, !source.isEmpty else { return }
        let end = offset + source.count
        makeRoom(for: max(end, count))
        if offset > count {
            (storage.base + count).initializeMemory(as: UInt8.self, repeating: 0, count: offset - count)
        }
        // SAFETY: there is room up to `end`, and the storage is this value's alone, or pinned.
        (storage.base + offset).copyMemory(from: from, byteCount: source.count)
        count = max(count, end)
    }

    /// Makes the storage this value's alone, and large enough.
    private mutating func makeRoom(for byteCount: Int) {
        if isPinned || (isKnownUniquelyReferenced(&storage) && storage.capacity >= byteCount) { return }
        let capacity =
            byteCount <= storage.capacity ? storage.capacity : max(byteCount, storage.capacity * 2, 256)
        let fresh = Storage(capacity: capacity)
        fresh.base.copyMemory(from: storage.base, byteCount: count)
        storage = fresh
    }
}
