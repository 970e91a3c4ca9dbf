import Dispatch
import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// Gives a block's bytes as they are once, and with a flipped bit from then on: as a page cache does that lets go of what a failed sync
/// has left in it.
private final class ForgetfulFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let seen = Locked<Set<UInt64>>([])

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? ForgetfulFile(base: file, seen: seen) : file
    }
}

private final class ForgetfulFile: PassThroughFile {
    let base: any File
    private let seen: Locked<Set<UInt64>>

    init(base: any File, seen: Locked<Set<UInt64>>) {
        self.base = base
        self.seen = seen
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let count = try base.read(at: offset, into: buffer)
        // Blocks, and not their headers or the ends of files.
        if count > 3000, offset > 0, !seen.withLock({ $0.insert(offset).inserted }) {
            buffer[count - 1000] ^= 1
        }
        return count
    }
}

/// What the next opening makes of what a crash, or somebody's hands, have left. A copy of the files of an open store without its
/// `TAIL` is what a power cut leaves when everything was written.
@Suite("Recovery")
struct RecoveryTests {
    private let directory: TemporaryDirectory
    private let live: String
    private let path: String
    private let system = ControlledFileSystem()

    init() throws {
        directory = try TemporaryDirectory()
        live = directory.path("live")
        path = directory.path("store")
    }

    /// Blocks of 16 events of 256 bytes, all written, none of them ever synced but at the points given.
    private func crash(events: UInt64, segmentBytes: Int = 64 << 20, flushAt: Set<UInt64> = []) throws {
        var options = smallBlocks(on: system)
        options.durability = .none
        options.segmentBytes = UInt64(segmentBytes)
        // The background thread stops once it has sealed the first segment: the last but one has no footer, and was not synced.
        let (sealed, goesOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        options.diagnostics = {
            guard case .sealed = $0 else { return }
            sealed.signal()
            goesOn.wait()
        }
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<events {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
            if flushAt.contains(number) { try store.flush() }
            if number == 80, segmentBytes < 64 << 20 { sealed.wait() }
        }
        // A checkpoint returns once everything before it is written.
        try session.checkpoint("end", state: [], at: 0)
        try copyLive(live, to: path)
        try FileManager.default.removeItem(atPath: path + "/TAIL")
        for _ in 0..<100 { goesOn.signal() }
        try store.close()
    }

    private func damage(event: UInt64) throws {
        for file in try segments(of: path) {
            var bytes = try Data(contentsOf: URL(filePath: file))
            guard let place = bytes.range(of: Data(noise(event, 256))) else { continue }
            bytes[place.lowerBound + 5] ^= 1
            try bytes.write(to: URL(filePath: file))
            return
        }
        throw CocoaError(.fileNoSuchFile)
    }

    private func numbers(_ path: String) throws -> [UInt64] {
        try EventStore.openReadOnly(path).collect().map(\.sequence)
    }

    private func recordMore(_ count: UInt64 = 3) throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("more")
        let kind = try store.kind("k", .binary)
        for number in 0..<count { try session.append(noise(5000 + number, 256), kind: kind) }
        try store.close()
    }

