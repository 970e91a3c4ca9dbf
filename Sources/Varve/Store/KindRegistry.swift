internal import VarveFormat

/// The kinds of a store that is open for writing: name and encoding to a dense number.
///
/// Numbers are the kind ids of every segment that this opening writes: a segment knows a prefix of the
/// registry. Any thread may call.
final class KindRegistry: @unchecked Sendable {
    private struct Key: Hashable {
        /// Its bytes: two spellings of what Unicode takes for one text are two names.
        let name: [UInt8]
        let encoding: PayloadEncoding

        init(_ name: String, _ encoding: PayloadEncoding) {
            self.name = Array(name.utf8)
            self.encoding = encoding
        }
    }

    /// Tells kinds of this registry from those of another store.
    let id: UInt64
    private let monitor = Monitor()
    private var numbers: [Key: UInt32] = [:]
    private var definitions: [KindDefinition]
    private let mapping: TailMapping?
    /// The first number that the mapping does not hold.
    private var firstUnkept = UInt32.max
    /// Numbers below are in the log.
    private var logged: UInt32 = 0

    init(id: UInt64, definitions: [KindDefinition], mapping: TailMapping? = nil) {
        self.id = id
        self.mapping = mapping
        self.definitions = definitions
        for (number, definition) in definitions.enumerated() {
            numbers[Key(definition.name, definition.encoding)] = UInt32(number)
        }
    }

    /// The kind's number; the first definition of a name and encoding stands. O(1). `isKept`: whether it outlives the process
    /// as it is; otherwise the log must hold it before an event of it may.
    func intern(_ name: String, _ encoding: PayloadEncoding, _ metadata: [String: String])
        throws(StoreError) -> (kind: EventKind, isKept: Bool)
    {
        let byteCount = name.utf8.count
        guard byteCount >= 1 else { throw .invalid(what: "a kind's name", reason: "is empty") }
        guard byteCount <= Limits.kindNameBytesMax else {
            throw .beyondLimit(
                what: "the length of a kind's name", value: UInt64(byteCount),
                limit: UInt64(Limits.kindNameBytesMax))
        }
        try checkMetadata(metadata)
        let key = Key(name, encoding)
        return try monitor.withLock { () throws(StoreError) in
            if let number = numbers[key] {
                // Whoever made it known may still be waiting for the log to hold it.
                let kind = EventKind(name: name, encoding: encoding, number: number, registry: id)
                return (kind, number < firstUnkept || number < logged)
            }
            guard definitions.count < Limits.segmentKindsMax else {
                throw .beyondLimit(
                    what: "the number of kinds", value: UInt64(definitions.count) + 1,
                    limit: UInt64(Limits.segmentKindsMax))
            }
            let number = UInt32(definitions.count)
            let definition = KindDefinition(name: name, encoding: encoding, metadata: metadata)
            if let mapping, firstUnkept == .max, !mapping.put(definition, id: number) { firstUnkept = number }
            definitions.append(definition)
            numbers[key] = number
            return (
                EventKind(name: name, encoding: encoding, number: number, registry: id), number < firstUnkept
            )
        }
    }

    /// The log holds the kinds up to this one.
    func markLogged(_ kind: EventKind) {
        monitor.withLock { logged = max(logged, kind.number + 1) }
    }

    /// All definitions from `first` on.
    func definitions(from first: Int = 0) -> [KindDefinition] {
        monitor.withLock { first == 0 ? definitions : Array(definitions.dropFirst(first)) }
    }
}

/// Throws unless the map's encoded form is within its limit.
func checkMetadata(_ map: [String: String]) throws(StoreError) {
    var writer = ByteWriter()
    writer.putMetadata(map)
    guard writer.count <= Limits.metadataBytesMax else {
        throw .beyondLimit(
            what: "the size of a metadata map", value: UInt64(writer.count),
            limit: UInt64(Limits.metadataBytesMax))
    }
}

/// Throws unless the text is within the limit of ids and labels.
func checkID(_ text: String, _ what: String) throws(StoreError) {
    guard text.utf8.count <= Limits.idBytesMax else {
        throw .beyondLimit(what: what, value: UInt64(text.utf8.count), limit: UInt64(Limits.idBytesMax))
    }
}
