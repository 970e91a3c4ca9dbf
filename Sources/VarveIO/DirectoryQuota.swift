#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A file system in which the files of one directory never take more than so many bytes together.
///
/// What would exceed the quota is refused before it reaches the disk, with a failure whose code is ``IOFailure/quotaCode``. Counted are
/// the lengths of all regular files in the directory, whoever made them, as they were when it was set up and as they change through
/// this object. A file that was unlinked does not count, however long somebody has it open. Any thread may call.
public final class DirectoryQuota {
    /// A file's length, as far as it counts. Guarded by the monitor.
    fileprivate final class Entry: @unchecked Sendable {
        var byteCount: UInt64
        var isLinked = true

        init(_ byteCount: UInt64) { self.byteCount = byteCount }
    }

    /// What does the work.
    public let base: any FileSystem
    private let prefix: String
    private let monitor = Lock()
    // Guarded by the monitor.
    private var entries: [String: Entry] = [:]
    private var used: UInt64 = 0
    private var quota: UInt64

    /// Counts what is in the directory. O(files).
    public init(_ directory: String, byteCountMax: UInt64, on base: any FileSystem) throws(IOFailure) {
        self.base = base
        prefix = directory + "/"
        quota = byteCountMax
        for entry in try base.list(directory) where entry.kind == .regular {
            let path = prefix + entry.name
            let length: UInt64
            if let stamp = try base.stamp(of: path) {
                length = stamp.byteCount
            } else {
                let file = try base.open(path, .read)
                defer { file.close() }
                length = try file.size()
            }
            entries[path] = Entry(length)
            used += length
        }
    }

    /// Bytes of all files in the directory.
    public var usedBytes: UInt64 { monitor.withLock { used } }

    /// Bytes of the files whose names end so, and of the others. O(files).
    public func usedBytes(suffix: String) -> (matching: UInt64, others: UInt64) {
        monitor.withLock {
            let matching = entries.reduce(0) { $1.key.hasSuffix(suffix) ? $0 + $1.value.byteCount : $0 }
            return (matching, used - matching)
        }
    }

    /// Most bytes that they may take. What they take already stays when it is set below that.
    public var byteCountMax: UInt64 {
        get { monitor.withLock { quota } }
        set { monitor.withLock { quota = newValue } }
    }

    /// Bytes that may still be added.
    public var freeBytes: UInt64 { monitor.withLock { quota > used ? quota - used : 0 } }

    private func isCounted(_ path: String) -> Bool {
        path.hasPrefix(prefix) && !path.dropFirst(prefix.count).contains("/")
    }

    /// Counts a file as so long, before it is.
    fileprivate func grow(_ entry: Entry, to byteCount: UInt64, _ path: String) throws(IOFailure) {
        let isRefused = monitor.withLock {
            guard entry.isLinked, byteCount > entry.byteCount else { return false }
            let more = byteCount - entry.byteCount
            guard used <= quota, more <= quota - used else { return true }
            used += more
            entry.byteCount = byteCount
            return false
        }
        if isRefused { throw IOFailure(.write, path: path, code: IOFailure.quotaCode) }
    }

    /// Counts a file as it is.
    fileprivate func settle(_ entry: Entry, at byteCount: UInt64) {
        monitor.withLock {
            guard entry.isLinked else { return }
            used = used - entry.byteCount + byteCount
            entry.byteCount = byteCount
        }
    }

    /// A name went away, or something else got it. Call with the monitor held.
    private func forget(_ path: String) {
        guard let entry = entries.removeValue(forKey: path) else { return }
        entry.isLinked = false
        used -= entry.byteCount
    }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension DirectoryQuota: ForwardingFileSystem, @unchecked Sendable {

    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        guard mode != .read, isCounted(path) else { return file }
        if mode == .createExclusive {
            let entry = Entry(0)
            monitor.withLock {
                forget(path)
                entries[path] = entry
            }
            return QuotaFile(file, entry, self)
        }
        let length: UInt64
        do throws(IOFailure) {
            length = try file.size()
        } catch {
            file.close()
            throw error
        }
        let entry = monitor.withLock {
            if let entry = entries[path] { return entry }
            let entry = Entry(length)
            entries[path] = entry
            used += length
            return entry
        }
        return QuotaFile(file, entry, self)
    }

    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try base.rename(from, to: to, replacing: replacing)
        monitor.withLock {
            if isCounted(to) { forget(to) }
            guard isCounted(to), let entry = entries.removeValue(forKey: from) else { return forget(from) }
            entries[to] = entry
        }
    }

    public func unlink(_ path: String) throws(IOFailure) {
        try base.unlink(path)
        monitor.withLock { forget(path) }
    }
}

/// A mutex of the system's, whose order ThreadSanitizer sees.
private final class Lock: @unchecked Sendable {
    // SAFETY: initialised once, never moved, and destroyed with self.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }
}

/// A file that counts.
private final class QuotaFile: File {
    private let base: any File
    private let entry: DirectoryQuota.Entry
    private let quota: DirectoryQuota

    init(_ base: any File, _ entry: DirectoryQuota.Entry, _ quota: DirectoryQuota) {
        self.base = base
        self.entry = entry
        self.quota = quota
    }

    var path: String { base.path }
    func size() throws(IOFailure) -> UInt64 { try base.size() }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try base.read(at: offset, into: buffer)
    }
    func sync() throws(IOFailure) { try base.sync() }
    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map() }
    func close() { base.close() }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
        try growing(to: overflow ? .max : end) { () throws(IOFailure) in
            try base.write(bytes, at: offset)
        }
    }

    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        try growing(to: range.upperBound) { () throws(IOFailure) in try base.allocate(range) }
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try growing(to: UInt64(max(byteCount, 0))) { () throws(IOFailure) in
            try base.mapWritable(byteCount: byteCount)
        }
    }

    func truncate(to byteCount: UInt64) throws(IOFailure) {
        try growing(to: byteCount) { () throws(IOFailure) in try base.truncate(to: byteCount) }
        quota.settle(entry, at: byteCount)
    }

    /// Counts the bytes first, and what became of them where it fails.
    private func growing<R>(
        to byteCount: UInt64, _ body: () throws(IOFailure) -> R
    ) throws(IOFailure) -> R {
        try quota.grow(entry, to: byteCount, path)
        do throws(IOFailure) {
            return try body()
        } catch {
            if let length = try? base.size() { quota.settle(entry, at: length) }
            throw error
        }
    }
}
