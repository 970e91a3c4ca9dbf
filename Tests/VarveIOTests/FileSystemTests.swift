import Foundation
import Testing
import VarveIO

@Suite("The file system")
struct FileSystemTests {
    let fileSystem = POSIXFileSystem()
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    #if os(Linux)
    @Test(
        "Files are 0600 and directories 0700 whatever the umask",
        arguments: [0o000, 0o022, 0o077, 0o277, 0o777] as [mode_t])
    func modes(mask: mode_t) async throws {
        let (fileSystem, directory) = (fileSystem, directory)
        let modes = try await onThreadWithUmask(mask) {
            try fileSystem.makeDirectory(directory("d"))
            try fileSystem.open(directory("f"), .createExclusive).close()
            try fileSystem.lock(directory("l")).release()
            return try ["d", "f", "l"].map { name in
                var status = stat()
                guard stat(directory(name), &status) == 0 else {
                    throw IOFailure(.inspect, path: name, code: errno)
                }
                return status.st_mode & 0o777
            }
        }
        #expect(modes == [0o700, 0o600, 0o600])
    }
    #endif

    @Test("A path that is there is never created again, and keeps its bytes")
    func exclusiveCreation() throws {
        let path = try directory.file("f", [1, 2, 3])
        try #require(symlink(directory("nowhere"), directory("dangling")) == 0)
        for name in ["f", "dangling", "."] {
            #expect(failure { try fileSystem.open(directory(name), .createExclusive) }?.isExisting == true)
            #expect(failure { try fileSystem.makeDirectory(directory(name)) }?.isExisting == true)
        }
        #expect(try fileSystem.readWhole(path, byteCountMax: 10) == [1, 2, 3])
        #expect(try fileSystem.kind(of: directory("nowhere")) == nil)
    }

    @Test("Only regular files are opened and locked, without waiting and without following links")
    func irregularFiles() throws {
        let target = try directory.file("target")
        try #require(symlink(target, directory("link")) == 0)
        try #require(symlink(directory("nowhere"), directory("dangling")) == 0)
        try #require(symlink("loop", directory("loop")) == 0)
        try #require(mkfifo(directory("fifo"), 0o600) == 0)
        try fileSystem.makeDirectory(directory("directory"))
        for path in ["link", "dangling", "loop", "fifo", "directory"].map({ directory($0) }) + ["/dev/null"] {
            #expect(failure { try fileSystem.open(path, .read) }?.isNotRegularFile == true, "\(path)")
            #expect(failure { try fileSystem.open(path, .readWrite) }?.isNotRegularFile == true, "\(path)")
            #expect(failure { try fileSystem.lock(path) }?.isNotRegularFile == true, "\(path)")
            #expect(!fileSystem.isLocked(path), "\(path)")
        }
        #expect(try fileSystem.kind(of: directory("nowhere")) == nil)
    }