    @Test("Verification says that a segment is shorter than the next one knows")
    func shortened() throws {
        try crash(events: 300, segmentBytes: 16 << 10, flushAt: [299])
        let report = try EventStore.openReadOnly(path).verify()
        let files = try segments(of: path)
        let file = try #require(
            try files.dropLast().last {
                !(try Data(contentsOf: URL(filePath: $0))).suffix(8).elementsEqual("VARVEEND".utf8)
            })
        let last = try #require(try SegmentParts(file).blocks.last)
        let size = try Data(contentsOf: URL(filePath: file)).count
        #expect(truncate(file, last.offset) == 0)
        let damage = try EventStore.openReadOnly(path).verify().damage.filter { $0.file == file }
        #expect(report.damage.isEmpty)
        #expect(damage.map(\.offset) == [UInt64(last.offset)])
        #expect(damage.first?.reason == "it ends here, and had \(size) bytes")
    }

    // The copy got fresh checksums for whatever its second reading gave: a wrong event, for good.
    @Test("Bytes that are others when they are copied are not copied")
    func forgotten() throws {
        try crash(events: 100)
        let before = try contents(of: path).filter { $0.key.hasSuffix(".seg") }
        var options = smallBlocks(on: ForgetfulFileSystem())
        options.keepsTail = false
        #expect(throws: StoreError.self) { try EventStore.open(path, options: options) }
        #expect(try contents(of: path).filter { $0.key.hasSuffix(".seg") } == before)
        try recordMore()
        #expect(
            try EventStore.openReadOnly(path).collect().prefix(100).map(\.payload)
                == (0..<100).map { noise($0, 256) })
    }

    // Only its numbers were looked at: the next opening had the same epoch, and gave its session's number to another.
    @Test("A last segment whose header is lost keeps its epoch, sessions and checkpoints to itself")
    func lostCounters() throws {
        try recordMore()
        try FileManager.default.moveItem(atPath: path, toPath: live)
        let store = try EventStore.open(live, options: smallBlocks())
        let session = try store.startSession("lost")
        try session.append(noise(1, 256), kind: try store.kind("noise", .binary))
        let checkpoint = try session.checkpoint("lost", state: [])
        try store.flush()
        let (epoch, ordinal) = (try store.info().epoch, session.ordinal)
        try copyLive(live, to: path)
        try store.close()
        try FileManager.default.removeItem(atPath: path + "/TAIL")
        let last = try #require(try segments(of: path).last)
        var bytes = try Data(contentsOf: URL(filePath: last))
        bytes[20] ^= 1
        try bytes.write(to: URL(filePath: last))
        let next = try EventStore.open(path, options: smallBlocks())
        #expect(try next.info().epoch > epoch)
        let fresh = try next.startSession("fresh")
        #expect(fresh.ordinal > ordinal)
        #expect(try fresh.checkpoint("fresh", state: []).ordinal > checkpoint.ordinal)
        try next.close()
    }

    // The next writer's opening removed the segment with what was readable behind the hole, before anybody could salvage it.
    @Test("What stands behind an unconfirmed tail stays for salvage, however often writers open the store")
    func behindATail() throws {
        try crash(events: 100)
        let original = try contents(of: path).filter { $0.key.hasSuffix(".seg") }
        let name = try #require(original.keys.first)
        try damage(event: 35)
        let damaged = try #require(try contents(of: path)[name])
        // The sub-blocks of a block are recovered together: the log ends where the damaged block starts.
        let kept = try numbers(path)
        #expect(!kept.isEmpty && kept == Array(0..<UInt64(kept.count)) && kept.count <= 35)
        for round in 0..<3 {
            try recordMore()
            #expect(try contents(of: path)[name + ".cut"] == damaged, "after opening \(round)")
        }
        let report = try EventStore.openReadOnly(path).verify()
        #expect(report.damage.isEmpty && report.strays.map(\.file) == ["\(path)/\(name).cut"])
        let new = directory.path("new")
        let salvaged = try EventStore.repair(path, into: new, salvage: true)
        let file = try #require(salvaged.files.first { $0.name == name + ".cut" })
        #expect(file.events + file.conflicts.reduce(0) { $0 + UInt64($1.count) } + file.duplicates >= 96)
        let found = try EventStore.openReadOnly(new).collect().filter {
            $0.sequence >= 48 && $0.sequence < 100
        }
        #expect(found.map(\.payload) == (48..<100).map { noise($0, 256) })
    }

    @Test("So does what stands behind it in a segment whose beginning stays, and that is not sealed anew")
    func behindATailOfAKeptSegment() throws {
        try crash(events: 100, flushAt: [15, 31])
        try damage(event: 50)
        let files = try segments(of: path)
        let damaged = try Data(contentsOf: URL(filePath: files[0]))
        for _ in 0..<3 { try recordMore() }
        // It is sealed in the background: an opening may be too short for that.
        let aside = files[0] + ".cut"
        let store = try EventStore.open(path, options: smallBlocks())
        #expect(comesTrue { FileManager.default.fileExists(atPath: aside) })
        try store.close()
        // Its beginning is in the log; the rest is in what was set aside.
        #expect(try Data(contentsOf: URL(filePath: aside)) == damaged)
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
        let new = directory.path("new")
        _ = try EventStore.repair(path, into: new, salvage: true)
        let found = try EventStore.openReadOnly(new).collect().filter {
            $0.sequence >= 68 && $0.sequence < 100
        }
        #expect(found.map(\.payload) == (68..<100).map { noise($0, 256) })
    }

    @Test("A segment that was copied whole is removed")
    func copiedSegments() throws {
        try crash(events: 200, segmentBytes: 16 << 10)
        let before = try segments(of: path)
        try #require(before.count >= 3)
        let last = try #require(before.last)
        try recordMore()
        #expect(!FileManager.default.fileExists(atPath: last))
        #expect(try numbers(path) == Array(0..<203))
        #expect(try EventStore.openReadOnly(path).verify().strays == [])
    }

    // Only the next opening knew that the log goes on without it: merged by this one, it was damage for good.
    @Test(
        "A segment with a torn header in the hole where the log ends is set aside before anything is merged around it"
    )
    func tornInHole() throws {
        try crash(events: 200, segmentBytes: 16 << 10)
        let files = try segments(of: path)
        try #require(files.count >= 3)
        let torn = files[files.count - 2]
        var bytes = try Data(contentsOf: URL(filePath: torn))
        bytes.replaceSubrange(0..<300, with: Data(count: 300))
        try bytes.write(to: URL(filePath: torn))
        let before = try numbers(path)
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("more")
        try session.append(noise(1, 256), kind: try store.kind("k", .binary))
        #expect(try store.compact().isComplete)
        try store.close()
        #expect(!FileManager.default.fileExists(atPath: torn))
        let reader = try EventStore.openReadOnly(path)
        let report = try reader.verify()
        #expect(report.damage == [] && report.strays.allSatisfy { $0.file.hasSuffix(".cut") })
        #expect(try reader.count() == UInt64(before.count) + 1)
        #expect(try Data(contentsOf: URL(filePath: torn + ".cut")) == bytes)
    }

    /// A crashed store whose log ends between two segments: the one before the last is gone, and nothing proves that it was durable.
    private func crashBetweenSegments() throws -> (last: String, events: ClosedRange<UInt64>) {
        try crash(events: 200, segmentBytes: 16 << 10)
        let files = try segments(of: path)
        try #require(files.count >= 3)
        let last = try #require(files.last)
        try FileManager.default.removeItem(atPath: files[files.count - 2])
        let bare = directory.path("bare")
        try FileManager.default.createDirectory(atPath: bare, withIntermediateDirectories: false)
        try FileManager.default.copyItem(atPath: last, toPath: bare + "/1.seg")
        let held = try numbers(bare)
        return (last, try #require(held.first)...(try #require(held.last)))
    }

    @Test(
        "A segment after the end of the log is set aside; numbers, openings and sessions of it are not given to others"
    )
    func segmentBehind() throws {
        let (last, events) = try crashBetweenSegments()
        let original = try Data(contentsOf: URL(filePath: last))
        let kept = try numbers(path)
        #expect(!kept.isEmpty && kept.count < events.lowerBound)
        try recordMore(300)
        try recordMore(2)
        #expect(try Data(contentsOf: URL(filePath: last + ".cut")) == original)
        let store = try EventStore.openReadOnly(path)
        #expect(try store.count() == UInt64(kept.count) + 302)
        #expect(try store.info().epoch >= 3)
        // Others have its numbers by now: told as conflicts, and not taken for the same.
        let new = directory.path("new")
        let report = try EventStore.repair(path, into: new, salvage: true)
        let file = try #require(report.files.first { $0.name.hasSuffix(".cut") })
        #expect(file.duplicates == 0 && file.conflicts == [events])
    }

    @Test("Without the segment that recovery has made, what it cut off does not come back")
    func recoverySegmentLost() throws {
        let (_, events) = try crashBetweenSegments()
        let kept = try numbers(path)
        try recordMore(40)
        let made = try segments(of: path).first {
            try Data(contentsOf: URL(filePath: $0)).range(of: Data(noise(5000, 256))) == nil
                && !$0.contains("-0000000001-")
        }
        try FileManager.default.removeItem(atPath: try #require(made))
        let found = try EventStore.openReadOnly(path).collect()
        #expect(found.allSatisfy { $0.sequence < kept.count + 40 })
        #expect(found.suffix(40).map(\.payload) == (0..<40).map { noise(5000 + $0, 256) })
        #expect(found.count < events.lowerBound + 40)
    }

    // Nobody can tell any more whether all that it holds was copied: it was removed on a guess.
    @Test(
        "An original that a recovery which was cut off has left is set aside, and its events are there once")
    func cutOffRecovery() throws {
        try crash(events: 50)
        let original = try segments(of: path)[0]
        let bytes = try Data(contentsOf: URL(filePath: original))
        try recordMore()
        try bytes.write(to: URL(filePath: original))
        #expect(try numbers(path) == Array(0..<53))
        try recordMore()
        #expect(try Data(contentsOf: URL(filePath: original + ".cut")) == bytes)
        #expect(try numbers(path) == Array(0..<56))
    }

    // Its name told nothing, and the log was cut at the start of its last segment: a reader saw none of it, and TAIL did not fit any more.
    @Test(
        "A stray of another segment with a damaged header takes nothing away from the log",
        arguments: [false, true])
    func nameless(killed: Bool) throws {
        if killed { try kill(unwritten: 20..<30) } else { try crash(events: 20) }
        let other = directory.path("other")
        let store = try EventStore.open(other, options: smallBlocks())
        try store.startSession("o").append("x", kind: try store.kind("k", .utf8))
        try store.close()
        var stray = try Data(contentsOf: URL(filePath: try segments(of: other)[0]))
        stray = stray.prefix(stray.count - 50)
        stray[20] ^= 1
        try stray.write(to: URL(filePath: path + "/copy.seg"))
        let count: UInt64 = killed ? 30 : 20
        #expect(try numbers(path) == Array(0..<count))
        for round in 1...2 as ClosedRange<UInt64> {
            try recordMore()
            #expect(try numbers(path) == Array(0..<count + 3 * round))
        }
        #expect(try EventStore.openReadOnly(path).info().gaps == [])
    }

    @Test("A header with an ordinal that can't be followed by another is no segment of this store")
    func ordinalOutOfRange() throws {
        try crash(events: 20)
        let file = try segments(of: path)[0]
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
        for ordinal in [UInt64.max, .max - 1, .max >> 1] {
            var header = try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
            header.ordinal = ordinal
            header.predecessor = UniqueID(low: 1, high: 2)
            try Data(header.encode()).write(to: URL(filePath: "\(path)/\(ordinal).seg"))
        }
        try recordMore()
        try recordMore()
        #expect(try numbers(path) == Array(0..<26))
    }

    @Test("A range beyond an end that can't be read is not complete")
    func coverageBeyondTheEnd() throws {
        try crash(events: 100)
        try damage(event: 35)
        var cursor = try EventStore.openReadOnly(path).cursor(Query().sequences(60...70))
        #expect(try cursor.nextEvent() == nil && !cursor.coverage.isComplete)
        var before = try EventStore.openReadOnly(path).cursor(Query().sequences(3...5))
        #expect(try before.nextEvent() != nil && before.coverage.isComplete)
    }

    // The name of the next segment was taken by a link, a directory or another store's file: a writer could not open the store, or was
    // poisoned at its first event.
    @Test(
        "Whatever else has the next segment's name, recording goes on",
        arguments: ["link", "directory", "file", "far", "beyond all numbers"])
    func nextNameTaken(what: String) throws {
        try crash(events: 20)
        let manager = FileManager.default
        for ordinal in 2...5 as ClosedRange<UInt64> {
            for base in 0...40 as ClosedRange<UInt64> {
                let name = SegmentName(baseSequence: base, ordinal: ordinal, generation: 0).fileName
                let file = "\(path)/\(name)"
                switch what {
                case "link": try manager.createSymbolicLink(atPath: file, withDestinationPath: "/nowhere")
                case "directory":
                    try manager.createDirectory(atPath: file, withIntermediateDirectories: false)
                case "file" where base == 20: try Data("no segment".utf8).write(to: URL(filePath: file))
                default: break
                }
            }
        }
        if what == "far" || what == "beyond all numbers" {
            let ordinal: UInt64 = what == "far" ? .max >> 1 - 1 : .max
            let name = SegmentName(baseSequence: 20, ordinal: ordinal, generation: 0).fileName
            try Data("no segment".utf8).write(to: URL(filePath: "\(path)/\(name)"))
        }
        for round in 1...3 as ClosedRange<UInt64> {
            try recordMore()
            #expect(try numbers(path) == Array(0..<20 + 3 * round))
        }
    }

    @Test("A name that is taken while a store is open does not stop the recording")
    func nameTakenBesideAWriter() throws {
        var options = smallBlocks()
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        try session.append(noise(0, 256), kind: kind)
        try store.flush()
        for ordinal in 2...4 as ClosedRange<UInt64> {
            for base in 0...200 as ClosedRange<UInt64> {
                let name = SegmentName(baseSequence: base, ordinal: ordinal, generation: 0).fileName
                try FileManager.default.createSymbolicLink(
                    atPath: "\(path)/\(name)", withDestinationPath: "/nowhere")
            }
        }
        for number in 1..<200 as Range<UInt64> { try session.append(noise(number, 256), kind: kind) }
        try store.close()
        #expect(try numbers(path) == Array(0..<200))
    }

    // A file of garbage with a name of its own made a store that was closed in order incomplete, for ever.
    @Test(
        "A file without a single block is not taken for the end of the log",
        arguments: ["x.seg", "copy of 1.seg"])
    func garbage(name: String) throws {
        try crash(events: 20)
        try recordMore()
        try Data(noise(1, 10_000)).write(to: URL(filePath: "\(path)/\(name)"))
        let store = try EventStore.openReadOnly(path)
        #expect(try store.info().gaps == [])
        #expect(try store.verify().damage.count == 1)
    }

    @Test("Nor is a damaged copy of a segment that is there")
    func damagedCopy() throws {
        try crash(events: 20)
        try recordMore()
        var copy = try Data(contentsOf: URL(filePath: try segments(of: path)[0]))
        copy[20] ^= 1
        try copy.write(to: URL(filePath: path + "/copy.seg"))
        #expect(try EventStore.openReadOnly(path).info().gaps == [])
    }

    // The first block that was found counted, also one inside of a payload: what was durable of the segment was taken for a tail.
    @Test("A segment without its header is told by its own blocks, not by those in its payloads")
    func segmentInAPayload() throws {
        let inner = directory.path("inner")
        let other = try EventStore.open(inner, options: smallBlocks())
        try other.startSession("i").append(noise(1, 100), kind: try other.kind("k", .binary))
        try other.close()
        let payload = [UInt8](try Data(contentsOf: URL(filePath: try segments(of: inner)[0])))
        let store = try EventStore.open(live, options: smallBlocks())
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        try session.append(payload, kind: kind)
        try store.flush()
        for number in 1..<40 as Range<UInt64> {
            try session.append(noise(number, 256), kind: kind)
            try store.flush()
        }
        try copyLive(live, to: path)
        try FileManager.default.removeItem(atPath: path + "/TAIL")
        try store.close()
        let file = try segments(of: path)[0]
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[20] ^= 1
        try bytes.write(to: URL(filePath: file))
        let gaps = try EventStore.openReadOnly(path).info().gaps
        #expect(gaps.map(\.reason) == [.damage] && gaps.first?.sequences == 0...39)
    }

    /// As a kill leaves it: 20 events written, and those of `unwritten` in `TAIL` alone.
    private func kill(unwritten: Range<UInt64>) throws {
        var options = smallBlocks(on: system)
        options.durability = .none
        let store = try EventStore.open(live, options: options)
        let session = try store.startSession("s", at: 1)
        let kind = try store.kind("noise", .binary)
        for number in 0..<20 as Range<UInt64> { try session.append(noise(number, 256), kind: kind, at: 0) }
        try session.checkpoint("written", state: [], at: 0)
        system.closeGate()
        let late = try store.kind("late", .json)
        for number in unwritten {
            try session.append(noise(number, 256), kind: number % 2 == 0 ? kind : late, at: Int64(number))
        }
        try copyLive(live, to: path)
        system.openGate()
        try store.close()
    }

    // Before, the end of a file that such a block leaves in zeros was taken for one cut short, of which `TAIL` has everything.
    @Test("A damaged record before what TAIL holds is told, whatever it ends in", arguments: [1, 8, 20, 40])
    func damagedRecord(fromTheEnd distance: Int) throws {
        try kill(unwritten: 20..<30)
        let file = try #require(try segments(of: path).last)
        var bytes = try Data(contentsOf: URL(filePath: file))
        let place = try #require(bytes.lastIndex { $0 != 0 }) - distance
        bytes[place] ^= 1
        try bytes.write(to: URL(filePath: file))
        #expect(try EventStore.openReadOnly(path).info().gaps.map(\.reason) == [.unconfirmedTail])
        let store = try EventStore.open(path, options: smallBlocks())
        #expect(try store.count() == 30 && store.checkpoints() == [])
        #expect(try #require(store.recovery).unreadableBytes > 0)
        try store.close()
    }

    // They were kept where nothing was copied, and forgotten otherwise.
    @Test("Numbers of events that are known to be lost are not given again, whatever is lost after recovery")
    func lostNumbers() throws {
        try kill(unwritten: 20..<30)
        var tail = try Data(contentsOf: URL(filePath: path + "/TAIL"))
        let place = try #require(tail.range(of: Data(noise(29, 256))))
        tail[place.lowerBound] ^= 1
        try tail.write(to: URL(filePath: path + "/TAIL"))
        let store = try EventStore.open(path, options: smallBlocks())
        #expect(store.recovery?.gaps.map(\.sequences) == [29...29] && store.nextSequence == 30)
        let again = directory.path("again")
        try FileManager.default.copyItem(atPath: path, toPath: again)
        try store.close()
        try FileManager.default.removeItem(atPath: again + "/TAIL")
        let next = try EventStore.open(again, options: smallBlocks())
        #expect(try next.nextSequence == 30 && next.count() == 29)
        #expect(try next.info().gaps.map(\.sequences) == [29...29])
        try next.close()
    }

    @Test("What a killed process had not written goes over into a repaired store")
    func repairTakesTail() throws {
        try kill(unwritten: 20..<40)
        let new = directory.path("new")
        for salvage in [false, true] {
            let report = try EventStore.repair(path, into: new, salvage: salvage)
            #expect(report.isIntact && report.events == 40 && report.salvagedEvents == 0)
            #expect(report.files.first { $0.name == "TAIL" }?.events ?? 0 >= 1)
            let repaired = try EventStore.openReadOnly(new)
            let source = try EventStore.openReadOnly(path)
            #expect(try repaired.collect() == source.collect())
            #expect(try repaired.sessions() == source.sessions())
            #expect(try repaired.verify().isIntact && repaired.info().gaps == [])
            try FileManager.default.removeItem(atPath: new)
        }
    }

    // A sector that could not be read, in a segment whose header was damaged too, ended the salvage of everything else.
    @Test("Salvage goes on after a sector that can't be read, wherever it lies")
    func salvageBesideABadSector() throws {
        let disk = SimulatedFileSystem(seed: 1)
        try disk.makeDirectory("/data")
        var options = smallBlocks(on: disk)
        options.segmentBytes = 16 << 10
        let store = try EventStore.open("/data/store", options: options)
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        for number in 0..<200 as Range<UInt64> { try session.append(noise(number, 256), kind: kind) }
        try store.close()
        let names = try disk.list("/data/store").map(\.name).filter { $0.hasSuffix(".seg") }.sorted()
        try #require(names.count > 3)
        let last = try #require(names.last)
        let file = try disk.open("/data/store/\(last)", .readWrite)
        for offset in [20, try file.size() - 20] { try file.write([0xFF], at: offset) }
        try disk.makeUnreadable(4096..<4608, of: "/data/store/\(last)")
        #expect(throws: StoreError.self) {
            try EventStore.repair("/data/store", into: "/data/plain", options: options)
        }
        let report = try EventStore.repair("/data/store", into: "/data/new", salvage: true, options: options)
        #expect(report.events > 150)
        #expect(!report.isIntact)
    }

    // A forged index with an events block of no events made verification form a range that goes backwards.
    @Test("An index with a block of events without events is damage")
    func emptyEventsBlock() throws {
        var header = BlockHeader(type: .events)
        header.eventCount = 1
        header.subBlockCount = 1
        var entry = BlockIndexEntry(header, offset: 800)
        func decode() throws {
            var writer = ByteWriter()
            entry.encode(to: &writer)
            _ = try writer.bytes.withReader("index") { reader throws(FormatError) in
                try BlockIndexEntry(from: &reader)
            }
        }
        try decode()
        entry.eventCount = 0
        #expect(throws: FormatError.self) { try decode() }
    }
}
