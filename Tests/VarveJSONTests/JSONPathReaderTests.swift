import Testing

@testable import VarveJSON

@Suite("Reading paths of payloads")
struct JSONPathReaderTests {
    private func reading<Answer>(_ text: String, _ body: (JSONPathReader) -> Answer) throws -> Answer {
        let reader = JSONPathReader()
        try #require(Array(text.utf8).withUnsafeBytes { reader.parse($0) })
        return body(reader)
    }

    // `fields` counted the type of each of them, so that there were more values than events: a path means the last one alone.
    @Test("of members with the same key the last counts, for a value and for what occurs")
    func lastMember() throws {
        let text = #"{"a":1,"b":{"x":1,"x":[true]},"a":{"c":1},"b":{"x":null},"a":"last"}"#
        let path = try JSONPath("a")
        #expect(try reading(text) { $0.values(path) } == [.string("last")])
        let shape = JSONPathReader.Shape()
        _ = try reading(text) { shape.add($0) }
        let a = try #require(shape.root.members[Array("a".utf8)])
        #expect(a.payloads == 1)
        #expect(a.counts == [1, 0, 0, 0, 0, 0])
        #expect(a.members.isEmpty)
        let b = try #require(shape.root.members[Array("b".utf8)])
        let x = try #require(b.members[Array("x".utf8)])
        #expect(b.counts == [0, 0, 0, 0, 0, 1])
        #expect(x.counts == [0, 0, 0, 1, 0, 0])
        #expect(x.elements == nil)
    }
}
