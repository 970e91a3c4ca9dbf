import Benchmark
import VarveJSON
import VarveTestKit

func lineOperations() {
    let parser = LineParser()
    measure("JSON lines, split and parsed", handlesMany: true, iterations: 500) { _ in
        var lines: [UInt8] = []
        var workload = WorkloadA()
        for _ in 0..<Size.lines {
            let event = workload.next()
            workload.appendLine(of: event, to: &lines)
        }
        return lines
    } body: { lines, timed in
        timed(events: Size.lines) {
            var splitter = LineSplitter()
            var (fed, found) = (0, 0)
            while fed < lines.count {
                let spare = splitter.spare()
                let count = min(spare.count, lines.count - fed)
                lines[fed..<fed + count].withUnsafeBytes { spare.copyMemory(from: $0) }
                splitter.commit(count)
                fed += count
                while let line = splitter.next() {
                    let result = parser.parse(line.bytes, isPadded: true)
                    precondition(result.isJSON && result.timestamp != nil && result.kind != nil)
                    found += 1
                }
            }
            precondition(found == Size.lines)
        }
    }
}
