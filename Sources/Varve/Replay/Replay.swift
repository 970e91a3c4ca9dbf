extension Snapshot {
    /// Calls `body` with each event that matches, in the query's order, as fast as blocks are decompressed.
    ///
    /// The view is lent: it ends with the call, and nothing is allocated for it. `decodingAhead` is as of a cursor; `body` is called on
    /// the caller's thread.
    ///
    /// Returns what is missing in the answer. Throws `StoreError` when the system refuses to read, and what `body` throws: so it can
    /// stop. O(blocks that may match).
    @inlinable
    @discardableResult
    public func replay(
        _ query: Query = Query(), decodingAhead: Bool = false, _ body: (EventView) throws -> Void
    ) throws -> Coverage {
        var cursor = try cursor(query, decodingAhead: decodingAhead)
        while let event = try cursor.next() { try body(event) }
        return cursor.coverage
    }

    /// Splits a query for workers: up to `count` queries that together match what it does, each event once, with about as many
    /// bytes each. They are in the query's order, and each is complete by its own coverage. Where there are fewer blocks there are
    /// fewer queries; a query with a limit is not split. Reads indices, no data.
    public func partitions(_ count: Int, of query: Query = Query()) throws(StoreError) -> [Query] {
        guard count > 1, query.limit == nil else { return [query] }
        var forward = query
        forward.isReversed = false
        let blocks = try CursorCore(self, forward).candidateBlocks()
        // A row takes its time too, however short its payload.
        let weights = blocks.map { $0.bytes + 32 * UInt64($0.sequences.count) }
        let total = weights.reduce(0, +)
        var starts: [UInt64] = []
        var passed: UInt64 = 0
        for (block, weight) in zip(blocks, weights) {
            // Where as many parts should have ended as there are behind it.
            if passed > 0, passed / (total / UInt64(count) + 1) > UInt64(starts.count) {
                starts.append(block.sequences.lowerBound)
            }
            passed += weight
        }
        let range = query.sequences ?? 0...UInt64.max
        var parts: [Query] = []
        var first = range.lowerBound
        for start in starts where start > first && start <= range.upperBound {
            parts.append(query.sequences(first...start - 1))
            first = start
        }
        parts.append(query.sequences(first...range.upperBound))
        return query.isReversed ? parts.reversed() : parts
    }
}
