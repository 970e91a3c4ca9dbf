import Testing
import VarveJSON

@Suite struct ByteBufferTests {
    static func built(_ body: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer(capacity: 1)
        body(&buffer)
        return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test("Integers are written in decimal")
    func integers() {
        for number in [0, 9, 10, 99, 100, Int64.max, Int64.min, -1, -10] {
            #expect(Self.built { $0.append(integer: number) } == "\(number)")
        }
        #expect(Self.built { $0.append(integer: UInt64.max) } == "18446744073709551615")
    }

    @Test("A buffer keeps what it held while it grows, and nothing after it is emptied")
    func grows() {
        var buffer = ByteBuffer(capacity: 0)
        var expected: [UInt8] = []
        for index in 0..<10_000 {
            buffer.append(UInt8(index & 255))
            expected.append(UInt8(index & 255))
        }
        buffer.append("tail")
        buffer.append(string: "é")
        expected += Array("tailé".utf8)
        #expect(buffer.withUnsafeBytes { Array($0) } == expected)
        #expect(buffer.count == expected.count)
        buffer.removeAll()
        #expect(buffer.withUnsafeBytes { $0.count } == 0)
    }

    @Test("JSON strings escape quotes, backslashes and controls, and nothing else")
    func escapes() {
        #expect(
            Self.built { $0.appendJSONString("a\"b\\c/\u{8}\u{9}\n\u{C}\r\u{0}\u{1F}\u{7F}é😀\u{2028}") }
                == #""a\"b\\c/\b\t\n\f\r\u0000\u001f"# + "\u{7F}é😀\u{2028}\"")
        #expect(Self.built { $0.appendJSONString("") } == "\"\"")
    }

    @Test("A JSON string written is read back")
    func escapesReadBack() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        let reader = JSONObjectReader()
        for _ in 0..<500 {
            var text = String.UnicodeScalarView()
            for _ in 0..<random.next() % 80 {
                if let scalar = Unicode.Scalar(
                    UInt32(random.next() % (random.next() % 2 == 0 ? 128 : 0x11_0000)))
                {
                    text.append(scalar)
                }
            }
            let string = String(text)
            var line = ByteBuffer()
            line.append("{\"v\":")
            line.appendJSONString(string)
            line.append("}")
            try line.withUnsafeBytes { try reader.parse($0) }
            #expect(try reader.bytes(ofString: "v") == Array(string.utf8), "seed \(seed)")
        }
    }

    @Test(
        "Base64 is the standard's",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func base64(text: String, encoded: String) {
        #expect(Self.built { buffer in raw(text) { buffer.appendBase64($0) } } == encoded)
        #expect(JSONText.decodeBase64(encoded) == Array(text.utf8))
    }

    @Test("Any bytes come back from base64")
    func base64RoundTrip() {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        for count in 0..<300 {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let text = Self.built { buffer in bytes.withUnsafeBytes { buffer.appendBase64($0) } }
            #expect(JSONText.decodeBase64(text) == bytes, "seed \(seed)")
        }
    }

    @Test(
        "Base64 that no encoder writes is refused",
        arguments: [
            "Z", "Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zm-_",
            "Zg==Zg==", "Zé=",
        ])
    func badBase64(text: String) { #expect(JSONText.decodeBase64(text) == nil) }
}
