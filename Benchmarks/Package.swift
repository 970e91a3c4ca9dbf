// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// The stores that Varve is measured beside, as far as their headers are installed where the compiler looks by itself.
let peers = [
    ("CSQLite", "sqlite3.h", "libsqlite3-dev", "sqlite"), ("CLMDB", "lmdb.h", "liblmdb-dev", "lmdb"),
    ("CLevelDB", "leveldb/c.h", "libleveldb-dev", "leveldb"),
    ("CRocksDB", "rocksdb/c.h", "librocksdb-dev", "rocksdb"),
].filter { _, header, _, _ in
    ["/usr/include", "/usr/local/include"].contains {
        FileManager.default.fileExists(atPath: "\($0)/\(header)")
    }
}

// The benchmarks of single operations, by the package benchmark. With Swift 6.2 it asks for an older swift-argument-parser:
// there they are left out, and the rest goes without them.
#if compiler(>=6.3)
// Without its traits it counts neither allocations nor retains, and nothing has to be installed. What they bring puts itself between the
// program and malloc, retain and release, and so changes the times (with Swift 6.2 it is jemalloc, a library of the system).
let operationPackages: [Package.Dependency] = [
    .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: [])
]
// Where the package's command looks for benchmarks: in a directory called Benchmarks.
let operationTargets: [Target] = [
    .executableTarget(
        name: "Operations",
        dependencies: [
            "BenchmarkWorkload",
            .product(name: "Varve", package: "varve"),
            .product(name: "VarveJSON", package: "varve"),
            .product(name: "VarveTestKit", package: "varve"),
            .product(name: "Benchmark", package: "benchmark"),
        ],
        path: "Benchmarks/Operations",
        plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
]
#else
let operationPackages: [Package.Dependency] = []
let operationTargets: [Target] = []
#endif

let package = Package(
    name: "varve-benchmarks",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "varve-bench", targets: ["VarveBench"])],
    dependencies: [
        .package(name: "varve", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ] + operationPackages,
    targets: peers.map { name, _, debian, brew in
        .systemLibrary(name: name, providers: [.apt([debian]), .brew([brew])])
    } + [
        // What is measured with.
        .target(
            name: "BenchmarkWorkload",
            dependencies: [
                .product(name: "Varve", package: "varve"),
                .product(name: "VarveTestKit", package: "varve"),
            ]),
        .executableTarget(
            name: "VarveBench",
            dependencies: [
                "BenchmarkWorkload",
                .product(name: "Varve", package: "varve"),
                .product(name: "VarveJSON", package: "varve"),
                .product(name: "VarveRecorder", package: "varve"),
                .product(name: "VarveTestKit", package: "varve"),
                .product(name: "varve", package: "varve"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ] + peers.map { name, _, _, _ in .target(name: name) }),
    ] + operationTargets,
    swiftLanguageModes: [.v6]
)
