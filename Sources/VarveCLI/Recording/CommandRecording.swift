import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Runs a command, passes its output through, and records it.
final class CommandRecording {
    /// One of the command's two streams.
    private struct Stream {
        let source: OwnedDescriptor
        let target: Int32
        let kind: StaticString
        let splitter: SplitterBox
        /// Until that fails.
        var isPassedOn = true
    }

    /// Lets a splitter, which can't be copied, stand in an array.
    private final class SplitterBox {
        var splitter: LineSplitter

        init(lineBytesMax: Int) {
            splitter = LineSplitter(bufferBytes: 256 << 10, lineBytesMax: lineBytesMax)
        }
    }

    private let recording: Recording
    private let recorder: LineRecorder
    private var failure: (any Error)?

    private init(_ recording: Recording, _ recorder: LineRecorder) {
        self.recording = recording
        self.recorder = recorder
    }

    /// - Returns: the status to exit with.
    static func run(_ command: RecordCommand) throws -> Int32 {
        let signals: SignalInbox
        let run: CommandRecording
        do {
            signals = try SignalInbox(catching: [SIGINT, SIGTERM, SIGHUP, SIGCHLD])
            let recording = try Recording(command)
            let session = try recording.store.startSession(
                command.session ?? recording.defaultSessionID, at: recording.startedAt,
                metadata: ["host": hostName(), "command": command.command.joined(separator: " ")])
            run = CommandRecording(
                recording,
                LineRecorder(
                    store: recording.store, session: session, form: .text, badLines: .keep,
                    timeFallback: .arrival, startTime: recording.startedAt))
        } catch {
            // Nothing has run yet.
            throw CommandFailure(VarveCommand.message(of: error), status: ExitStatus.recordingFailed)
        }
        let child: ChildProcess
        do {
            child = try ChildProcess(command.command, onPseudoTerminal: command.pty)
        } catch let error as CommandFailure {
            run.recordProcess { list, out in
                list.text("event", "exit", &out)
                list.text("error", error.message, &out)
            }
            try? run.finish(command)
            throw CommandFailure(
                error.message,
                status: error.status == ExitStatus.failed ? ExitStatus.recordingFailed : error.status)
        }
        run.recordProcess { list, out in
            list.text("event", "start", &out)
            list.list("command", command.command, &out) { $1.appendJSONString($0) }
            list.number("pid", Int(child.processID), &out)
            list.text("directory", workingDirectory(), &out)
        }
        let ending = try run.follow(child, signals)
        run.recordProcess { list, out in
            list.text("event", "exit", &out)
            switch ending {
            case .exited(let status): list.number("status", Int(status), &out)
            case .signalled(let number): list.number("signal", Int(number), &out)
            }
        }
        try run.finish(command)
        return ending.status
    }

    /// Passes on and records everything until the command has ended and nothing more can come.
    private func follow(_ child: ChildProcess, _ signals: SignalInbox) throws -> ChildProcess.Ending {
        let lineBytesMax = LineRecorder.lineBytesMax(of: recording.store)
        func stream(_ source: OwnedDescriptor, _ target: Int32, _ kind: StaticString) -> Stream {
            Stream(
                source: source, target: target, kind: kind, splitter: SplitterBox(lineBytesMax: lineBytesMax))
        }
        var streams = [stream(child.output, STDOUT_FILENO, "stdout")]
        if let errors = child.errors { streams.append(stream(errors, STDERR_FILENO, "stderr")) }
        var ending: ChildProcess.Ending?
        while true {
            if ending == nil { ending = child.endingIfEnded() }
            let isOpen = streams.contains { $0.source.number >= 0 }
            if let ending, !isOpen { return ending }
            let ready = try waitUntilReadable(
                streams.map(\.source.number) + [signals.readEnd.number], milliseconds: nil)
            while let arrival = signals.next() {
                // What the terminal sends reaches the command without us.
                if arrival.number != SIGCHLD, arrival.isFromProcess, ending == nil {
                    child.send(arrival.number)
                }
            }
            for position in streams.indices where ready[position] { try receive(&streams[position], child) }
            attempt { try recorder.flush() }
        }
    }

    private func receive(_ stream: inout Stream, _ child: ChildProcess) throws {
        let spare = stream.splitter.splitter.spare()
        let count = try child.receive(from: stream.source, into: spare)
        let arrival = wallClock()
        if count > 0 {
            pass(UnsafeRawBufferPointer(rebasing: spare[..<count]), to: &stream)
            stream.splitter.splitter.commit(count)
        } else {
            stream.source.close()
        }
        if stream.source.number < 0 { stream.splitter.splitter.finish() }
        while let line = stream.splitter.splitter.next() {
            attempt { try recorder.add(line, stream: stream.kind, arrival: arrival) }
        }
    }

    /// First of all, whatever becomes of the recording.
    private func pass(_ bytes: UnsafeRawBufferPointer, to stream: inout Stream) {
        guard stream.isPassedOn else { return }
        do {
            try writeAll(stream.target, bytes, name: "the command's output")
        } catch is ClosedPipe {
            // As if the command wrote there itself, it is told so (SIGPIPE) when it writes again.
            stream.source.close()
        } catch {
            stream.isPassedOn = false
            Diagnostics.error(
                "\(VarveCommand.message(of: error)): its \(stream.kind) is recorded, and not passed on")
        }
    }

    /// Records an event of kind `process`.
    private func recordProcess(_ members: (inout JSONMembers, inout ByteBuffer) -> Void) {
        var buffer = ByteBuffer()
        buffer.object(members)
        let json = buffer.withUnsafeBytes { Array($0) }
        attempt {
            try recorder.add(json: json, kind: "process", at: wallClock())
            try recorder.flush()
        }
    }

    /// Does a step of the recording, unless an earlier one failed: then the command goes on unrecorded.
    private func attempt(_ step: () throws -> Void) {
        guard failure == nil else { return }
        do {
            try step()
        } catch {
            failure = error
            Diagnostics.error("\(VarveCommand.message(of: error)): the command goes on, and is not recorded")
        }
    }

    /// - Throws: ``CommandFailure`` 125 when anything of the recording failed.
    private func finish(_ command: RecordCommand) throws {
        attempt { try recorder.flush() }
        guard failure == nil else {
            try? recording.store.close()
            throw ExitCode(ExitStatus.recordingFailed)
        }
        do {
            try recording.finish(recorder.receipt(command), sequences: nil)
        } catch let code as ExitCode where code.rawValue == ExitStatus.loss {
            // Dropped, as asked for, and said in the receipt: the status is the command's.
        } catch {
            throw CommandFailure(VarveCommand.message(of: error), status: ExitStatus.recordingFailed)
        }
    }
}
