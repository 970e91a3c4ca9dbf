@testable import VarveFormat

/// A payload and its keys.
struct FilteredPayload: Sendable {
    var bytes: [UInt8]

    init(_ text: String) { self.init(bytes: Array(text.utf8)) }

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Its keys, ascending.
    var keys: [UInt32] {
        var keys: Set<UInt32> = []
        bytes.withUnsafeBytes { TextKeys().forEachKey(ofPayload: $0) { keys.insert($0) } }
        return keys.sorted()
    }
}

/// A text that is looked for.
struct FilteredText: Sendable {
    var bytes: [UInt8]
    var startsToken: Bool
    var endsToken: Bool

    init(_ text: String, startsToken: Bool = false, endsToken: Bool = false) {
        self.init(bytes: Array(text.utf8), startsToken: startsToken, endsToken: endsToken)
    }

    init(bytes: [UInt8], startsToken: Bool = false, endsToken: Bool = false) {
        self.bytes = bytes
        self.startsToken = startsToken
        self.endsToken = endsToken
    }

    var keys: [UInt32] { TextKeys.keys(ofText: bytes, startsToken: startsToken, endsToken: endsToken) }
}

/// Payloads by block and sub-block; nil: that one gets no filter.
typealias FilteredBlocks = [[[FilteredPayload]?]]

/// The body of a section with the filters of these payloads.
func encodeFilters(_ blocks: FilteredBlocks) -> [UInt8] {
    var writer = ByteWriter()
    TokenFilters.encode(
        blocks.map { $0.map { part in part.map { Array(Set($0.flatMap(\.keys))).sorted() } } }, to: &writer)
    return writer.bytes
}

func decodeFilters(_ bytes: [UInt8]) throws(FormatError) -> TokenFilters {
    let owner = FilterBytes(bytes)
    return try TokenFilters(decoding: owner.bytes, owner: owner)
}

extension TokenFilters {
    /// Whether the filters say that a sub-block may hold a text.
    func mayHold(_ text: FilteredText, filter: Int) -> Bool {
        text.keys.allSatisfy { mayHoldEverywhere($0) || mayHold($0, filter: filter) }
    }
}

extension Vector {
    private static let line = FilteredPayload("{\"message\":\"connection to peer lost\",\"retry\":30}")

    private static let several: FilteredBlocks = [
        [],
        [
            [
                line,
                FilteredPayload("{\"text\":\"Gr\\u00fc\\u00DFe\\nan alle\",\"clef\":\"\\uD834\\udd1e\"}"),
                FilteredPayload("a\\u0041\\\\u0042 \\ud834 half\\udd1e \\u12 trailing\\"),
            ],
            // Too many keys.
            nil,
            // No key.
            [FilteredPayload("{}"), FilteredPayload("-1")],
        ],
        [],
        [
            [
                line,
                FilteredPayload("2026-05-10T12:34:56Z WARN Übertragung: 0x1F4A9C retries=3"),
            ],
            [line, FilteredPayload("not\\nundone \\u00e9")],
            [line, FilteredPayload(bytes: [0xFF, 0xFE, 0x41, 0x42, 0x00, 0x61, 0x62, 0x63])],
        ],
    ]

    private static let texts: [FilteredText] = [
        FilteredText("peer lost"), FilteredText("PEER"),
        FilteredText("peer", startsToken: true, endsToken: true),
        FilteredText("eer", startsToken: true, endsToken: true), FilteredText("eer"),
        FilteredText("grüße"), FilteredText("grüße an alle"), FilteredText("\\u00fc"), FilteredText("𝄞"),
        FilteredText("\"half\""), FilteredText("half", startsToken: true, endsToken: true),
        FilteredText("aA\\u0042"), FilteredText("trailing\\"), FilteredText("undone", startsToken: true),
        FilteredText("nundone", startsToken: true, endsToken: true), FilteredText("1f4a9c"),
        FilteredText("0x1F4A9C ", startsToken: true), FilteredText("bertragung"),
        FilteredText("nothing of this"),
        FilteredText(""), FilteredText("-1"), FilteredText(bytes: [0xFE, 0x61, 0x42, 0x00]),
        FilteredText(bytes: [0x41, 0x42, 0x43], startsToken: true, endsToken: true),
    ]

    static let filters: [Vector] = [
        filterVector("empty", [], payloads: [], texts: [FilteredText("anything")]),
        filterVector(
            "several", several, payloads: several.flatMap { $0.compactMap(\.self).flatMap(\.self) },
            texts: texts),
    ]

    private static func filterVector(
        _ name: String, _ blocks: FilteredBlocks, payloads: [FilteredPayload], texts: [FilteredText]
    ) -> Vector {
        let meaning = { @Sendable (bytes: [UInt8]) throws -> JSON in
            let filters = try decodeFilters(bytes)
            let numbers = 0..<filters.filterCount
            return [
                "common": .hex(filters.storedBytes()),
                "blocks": .list(0..<filters.blockCount) { block in
                    .list(filters.filters(ofBlock: block)) { .hex(filters.storedBytes(ofFilter: $0)) }
                },
                "payloads": .list(payloads) {
                    ["payload": .hex($0.bytes), "keys": .list($0.keys, JSON.int)]
                },
                "texts": .list(texts) { text in
                    [
                        "text": .hex(text.bytes), "starts_token": .bool(text.startsToken),
                        "ends_token": .bool(text.endsToken), "keys": .list(text.keys.sorted(), JSON.int),
                        "may_hold": .list(numbers) { .bool(filters.mayHold(text, filter: $0)) },
                    ]
                },
            ]
        }
        let bytes = encodeFilters(blocks)
        return Vector(
            golden: GoldenVector(
                folder: "filters", name: name, bytes: bytes, json: (try? meaning(bytes)) ?? .null),
            read: meaning)
    }
}
