/// Who may import whom: imports go down only.
struct ImportRules {
    /// Modules of this package that each module may import. A module that is not a key has no rule, which is a
    /// violation too.
    let allowed: [String: Set<String>]
    /// Modules that must stay free of Foundation, so that an embedder pays for nothing else.
    let withoutFoundation: Set<String>

    /// The rules of this package. Higher layers may skip levels.
    static let varve: ImportRules = {
        let engine: Set = ["VarveFormat", "VarveIO"]
        let recorder: Set = ["VarveJSON", "Varve"]
        return ImportRules(
            allowed: [
                "VarveFormat": ["CLZ4", "CCRC32C"],
                "VarveIO": ["CPOSIX"],
                "Varve": engine,
                "VarveJSON": engine.union(["Varve", "CSimdJSON", "CRE2", "CTextSearch"]),
                "VarveRecorder": engine.union(recorder),
                "VarveCLI": engine.union(recorder).union(["VarveRecorder", "ArgumentParser"]),
                "VarveTestKit": ["Varve", "VarveIO"],
            ],
            withoutFoundation: ["VarveFormat", "VarveIO", "Varve"])
    }()

    /// What the system and the toolchain bring.
    private static let system: Set = ["Glibc", "Musl", "Darwin", "Synchronization", "Dispatch"]
    private static let foundation: Set = ["Foundation", "FoundationEssentials", "FoundationNetworking"]

    /// What a source file of a module imports and must not, in order.
    func violations(of module: String, source: String) -> [String] {
        guard let allowed = allowed[module] else { return ["\(module) has no import rule"] }
        return Self.imports(in: source).compactMap { name in
            if allowed.contains(name) || Self.system.contains(name) { return nil }
            if Self.foundation.contains(name), !withoutFoundation.contains(module) { return nil }
            return "\(module) imports \(name)"
        }
    }

    /// The modules that a source file imports. Comments and multi-line strings are skipped.
    static func imports(in source: String) -> [String] {
        let modifier = /@\w+(?:\([^)]*\))?|public|package|internal|fileprivate|private/
        var names: [String] = []
        var isInString = false
        var isInComment = false
        for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
            if isInComment {
                isInComment = !line.contains("*/")
                continue
            }
            if line.matches(of: /"""/).count % 2 == 1 {
                isInString.toggle()
                continue
            }
            if isInString { continue }
            if line.contains(/^\s*\/\*/) {
                isInComment = !line.contains("*/")
                continue
            }
            // Several statements may share a line.
            for statement in line.split(separator: ";") {
                var words = statement.split(separator: " ")[...]
                while let word = words.first, word.wholeMatch(of: modifier) != nil { words.removeFirst() }
                guard words.popFirst() == "import" else { continue }
                // `import struct Module.Name` names the module in its second word.
                guard let path = words.first(where: { !Self.declarations.contains(String($0)) }) else {
                    continue
                }
                names.append(String(path.prefix { $0.isLetter || $0.isNumber || $0 == "_" }))
            }
        }
        return names
    }

    private static let declarations: Set = [
        "struct", "class", "enum", "protocol", "typealias", "func", "let", "var",
    ]
}
