import Foundation
import Testing
import VarveIO

@Suite("Mappings")
struct MappingTests {
    let fileSystem = POSIXFileSystem()
    let directory: TemporaryDirectory
    /// Not a whole number of pages, and more than a few.
    let contents = (0..<150_001).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func mapped(_ path: String) throws -> any MappedRegion {
        try #require(try fileSystem.open(path, .read).map())
    }

    @Test("A mapping shows the whole file, also after the file is closed, renamed and unlinked")
    func contentsShown() throws {
        let path = try directory.file("f", contents)
        let file = try fileSystem.open(path, .read)
        let region = try #require(try file.map())
        file.close()
        try fileSystem.rename(path, to: directory("g"), replacing: false)
        try fileSystem.unlink(directory("g"))
        #expect(region.bytes.elementsEqual(contents))
    }

    @Test("An empty file has no mapping")
    func empty() throws {
        #expect(try fileSystem.open(directory.file("f"), .read).map() == nil)
    }

    #if os(Linux)
    @Test("This system can bring pages in on request")
    func canPopulate() throws {
        // Linux 5.14 and later; older ones are served by reads, and this expectation says which one runs.
        var name = utsname()
        try #require(uname(&name) == 0)
        let release = withUnsafeBytes(of: &name.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        let isKnown = !numbers.lexicographicallyPrecedes([5, 14])
        #expect(try mapped(directory.file("f", contents)).canPopulate == isKnown)
    }
    #endif

    @Test(
        "Any range within the mapping can be populated, and no other",
        arguments: [
            (0..<0, true), (0..<1, true), (0..<150_001, true), (150_000..<150_001, true),
            (150_001..<150_001, true),
            (4095..<4097, true), (4096..<8192, true), (0..<150_002, false), (150_001..<150_002, false),
            (-1..<1, false), (Int.min..<0, false), (0..<Int.max, false), ((Int.max - 1)..<Int.max, false),
        ] as [(Range<Int>, Bool)])
    func populating(range: Range<Int>, isWithin: Bool) throws {
        let region = try mapped(directory.file("f", contents))
        guard region.canPopulate else { return }
        #expect(failure { try region.populate(range) }?.code == (isWithin ? nil : EFAULT))
        #expect(region.bytes.elementsEqual(contents))
    }

    @Test("Where a file was cut, populating is a failure and not a signal; the rest stays readable")
    func truncatedFile() throws {
        let path = try directory.file("f", contents)
        let region = try mapped(path)
        guard region.canPopulate else { return }
        try fileSystem.open(path, .readWrite).truncate(to: 65_536)
        let failed = failure { try region.populate(65_000..<150_001) }
        #expect(failed?.operation == .populate)
        #expect(failed?.path == path)
        #expect(failure { try region.populate(150_000..<150_001) } != nil)
        try region.populate(0..<65_536)
        #expect(region.bytes[..<65_536].elementsEqual(contents[..<65_536]))
    }

    @Test("Bytes stored in a writable mapping are in the file, whose other bytes stay")
    func writable() throws {
        let path = try directory.file("f", [1, 2, 3])
        let file = try fileSystem.open(path, .readWrite)
        let region = try file.mapWritable(byteCount: 10_000)
        file.close()
        #expect(region.bytes.count == 10_000)
        #expect(region.bytes.prefix(5).elementsEqual([1, 2, 3, 0, 0]))
        region.bytes[1] = 8
        region.bytes[9_999] = 9
        let reader = try fileSystem.open(path, .read)
        #expect(try reader.size() == 10_000)
        #expect(try reader.read(at: 0, count: 4) == [1, 8, 3, 0])
        #expect(try reader.read(at: 9_998, count: 4) == [0, 9])
        withExtendedLifetime(region) {}
    }

    @Test("A writable mapping never shortens a file")
    func writableBeginning() throws {
        let file = try fileSystem.open(directory.file("f", contents), .readWrite)
        let region = try file.mapWritable(byteCount: 100)
        #expect(region.bytes.elementsEqual(contents[..<100]))
        #expect(try file.size() == UInt64(contents.count))
    }

    @Test("A writable mapping has at least one byte", arguments: [0, -1, .min])
    func writableCount(byteCount: Int) throws {
        let file = try fileSystem.open(directory("f"), .createExclusive)
        #expect(failure { try file.mapWritable(byteCount: byteCount) }?.code == EINVAL)
    }
}
