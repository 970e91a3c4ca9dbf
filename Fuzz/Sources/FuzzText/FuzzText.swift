import FuzzSupport
import Varve

@testable import VarveJSON

/// Texts and regular expressions that are looked for in payloads: found where the plainest search finds them,
/// and never where what they must hold is not.
///
/// The first byte of an input is flags: case is ignored, a regular expression, from the last to the first.
/// The second one is how long the text is; it and the payloads follow, with RS between those. Every second
/// payload is of a JSON kind.
@main
struct FuzzText {
    static func main() {
        // A compiled expression, what it keeps for searching, and the table of lower case.
        let mutation = structured { Layout(linesOf: $0, from: 2) }
        fuzz(allocating: { 4096 * $0 + (48 << 20) }, mutation: mutation) { input in
            guard input.count >= 2 else { return }
            let flags = input[0]
            let length = min(Int(input[1]), input.count - 2)
            let text = Array(input[2..<2 + length])
            let payloads = input[(2 + length)...].split(separator: 0x1E, omittingEmptySubsequences: false)
                .map { UnsafeRawBufferPointer(rebasing: $0) }
            if flags & 2 == 0 {
                look(text, ignoringCase: flags & 1 != 0, isReversed: flags & 4 != 0, in: payloads)
            } else {
                match(text, ignoringCase: flags & 1 != 0, isReversed: flags & 4 != 0, in: payloads)
            }
        }
    }

    static func look(
        _ text: [UInt8], ignoringCase: Bool, isReversed: Bool, in payloads: [UnsafeRawBufferPointer]
    ) {
        guard let predicate = try? TextPredicate(bytes: text, ignoringCase: ignoringCase) else {
            require(text.isEmpty, "only nothing can't be looked for")
            return
        }
        let kept = rows(predicate, isReversed, payloads)
        let plain = Plain(text, ignoringCase: ignoringCase)
        for (row, payload) in payloads.enumerated() {
            let isFound = plain.isFound(in: Array(payload), isJSON: isJSON(row))
            require(kept.contains(row) == isFound, "it is found where it is")
            guard isFound else { continue }
            require(
                mayHold(predicate.textRequirement, Array(payload), isJSON: isJSON(row)),
                "what must be there is")
        }
    }

    static func match(
        _ text: [UInt8], ignoringCase: Bool, isReversed: Bool, in payloads: [UnsafeRawBufferPointer]
    ) {
        guard let pattern = String(validating: text, as: UTF8.self),
            let predicate = try? RegexPredicate(pattern, ignoringCase: ignoringCase)
        else { return }
        let kept = rows(predicate, isReversed, payloads)
        for (row, payload) in payloads.enumerated() {
            let isFound = predicate.expression.isFound(in: payload)
            require(kept.contains(row) == isFound, "it matches where it does alone")
            guard isFound else { continue }
            require(
                mayHold(predicate.textRequirement, Array(payload), isJSON: false), "what must be there is")
        }
    }

    static func isJSON(_ row: Int) -> Bool { row % 2 == 0 }

    /// The rows that the predicate keeps, of every payload in its place in one area, as a sub-block has them.
    static func rows(
        _ predicate: any EventPredicate, _ isReversed: Bool, _ payloads: [UnsafeRawBufferPointer]
    ) -> Set<Int> {
        guard let evaluator = predicate.makeEvaluator() as? TextEvaluator else { return [] }
        let count = payloads.reduce(0) { $0 + $1.count }
        // Not a byte more, so that reading one is seen.
        let area = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        defer { area.deallocate() }
        var places: [UnsafeRawBufferPointer] = []
        var start = 0
        for payload in payloads {
            let place = UnsafeMutableRawBufferPointer(rebasing: area[start..<start + payload.count])
            place.copyMemory(from: payload)
            places.append(UnsafeRawBufferPointer(place))
            start += payload.count
        }
        var list = payloads.indices.map { UInt32($0) }
        if isReversed { list.reverse() }
        let ordered = list.map { places[Int($0)] }
        let kinds = list.map { isJSON(Int($0)) }
        let kept = list.withUnsafeMutableBufferPointer {
            evaluator.keep($0, payloads: ordered, isJSON: kinds)
        }
        return Set(list.prefix(kept).map { Int($0) })
    }

    static func mayHold(_ requirement: TextRequirement, _ payload: [UInt8], isJSON: Bool) -> Bool {
        switch requirement {
        case .nothing: true
        case .text(let text, _, _):
            Plain(text, ignoringASCIICase: true)
                .isFound(in: payload, isJSON: isJSON)
        case .all(let parts): parts.allSatisfy { mayHold($0, payload, isJSON: isJSON) }
        case .any(let parts): parts.contains { mayHold($0, payload, isJSON: isJSON) }
        case .combination(let parts, let test): test(parts.map { mayHold($0, payload, isJSON: isJSON) })
        }
    }
}
