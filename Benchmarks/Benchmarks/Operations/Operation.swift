import Benchmark
import VarveTestKit

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

extension BenchmarkMetric {
    /// CPU time of one iteration, user and system, of all threads. The package's own metric counts in ticks of 10 ms on Linux.
    static let cpuMicroseconds = BenchmarkMetric.custom("CPU, user + system (μs)", useScalingFactor: false)
    /// The same of one call, where an iteration has many.
    static let cpuNanoseconds = BenchmarkMetric.custom("CPU, user + system (ns)")
    /// Where an iteration works on many events.
    static let eventRate = BenchmarkMetric.custom(
        "Events (K / s)", polarity: .prefersLarger, useScalingFactor: false)
}

/// Declares a benchmark, which works on what `setUp` makes before it in a directory of its own.
///
/// - Parameters:
///   - name: what the table calls it.
///   - calls: how many times an iteration calls the library; the figures are those of one call.
///   - handlesMany: whether the rate of events is told, which `body` gives to `Timed`.
///   - iterations: how many are measured at most, after one that warms up.
///   - setUp: makes what `body` is given; the directory is empty.
///   - tearDown: closes it; the directory is removed afterwards.
///   - body: one iteration; it calls what it is given once, with what is to be measured.
func measure<State>(
    _ name: String, calls: BenchmarkScalingFactor = .one, handlesMany: Bool = false, iterations: Int,
    setUp: @escaping (String) throws -> State, tearDown: @escaping (State) throws -> Void = { _ in },
    body: @escaping (State, Timed) throws -> Void
) {
    let cpu: BenchmarkMetric = calls == .one ? .cpuMicroseconds : .cpuNanoseconds
    let rate: BenchmarkMetric = handlesMany ? .eventRate : .throughput
    var made: (directory: TemporaryDirectory, state: State)?
    Benchmark(
        name,
        configuration: .init(
            metrics: [.wallClock, cpu, rate, .peakMemoryResident],
            timeUnits: calls == .one ? .microseconds : .nanoseconds,
            units: [cpu: .count, rate: .count], warmupIterations: 1, scalingFactor: calls,
            maxDuration: .seconds(10), maxIterations: iterations),
        closure: { benchmark in
            guard let state = made?.state else { return benchmark.error("\(name) was not set up") }
            try failing { try body(state, Timed(benchmark: benchmark, cpu: cpu)) }
        },
        setup: {
            let directory = try TemporaryDirectory()
            made = (directory, try failing { try setUp(directory.path) })
        },
        teardown: {
            guard let ended = made.take() else { return }
            try withExtendedLifetime(ended.directory) { try failing { try tearDown(ended.state) } }
        })
}

/// The package prints an error, and goes on as if all were well. When the process fails in the end, so does its command.
private func failing<Result>(_ work: () throws -> Result) rethrows -> Result {
    do {
        return try work()
    } catch {
        atexit { _exit(EXIT_FAILURE) }
        throw error
    }
}

/// Measures the part of an iteration that counts.
struct Timed {
    fileprivate let benchmark: Benchmark
    fileprivate let cpu: BenchmarkMetric

    /// Does the work and takes its figures; with `events`, their rate too.
    func callAsFunction<Result>(events: Int? = nil, _ work: () throws -> Result) rethrows -> Result {
        benchmark.startMeasurement()
        let cpuBefore = nanoseconds(CLOCK_PROCESS_CPUTIME_ID)
        let before = nanoseconds(CLOCK_MONOTONIC)
        let result = try work()
        let passed = nanoseconds(CLOCK_MONOTONIC) - before
        let used = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpuBefore
        benchmark.stopMeasurement()
        benchmark.measurement(cpu, cpu == .cpuMicroseconds ? used / 1_000 : used)
        if let events { benchmark.measurement(.eventRate, events * 1_000_000 / max(passed, 1)) }
        return result
    }

    private func nanoseconds(_ clock: clockid_t) -> Int {
        var time = timespec()
        clock_gettime(clock, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
