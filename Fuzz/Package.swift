// swift-tools-version: 6.2
import PackageDescription

// Built with `make fuzz`, which passes the flags of libFuzzer and AddressSanitizer to all modules.
let format: [Target.Dependency] = ["FuzzSupport", .product(name: "Varve", package: "varve")]

let package = Package(
    name: "varve-fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "varve", path: "..")],
    targets: [
        .target(name: "CFuzzer"),
        .target(
            name: "FuzzSupport", dependencies: ["CFuzzer", .product(name: "Varve", package: "varve")]),
        .executableTarget(name: "FuzzBlock", dependencies: format),
        .executableTarget(name: "FuzzSegmentHeader", dependencies: format),
        .executableTarget(name: "FuzzFooter", dependencies: format),
        .executableTarget(name: "FuzzStoreFiles", dependencies: format),
    ],
    swiftLanguageModes: [.v6]
)
