import Testing

@Suite("The package")
struct PackageTests {
    /// Swift packages that the manifest may name.
    static let packagesAllowed: Set = ["swift-argument-parser", "swift-system", "swift-collections"]
    /// Their products that the engine may pull in.
    static let productsAllowed: Set = ["SystemPackage", "Collections", "DequeModule", "OrderedCollections"]

    @Test("depends on nothing beyond the allowed packages")
    func dependencies() throws {
        let manifest = Manifest(try Repository.text("Package.swift"))
        #expect(!manifest.packages.isEmpty)
        #expect(Set(manifest.packages).subtracting(Self.packagesAllowed) == [])
    }

    @Test("its targets depend on what their import rules allow")
    func targets() throws {
        let manifest = Manifest(try Repository.text("Package.swift"))
        for (module, allowed) in ImportRules.varve.allowed {
            let found = try #require(manifest.targets[module], "\(module) is no target")
            #expect(Set(found).subtracting(allowed).subtracting(Self.productsAllowed) == [], "\(module)")
        }
    }

    @Test("a forbidden dependency would be seen")
    func manifestReading() {
        let manifest = Manifest(
            """
            dependencies: [
                .package(url: "https://example.com/swift-nio.git", exact: "1.0.0"),
                .package(name: "x", path: "../other")
            ],
            targets: [
                .target(name: "A"),
                .target(
                    name: "B", dependencies: ["A", .product(name: "NIO", package: "swift-nio")], path: "b"),
            ]
            """)
        #expect(manifest.packages == ["swift-nio", "other"])
        #expect(manifest.targets == ["A": [], "B": ["A", "NIO"]])
    }

    @Test(
        "has the pages that people look for",
        arguments: [
            "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Formats/README.md",
        ])
    func pages(_ path: String) {
        #expect(Repository.byteCount(path) ?? 0 > 200, "\(path) is missing or empty")
    }

    // A limit of a minute failed tests that take no time: they had waited for three.
    @Test(
        "a time limit names what would not end, and is no less than an hour: tests wait for each other within it"
    )
    func timeLimits() throws {
        var count = 0
        for file in try Repository.files(under: "Tests", withExtension: "swift") {
            for limit in try Repository.text(file).matches(of: /\.timeLimit\((?:\s*\.minutes\((\d+)\))?/) {
                count += 1
                #expect((limit.1.flatMap { Int($0) } ?? 0) >= 60, "\(file)")
            }
        }
        #expect(count > 0)
    }

    @Test("every module has a folder of tests")
    func testFolders() throws {
        let folders = try Repository.directories(in: "Tests")
        for module in try Repository.directories(in: "Sources")
        where !module.hasPrefix("C") && module != "VarveTestKit" {
            #expect(folders.contains("\(module)Tests"))
        }
    }
}
