#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Repeats `step` until `count` bytes have gone over or there are no more, whatever a single call transfers.
///
/// - Parameter step: given how many bytes are done and how many to ask for now; returns how many it
///   transferred, 0 at the end, or a negated `errno`. `-EINTR` is asked again.
/// - Returns: how many bytes went over, fewer than `count` only after a step returned 0; or a step's negated
///   `errno`.
package func transferFully(_ count: Int, _ step: (_ done: Int, _ count: Int) -> Int64) -> Int64 {
    // The system transfers at most about 2 GiB a call; Darwin refuses more.
    let stepByteCountMax = 1 << 30
    var done = 0
    while done < count {
        let result = step(done, min(count - done, stepByteCountMax))
        if result == -Int64(EINTR) { continue }
        if result < 0 { return result }
        if result == 0 { break }
        done += Int(result)
    }
    return Int64(done)
}
