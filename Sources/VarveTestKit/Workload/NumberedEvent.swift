/// An event whose bytes are a function of who wrote it and of its number, so that a reader can tell it from every other.
public struct NumberedEvent: Hashable, Sendable {
    /// Which run of a writer it is from.
    public var run: UInt64
    /// Which of the run's threads appended it.
    public var thread: UInt64
    /// Which of the thread's events it is, from 0.
    public var number: UInt64

    /// The event of a run's thread with this number.
    public init(run: UInt64, thread: UInt64, number: UInt64) {
        self.run = run
        self.thread = thread
        self.number = number
    }

    /// `RUN THREAD NUMBER `, and then bytes that do not compress: most often few, sometimes many, about `bytes` on average.
    public func payload(bytes: Int) -> [UInt8] {
        var random = SplitMix64(seed: run << 40 ^ thread << 32 ^ number)
        let isLarge = random.oneIn(16)
        let count = Int(random.below(UInt32(clamping: isLarge ? bytes * 16 : bytes + 1)))
        var payload = Array("\(run) \(thread) \(number) ".utf8)
        payload.reserveCapacity(payload.count + count + 8)
        for _ in 0..<(count + 7) / 8 {
            withUnsafeBytes(of: random.next().littleEndian) { payload.append(contentsOf: $0) }
        }
        return payload
    }

    /// The event that these bytes are the payload of; nil when they are nobody's.
    public init?(payload: [UInt8], bytes: Int) {
        let words = payload.prefix(64).split(separator: 0x20, maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4 else { return nil }
        let numbers = words.prefix(3).compactMap { UInt64(String(decoding: $0, as: UTF8.self)) }
        guard numbers.count == 3 else { return nil }
        self.init(run: numbers[0], thread: numbers[1], number: numbers[2])
        guard self.payload(bytes: bytes) == payload else { return nil }
    }
}
