import Testing
import VarveTestKit

@Suite("The benchmark workload")
struct WorkloadTests {
    @Test("the same seed gives the published bytes")
    func publishedBytes() {
        var workload = WorkloadA()
        var lines: [UInt8] = []
        for _ in 0..<10_000 {
            let event = workload.next()
            workload.appendLine(of: event, to: &lines)
        }
        #expect(lines.count == 2_726_837)
        // FNV-1a of the same lines as the reference generator (C++) writes them.
        let hash = lines.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        #expect(hash == 0x25B9_0DD9_D6B7_E9FC)
    }

    @Test("another seed gives other bytes")
    func otherSeed() {
        var (first, second) = (WorkloadA(), WorkloadA(seed: 7))
        _ = (first.next(), second.next())
        #expect(!first.payload.elementsEqual(second.payload))
    }

    @Test("timestamps ascend, and one payload of 10,000 holds the rare text")
    func shape() {
        var workload = WorkloadA()
        var last = WorkloadA.startTimestamp
        var rare = 0
        for number in 0..<30_000 {
            let event = workload.next()
            #expect(event.number == UInt64(number) && event.timestamp > last)
            last = event.timestamp
            if String(decoding: workload.payload, as: UTF8.self).contains(WorkloadA.rareText) { rare += 1 }
        }
        #expect(rare == 3)
    }
}
