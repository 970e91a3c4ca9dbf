import Testing

@testable import Varve

@Suite("What goes first")
struct RetentionPolicyTests {
    @Test(
        "Blocks are too old by the time of their writing, in the order of it; a clock that was wrong makes nothing immortal and wipes nothing",
        arguments: [
            // Written, looked at, age, how many are too old.
            ([0, 10, 20], 15, 10, 1), ([0, 10, 20], 20, 10, 2), ([0, 10, 20], 9, 10, 0), ([], 50, 1, 0),
            // The clock was ahead: that block goes with the next one that was not.
            ([0, 1_000, 20], 25, 10, 1), ([0, 1_000, 20], 30, 10, 3), ([1_000, 1_001], 30, 10, 0),
            // It was behind: what comes before is not younger for it, and it goes no earlier than that.
            ([20, 0, 21], 25, 10, 0), ([20, 0, 21], 30, 10, 2),
            // It is behind now: everything was written in the future, and stays.
            ([100, 200], 50, 10, 0),
            // Far ends of the clock.
            ([.min, 0], .max, 1, 2), ([0], .min, .max, 0), ([.max], .max, 1, 0),
        ] as [([Int64], Int64, UInt64, Int)])
    func aged(times: [Int64], now: Int64, age: UInt64, expected: Int) {
        let blocks = times.enumerated().map {
            RetentionPolicy.Written(
                nextSequence: UInt64($0.offset + 1) * 10, checkpointsMade: 0, time: $0.element)
        }
        var count = 0
        search: for (number, block) in blocks.enumerated() {
            switch RetentionPolicy.age(of: block, now: now, limit: age) {
            case .old: count = number + 1
            case .young: break search
            case .undecided: continue
            }
        }
        #expect(count == expected)
    }

    private func segments(_ sizes: [UInt64]) -> [RetentionPolicy.Segment] {
        sizes.enumerated().map { number, bytes in
            RetentionPolicy.Segment(
                ordinal: UInt64(number + 1), sequences: UInt64(number) * 10..<UInt64(number + 1) * 10,
                checkpointsMade: UInt64(number), fileBytes: bytes, isRemovable: number + 1 < sizes.count,
                isDead: false, isPinned: false)
        }
    }

    @Test(
        "As many of the oldest segments go as it takes, and the log's end stays",
        arguments: [(1, 1, 10), (100, 1, 10), (101, 2, 20), (300, 3, 30), (301, 3, 30), (.max, 3, 30)]
            as [(UInt64, Int, UInt64)])
    func toFree(bytes: UInt64, count: Int, head: UInt64) throws {
        let plan = try #require(RetentionPolicy.toFree(bytes, of: segments([100, 100, 100, 100])))
        #expect(plan.segments == (1...UInt64(count)).map { $0 })
        #expect(plan.head == head && plan.bytes == UInt64(count) * 100)
        #expect(plan.checkpointsMade == UInt64(count - 1))
    }

    @Test(
        "What is pinned is passed over, what is dropped already counts no more, and what may not go is, too"
    )
    func passedOver() throws {
        var all = segments([100, 100, 100, 100, 100])
        all[0].isPinned = true
        all[1].isDropped = true
        #expect(try #require(RetentionPolicy.toFree(150, of: all)).segments == [3, 4])
        // One without a footer in the middle stays, and those after it go.
        all[2].isRemovable = false
        #expect(try #require(RetentionPolicy.toFree(50, of: all)).segments == [4])
        all[3].isRemovable = false
        #expect(RetentionPolicy.toFree(150, of: all) == nil)
        #expect(
            RetentionPolicy.toFree(1, of: segments([100])) == nil && RetentionPolicy.toFree(1, of: []) == nil)
        all[1].isDead = true
        all[4].isDead = true
        all[1].isRemovable = true
        #expect(RetentionPolicy.dead(all) == [2])
    }
}
