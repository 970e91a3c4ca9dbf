import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// A handful of segment files, without anything else of their store, is a readable store.
@Suite("Bare segments")
struct BareSegmentsTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var bare: String { directory.path("bare") }
    private let files: [String]
    private let events: [Event]

    init() throws {
        directory = try TemporaryDirectory()
        let path = directory.path("store")
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number: UInt64 in 0..<200 {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
        }
        try store.close()
        files = try segments(of: path)
        try #require(files.count >= 4)
        events = try EventStore.openReadOnly(path).collect()
        try FileManager.default.createDirectory(
            atPath: directory.path("bare"), withIntermediateDirectories: false)
    }

    /// Copies some of the segments, perhaps under other names.
    private func copy(_ numbers: [Int], as name: (Int) -> String? = { _ in nil }) throws {
        for number in numbers {
            let original = try #require(files[number].split(separator: "/").last.map(String.init))
            try FileManager.default.copyItem(
                atPath: files[number], toPath: "\(bare)/\(name(number) ?? original)")
        }
    }

    /// What is there is answered, and exactly the rest, up to the last number that is known, is missing.
    private func expectAnswers(from numbers: [Int], sourceLocation: SourceLocation = #_sourceLocation) throws
    {
        let names = Set(numbers.map { files[$0] })
        var expected: [Event] = []
        for event in events {
            let holder = try files.first { file in
                try Data(contentsOf: URL(filePath: file)).range(of: Data(event.payload)) != nil
            }
            if let holder, names.contains(holder) { expected.append(event) }
        }
        let store = try EventStore.openReadOnly(bare)
        var cursor = try store.cursor()
        var found: [Event] = []
        while let event = try cursor.nextEvent() { found.append(event) }
        #expect(found == expected, sourceLocation: sourceLocation)
        let known = expected.last?.sequence ?? 0
        let missing = (0...known).filter { number in !expected.contains { $0.sequence == number } }
        let gaps = cursor.coverage.gaps.flatMap { Array($0.sequences) }
        #expect(gaps == missing, sourceLocation: sourceLocation)
        #expect(try store.count() == UInt64(expected.count), sourceLocation: sourceLocation)
        #expect(try store.sessions().map(\.id) == ["s"], sourceLocation: sourceLocation)
        let verified = try store.verify()
        #expect(verified.damage == [] && verified.strays == [], sourceLocation: sourceLocation)
        #expect(verified.isIntact == missing.isEmpty, sourceLocation: sourceLocation)
        #expect(try contents(of: bare).count == numbers.count, sourceLocation: sourceLocation)
    }

    @Test("The first, one in the middle, the last missing; only one there")
    func some() throws {
        let last = files.count - 1
        for numbers in [
            Array(0...last), Array(1...last), Array(0...last).filter { $0 != 1 }, Array(0..<last), [0], [2],
            [last], [1, 3],
        ] {
            try FileManager.default.removeItem(atPath: bare)
            try FileManager.default.createDirectory(atPath: bare, withIntermediateDirectories: false)
            try copy(numbers)
            try expectAnswers(from: numbers)
        }
    }

    @Test("Whatever the files are called")
    func renamed() throws {
        let numbers = Array(0..<files.count)
        try copy(numbers) { "\(files.count - $0) evidence.seg" }
        try expectAnswers(from: numbers)
    }

    @Test("A second copy of a segment is a stray")
    func duplicate() throws {
        try copy(Array(0..<files.count))
        try copy([1]) { _ in "copy.seg" }
        let store = try EventStore.openReadOnly(bare)
        #expect(try store.collect() == events)
        let verified = try store.verify()
        #expect(verified.isIntact && verified.strays.count == 1 && verified.segments == files.count)
        #expect(verified.strays[0].reason.contains("another copy"))
    }

    @Test("Segments of two stores are none, and that is said")
    func twoStores() throws {
        try copy([0])
        let other = try EventStore.open(directory.path("other"))
        try other.startSession("o").append("x", kind: other.kind("k", .utf8))
        try other.close()
        let file = try #require(try segments(of: directory.path("other")).first)
        try FileManager.default.copyItem(atPath: file, toPath: bare + "/other.seg")
        #expect {
            try EventStore.openReadOnly(bare)
        } throws: { error in
            "\(error)".contains("different stores")
        }
    }

    @Test("Verification names everything that is no part of the log, and calls none of it damage")
    func strays() throws {
        let system = FileManager.default
        let old = try #require(files.first)
        try system.createDirectory(atPath: path + "/folder", withIntermediateDirectories: false)
        try system.createSymbolicLink(atPath: path + "/link.seg", withDestinationPath: old)
        #expect(mkfifo(path + "/pipe", 0o600) == 0)
        try Data("note".utf8).write(to: URL(filePath: path + "/notes.txt"))
        try Data("half".utf8).write(to: URL(filePath: path + "/half.seg.tmp"))
        let other = try EventStore.open(directory.path("other"))
        try other.startSession("o").append("x", kind: other.kind("k", .utf8))
        try other.close()
        let foreign = try #require(try segments(of: directory.path("other")).first)
        try system.copyItem(atPath: foreign, toPath: path + "/foreign.seg")
        let before = try EventStore.openReadOnly(path)
        let report = try before.verify()
        #expect(report.isIntact && report.damage == [] && report.segments == files.count)
        #expect(report.events == 200)
        let reasons = Dictionary(
            uniqueKeysWithValues: report.strays.map { (String($0.file.dropFirst(path.count + 1)), $0.reason) }
        )
        #expect(
            reasons.keys.sorted() == [
                "folder", "foreign.seg", "half.seg.tmp", "link.seg", "notes.txt", "pipe",
            ])
        #expect(reasons["foreign.seg"]?.contains("another store") == true)
        #expect(reasons["link.seg"]?.contains("symbolic link") == true)
        // One that is not even a segment is damage: nobody knows what was in it.
        try Data("nothing".utf8).write(to: URL(filePath: path + "/nothing.seg"))
        #expect(try EventStore.openReadOnly(path).verify().damage.map(\.file) == [path + "/nothing.seg"])
    }
}