    @Test("What is absent is reported as not found")
    func absent() throws {
        for path in [directory("f"), directory("d/f")] {
            #expect(try fileSystem.kind(of: path) == nil)
            #expect(failure { try fileSystem.open(path, .read) }?.isNotFound == true)
            #expect(failure { try fileSystem.open(path, .readWrite) }?.isNotFound == true)
            #expect(failure { try fileSystem.list(path) }?.isNotFound == true)
            #expect(failure { try fileSystem.unlink(path) }?.isNotFound == true)
            #expect(failure { try fileSystem.syncDirectory(path) }?.isNotFound == true)
            #expect(failure { try fileSystem.space(at: path) }?.isNotFound == true)
            #expect(
                failure { try fileSystem.rename(path, to: directory("g"), replacing: true) }?.isNotFound
                    == true)
            #expect(
                failure { try fileSystem.rename(path, to: directory("g"), replacing: false) }?.isNotFound
                    == true)
        }
        #expect(failure { try fileSystem.makeDirectory(directory("d/e")) }?.isNotFound == true)
        #expect(failure { try fileSystem.lock(directory("d/f")) }?.isNotFound == true)
    }

    @Test("A path with a zero byte is refused and not cut short")
    func zeroByte() throws {
        let good = try directory.file("f", [1])
        let bad = good + "\0g"
        let failures = [
            failure { try fileSystem.open(bad, .read) },
            failure { try fileSystem.open(directory("g\0"), .createExclusive) },
            failure { try fileSystem.makeDirectory(directory("d\0")) },
            failure { try fileSystem.kind(of: bad) },
            failure { try fileSystem.list(directory.path + "\0") },
            failure { try fileSystem.unlink(bad) },
            failure { try fileSystem.rename(bad, to: directory("g"), replacing: true) },
            failure { try fileSystem.rename(good, to: directory("g\0h"), replacing: true) },
            failure { try fileSystem.syncDirectory(directory.path + "\0") },
            failure { try fileSystem.lock(bad) },
            failure { try fileSystem.space(at: bad) },
        ]
        #expect(failures.map { $0?.code } == Array(repeating: EINVAL, count: failures.count))
        #expect(try fileSystem.list(directory.path) == [DirectoryEntry(name: "f", kind: .regular)])
    }

    @Test("A directory lists every name with its kind, and neither itself nor its parent")
    func listing() throws {
        let target = try directory.file("file")
        try fileSystem.makeDirectory(directory("directory"))
        try #require(symlink(target, directory("link")) == 0)
        try #require(mkfifo(directory("fifo"), 0o600) == 0)
        _ = try directory.file(".hidden")
        let long = String(repeating: "ä", count: 127)
        _ = try directory.file(long)
        let expected: [String: FileKind] = [
            "file": .regular, "directory": .directory, "link": .symbolicLink, "fifo": .other,
            ".hidden": .regular,
            long: .regular,
        ]
        let entries = try fileSystem.list(directory.path)
        #expect(entries.count == expected.count)
        #expect(
            Dictionary(entries.map { ($0.name, $0.kind) }, uniquingKeysWith: { first, _ in first })
                == expected)
        for (name, kind) in expected {
            #expect(try fileSystem.kind(of: directory(name)) == kind)
        }
        #expect(failure { try fileSystem.list(target) }?.code == ENOTDIR)
    }

    @Test("Renaming replaces a file only when asked to", arguments: [true, false])
    func renaming(replacing: Bool) throws {
        let (old, new) = (try directory.file("old", [1]), try directory.file("new", [2]))
        #expect(
            failure { try fileSystem.rename(old, to: new, replacing: replacing) }?.isExisting
                == (replacing ? nil : true))
        #expect(try fileSystem.readWhole(new, byteCountMax: 10) == [replacing ? 1 : 2])
        #expect(try fileSystem.kind(of: old) == (replacing ? nil : .regular))
    }

    @Test("Renaming to a free name moves a file and a directory", arguments: [true, false])
    func renamingToFreeName(replacing: Bool) throws {
        try fileSystem.rename(try directory.file("f", [1]), to: directory("g"), replacing: replacing)
        try fileSystem.makeDirectory(directory("d"))
        try fileSystem.rename(directory("d"), to: directory("e"), replacing: replacing)
        #expect(try Set(fileSystem.list(directory.path).map(\.name)) == ["g", "e"])
    }

    @Test("Unlinking removes a file's name, and never a directory")
    func unlinking() throws {
        let path = try directory.file("f", [1, 2])
        let file = try fileSystem.open(path, .read)
        try fileSystem.unlink(path)
        #expect(try fileSystem.kind(of: path) == nil)
        #expect(try file.read(at: 0, count: 2) == [1, 2])
        try fileSystem.makeDirectory(directory("d"))
        #expect(failure { try fileSystem.unlink(directory("d")) } != nil)
        #expect(try fileSystem.kind(of: directory("d")) == .directory)
    }

    @Test("Only directories are synced as directories")
    func directorySync() throws {
        try fileSystem.syncDirectory(directory.path)
        let file = try directory.file("f")
        #expect(failure { try fileSystem.syncDirectory(file) }?.code == ENOTDIR)
    }

    @Test("A small file is read whole, and a larger one refused")
    func wholeFiles() throws {
        let path = try directory.file("f", [1, 2, 3])
        #expect(try fileSystem.readWhole(path, byteCountMax: 3) == [1, 2, 3])
        #expect(try fileSystem.readWhole(path, byteCountMax: 2) == nil)
        #expect(try fileSystem.readWhole(directory.file("empty"), byteCountMax: 0) == [])
    }

    @Test("The machine answers: room, clocks, randomness")
    func machine() throws {
        let space = try fileSystem.space(at: directory.path)
        #expect(space.totalBytes > 0 && space.freeBytes <= space.totalBytes)
        let year2020: Int64 = 1_577_836_800_000_000_000
        #expect(fileSystem.now() > year2020)
        let before = fileSystem.monotonic()
        #expect(before > 0 && fileSystem.monotonic() >= before)
        #expect(fileSystem.randomBytes(0) == [])
        #expect(fileSystem.randomBytes(16).count == 16)
        #expect(fileSystem.randomBytes(16) != fileSystem.randomBytes(16))
        #expect(!fileSystem.isOnNetwork(directory("absent")))
    }

    @Test("The boot's identity is the system's, 16 bytes, and stays")
    func bootIdentity() throws {
        let identity = fileSystem.bootIdentity()
        #expect(identity.count == 16)
        #expect(POSIXFileSystem().bootIdentity() == identity)
        #if os(Linux)
        let text = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        #expect(uuidBytes(text) == identity)
        #endif
    }

    @Test(
        "A UUID's text gives its bytes, and other texts none",
        arguments: [
            (
                "00112233-4455-6677-8899-aAbBcCdDeEfF\n",
                [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]
            ),
            ("", nil), ("00112233-4455-6677-8899-aabbccddeef", nil),
            ("00112233-4455-6677-8899-aabbccddeefff", nil),
            ("g0112233-4455-6677-8899-aabbccddeeff", nil), ("００112233-4455-6677-8899-aabbccddeeff", nil),
            ("00000000-0000-0000-0000-000000000000", nil),
        ] as [(String, [UInt8]?)])
    func uuids(text: String, expected: [UInt8]?) {
        #expect(uuidBytes(text) == expected)
    }
}

