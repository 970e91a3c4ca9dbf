import Foundation
import Testing
import VarveIO

@Suite("Locks")
struct LockTests {
    let fileSystem = POSIXFileSystem()
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    @Test("A second lock conflicts within one process, until the first is released")
    func conflict() throws {
        let path = directory("LOCK")
        #expect(!fileSystem.isLocked(path))
        let lock = try fileSystem.lock(path)
        #expect(lock.path == path)
        #expect(failure { try fileSystem.lock(path) }?.isWouldBlock == true)
        #expect(fileSystem.isLocked(path))
        lock.release()
        lock.release()
        #expect(!fileSystem.isLocked(path))
        let again = try fileSystem.lock(path)
        #expect(fileSystem.isLocked(path))
        again.release()
        #expect(try fileSystem.kind(of: path) == .regular)
    }

    @Test("A lock ends with its object")
    func lifetime() throws {
        var lock: (any FileLock)? = try fileSystem.lock(directory("LOCK"))
        #expect(lock != nil && fileSystem.isLocked(directory("LOCK")))
        lock = nil
        #expect(!fileSystem.isLocked(directory("LOCK")))
    }

    // A process's ordinary record locks all end when it closes any descriptor of the file.
    @Test("Opening, probing and closing the locked file doesn't end the lock")
    func otherDescriptors() throws {
        let path = directory("LOCK")
        let lock = try fileSystem.lock(path)
        try fileSystem.open(path, .readWrite).close()
        _ = failure { try fileSystem.lock(path) }
        #expect(fileSystem.isLocked(path))
        #expect(fileSystem.isLocked(path))
        lock.release()
    }

    #if os(Linux)
    @Test(
        "Another process's lock is seen and conflicts, ours conflicts there, and a kill ends it",
        .enabled(if: hasPython))
    func otherProcess() throws {
        let path = try directory.file("LOCK")
        let ours = try fileSystem.lock(path)
        let refused = try LockingChild(path)
        #expect(refused.outcome == "refused")
        refused.kill()
        ours.release()

        let child = try LockingChild(path)
        #expect(child.outcome == "held")
        #expect(fileSystem.isLocked(path))
        #expect(failure { try fileSystem.lock(path) }?.isWouldBlock == true)
        child.kill()
        #expect(!fileSystem.isLocked(path))
        try fileSystem.lock(path).release()
    }
    #endif
}

#if os(Linux)
private func python(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3"] + arguments
    return process
}

/// Whether there is a Python that knows open-file-description locks.
private let hasPython: Bool = {
    let process = python(["-c", "import fcntl; fcntl.F_OFD_SETLK"])
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}()

/// A process that tries to lock a file and says how that went; holds on to it until it is killed.
private struct LockingChild {
    let outcome: String
    private let process: Process
    private let input = Pipe()

    init(_ path: String) throws {
        let script = """
            import fcntl, struct, sys
            file = open(sys.argv[1], "r+b")
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
                print("held", flush=True)
            except BlockingIOError:
                print("refused", flush=True)
            sys.stdin.read()
            """
        process = python(["-c", script, path])
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let said = output.fileHandleForReading.availableData
        outcome = String(decoding: said, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
#endif
