import Foundation
import Testing
import VarveIO
import VarveTestKit

/// What the seam promises, on the simulated file system and on the system's.
@Suite("A simulated file system keeps the seam's contract")
struct SimulatedContractTests {
    struct Subject: CustomTestStringConvertible {
        let testDescription: String
        let make: @Sendable () throws -> (system: any FileSystem, root: String, owner: AnyObject?)
    }

    static let subjects = [
        Subject(testDescription: "simulated") {
            let system = SimulatedFileSystem(seed: 1)
            try system.makeDirectory("/root")
            return (system, "/root", nil)
        },
        Subject(testDescription: "the system's") {
            let directory = try TemporaryDirectory()
            return (POSIXFileSystem(), directory.path, directory)
        },
    ]

    private func failure<R>(_ body: () throws -> R) -> IOFailure? {
        do {
            _ = try body()
            return nil
        } catch { return error as? IOFailure }
    }

    @Test("Names are made, listed, moved and removed", arguments: subjects)
    func names(_ subject: Subject) throws {
        let (system, root, owner) = try subject.make()
        let (a, b, d) = (root + "/a", root + "/b", root + "/d")
        try system.open(a, .createExclusive).write([1], at: 0)
        try system.open(b, .createExclusive).write([2], at: 0)
        try system.makeDirectory(d)
        #expect(failure { try system.open(a, .createExclusive) }?.isExisting == true)
        #expect(failure { try system.makeDirectory(a) }?.isExisting == true)
        #expect(failure { try system.open(d, .read) }?.isNotRegularFile == true)
        #expect(failure { try system.lock(d) }?.isNotRegularFile == true)
        #expect(failure { try system.unlink(d) } != nil)
        #expect(failure { try system.syncDirectory(a) }?.code == ENOTDIR)
        #expect(failure { try system.rename(a, to: b, replacing: false) }?.isExisting == true)
        try system.rename(a, to: b, replacing: true)
        #expect(try system.readWhole(b, byteCountMax: 9) == [1])
        #expect(try system.kind(of: a) == nil)
        #expect(try system.kind(of: b) == .regular)
        #expect(try system.kind(of: d) == .directory)
        let file = try system.open(b, .read)
        try system.unlink(b)
        #expect(try file.read(at: 0, count: 9) == [1])
        #expect(try system.list(root) == [DirectoryEntry(name: "d", kind: .directory)])
        try system.syncDirectory(root)
        withExtendedLifetime(owner) {}
    }

    @Test("What is absent is reported as not found, and a zero byte refused", arguments: subjects)
    func absent(_ subject: Subject) throws {
        let (system, root, owner) = try subject.make()
        for path in [root + "/f", root + "/d/f"] {
            #expect(try system.kind(of: path) == nil)
            #expect(failure { try system.open(path, .read) }?.isNotFound == true)
            #expect(failure { try system.list(path) }?.isNotFound == true)
            #expect(failure { try system.unlink(path) }?.isNotFound == true)
            #expect(failure { try system.syncDirectory(path) }?.isNotFound == true)
            #expect(failure { try system.space(at: path) }?.isNotFound == true)
            #expect(failure { try system.rename(path, to: root + "/g", replacing: true) }?.isNotFound == true)
            #expect(!system.isLocked(path))
        }
        #expect(failure { try system.open(root + "/d/f", .createExclusive) }?.isNotFound == true)
        #expect(failure { try system.kind(of: root + "\0") }?.code == EINVAL)
        withExtendedLifetime(owner) {}
    }

    @Test(
        "Bytes are where they were written, zeros in between, and nothing after the end", arguments: subjects)
    func bytes(_ subject: Subject) throws {
        let (system, root, owner) = try subject.make()
        let file = try system.open(root + "/f", .createExclusive)
        try file.write([7, 8, 9], at: 4)
        try file.write([1], at: 0)
        try file.write([], at: 1000)
        #expect(try file.read(at: 0, count: 100) == [1, 0, 0, 0, 7, 8, 9])
        #expect(try file.read(at: 7, count: 1) == [])
        try file.truncate(to: 5)
        try file.truncate(to: 6)
        #expect(try file.read(at: 0, count: 100) == [1, 0, 0, 0, 7, 0])
        #expect(try file.allocate(0..<9))
        #expect(try file.size() == 9)
        #expect(failure { try file.write([1], at: .max) }?.isOutOfSpace == true)
        #expect(failure { try file.read(at: .max, count: 1) }?.code == EINVAL)
        let reader = try system.open(root + "/f", .read)
        #expect(failure { try reader.write([1], at: 0) } != nil)
        file.close()
        #expect(failure { try file.size() }?.code == EBADF)
        #expect(failure { try file.sync() }?.code == EBADF)
        withExtendedLifetime(owner) {}
    }

