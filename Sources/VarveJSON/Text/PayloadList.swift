/// The payloads that a predicate is asked about, and what it has found out about each: evaluators keep one
/// and fill it anew for each sub-block. The bytes are lent.
struct PayloadList {
    enum Mark: UInt8 {
        case open
        case maybe
        case found
    }

    struct Item {
        let bytes: UnsafeRawBufferPointer
        let isJSON: Bool
        var mark = Mark.open

        var isOpenJSON: Bool { isJSON && mark == .open }
    }

    private(set) var items: [Item] = []

    mutating func removeAll() { items.removeAll(keepingCapacity: true) }

    mutating func append(_ bytes: UnsafeRawBufferPointer, isJSON: Bool) {
        items.append(Item(bytes: bytes, isJSON: isJSON))
    }

    /// Decides each item that has a mark.
    mutating func decide(_ mark: Mark, _ isFound: (Item) -> Bool) {
        for index in items.indices where items[index].mark == mark {
            items[index].mark = isFound(items[index]) ? .found : .open
        }
    }

    /// Gives all items that have one mark another one.
    mutating func replace(_ mark: Mark, with other: Mark) {
        for index in items.indices where items[index].mark == mark { items[index].mark = other }
    }

    /// Marks the wanted items in which the needle stands. Payloads that follow each other in memory are
    /// searched as one; what stands across two of them is in neither.
    mutating func scan(_ needle: some PayloadNeedle, mark: Mark, where isWanted: (Item) -> Bool) {
        items.withUnsafeMutableBufferPointer { items in
            // Rows may come from the last to the first: they are taken in the order of memory.
            let step =
                items.count > 1
                    && Self.address(items[0].bytes) > Self.address(items[items.count - 1].bytes) ? -1 : 1
            var index = step > 0 ? 0 : items.count - 1
            while index >= 0 && index < items.count {
                let first = index
                let bytes = items[first].bytes
                index += step
                guard let start = bytes.baseAddress, isWanted(items[first]) else { continue }
                var length = bytes.count
                while index >= 0 && index < items.count,
                    items[index].bytes.baseAddress == start + length, isWanted(items[index])
                {
                    length += items[index].bytes.count
                    index += step
                }
                var row = first
                var rowEnd = bytes.count
                var from = 0
                while from < length {
                    let place = needle.find(in: start, count: length, from: from)
                    guard place < length else { break }
                    while rowEnd <= place {
                        row += step
                        rowEnd += items[row].bytes.count
                    }
                    // Where it goes beyond the payload, so does all that begins later in it.
                    if place + needle.count <= rowEnd { items[row].mark = mark }
                    from = rowEnd
                }
            }
        }
    }

    private static func address(_ bytes: UnsafeRawBufferPointer) -> UInt {
        UInt(bitPattern: bytes.baseAddress)
    }
}
