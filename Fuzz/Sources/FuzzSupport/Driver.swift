internal import CFuzzer
internal import VarveTestKit

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What a target does with one input. It must come back whatever the bytes are: a trap, an access out of bounds
/// and an allocation beyond the limits are findings.
public typealias FuzzTarget = @Sendable (UnsafeRawBufferPointer) -> Void

// Set once, before the driver runs.
nonisolated(unsafe) private var target: FuzzTarget = { _ in }
nonisolated(unsafe) private var mutation: Mutation = { _, _ in }
nonisolated(unsafe) private var mending: (@Sendable (inout [UInt8]) -> Void)?
nonisolated(unsafe) private var allocationMax: @Sendable (Int) -> Int = { _ in .max }

/// Hands the process to libFuzzer.
///
/// - Parameters:
///   - allocating: the bytes that one allocation may take at most, for an input of so many bytes.
///   - mutation: changes an input.
///   - mend: every input is given as it is, and then with its checksums mended by this: without that, hardly any
///     mutation would get past the first check. Nil: only as it is.
///   - body: what is done with an input.
public func fuzz(
    allocating: @escaping @Sendable (Int) -> Int, mutation change: @escaping Mutation,
    mending mend: (@Sendable (inout [UInt8]) -> Void)? = nil, _ body: @escaping FuzzTarget
) -> Never {
    target = body
    mutation = change
    mending = mend
    allocationMax = allocating
    varve_fuzz_set_mutator { bytes, count, countMax, seed in
        guard let bytes else { return 0 }
        let room = UnsafeMutableBufferPointer(start: bytes, count: countMax)
        var input = FuzzInput(Array(room[..<count]), countMax: countMax)
        var random = SplitMix64(seed: UInt64(seed))
        mutation(&input, &random)
        let mutated = input.bytes.prefix(countMax)
        // An empty input is none to libFuzzer.
        guard !mutated.isEmpty else { return LLVMFuzzerMutate(bytes, count, countMax) }
        _ = room.update(fromContentsOf: mutated)
        return mutated.count
    }
    varve_fuzz_watch_allocations()
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    let status = LLVMFuzzerRunDriver(&count, &arguments) { bytes, byteCount in
        _ = varve_fuzz_take_largest_allocation()
        let input = UnsafeRawBufferPointer(start: bytes, count: byteCount)
        target(input)
        if let mending {
            var mended = Array(input)
            mending(&mended)
            // A buffer of exactly this size, so that AddressSanitizer sees the first byte beyond it.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: mended.count, alignment: 1)
            defer { copy.deallocate() }
            copy.copyBytes(from: mended)
            target(UnsafeRawBufferPointer(copy))
        }
        require(
            varve_fuzz_take_largest_allocation() <= allocationMax(byteCount),
            "an allocation is in proportion to the input")
        return 0
    }
    exit(status)
}

/// Whether they are the same bytes: in one call, since each comparison of a loop is looked at by the fuzzer.
public func isEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let start = left.baseAddress, let other = right.baseAddress else { return true }
    return memcmp(start, other, left.count) == 0
}

/// Where the first newline stands; in one call too.
public func firstNewline(in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let start = bytes.baseAddress, let found = memchr(start, 0x0A, bytes.count) else { return nil }
    return UnsafeRawPointer(found) - start
}

/// Ends the process as a finding unless the condition holds.
public func require(_ condition: Bool, _ what: StaticString) {
    if condition { return }
    what.withUTF8Buffer { varve_fuzz_finding($0.baseAddress, $0.count) }
}

/// What a decoder of one structure may allocate at once: LZ4's greatest ratio, and columns of a whole block.
@Sendable public func allocationOfADecoder(inputBytes: Int) -> Int { 256 * inputBytes + (1 << 20) }