    @Test("Mappings show the file, and what is stored in one is in the file", arguments: subjects)
    func mappings(_ subject: Subject) throws {
        let (system, root, owner) = try subject.make()
        let file = try system.open(root + "/f", .createExclusive)
        #expect(try file.map() == nil)
        try file.write([1, 2, 3], at: 0)
        let region = try #require(try file.map())
        #expect(region.bytes.elementsEqual([1, 2, 3]))
        if region.canPopulate {
            try region.populate(0..<3)
            #expect(failure { try region.populate(0..<4) }?.code == EFAULT)
        }
        let writable = try file.mapWritable(byteCount: 10_000)
        #expect(failure { try file.mapWritable(byteCount: 0) }?.code == EINVAL)
        #expect(writable.bytes.count == 10_000 && writable.bytes.prefix(4).elementsEqual([1, 2, 3, 0]))
        writable.bytes[1] = 8
        writable.bytes[9_999] = 9
        try file.write([5], at: 2)
        #expect(writable.bytes[2] == 5)
        let reader = try system.open(root + "/f", .read)
        #expect(try reader.size() == 10_000)
        #expect(try reader.read(at: 0, count: 4) == [1, 8, 5, 0])
        #expect(try reader.read(at: 9_998, count: 4) == [0, 9])
        withExtendedLifetime((writable, owner)) {}
    }

    @Test("A lock conflicts within a process, and ends with its object", arguments: subjects)
    func locks(_ subject: Subject) throws {
        let (system, root, owner) = try subject.make()
        var lock: (any FileLock)? = try system.lock(root + "/LOCK")
        #expect(lock != nil && system.isLocked(root + "/LOCK"))
        #expect(failure { try system.lock(root + "/LOCK") }?.isWouldBlock == true)
        lock = nil
        #expect(!system.isLocked(root + "/LOCK"))
        let again = try system.lock(root + "/LOCK")
        again.release()
        #expect(!system.isLocked(root + "/LOCK"))
        #expect(try system.kind(of: root + "/LOCK") == .regular)
        withExtendedLifetime(owner) {}
    }

    @Test("Clock, randomness and boot answer", arguments: subjects)
    func machine(_ subject: Subject) throws {
        let (system, _, owner) = try subject.make()
        let before = system.monotonic()
        #expect(system.monotonic() >= before)
        #expect(system.now() > 1_577_836_800_000_000_000)
        #expect(system.randomBytes(16) != system.randomBytes(16))
        #expect(system.bootIdentity().count == 16 && system.bootIdentity() == system.bootIdentity())
        withExtendedLifetime(owner) {}
    }
}

@Suite("A simulated power cut takes what was not synced, and nothing else")
struct SimulatedCrashTests {
    private let seeds = (0..<400).map { UInt64($0) }

    /// A durable file of three sectors of ones, then what the caller does.
    private func disk(_ body: (SimulatedFileSystem, any File) throws -> Void) throws -> SimulatedFileSystem {
        let system = SimulatedFileSystem(seed: 7)
        let file = try system.open("/f", .createExclusive)
        try file.write([UInt8](repeating: 1, count: 1536), at: 0)
        try file.sync()
        try system.syncDirectory("/")
        try body(system, file)
        return system
    }

    private func outcomes(_ system: SimulatedFileSystem, _ path: String = "/f") throws -> Set<[UInt8]?> {
        Set(
            try seeds.map { seed -> [UInt8]? in
                let found = system.afterPowerLoss(seed: seed)
                guard try found.kind(of: path) != nil else { return nil }
                return try found.readWhole(path, byteCountMax: 1 << 20)
            })
    }

    @Test("What was synced survives every seed, in a new boot")
    func synced() throws {
        let system = try disk { _, _ in }
        #expect(try outcomes(system) == [[UInt8](repeating: 1, count: 1536)])
        #expect(system.afterPowerLoss(seed: 1).bootIdentity() != system.bootIdentity())
        #expect(system.afterKill().bootIdentity() == system.bootIdentity())
    }

