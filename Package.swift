// swift-tools-version: 6.2
import PackageDescription

let upcoming: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

// On Linux the libraries are on the default paths, and their pkg-config files carry flags that SwiftPM refuses.
#if os(Linux)
let simdjsonPkgConfig: String? = nil
let re2PkgConfig: String? = nil
#else
let simdjsonPkgConfig: String? = "simdjson"
let re2PkgConfig: String? = "re2"
#endif

let package = Package(
    name: "varve",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Varve", targets: ["Varve"]),
        .library(name: "VarveJSON", targets: ["VarveJSON"]),
        .library(name: "VarveRecorder", targets: ["VarveRecorder"]),
        .library(name: "VarveTestKit", targets: ["VarveTestKit"]),
        .executable(name: "varve", targets: ["VarveCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
    ],
    targets: [
        // Bytes.
        .systemLibrary(
            name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"]), .brew(["lz4"])]),
        .target(name: "CCRC32C"),
        .target(name: "VarveFormat", dependencies: ["CLZ4", "CCRC32C"], swiftSettings: upcoming),

        // Files.
        .target(name: "CPOSIX"),
        .target(name: "VarveIO", dependencies: ["CPOSIX"], swiftSettings: upcoming),

        // The engine.
        .target(
            name: "Varve", dependencies: ["VarveFormat", "VarveIO"],
            swiftSettings: upcoming + [.enableExperimentalFeature("Lifetimes")]),

        // JSON and text over payloads.
        .systemLibrary(
            name: "CSimdJSONLibrary", pkgConfig: simdjsonPkgConfig,
            providers: [.apt(["libsimdjson-dev"]), .brew(["simdjson"])]),
        .target(
            name: "CSimdJSON", dependencies: ["CSimdJSONLibrary"],
            linkerSettings: [.linkedLibrary("simdjson")]),
        .systemLibrary(
            name: "CRE2Library", pkgConfig: re2PkgConfig, providers: [.apt(["libre2-dev"]), .brew(["re2"])]),
        .target(name: "CRE2", dependencies: ["CRE2Library"], linkerSettings: [.linkedLibrary("re2")]),
        .target(name: "CTextSearch"),
        .target(
            name: "VarveJSON", dependencies: ["Varve", "CSimdJSON", "CRE2", "CTextSearch"],
            swiftSettings: upcoming),

        // The recorder and the command.
        .target(name: "VarveRecorder", dependencies: ["Varve", "VarveJSON"], swiftSettings: upcoming),
        .executableTarget(
            name: "VarveCLI",
            dependencies: [
                "VarveRecorder", "VarveJSON", "Varve",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: upcoming),

        // For tests and benchmarks.
        .target(name: "VarveTestKit", dependencies: ["Varve", "VarveIO"], swiftSettings: upcoming),

        .testTarget(
            name: "VarveFormatTests", dependencies: ["VarveFormat", "CCRC32C"], swiftSettings: upcoming),
        .testTarget(name: "VarveIOTests", dependencies: ["VarveIO"], swiftSettings: upcoming),
        .testTarget(
            name: "VarveTests", dependencies: ["Varve", "VarveFormat", "VarveTestKit"],
            swiftSettings: upcoming),
        .testTarget(name: "VarveJSONTests", dependencies: ["VarveJSON"], swiftSettings: upcoming),
        .testTarget(
            name: "VarveRecorderTests", dependencies: ["VarveRecorder", "VarveTestKit"],
            swiftSettings: upcoming),
        .testTarget(
            name: "VarveCLITests", dependencies: ["VarveCLI", "VarveTestKit"],
            // The oracle is Python, which the tests find beside their source.
            exclude: ["Oracle"], swiftSettings: upcoming),
        .testTarget(name: "ArchitectureTests", swiftSettings: upcoming),
        // What the articles show: compiled, run, and compared with them.
        .testTarget(
            name: "DocumentationTests",
            dependencies: ["Varve", "VarveJSON", "VarveRecorder", "VarveTestKit"],
            swiftSettings: upcoming),
        // The process that the crash tests kill, cut off and starve.
        .executableTarget(
            name: "crash-writer",
            dependencies: [
                "Varve", "VarveRecorder", "VarveTestKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/CrashWriter", swiftSettings: upcoming),
        .testTarget(
            name: "CrashTests",
            dependencies: [
                "Varve", "VarveFormat", "VarveJSON", "VarveRecorder", "VarveTestKit", "VarveCLI",
                "crash-writer",
            ],
            path: "Tests/Crash", exclude: ["README.md"], swiftSettings: upcoming),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
