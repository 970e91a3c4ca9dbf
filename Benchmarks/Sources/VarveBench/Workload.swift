import BenchmarkWorkload

/// The workload, which the benchmarks of single operations share.
typealias Dataset = BenchmarkWorkload.Dataset
