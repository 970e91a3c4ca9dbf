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

let package = Package(
    name: "varve-benchmarks",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "varve-bench", targets: ["VarveBench"])],
    dependencies: [
        .package(name: "varve", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: peers.map { name, _, debian, brew in
        .systemLibrary(name: name, providers: [.apt([debian]), .brew([brew])])
    } + [
        .executableTarget(
            name: "VarveBench",
            dependencies: [
                .product(name: "Varve", package: "varve"),
                .product(name: "VarveJSON", package: "varve"),
                .product(name: "VarveRecorder", package: "varve"),
                .product(name: "VarveTestKit", package: "varve"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ] + peers.map { name, _, _, _ in .target(name: name) })
    ],
    swiftLanguageModes: [.v6]
)
