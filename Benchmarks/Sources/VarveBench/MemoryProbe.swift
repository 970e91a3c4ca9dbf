import ArgumentParser
import Foundation
import Varve
import VarveTestKit

/// What appending or scanning keeps in memory, measured in a process that does nothing else: in this one the
/// workload would hide it.
enum MemoryProbe {
    /// What the process does.
    enum Work: String, ExpressibleByArgument {
        case append, scan, compact, importSession, exportSession
    }

    private struct Failure: Error, CustomStringConvertible {
        let work: Work
        var description: String { "\(work.rawValue) in a process of its own failed" }
    }

    /// Runs this program again to do `work`; the most bytes it held, without mapped files, and how long it took. nil where the system
    /// does not tell. Throws where the work failed.
    static func measure(
        _ work: Work, events: Int, store path: String
    ) throws -> (bytes: Double, seconds: Double)? {
        guard ownBytes() != nil else { return nil }
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["--probe", work.rawValue, "--events", String(events), "--directory", path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let figures = text.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        guard process.terminationStatus == 0, figures.count == 2 else { throw Failure(work: work) }
        return (figures[0], figures[1])
    }

    /// Does the work on the store at `path`, and prints the most bytes that were held.
    static func run(_ work: Work, events: Int, store path: String) throws {
        var peak: UInt64 = 0
        var steps = 0
        let start = nanoseconds()
        // Often enough to see every block at the speed of either.
        func sample() {
            if steps % 1_024 == 0 { peak = max(peak, ownBytes() ?? 0) }
            steps += 1
        }
        switch work {
        case .append:
            let store = try EventStore.open(path, options: .recording)
            let kinds = try WorkloadA.kindNames.map { try store.kind($0, .json) }
            let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
            var workload = WorkloadA()
            for _ in 0..<events {
                let event = workload.next()
                try session.append(workload.payload, kind: kinds[event.kind], at: event.timestamp)
                sample()
            }
            try store.close()
        case .scan:
            let store = try EventStore.openReadOnly(path, options: StoreOptions())
            var cursor = try store.cursor(Query())
            var byteCount = 0
            while let event = try cursor.next() {
                byteCount += event.payload.byteCount
                sample()
            }
            keep(byteCount)
        case .compact:
            let store = try EventStore.open(path, options: .recording)
            let report = try store.compact { _ in
                peak = max(peak, ownBytes() ?? 0)
                return true
            }
            guard report.isComplete, report.refused.isEmpty else { throw Failure(work: work) }
            try store.close()
        case .importSession: try SessionWork.importSession(path, sample)
        case .exportSession: try SessionWork.exportSession(path, sample)
        }
        print(peak, Double(nanoseconds() - start) / 1e9)
    }

    /// Bytes of this process in memory that are not pages of mapped files. (`TAIL` is one: it is counted as a file.)
    static func ownBytes() -> UInt64? {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else {
            return nil
        }
        for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
            return line.split(separator: " ").dropFirst().first.flatMap { UInt64($0.filter(\.isNumber)) }.map
            { $0 << 10 }
        }
        return nil
    }
}
