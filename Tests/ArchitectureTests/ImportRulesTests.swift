import Testing

@Suite("Imports go down only")
struct ImportRulesTests {
    @Test("every source file keeps to the rules")
    func sources() throws {
        var files = 0
        for module in try Repository.directories(in: "Sources") where !module.hasPrefix("C") {
            for path in try Repository.files(under: "Sources/\(module)", withExtension: "swift") {
                files += 1
                let violations = ImportRules.varve.violations(of: module, source: try Repository.text(path))
                #expect(violations.isEmpty, "\(path): \(violations.joined(separator: ", "))")
            }
        }
        // The repository was found.
        #expect(files > 20)
    }

    @Test(
        "a forbidden import is found, however it is written",
        arguments: [
            ("VarveFormat", "import VarveIO"),
            ("VarveIO", "import VarveFormat"),
            ("VarveFormat", "import Foundation"),
            ("Varve", "public import Foundation"),
            ("Varve", "import Glibc; import VarveJSON"),
            ("VarveIO", "internal import struct Foundation.Date"),
            ("VarveIO", "  @preconcurrency @_spi(Testing) public import CLZ4"),
            ("VarveJSON", "#if os(Linux)\nimport VarveRecorder\n#endif"),
            ("VarveRecorder", "/* import Varve */\n/*\nimport Varve\n*/\nimport VarveCLI"),
            ("VarveTestKit", "let text = \"\"\"\n    import Varve\n    \"\"\"\nimport VarveFormat"),
            ("Varve", "@testable import VarveTestKit"),
            ("Varve", "import ArgumentParser"),
            ("Varve", "internal import CRE2"),
            ("VarveRecorder", "import CRE2"),
            ("Unheard", "// nothing at all"),
        ])
    func forbidden(module: String, source: String) {
        #expect(ImportRules.varve.violations(of: module, source: source).count == 1)
    }

    @Test(
        "what the rules allow is not reported",
        arguments: [
            ("VarveFormat", "internal import CLZ4\nimport CCRC32C\nimport Glibc"),
            ("Varve", "public import VarveFormat\n// import Foundation\nlet x = \"import Foundation\""),
            ("VarveRecorder", "import Foundation\nimport Varve\nimport VarveFormat"),
            ("VarveJSON", "internal import CRE2\nimport CSimdJSON"),
            ("VarveCLI", "import ArgumentParser\nimport struct VarveRecorder.AppEvent"),
        ])
    func allowed(module: String, source: String) {
        #expect(ImportRules.varve.violations(of: module, source: source) == [])
    }
}
