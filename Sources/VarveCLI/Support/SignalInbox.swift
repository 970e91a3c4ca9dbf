#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Signals, as something to wait for together with input: each caught one puts a byte into a pipe. Any one
/// thread takes them.
final class SignalInbox: @unchecked Sendable {
    /// A signal that came.
    struct Arrival: Equatable {
        var number: Int32
        /// Sent by a process (`kill`), and not by the terminal, which sends it to the whole foreground group.
        var isFromProcess: Bool
    }

    /// The end that `poll` waits for.
    let readEnd: OwnedDescriptor
    private let writeEnd: OwnedDescriptor

    /// Catches those signals from now on, apart from those that the caller of the command ignores (`nohup`).
    init(catching numbers: [Int32]) throws {
        (readEnd, writeEnd) = try OwnedDescriptor.pipe()
        for end in [readEnd, writeEnd] { _ = fcntl(end.number, F_SETFL, O_NONBLOCK) }
        signalPipe = writeEnd.number
        // Some callers start their children with signals blocked, which the children inherit.
        var caught = sigset_t()
        sigemptyset(&caught)
        for number in numbers { sigaddset(&caught, number) }
        pthread_sigmask(SIG_UNBLOCK, &caught, nil)
        for number in numbers {
            var old = sigaction()
            sigaction(number, nil, &old)
            if number != SIGCHLD, isIgnored(old) { continue }
            install(number)
        }
    }

    /// The next signal that came, or `nil` when there is none now.
    func next() -> Arrival? {
        var byte: UInt8 = 0
        guard read(readEnd.number, &byte, 1) == 1 else { return nil }
        return Arrival(number: Int32(byte & 0x7f), isFromProcess: byte & 0x80 != 0)
    }

    /// The next one of that signal ends the process at once, as if it were never caught.
    static func restoreDefault(_ number: Int32) { signal(number, SIG_DFL) }
}

/// Where the handler writes. Set before the first handler is installed, and never again.
nonisolated(unsafe) private var signalPipe: Int32 = -1

private func install(_ number: Int32) {
    var action = sigaction()
    let handler: @convention(c) (Int32, UnsafeMutablePointer<siginfo_t>?, UnsafeMutableRawPointer?) -> Void =
        {
            number, information, _ in
            // Only what POSIX allows in a handler: one write, and errno as it was.
            let saved = errno
            var byte = UInt8(truncatingIfNeeded: number)
            #if canImport(Darwin)
            if let information, information.pointee.si_pid != 0 { byte |= 0x80 }
            #else
            // Positive codes are the kernel's own.
            if let information, information.pointee.si_code <= 0 { byte |= 0x80 }
            #endif
            _ = write(signalPipe, &byte, 1)
            errno = saved
        }
    #if canImport(Darwin)
    action.__sigaction_u.__sa_sigaction = handler
    #else
    action.__sigaction_handler.sa_sigaction = handler
    #endif
    action.sa_flags = Int32(bitPattern: UInt32(SA_SIGINFO)) | Int32(SA_RESTART)
    sigaction(number, &action, nil)
}

private func isIgnored(_ action: sigaction) -> Bool {
    #if canImport(Darwin)
    let handler = action.__sigaction_u.__sa_handler
    #else
    let handler = action.__sigaction_handler.sa_handler
    #endif
    return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}

/// The name of a signal that ends a recording.
func signalName(_ number: Int32) -> String {
    switch number {
    case SIGINT: "SIGINT"
    case SIGTERM: "SIGTERM"
    case SIGHUP: "SIGHUP"
    default: "signal \(number)"
    }
}
