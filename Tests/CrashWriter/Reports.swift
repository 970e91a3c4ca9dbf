#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Lines on standard output, each written by one call of the system: whoever kills the process gets all that were written.
enum Reports {
    /// Writes a line. From any thread: a write of less than a pipe's buffer is not mixed with another.
    static func line(_ text: String) {
        var bytes = Array(text.utf8)
        bytes.append(0x0A)
        while write(STDOUT_FILENO, bytes, bytes.count) < 0, errno == EINTR {}
    }

    /// Waits for a byte on standard input, or its end.
    static func waitForInput() {
        var byte: UInt8 = 0
        while read(STDIN_FILENO, &byte, 1) < 0, errno == EINTR {}
    }
}
