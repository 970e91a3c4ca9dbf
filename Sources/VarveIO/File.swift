/// An open regular file. It holds a descriptor until ``close()`` or its end.
///
/// Any thread may call, also at the same time. Reads and writes carry their offset, so that there is no
/// position to share; two writes at the same time to the same bytes leave a mixture. Every call after
/// ``close()`` throws `EBADF`; calls under way at that moment finish undisturbed.
public protocol File: AnyObject, Sendable {
    /// The path that it was opened with. The file may have been renamed or unlinked since.
    var path: String { get }

    /// The file's length now, in bytes.
    func size() throws(IOFailure) -> UInt64

    /// Fills `buffer` from the file, starting at `offset`.
    ///
    /// - Returns: the bytes read: all of the buffer, or fewer only where the file ends.
    /// - Throws: ``IOFailure``; the buffer's contents are then unspecified.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int

    /// Writes all of `bytes` at `offset`, extending the file where needed. Not durable before ``sync()``.
    ///
    /// - Throws: ``IOFailure``, `isOutOfSpace` among others; then any part of the range may have been
    ///   written, and the file may have grown. Bytes outside the range are untouched. Going past
    ///   `RLIMIT_FSIZE`, here or in ``allocate(_:)`` and ``truncate(to:)``, also raises `SIGXFSZ`, which ends
    ///   a process that doesn't ignore it.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure)

    /// Makes every finished write, and the file's length, durable (`fdatasync`; on Darwin `F_FULLFSYNC`).
    ///
    /// - Throws: ``IOFailure``. Which of the writes since the last successful sync are durable is then
    ///   unknown **for good**: the system may have dropped them and a second call may succeed without writing
    ///   them. Never call again on any descriptor of the file to find out.
    func sync() throws(IOFailure)

    /// Sets room aside for a range, and extends the file with zeros to its end; what is there stays.
    ///
    /// - Returns: `false` where the file system can't, and nothing was done.
    /// - Throws: ``IOFailure``, `isOutOfSpace` among others; part of the room may have been set aside and the
    ///   file extended.
    @discardableResult
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool

    /// Sets the file's length. Only for files that no reader can know: a published file is never cut.
    func truncate(to byteCount: UInt64) throws(IOFailure)

    /// Maps the whole file as it is now, read-only and shared.
    ///
    /// - Returns: `nil` where that is not possible (an empty file, no room in the address space or for one
    ///   more mapping, a file system without mappings): read with ``read(at:into:)`` instead.
    func map() throws(IOFailure) -> (any MappedRegion)?

    /// Maps the first `byteCount` bytes, shared and writable: what is stored there outlives the process (not
    /// the machine).
    ///
    /// The room is set aside and the pages are brought in before this returns, so that a full disk is a
    /// failure here, and not a signal at a later store. The file is extended with zeros as needed; bytes that
    /// are there stay. The file must be open for writing.
    ///
    /// - Parameter byteCount: at least 1.
    /// - Throws: ``IOFailure``; the file may have been extended.
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion

    /// Closes the descriptor, now or when the last call under way returns; again is harmless. Nothing is made
    /// durable by it. Mappings stay.
    func close()
}

extension File {
    /// Reads `count` bytes at `offset` into a new array; fewer only where the file ends.
    ///
    /// `count` is allocated before anything is read: bound it first.
    public func read(at offset: UInt64, count: Int) throws(IOFailure) -> [UInt8] {
        guard count > 0 else { return [] }
        var failure: IOFailure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            // SAFETY: `read` reports how many bytes from the start it has written.
            do throws(IOFailure) {
                initialized = try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes all of an array at `offset`. See ``write(_:at:)-(UnsafeRawBufferPointer,_)``.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(IOFailure) {
        var failure: IOFailure?
        bytes.withUnsafeBytes { buffer in
            do throws(IOFailure) {
                try write(buffer, at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}

/// A read-only mapping of a whole file. It ends with the object: whoever uses ``bytes`` keeps the object
/// alive (`withExtendedLifetime`). It stays valid when the file is renamed, unlinked or closed.
///
/// Any thread may call and read, also at the same time.
///
/// Touching a page that the disk can't deliver, or that lies past the file's end because somebody cut it,
/// ends the process with a signal. So call ``populate(_:)`` for a range before reading it, where
/// ``canPopulate`` says that it works, and otherwise use ``File/read(at:into:)``. What remains is a file that
/// is cut between the two: nobody but a foreign program does that to a published file.
public protocol MappedRegion: AnyObject, Sendable {
    /// The file's bytes, as long as it was when it was mapped. Another process may change them at any time:
    /// check a copy, or use nothing that was checked before it changed.
    var bytes: UnsafeRawBufferPointer { get }

    /// Whether ``populate(_:)`` works on this system.
    var canPopulate: Bool { get }

    /// Brings a range of ``bytes`` into memory, so that reading it raises no signal. About 0.3 µs for 64 KiB
    /// in the cache; otherwise it waits for the disk.
    ///
    /// - Throws: ``IOFailure`` when the file has become shorter (`EFAULT`), can't be read (`EFAULT`, `EIO`,
    ///   `EHWPOISON`), the range is not within ``bytes`` (`EFAULT`), or the system can't (`EINVAL`,
    ///   `ENOTSUP`).
    func populate(_ range: Range<Int>) throws(IOFailure)
}

/// A writable shared mapping of a file's beginning. It ends with the object: whoever uses ``bytes`` keeps the
/// object alive.
///
/// It may be used from any thread; ordering of stores and loads between threads is the caller's. Storing to
/// it can still end the process with a signal when the file is cut by a foreign program, or when a
/// copy-on-write file system has no room for the new copy of a page.
public protocol WritableRegion: AnyObject, Sendable {
    /// The mapped bytes, as many as asked for.
    var bytes: UnsafeMutableRawBufferPointer { get }
}
