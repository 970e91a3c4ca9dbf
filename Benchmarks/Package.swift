// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "varve-benchmarks",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "varve-bench", targets: ["VarveBench"])],
    dependencies: [
        .package(name: "varve", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: [
        .executableTarget(
            name: "VarveBench",
            dependencies: [
                .product(name: "Varve", package: "varve"),
                .product(name: "VarveJSON", package: "varve"),
                .product(name: "VarveRecorder", package: "varve"),
                .product(name: "VarveTestKit", package: "varve"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
