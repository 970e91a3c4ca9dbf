import Testing

@testable import VarveFormat

@Suite("Golden vectors of the structures")
struct StructureGoldenVectors {
    @Test("Each says what this library writes, and is read as what it means", arguments: Vector.all)
    func vector(_ vector: Vector) throws {
        try vector.golden.check()
        #expect(try vector.read(vector.golden.storedBytes()) == vector.golden.json)
    }

    @Test("The block vectors show every type, every flag and every method")
    func coverage() {
        let headers = BlockVector.all.map(\.header)
        #expect(Set(headers.map(\.type.rawValue)) == Set(1...8))
        for flag in [BlockFlags.manyKinds, .usesDictionary, .explicitIndices] {
            #expect(headers.contains { $0.flags.contains(flag) })
        }
        let methods = BlockVector.all.flatMap { block in
            (0..<Int(block.header.subBlockCount)).map {
                block.bytes[BlockHeader.byteCount + $0 * SubBlockDirectoryEntry.byteCount + 12]
            }
        }
        #expect(Set(methods) == [0, 1, 2])
        #expect(headers.contains { $0.type == .events && $0.subBlockCount > 1 })
    }
}
