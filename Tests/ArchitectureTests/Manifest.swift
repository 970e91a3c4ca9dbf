/// What a package manifest says about dependencies, as far as its text shows it.
struct Manifest {
    /// Last parts of the addresses, or paths, of the packages that it depends on.
    let packages: [String]
    /// By target: the targets and products that it depends on.
    let targets: [String: [String]]

    init(_ text: String) {
        packages = text.matches(of: /\.package\([^)]*?(?:url|path):\s*"([^"]+)"/).map { match in
            let name = match.1.split(separator: "/").last.map(String.init) ?? ""
            return name.hasSuffix(".git") ? String(name.dropLast(4)) : name
        }
        let target =
            /\.(?:target|executableTarget|testTarget|systemLibrary)\(\s*name:\s*"(\w+)"(?:,\s*dependencies:\s*\[([^\]]*)\])?/
        var targets: [String: [String]] = [:]
        for match in text.matches(of: target) {
            let list = (match.2 ?? "").replacing(/package:\s*"[^"]*"/, with: "")
            targets[String(match.1)] = list.matches(of: /"([^"]+)"/).map { String($0.1) }
        }
        self.targets = targets
    }
}
