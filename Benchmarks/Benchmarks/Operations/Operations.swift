import Benchmark

/// The library's own operations on the first events of workload A. Each is measured in a process of its own.
///
/// Without the traits of the benchmark package nothing counts allocations (`Package.swift` says why they are left out), so
/// no metric of it is asked for.
let benchmarks: @Sendable () -> Void = {
    appendOperations()
    readOperations()
    storeOperations()
    lineOperations()
}

/// How large the workload is.
enum Size {
    /// Events of a store that is read, and of a turn of those that are appended.
    static let events = 200_000
    /// Events of a store that is compacted.
    static let compactedEvents = 50_000
    /// Lines of JSON.
    static let lines = 10_000
    /// How many times the library is called in one iteration whose figures are those of one call: what it takes to
    /// begin and end a measurement shows beside a single short call.
    static let calls = BenchmarkScalingFactor.kilo.rawValue
}
