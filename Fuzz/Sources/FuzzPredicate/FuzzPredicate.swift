import FuzzSupport

@testable import VarveJSON

/// Conditions on hostile payloads: the answer is the same whether payloads are ruled out by their bytes or
/// parsed, and wherever they lie.
///
/// An input is the number of one of the conditions below and a payload, or the text of a condition, a zero
/// and a payload.
@main
struct FuzzPredicate {
    static let expressions = [
        "a == 1", "a != \"x\" and b exists", "** contains \"a\" nocase",
        "number(a) > 0x10 or a.b[] in [1, \"1\", null]",
        "any(a[], b == 1 or . is empty)", "all(**, . is string)", "time(a) - time(b) >= 1s",
        "lower(a) has \"b\" or a[0].b endswith \"c\"",
        "size(.) > 2 and a == b", "not (a < 1.5) and ** == 18446744073709551616",
        "** == ** and a matches \"^x?\"",
        "a.a.a.a exists or [][][0] exists", "kind == \"k\" or time(a) > timestamp",
        "a startswith \"\\\\/\\u0001\" or a == \"c/d\"",
        "a > \"a\" nocase", "number(**) == 1e400",
    ]

    private struct Pair {
        let evaluator: WhereEvaluator
        let plain: WhereEvaluator
        let predicate: WherePredicate

        init?(_ expression: String) {
            guard let predicate = try? WherePredicate(expression) else { return nil }
            self.predicate = predicate
            evaluator = WhereEvaluator(predicate)
            plain = WhereEvaluator(predicate, sieves: false)
        }
    }

    // For one thread; made once, as a reader does.
    nonisolated(unsafe) private static let pairs = expressions.compactMap { Pair($0) }

    static func main() {
        require(pairs.count == expressions.count, "the conditions above are read")
        let mutation = structured { bytes in
            Layout(linesOf: bytes, from: (bytes.firstIndex(of: 0) ?? 0) + 1)
        }
        fuzz(allocating: { 256 * $0 + (32 << 20) }, mutation: mutation) { input in
            guard let first = input.first else { return }
            if Int(first) < expressions.count {
                judge(pairs[Int(first)], UnsafeRawBufferPointer(rebasing: input.dropFirst()))
            } else if let end = input.firstIndex(of: 0),
                let pair = Pair(String(decoding: input[..<end], as: UTF8.self))
            {
                judge(pair, UnsafeRawBufferPointer(rebasing: input[(end + 1)...]))
            }
        }
    }

    private static func judge(_ pair: Pair, _ payload: UnsafeRawBufferPointer) {
        var attributes = WhereAttributes()
        attributes.length = UInt64(payload.count)
        // Other bytes behind it, which are not its own.
        let padded = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count + 64, alignment: 1)
        defer { padded.deallocate() }
        padded.copyMemory(from: payload)
        for place in payload.count..<padded.count { padded[place] = UInt8(ascii: "\"") }
        let copy = UnsafeRawBufferPointer(rebasing: padded[..<payload.count])
        "k".utf8.withContiguousStorageIfAvailable { kind in
            attributes.kind = .text(kind.baseAddress, kind.count)
            attributes.session = attributes.kind
            let matches = pair.plain.matches(payload: payload, attributes: attributes)
            require(
                pair.evaluator.matches(payload: payload, attributes: attributes) == matches,
                "what is ruled out does not match")
            require(
                pair.plain.matches(payload: copy, attributes: attributes, isPadded: true) == matches,
                "what follows a payload does not matter")
        }
        var diagnosis = WhereDiagnosis(pair.predicate)
        diagnosis.look(at: payload)
        _ = diagnosis.notes
    }
}
