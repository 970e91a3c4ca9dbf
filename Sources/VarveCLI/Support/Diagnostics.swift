import Varve

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What is said on standard error.
enum Diagnostics {
    /// `varve: error: TEXT`. The text says what failed, a colon, and why.
    static func error(_ text: String) { line("error", text, colour: "31") }

    /// `varve: note: TEXT`: something to know that is no failure of the command.
    static func note(_ text: String) { line("note", text, colour: "33") }

    /// `varve: warning: TEXT`: something to do about.
    static func warning(_ text: String) { line("warning", text, colour: "33") }

    /// Says what the library did on its own, where there is something to do about it. Any thread may call.
    @Sendable
    static func tell(_ diagnostic: Diagnostic) {
        if case .limitUnreachable(let limit) = diagnostic { unreachable(limit) }
    }

    /// Says that a store's limit can't be kept.
    static func unreachable(_ limit: RetentionLimit) {
        warning("the limit \(limit.option) can't be kept: what is left is pinned, or needed")
    }

    /// Lines as they are, but for what moves a terminal's cursor or colours.
    static func plain(_ text: String) {
        for line in text.split(separator: "\n") { write(Formatting.oneLine(String(line)) + "\n") }
    }

    private static func line(_ label: String, _ text: String, colour: String) {
        let label = Terminal.hasColours(STDERR_FILENO) ? "\u{1b}[\(colour)m\(label):\u{1b}[0m" : "\(label):"
        write("varve: \(label) \(Formatting.oneLine(text))\n")
    }

    /// Writes at once; a failure to say something is not said.
    static func write(_ text: String) {
        var text = text
        text.withUTF8 { try? writeAll(STDERR_FILENO, UnsafeRawBufferPointer($0), name: "standard error") }
    }
}

/// What a descriptor's other end can show.
enum Terminal {
    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// On a terminal, and the user has not set `NO_COLOR` (to anything but nothing) or `TERM=dumb`.
    static func hasColours(_ descriptor: Int32) -> Bool {
        guard isTerminal(descriptor) else { return false }
        if let value = getenv("NO_COLOR"), value.pointee != 0 { return false }
        if let value = getenv("TERM"), String(cString: value) == "dumb" { return false }
        return true
    }

    /// The terminal's width in columns, or `nil` when the descriptor is none.
    static func columns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}

/// A line about how far a long command is, rewritten in place on a terminal and printed every second elsewhere.
struct Progress {
    private let isShown: Bool
    private let isTerminal: Bool
    private let startedAt = steadyClock()
    private var shownAt: Int64
    private var hasLine = false

    /// - Parameter isWanted: `--progress`: shown also when standard error is no terminal.
    init(isWanted: Bool) {
        isTerminal = Terminal.isTerminal(STDERR_FILENO)
        isShown = isWanted || isTerminal
        // Nothing is shown for what takes less than half a second.
        shownAt = startedAt - 500_000_000
    }

    /// How long a wait for input may be so that the line stays current; `nil`: as long as it takes.
    var waitMilliseconds: Int32? { isShown && isTerminal ? 500 : nil }

    /// Shows the state when it is time to.
    ///
    /// - Parameters:
    ///   - events: so far, where they are counted.
    ///   - bytesTotal: of the whole, where that is known: then the time left is shown.
    mutating func show(events: UInt64?, bytes: UInt64, bytesTotal: UInt64? = nil) {
        guard isShown else { return }
        let now = steadyClock()
        guard now - shownAt >= 1_000_000_000 else { return }
        shownAt = now
        let seconds = Double(now - startedAt) / 1e9
        let rate = Double(bytes) / max(seconds, 0.001)
        var text = events.map { "\(Formatting.count($0)) events, " } ?? ""
        text += Formatting.bytes(bytes)
        text += ", \(Formatting.bytes(UInt64(rate)))/s"
        if let bytesTotal, bytesTotal > bytes, rate > 0 {
            text += ", \(Formatting.duration(seconds: Double(bytesTotal - bytes) / rate)) left"
        }
        Diagnostics.write(isTerminal ? "\r\u{1b}[K\(text)" : text + "\n")
        hasLine = isTerminal
    }

    /// Takes the line away, so that what follows stands alone.
    mutating func clear() {
        if hasLine { Diagnostics.write("\r\u{1b}[K") }
        hasLine = false
    }
}
