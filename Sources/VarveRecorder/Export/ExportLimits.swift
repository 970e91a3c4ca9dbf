/// What a store can take, checked while an import can still be refused as a whole.
enum ExportLimits {
    static let idBytesMax = 64 << 10
    static let kindNameBytesMax = 255
    static let metadataBytesMax = 64 << 10
    static let payloadBytesMax = 64 << 20

    /// Why the store would refuse the line, if it would.
    static func violation(by line: ExportLine) -> String? {
        switch line {
        case .header(let header): metadata(header.metadata)
        case .session(let begin):
            tooLong("id", begin.id.utf8.count, max: idBytesMax) ?? metadata(begin.metadata)
        case .kind(let kind):
            kind.name.isEmpty
                ? "name: empty"
                : tooLong("name", kind.name.utf8.count, max: kindNameBytesMax) ?? metadata(kind.metadata)
        case .event(let event): tooLong("payload", event.payload.count, max: payloadBytesMax)
        case .checkpoint(let checkpoint):
            tooLong("id", checkpoint.id.utf8.count, max: idBytesMax)
                ?? tooLong("label", checkpoint.label?.utf8.count ?? 0, max: idBytesMax)
                ?? tooLong("state", checkpoint.state.count, max: payloadBytesMax)
        case .resume, .pause, .end, .ledger: nil
        }
    }

    private static func tooLong(_ what: String, _ bytes: Int, max: Int) -> String? {
        bytes > max ? "\(what): \(bytes) bytes, over the limit of \(max)" : nil
    }

    /// The size that a store encodes it in: a count, and each text after its length, both as varints.
    private static func metadata(_ map: [String: String]) -> String? {
        var bytes = varintBytes(map.count)
        for text in map.flatMap({ [$0.key, $0.value] }) {
            bytes += varintBytes(text.utf8.count) + text.utf8.count
        }
        return tooLong("metadata", bytes, max: metadataBytesMax)
    }

    private static func varintBytes(_ value: Int) -> Int {
        max(1, (Int.bitWidth - value.leadingZeroBitCount + 6) / 7)
    }
}
