/// Events whose position in their session lies in a range.
public struct IndexPredicate: EventPredicate {
    /// The positions.
    public let indices: Range<UInt64>

    /// Matches these positions, of any session.
    public init(_ indices: Range<UInt64>) { self.indices = indices }

    /// `index from 7 to below 9`.
    public var description: String { "index from \(indices.lowerBound) to below \(indices.upperBound)" }

    /// Never.
    public var needsPayload: Bool { false }

    /// Nothing.
    public var textRequirement: TextRequirement { .nothing }

    /// What evaluates it.
    public func makeEvaluator() -> any PredicateEvaluator { Evaluator(indices) }

    private final class Evaluator: PredicateEvaluator {
        private let indices: Range<UInt64>

        init(_ indices: Range<UInt64>) { self.indices = indices }

        func prefilter(
            _ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows
        ) -> Int {
            var kept = 0
            for row in rows where indices.contains(block.index(row)) {
                rows[kept] = row
                kept += 1
            }
            return kept
        }

        func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
            rows.count
        }
    }
}