    @Test("The same seed leaves the same disk")
    func seed() throws {
        let system = try disk { _, file in try file.write([UInt8](repeating: 2, count: 9000), at: 700) }
        for seed in seeds {
            let (one, other) = (system.afterPowerLoss(seed: seed), system.afterPowerLoss(seed: seed))
            #expect(
                try one.readWhole("/f", byteCountMax: 1 << 20) == other.readWhole("/f", byteCountMax: 1 << 20)
            )
        }
    }

    @Test(
        "A write over old bytes arrives whole, not at all, or in any of its sectors, and nothing else is touched"
    )
    func overwriting() throws {
        let system = try disk { _, file in try file.write([UInt8](repeating: 2, count: 1536), at: 0) }
        let shapes = try outcomes(system).map { bytes in
            let bytes = try #require(bytes)
            #expect(bytes.count == 1536)
            return try (0..<3).map { sector in
                let part = Set(bytes[sector * 512..<sector * 512 + 512])
                return try #require(part.count == 1 ? part.first : nil, "a sector is torn")
            }
        }
        // Every subset of the three sectors.
        #expect(Set(shapes).count == 8)
    }

    @Test("An extension leaves holes, zeros, garbage and every length between")
    func extending() throws {
        let system = try disk { _, file in
            try file.write([UInt8](repeating: 2, count: 2048), at: 1536)
            try file.write([UInt8](repeating: 3, count: 2048), at: 3584)
        }
        let found = try outcomes(system).compactMap { $0 }
        #expect(found.allSatisfy { $0.prefix(1536).allSatisfy { $0 == 1 } })
        #expect(found.contains { $0.count == 1536 })
        #expect(
            found.contains {
                $0.count == 5632 && $0[1536..<3584].allSatisfy { $0 == 2 }
                    && $0[3584...].allSatisfy { $0 == 3 }
            })
        // A hole, followed by what was written later.
        #expect(
            found.contains {
                $0.count == 5632 && $0[1536..<3584].allSatisfy { $0 == 0 }
                    && $0[3584...].allSatisfy { $0 == 3 }
            })
        // The length without the bytes.
        #expect(found.contains { $0.count == 5632 && $0[1536...].allSatisfy { $0 == 0 } })
        #expect(found.contains { $0.count % 512 != 0 })
        #expect(found.contains { $0[1536...].contains { $0 > 3 } })
    }

    @Test("A file without a synced name may be gone, also when its bytes were synced")
    func creation() throws {
        let system = try disk { system, _ in
            let file = try system.open("/new", .createExclusive)
            try file.write([4], at: 0)
            try file.sync()
        }
        #expect(try outcomes(system, "/new") == [nil, [4]])
        // And a synced name may be that of an empty file.
        let other = try disk { system, _ in
            try system.open("/new", .createExclusive).write([4], at: 0)
            try system.syncDirectory("/")
        }
        #expect(try outcomes(other, "/new").isSuperset(of: [[], [4], [0]]))
        #expect(try !outcomes(other, "/new").contains(nil))
    }

    @Test("A renaming has happened or not, and an unlinked file may come back")
    func names() throws {
        let system = try disk { system, _ in
            let file = try system.open("/t", .createExclusive)
            try file.write([4], at: 0)
            try file.sync()
            try system.syncDirectory("/")
            try system.rename("/t", to: "/f", replacing: true)
        }
        for seed in seeds {
            let found = system.afterPowerLoss(seed: seed)
            let isNew = try found.readWhole("/f", byteCountMax: 1 << 20) == [4]
            #expect(try found.kind(of: "/t") == (isNew ? nil : .regular))
        }
        #expect(try outcomes(system).count == 2)
        let unlinked = try disk { system, _ in try system.unlink("/f") }
        #expect(try outcomes(unlinked) == [nil, [UInt8](repeating: 1, count: 1536)])
        // Changes of names may arrive out of order.
        let two = try disk { system, _ in
            for name in ["/a", "/b"] { _ = try system.open(name, .createExclusive) }
        }
        let kinds = try Set(
            seeds.map { seed in
                let found = two.afterPowerLoss(seed: seed)
                return [try found.kind(of: "/a") != nil, try found.kind(of: "/b") != nil]
            })
        #expect(kinds.count == 4)
    }

    @Test("Mapped pages arrive each for itself after a power cut, and all after a kill")
    func mappedPages() throws {
        let system = try disk { _, file in
            let region = try file.mapWritable(byteCount: 3 * 4096)
            try file.sync()
            for page in 0..<3 { region.bytes[page * 4096] = 9 }
        }
        let kept = try outcomes(system).map { bytes in
            let bytes = try #require(bytes)
            return (0..<3).map { bytes[$0 * 4096] == 9 }
        }
        #expect(Set(kept).count == 8)
        let killed = try system.afterKill().readWhole("/f", byteCountMax: 1 << 20)
        #expect(killed.map { bytes in (0..<3).allSatisfy { bytes[$0 * 4096] == 9 } } == true)
    }

    @Test("A killed process leaves all that it wrote, and a beginning of the write under way")
    func killed() throws {
        let system = try disk { system, file in
            try file.write([2], at: 1536)
            system.crash(afterOperation: system.operationCount)
            #expect(throws: IOFailure.self) { try file.write([3, 3, 3], at: 1537) }
            #expect(throws: IOFailure.self) { try system.unlink("/f") }
        }
        let ends = try Set(
            seeds.map { seed in
                try system.afterKill(cuttingWrite: seed).readWhole("/f", byteCountMax: 1 << 20).map {
                    Array($0[1536...])
                }
            })
        #expect(ends == [[2], [2, 3], [2, 3, 3], [2, 3, 3, 3]])
        #expect(try system.afterKill().readWhole("/f", byteCountMax: 1 << 20)?.count == 1537)
        // What a kill left in the page cache is still not durable.
        #expect(try outcomes(system.afterKill()).count > 1)
    }

    @Test("A journal gives the disk of every instant")
    func journal() throws {
        let system = SimulatedFileSystem(seed: 3)
        system.record()
        let file = try system.open("/f", .createExclusive)
        try system.syncDirectory("/")
        let region = try file.mapWritable(byteCount: 4096)
        for byte in UInt8(1)...20 {
            region.bytes[4095] = byte
            system.mark(Int(byte))
        }
        try file.sync()
        system.mark(99)
        let journal = try #require(system.journal)
        var cursor = journal.cursor()
        repeat {
            guard let mark = cursor.marks.last else { continue }
            let byte = try cursor.afterKill().readWhole("/f", byteCountMax: 4096)?.last
            #expect(byte == UInt8(min(mark, 20)))
        } while cursor.advance()
        #expect(cursor.changesMade == journal.changeCount && cursor.marks.last == 99)
        #expect(try cursor.afterPowerLoss(seed: 1).readWhole("/f", byteCountMax: 4096)?.last == 20)
    }

    @Test("An ignored sync makes nothing durable, and only the chosen ones are ignored")
    func ignoredSyncs() throws {
        let system = try disk { system, file in
            system.ignore(.init(ofDirectories: false, onPathsEndingIn: "f", only: 1))
            try file.write([2], at: 0)
            try file.sync()
            try file.write([3], at: 0)
            try file.sync()
            system.ignore(.init(ofDirectories: true))
            _ = try system.open("/new", .createExclusive)
            try system.syncDirectory("/")
        }
        #expect(try Set(outcomes(system).map { $0?.first }) == [2, 3])
        #expect(try outcomes(system, "/new") == [nil, []])
    }

    @Test("Faults: errors at an operation, no space, unreadable ranges, writes lost and led astray")
    func faults() throws {
        let system = try disk { _, _ in }
        let file = try system.open("/f", .readWrite)
        system.inject(at: system.operationCount + 1, code: EMFILE)
        _ = try file.size()
        #expect(throws: IOFailure(.inspect, path: "/f", code: EMFILE)) { _ = try file.size() }
        _ = try file.size()
        system.inject(at: 0, code: EROFS, isForGood: true) { $0 == .write }
        for _ in 0..<2 {
            #expect(throws: IOFailure(.write, path: "/f", code: EROFS)) { try file.write([1], at: 0) }
        }
        #expect(system.injectedCount == 3)
        system.heal()
        system.limitSpace(to: 10)
        try file.write([UInt8](repeating: 1, count: 10), at: 1536)
        #expect(throws: IOFailure(.write, path: "/f", code: ENOSPC)) { try file.write([1], at: 1546) }
        try file.write([1], at: 0)
        system.heal()
        try system.makeUnreadable(600..<700, of: "/f")
        #expect(throws: IOFailure(.read, path: "/f", code: EIO)) { _ = try file.read(at: 0, count: 601) }
        #expect(try file.read(at: 0, count: 600).count == 600)
        let region = try #require(try file.map())
        #expect(throws: IOFailure(.populate, path: "/f", code: EIO)) { try region.populate(0..<1536) }
        system.heal()
        system.inject(.lost, onPathsEndingIn: "f")
        try file.write([7], at: 0)
        #expect(try file.read(at: 0, count: 1) == [1])
        system.inject(.misdirected(to: 512), onPathsEndingIn: "f", after: 1)
        try file.write([8], at: 0)
        try file.write([9], at: 1)
        #expect(try file.read(at: 0, count: 2) == [8, 1])
        #expect(try file.read(at: 512, count: 1) == [9])
        #expect(system.armedWriteFaultCount == 0)
    }
}
