import Testing
import VarveTestKit

@Suite("The benchmark workloads")
struct WorkloadTests {
    // Bytes and FNV-1a of the same lines as the reference generator (C++) writes them.
    @Test(
        "the same seed gives the published bytes",
        arguments: [
            (WorkloadA.Shape.single, 10_000, 2_726_837, 0x25B9_0DD9_D6B7_E9FC as UInt64),
            (.snapshot, 1_000, 4_080_304, 0xD02B_DCFA_1FD2_66C1),
        ])
    func publishedBytes(shape: WorkloadA.Shape, lineCount: Int, byteCount: Int, published: UInt64) {
        var workload = WorkloadA(shape)
        var lines: [UInt8] = []
        for _ in 0..<lineCount {
            let event = workload.next()
            workload.appendLine(of: event, to: &lines)
        }
        #expect(lines.count == byteCount)
        #expect(lines.count { $0 == UInt8(ascii: "\n") } == lineCount)
        let hash = lines.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        #expect(hash == published)
    }

    @Test("another seed gives other bytes")
    func otherSeed() {
        var first = WorkloadA()
        var second = WorkloadA(seed: 7)
        _ = first.next()
        _ = second.next()
        #expect(!first.payload.elementsEqual(second.payload))
    }

    @Test(
        "timestamps ascend, and one payload of 10,000 holds the rare text",
        arguments: [WorkloadA.Shape.single, .snapshot])
    func order(shape: WorkloadA.Shape) {
        var workload = WorkloadA(shape)
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
