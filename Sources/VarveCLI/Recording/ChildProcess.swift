#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A running command whose standard output and standard error are read here.
struct ChildProcess {
    /// How a command ended.
    enum Ending: Equatable {
        case exited(Int32)
        case signalled(Int32)

        /// As a shell reports it: the status, or 128 + the signal.
        var status: Int32 {
            switch self {
            case .exited(let status): status
            case .signalled(let number): 128 + number
            }
        }
    }

    let processID: pid_t
    let output: OwnedDescriptor
    /// `nil` with a pseudo-terminal, where both streams are one.
    let errors: OwnedDescriptor?
    private let isOnPseudoTerminal: Bool

    /// Starts a command, found in `PATH` as a shell finds it. Its standard input is the caller's.
    ///
    /// - Parameter onPseudoTerminal: gives it a terminal for output and errors, for programs that buffer on
    ///   a pipe. The terminal changes nothing in what passes through it.
    /// - Throws: ``CommandFailure`` with the status 127 when there is no such command, 126 when it can't be
    ///   run.
    init(_ command: [String], onPseudoTerminal: Bool) throws {
        isOnPseudoTerminal = onPseudoTerminal
        if onPseudoTerminal {
            let (controller, terminal) = try Self.pseudoTerminal()
            output = controller
            errors = nil
            processID = try Self.spawn(command, output: terminal.number, errors: terminal.number)
        } else {
            let outputPipe = try OwnedDescriptor.pipe()
            let errorPipe = try OwnedDescriptor.pipe()
            output = outputPipe.readEnd
            errors = errorPipe.readEnd
            processID = try Self.spawn(
                command, output: outputPipe.writeEnd.number, errors: errorPipe.writeEnd.number)
        }
        // This process's copies of the child's ends close here, so that the end of the output can be seen.
    }

    private static func spawn(_ command: [String], output: Int32, errors: Int32) throws -> pid_t {
        #if canImport(Darwin)
        var actions: posix_spawn_file_actions_t?
        var attributes: posix_spawnattr_t?
        #else
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        // What this command ignores would be ignored by the child too.
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        sigaddset(&defaults, SIGXFSZ)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))

        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var processID: pid_t = 0
        let code = posix_spawnp(&processID, command[0], &actions, &attributes, arguments, environ)
        guard code == 0 else {
            let status = code == ENOENT ? ExitStatus.commandNotFound : ExitStatus.commandNotRunnable
            throw CommandFailure("cannot run \(command[0]): \(errorText(code))", status: status)
        }
        return processID
    }

    /// A new pseudo-terminal that passes bytes on as they are: no echo, no CR added, no signals made.
    private static func pseudoTerminal() throws -> (controller: OwnedDescriptor, terminal: OwnedDescriptor) {
        func failure() -> CommandFailure {
            CommandFailure("cannot make a pseudo-terminal: \(errorText(errno))")
        }
        #if canImport(Darwin)
        let controller = OwnedDescriptor(posix_openpt(O_RDWR | O_NOCTTY))
        guard controller.number >= 0, grantpt(controller.number) == 0, unlockpt(controller.number) == 0,
            let pointer = ptsname(controller.number)
        else { throw failure() }
        let name = String(cString: pointer)
        #else
        // What posix_openpt, unlockpt and ptsname do; Swift doesn't see them in Glibc's headers, nor these two
        // requests: _IOW('T', 0x31, int) and _IOR('T', 0x30, unsigned int).
        let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
        let controller = OwnedDescriptor(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC))
        var lock: Int32 = 0
        var number: UInt32 = 0
        guard controller.number >= 0, ioctl(controller.number, setLock, &lock) == 0,
            ioctl(controller.number, getNumber, &number) == 0
        else { throw failure() }
        let name = "/dev/pts/\(number)"
        #endif
        _ = fcntl(controller.number, F_SETFD, FD_CLOEXEC)
        // O_NOCTTY: the child keeps the terminal that it would have without us, so that its signals reach it.
        let terminal = OwnedDescriptor(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC))
        guard terminal.number >= 0 else { throw failure() }
        var mode = termios()
        guard tcgetattr(terminal.number, &mode) == 0 else { throw failure() }
        cfmakeraw(&mode)
        guard tcsetattr(terminal.number, TCSANOW, &mode) == 0 else { throw failure() }
        var size = winsize()
        for descriptor in [STDOUT_FILENO, STDERR_FILENO]
        where ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 {
            _ = ioctl(terminal.number, UInt(TIOCSWINSZ), &size)
            break
        }
        return (controller, terminal)
    }

    /// Reads once what the command wrote; 0 when nothing can come any more.
    func receive(from descriptor: OwnedDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = read(descriptor.number, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            let code = errno
            // EIO is how Linux says that no process has the terminal open any more.
            if isOnPseudoTerminal, code == EIO { return 0 }
            if code != EINTR {
                throw CommandFailure("cannot read the command's output: \(errorText(code))")
            }
        }
    }

    /// How it ended, or `nil` while it runs. Once it has said how, it must not be asked again.
    func endingIfEnded() -> Ending? {
        var status: Int32 = 0
        var result = waitpid(processID, &status, WNOHANG)
        while result < 0, errno == EINTR { result = waitpid(processID, &status, WNOHANG) }
        guard result != 0 else { return nil }
        guard result == processID else { return .exited(ExitStatus.failed) }
        // The encoding of wait(2)'s status, whose macros Swift can't see.
        let number = status & 0x7f
        return number == 0 ? .exited((status >> 8) & 0xff) : .signalled(number)
    }

    /// Passes a signal on.
    func send(_ number: Int32) { _ = kill(processID, number) }
}