@Suite("Failures")
struct IOFailureTests {
    @Test("A failure says in words what was done, to which path, and why")
    func description() {
        #expect("\(IOFailure(.write, path: "/a/b", code: ENOSPC))" == "write /a/b: no space left on device")
        #expect("\(IOFailure(.makeDirectory, path: "d", code: EEXIST))" == "make directory d: file exists")
        let irregular = IOFailure(.open, path: "/a", code: IOFailure.notRegularFileCode)
        #expect("\(irregular)" == "open /a: not a regular file")
        #expect(IOFailure(.read, path: "", code: 99_999).reason.contains("99999"))
        #expect(IOFailure(.read, path: "", code: EIO).reason.hasSuffix("/output error"))
    }

    @Test(
        "A failure's reason can be asked for by its meaning",
        arguments: [
            (ENOSPC, ["space"]), (EDQUOT, ["space"]), (EFBIG, ["space"]), (ENOENT, ["absent"]),
            (EEXIST, ["there"]),
            (EAGAIN, ["held"]), (EACCES, ["forbidden"]), (EPERM, ["forbidden"]), (EROFS, ["forbidden"]),
            (EMFILE, ["descriptors"]), (ENFILE, ["descriptors"]), (EIO, []),
            (IOFailure.notRegularFileCode, ["irregular"]),
        ] as [(Int32, [String])])
    func meanings(code: Int32, expected: [String]) {
        let failure = IOFailure(.open, path: "f", code: code)
        let meanings = [
            "space": failure.isOutOfSpace, "absent": failure.isNotFound, "there": failure.isExisting,
            "held": failure.isWouldBlock, "forbidden": failure.isNotPermitted,
            "descriptors": failure.isOutOfDescriptors, "irregular": failure.isNotRegularFile,
        ]
        #expect(meanings.filter(\.value).map(\.key) == expected)
    }
}

#if os(Linux)
/// Gives the calling thread a umask of its own. Swift doesn't see this call in the C library's headers.
private func unshareFileSystemState() -> Bool {
    guard let symbol = dlsym(nil, "unshare") else { return false }
    let cloneFileSystemState: Int32 = 0x200
    // SAFETY: `int unshare(int)`, as its manual page says.
    let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
    return unshare(cloneFileSystemState) == 0
}

/// Runs `body` on a thread that has a umask of its own, so that tests running beside it keep theirs.
private func onThreadWithUmask<Value: Sendable>(
    _ mask: mode_t, _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            guard unshareFileSystemState() else {
                continuation.resume(throwing: IOFailure(.inspect, path: "umask", code: errno))
                return
            }
            umask(mask)
            continuation.resume(with: Result(catching: body))
        }
    }
}
#endif
