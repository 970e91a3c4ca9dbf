import Testing

@Suite("Golden vectors")
struct VectorTests {
    /// Folders that the table of a vectors page lists: first cells that are one code span.
    static func folders(listedIn page: String) -> [String] {
        page.split(separator: "\n").compactMap { line in
            line.firstMatch(of: /^\| `([a-z-]+)` \|/).map { String($0.1) }
        }
    }

    /// The stems that lack their `.bin` or their `.json`.
    static func unpaired(_ names: [String]) -> [String] {
        let stems = { (suffix: String) in
            Set(names.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) })
        }
        return stems(".bin").symmetricDifference(stems(".json")).sorted()
    }

    @Test("each folder that the page lists has vectors, in pairs, none of them empty")
    func listed() throws {
        let folders = Self.folders(listedIn: try Repository.text("Formats/vectors/README.md"))
        #expect(folders.count > 20)
        for folder in folders {
            let path = "Formats/vectors/\(folder)"
            guard Repository.exists(path) else {
                Issue.record("\(path) is missing")
                continue
            }
            let files =
                try Repository.files(under: path, withExtension: "bin")
                + Repository.files(under: path, withExtension: "json")
            #expect(!files.isEmpty, "\(path) is empty")
            #expect(Self.unpaired(files) == [], "\(path)")
            for file in files { #expect(Repository.byteCount(file) ?? 0 > 0, "\(file) is empty") }
        }
    }

    @Test("each folder with vectors is listed")
    func unlisted() throws {
        let listed = Self.folders(listedIn: try Repository.text("Formats/vectors/README.md"))
        let found = try Repository.directories(in: "Formats/vectors")
        #expect(Set(found).subtracting(listed).subtracting(["stores"]) == [])
    }

    @Test("a missing partner or an unlisted folder would be seen")
    func reading() {
        #expect(Self.unpaired(["a.bin", "a.json", "b.bin", "c.json"]) == ["b", "c"])
        let page = "| folder | keys |\n|---|---|\n| `map` | x |\n| `a` b | y |\n"
        #expect(Self.folders(listedIn: page) == ["map"])
    }
}
