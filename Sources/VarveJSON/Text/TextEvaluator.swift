internal import Varve

/// Evaluates a search over the payloads of a sub-block at once.
final class TextEvaluator: PredicateEvaluator {
    private let search: any TextSearch
    private let unescaper = JSONUnescaper()
    private var list = PayloadList()
    /// By the kind's number: whether its payloads are JSON; nil where that was not asked yet.
    private var isJSON: [Bool?] = []

    init(_ search: any TextSearch) { self.search = search }

    func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
        list.removeAll()
        for row in rows { list.append(block.payload(row), isJSON: isJSON(row, of: block)) }
        let kept = keep(rows)
        // The bytes were lent for this call.
        list.removeAll()
        return kept
    }

    func prefilter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
        let byteCountMin = search.byteCountMin
        var count = 0
        for row in rows where block.payloadByteCount(row) >= byteCountMin {
            rows[count] = row
            count += 1
        }
        return count
    }

    /// Keeps the rows whose payloads hold the text; `payloads` are theirs, in their order. What `filter`
    /// does, for tests.
    func keep(
        _ rows: UnsafeMutableBufferPointer<UInt32>, payloads: [UnsafeRawBufferPointer], isJSON: [Bool]
    ) -> Int {
        list.removeAll()
        for (bytes, isJSON) in zip(payloads, isJSON) { list.append(bytes, isJSON: isJSON) }
        return keep(rows)
    }

    private func keep(_ rows: UnsafeMutableBufferPointer<UInt32>) -> Int {
        search.mark(&list, with: unescaper)
        var count = 0
        for (index, item) in list.items.enumerated() where item.mark == .found {
            rows[count] = rows[index]
            count += 1
        }
        return count
    }

    private func isJSON(_ row: UInt32, of block: borrowing CandidateRows) -> Bool {
        let number = Int(block.kindNumber(row))
        while isJSON.count <= number { isJSON.append(nil) }
        if let known = isJSON[number] { return known }
        let answer = block.kind(row).encoding == .json
        isJSON[number] = answer
        return answer
    }
}
