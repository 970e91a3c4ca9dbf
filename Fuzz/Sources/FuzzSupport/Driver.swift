internal import CFuzzer

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

/// Hands the process to libFuzzer.
///
/// Every input is given as it is, and then with its checksums mended by `mend`: without that, hardly any
/// mutation would get past the first check.
public func fuzz(mending mend: @escaping @Sendable (inout [UInt8]) -> Void, _ body: @escaping FuzzTarget)
    -> Never
{
    target = { bytes in
        body(bytes)
        var mended = Array(bytes)
        mend(&mended)
        // A buffer of exactly this size, so that AddressSanitizer sees the first byte beyond it.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: mended.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: mended)
        body(UnsafeRawBufferPointer(copy))
    }
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    let status = LLVMFuzzerRunDriver(&count, &arguments) { bytes, byteCount in
        target(UnsafeRawBufferPointer(start: bytes, count: byteCount))
        return 0
    }
    exit(status)
}

/// Ends the process as a finding unless the condition holds.
public func require(_ condition: Bool, _ what: StaticString) {
    precondition(condition, "\(what)")
}
