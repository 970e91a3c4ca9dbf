// swift-tools-version: 6.2
import PackageDescription

// Built with `make fuzz`, which passes the flags of libFuzzer and AddressSanitizer to all modules.
func varve(_ product: String) -> Target.Dependency { .product(name: product, package: "varve") }
let support: Target.Dependency = "FuzzSupport"

let package = Package(
    name: "varve-fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "varve", path: "..")],
    targets: [
        .target(name: "CFuzzer"),
        .target(name: "FuzzSupport", dependencies: ["CFuzzer", varve("Varve"), varve("VarveTestKit")]),
        // Structures, each alone.
        .executableTarget(name: "FuzzSegmentHeader", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzBlockHeader", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzSmallColumn", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzSubBlocks", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzBlock", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzFooter", dependencies: [support, varve("Varve")]),
        .executableTarget(name: "FuzzStoreFiles", dependencies: [support, varve("Varve")]),
        // Text.
        .executableTarget(name: "FuzzLines", dependencies: [support, varve("VarveJSON")]),
        .executableTarget(name: "FuzzText", dependencies: [support, varve("Varve"), varve("VarveJSON")]),
        .executableTarget(
            name: "FuzzImport",
            dependencies: [support, varve("Varve"), varve("VarveJSON"), varve("VarveRecorder")]),
        .executableTarget(
            name: "FuzzSessionJSON", dependencies: [support, varve("VarveJSON"), varve("VarveRecorder")]),
        .executableTarget(name: "FuzzWhere", dependencies: [support, varve("VarveJSON")]),
        .executableTarget(name: "FuzzPredicate", dependencies: [support, varve("VarveJSON")]),
        // Whole stores.
        .executableTarget(name: "FuzzOpen", dependencies: [support, varve("Varve"), varve("VarveTestKit")]),
    ],
    swiftLanguageModes: [.v6]
)
