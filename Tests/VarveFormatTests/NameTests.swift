import Testing

@testable import VarveFormat

@Suite("Names of segment files")
struct NameTests {
    @Test(
        "A name has the digits that the pages give it, and more where they are needed",
        arguments: [
            (0, 1, 0, "00000000000000000000-0000000001-00.seg"),
            (1_234_567, 42, 7, "00000000000001234567-0000000042-07.seg"),
            (.max, .max, .max, "18446744073709551615-18446744073709551615-4294967295.seg"),
        ] as [(UInt64, UInt64, UInt32, String)])
    func names(base: UInt64, ordinal: UInt64, generation: UInt32, text: String) {
        let name = SegmentName(baseSequence: base, ordinal: ordinal, generation: generation)
        #expect(name.fileName == text)
        #expect(SegmentName(fileName: text) == name)
        var header = Sample.segmentHeader
        (header.baseSequence, header.ordinal, header.generation) = (base, ordinal, generation)
        #expect(header.fileName == text)
    }

    @Test(
        "Any other form is no name of a segment",
        arguments: [
            "", ".seg", "STORE", "1-1-0.seg", "00000000000000000000-0000000001-00.seg.tmp",
            "00000000000000000000-0000000001.seg", "00000000000000000000-0000000001-00-0.seg",
            "+0000000000000000000-0000000001-00.seg", "00000000000000000000-000000000x-00.seg",
            "00000000000000000000-0000000001-000.seg", "000000000000000000000-0000000001-00.seg",
            "99999999999999999999-0000000001-00.seg", "00000000000000000000-0000000001-4294967296.seg",
        ])
    func others(_ text: String) {
        #expect(SegmentName(fileName: text) == nil)
    }
}
