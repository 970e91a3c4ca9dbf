#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

extension SimulatedDisk {
    /// Whether a page is what stands at `start` of an older copy.
    static func equal(_ page: UnsafeRawBufferPointer, _ old: UnsafeRawBufferPointer, at start: Int) -> Bool {
        guard let new = page.baseAddress, let base = old.baseAddress, start + page.count <= old.count else {
            return false
        }
        // SAFETY: both hold that many bytes. A mapping's bytes may change meanwhile, as pages on their way to a disk do.
        return memcmp(new, base + start, page.count) == 0
    }

    /// How a power cut treats what was not synced; drawn once a state, so that some are mild and some are not.
    private struct Profile {
        /// Of eight writes, how many arrive whole.
        let wholeOfEight: UInt32
        /// Whether new sectors that did not arrive show what the disk held there before.
        let hasGarbage: Bool
        /// Which changes of names arrive.
        let names: Names

        enum Names { case none, all, prefix(Int), each }

        init(_ random: inout SplitMix64, nameCount: Int) {
            wholeOfEight = [0, 4, 6, 7, 8][Int(random.below(5))]
            hasGarbage = random.oneIn(4)
            names =
                switch random.below(4) {
                case 0: .none
                case 1: .all
                case 2: .prefix(Int(random.below(UInt32(nameCount + 1))))
                default: .each
                }
        }
    }

    /// What a machine finds when it starts again after its power was cut: everything that was synced, and of the rest
    /// what `seed` chooses. All of it is durable then.
    ///
    /// Writes arrive whole, not at all, or in some of their sectors; lengths grow with or without the bytes; changes of
    /// names arrive in order or out of it, each as a whole; mapped pages arrive each for itself.
    func afterPowerLoss(seed: UInt64) -> SimulatedDisk {
        var random = SplitMix64(seed: seed)
        let profile = Profile(&random, nameCount: pendingNames.count)
        var next = self
        for (position, change) in pendingNames.enumerated() {
            let arrives =
                switch profile.names {
                case .none: false
                case .all: true
                case .prefix(let count): position < count
                case .each: random.oneIn(2)
                }
            if arrives { next.applyName(change, \.durableNames) }
        }
        next.pendingNames = []
        for node in nodes.indices {
            if nodes[node].isDirectory {
                next.nodes[node].names = next.nodes[node].durableNames
            } else if !nodes[node].pending.isEmpty || !nodes[node].pendingPages.isEmpty
                || nodes[node].contents.isPinned
            {
                let contents = Self.survivor(of: nodes[node], profile, &random)
                next.nodes[node].contents = contents
                next.nodes[node].durable = contents
                next.nodes[node].pending = []
                next.nodes[node].pendingPages = [:]
            }
        }
        return next
    }

    private static func survivor(of node: Node, _ profile: Profile, _ random: inout SplitMix64)
        -> FileContents
    {
        var result = node.durable
        // The newest length that arrived, where it is not that of the bytes.
        var liveLength = node.durable.count
        /// Sectors that did not arrive. Those that were there before keep what they held.
        func lose(_ range: Range<Int>, _ random: inout SplitMix64) {
            let start = max(range.lowerBound, result.count)
            guard profile.hasGarbage, start < range.upperBound, random.oneIn(2) else { return }
            Self.garbage(range.upperBound - start, &random).withUnsafeBytes { result.write($0, at: start) }
        }
        for change in node.pending {
            switch change {
            case .setLength(let length):
                if random.below(8) < profile.wholeOfEight {
                    result.setCount(length)
                    liveLength = length
                }
            case .write(let offset, let bytes):
                liveLength = max(liveLength, offset + bytes.count)
                let whole = random.below(8) < profile.wholeOfEight
                let tear =
                    whole || random.oneIn(2) ? nil : Tear(&random, offset: offset, byteCount: bytes.count)
                if !whole, tear == nil {
                    lose(offset..<offset + bytes.count, &random)
                    continue
                }
                bytes.withUnsafeBytes { bytes in
                    guard let tear else {
                        result.write(bytes, at: offset)
                        return
                    }
                    for part in Self.sectors(of: offset..<offset + bytes.count) {
                        if tear.keeps(part.lowerBound / sectorBytes, &random) {
                            result.write(
                                UnsafeRawBufferPointer(
                                    rebasing: bytes[part.lowerBound - offset..<part.upperBound - offset]),
                                at: part.lowerBound)
                        } else {
                            lose(part, &random)
                        }
                    }
                }
            }
        }
        for (page, bytes) in node.pendingPages.sorted(by: { $0.key < $1.key }) where random.oneIn(2) {
            // A page past the end of the file has nothing to belong to.
            guard page * pageBytes < result.count else { continue }
            bytes.withUnsafeBytes { result.write($0, at: page * pageBytes) }
        }
        // The length may arrive without the bytes.
        if liveLength > result.count {
            switch random.below(3) {
            case 0: break
            case 1: result.setCount(liveLength)
            default: result.setCount(result.count + Int(random.below(UInt32(liveLength - result.count) + 1)))
            }
        }
        return result
    }

    private static func garbage(_ byteCount: Int, _ random: inout SplitMix64) -> [UInt8] {
        var garbage: [UInt8] = []
        garbage.reserveCapacity(byteCount + 8)
        while garbage.count < byteCount {
            withUnsafeBytes(of: random.next()) { garbage.append(contentsOf: $0) }
        }
        garbage.removeLast(garbage.count - byteCount)
        return garbage
    }

    /// Which sectors of a write arrive.
    private struct Tear {
        private enum Kind { case beginning, end, allButOne, some }
        private let kind: Kind
        /// The sector where it tears.
        private let place: Int

        init(_ random: inout SplitMix64, offset: Int, byteCount: Int) {
            kind = [.beginning, .end, .allButOne, .some][Int(random.below(4))]
            let first = offset / sectorBytes
            let last = max(offset, offset + byteCount - 1) / sectorBytes
            place = first + Int(random.below(UInt32(last - first + 1)))
        }

        func keeps(_ sector: Int, _ random: inout SplitMix64) -> Bool {
            switch kind {
            case .beginning: sector < place
            case .end: sector > place
            case .allButOne: sector != place
            case .some: random.oneIn(2)
            }
        }
    }

    /// A range cut at sectors.
    private static func sectors(of range: Range<Int>) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(range.upperBound, (start / sectorBytes + 1) * sectorBytes)
            parts.append(start..<end)
            start = end
        }
        return parts
    }

    /// The disk with a beginning of a write that was under way, as a killed process may leave it.
    func cutting(_ change: Change, seed: UInt64) -> SimulatedDisk {
        guard case .write(let file, let offset, let bytes) = change, !bytes.isEmpty else { return self }
        var random = SplitMix64(seed: seed)
        let count = Int(random.below(UInt32(bytes.count) + 1))
        var next = self
        if count > 0 { next.apply(.write(file: file, offset: offset, bytes: Array(bytes[..<count]))) }
        return next
    }
}
