public import Foundation

/// What the package has built beside the tests that run.
public enum BuiltProducts {
    /// The executable of that name, beside the test bundle.
    public static func url(_ name: String) -> URL {
        #if canImport(Darwin)
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL
        #else
        let bundle: URL? = URL(fileURLWithPath: CommandLine.arguments[0])
        #endif
        return (bundle ?? URL(fileURLWithPath: ".")).deletingLastPathComponent().appendingPathComponent(name)
    }
}
