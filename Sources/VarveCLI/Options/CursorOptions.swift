import ArgumentParser
import Varve
import VarveIO

/// Where to go on, and how to keep where one got to.
struct CursorOptions: ParsableArguments {
    @Option(
        name: .customLong("after"), parsing: .unconditional,
        help: ArgumentHelp(
            "Only events behind this cursor, which --show-cursor printed.", valueName: "cursor"))
    var after: String?

    @Flag(
        name: .customLong("show-cursor"), help: "At the end say on standard error where to go on: cursor: …")
    var isShown = false

    @Option(
        name: .customLong("cursor-file"), parsing: .unconditional,
        help: ArgumentHelp(
            "Go on behind the cursor in this file, when it is there and no --after is given; and keep the "
                + "cursor in it.", valueName: "file"))
    var file: String?

    /// Whether it is asked where one got to.
    var isKept: Bool { isShown || file != nil }

    /// Whether anything of it was given.
    var isUsed: Bool { after != nil || isShown || file != nil }

    /// The most that is read of a file.
    private static let fileBytesMax = 4096

    func validate() throws {
        if let after, CursorPosition(after) == nil {
            throw ValidationError("--after \(after): not a cursor: STORE/EPOCH/SEQUENCE")
        }
    }

    /// Where to go on; nil: nothing says so.
    ///
    /// - Throws: ``CommandFailure`` when the file is there and can't be read, or holds something else.
    func start() throws -> CursorPosition? {
        if let after { return CursorPosition(after) }
        guard let file else { return nil }
        let bytes: [UInt8]?
        do throws(IOFailure) {
            bytes = try POSIXFileSystem().readWhole(file, byteCountMax: Self.fileBytesMax)
        } catch {
            if error.isNotFound { return nil }
            throw CommandFailure("cannot read \(file): \(error.reason)")
        }
        let text = String(decoding: bytes ?? [], as: UTF8.self)
        // Without its line break it may be cut off, and the number another one.
        guard text.hasSuffix("\n"), let position = CursorPosition(String(text.dropLast())) else {
            throw CommandFailure("\(file): holds no cursor: remove it, or name another file")
        }
        return position
    }

    /// Keeps where one got to in the file, if one is named: at every instant it holds the old cursor or the new one.
    ///
    /// - Throws: ``CommandFailure`` when that fails; the file is as it was.
    func keep(_ position: CursorPosition?) throws {
        guard let file, let position else { return }
        let fileSystem = POSIXFileSystem()
        let suffix = fileSystem.randomBytes(4).map { String($0, radix: 16) }.joined()
        let temporary = "\(file).\(suffix).tmp"
        do throws(IOFailure) {
            let written = try fileSystem.open(temporary, .createExclusive)
            do throws(IOFailure) {
                defer { written.close() }
                try written.write(Array("\(position)\n".utf8), at: 0)
                try written.sync()
                try fileSystem.rename(temporary, to: file, replacing: true)
            } catch {
                try? fileSystem.unlink(temporary)
                throw error
            }
        } catch {
            throw CommandFailure("cannot write \(file): \(error.reason)")
        }
    }

    /// Says at the end where one got to, as far as that is asked for.
    func finish(_ position: CursorPosition?) throws {
        try keep(position)
        if isShown, let position { Diagnostics.plain("cursor: \(position)") }
    }
}
