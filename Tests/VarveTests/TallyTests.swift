import Testing
import VarveTestKit

@testable import Varve

@Suite("Buckets of time")
struct TallyTests {
    /// What a bucket is, in numbers that have room for it.
    private func bucket(of time: Int64, width: Int64) -> Int64 {
        let (time, width) = (Int128(time), Int128(width))
        return Int64((time - ((time % width) + width) % width) / width)
    }

    private func shifted(_ time: Int64, by shift: Int64) -> Int64 {
        Int64(clamping: Int128(time) + Int128(shift))
    }

    @Test("hold the times that fall into them and no others, up to the ends of what 64 bits hold")
    func extremes() {
        let widths: [Int64] = [1, 2, 3, 7, 1000, 3_600_000_000_000, .max / 2, .max - 1, .max]
        let shifts: [Int64] = [0, 1, -1, 5, -1000, .max / 2, .min / 2, .max, .min]
        var times: [Int64] = []
        for near in [Int64.min, -7, 0, 7, .max] as [Int64] {
            for distance in [0, 1, 2, 999, 1000, 1 << 40] as [Int64] {
                times += [
                    Int64(clamping: Int128(near) + Int128(distance)),
                    Int64(clamping: Int128(near) - Int128(distance)),
                ]
            }
        }
        for width in widths {
            for shift in shifts {
                let tally = Tally(bucketNanoseconds: width, shiftNanoseconds: shift, grouping: .none)
                for time in times {
                    let moved = shifted(time, by: shift)
                    let number = bucket(of: moved, width: width)
                    #expect(tally.bucket(of: time) == number)
                    let (shown, own) = (tally.times(ofBucket: number), tally.ownTimes(ofBucket: number))
                    #expect(shown.contains(moved) && own.contains(time), "\(time) \(shift) \(width)")
                    for end in [shown.lowerBound, shown.upperBound] {
                        #expect(bucket(of: end, width: width) == number, "\(time) \(shift) \(width)")
                    }
                    for end in [own.lowerBound, own.upperBound] {
                        #expect(
                            bucket(of: shifted(end, by: shift), width: width) == number,
                            "\(time) \(shift) \(width)")
                    }
                    // The next ones are others'.
                    if shown.lowerBound > .min {
                        #expect(bucket(of: shown.lowerBound - 1, width: width) < number)
                    }
                    if shown.upperBound < .max {
                        #expect(bucket(of: shown.upperBound + 1, width: width) > number)
                    }
                    if own.lowerBound > .min { #expect(tally.bucket(of: own.lowerBound - 1) < number) }
                    if own.upperBound < .max { #expect(tally.bucket(of: own.upperBound + 1) > number) }
                }
            }
        }
    }

    @Test("that no time falls into are at the ends")
    func outside() {
        let tally = Tally(bucketNanoseconds: 1000, shiftNanoseconds: 0, grouping: .none)
        #expect(tally.times(ofBucket: .min) == .min ... .min)
        #expect(tally.times(ofBucket: .max) == .max ... .max)
        let half = Tally(bucketNanoseconds: 1 << 62, shiftNanoseconds: 0, grouping: .none)
        #expect(half.times(ofBucket: -3) == .min ... .min)
    }
}
