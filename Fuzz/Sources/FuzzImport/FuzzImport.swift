import FuzzSupport
import Varve
import VarveJSON

@testable import VarveRecorder

/// An export in JSON Lines: each line written again, and all of them imported into a store.
@main
struct FuzzImport {
    static func main() {
        let mutation = structured { Layout(linesOf: $0) }
        fuzz(allocating: { 64 * $0 + (2 << 20) }, mutation: mutation) { bytes in
            guard let lines = read(bytes) else { return }
            importing(lines)
        }
    }

    /// The lines of an export that can be imported.
    static func read(_ bytes: UnsafeRawBufferPointer) -> [ExportLine]? {
        let reader = ExportReader()
        var lines: [ExportLine] = []
        var rest = UnsafeRawBufferPointer(rebasing: bytes[...])
        do throws(ExportFormatError) {
            while !rest.isEmpty {
                let end = rest.firstIndex(of: 0x0A) ?? rest.count
                // An exact copy, so that AddressSanitizer sees the first byte beyond it.
                let line = UnsafeMutableRawBufferPointer.allocate(byteCount: end, alignment: 1)
                defer { line.deallocate() }
                line.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<end]))
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(end + 1))
                lines.append(try reader.next(UnsafeRawBufferPointer(line)))
                writeAgain(lines)
            }
            try reader.finish()
        } catch {
            return nil
        }
        return lines
    }

    // MARK: Lines

    /// The last line, written and read with those before it that it needs, is the same.
    static func writeAgain(_ lines: [ExportLine]) {
        guard var line = lines.last else { return }
        var kind: ExportLine.Kind?
        switch line {
        // A line may leave its index to the session; a written one has it.
        case .event(var event):
            event.index = event.index ?? 0
            line = .event(event)
            for case .kind(let defined) in lines where defined.number == event.kind { kind = defined }
        case .checkpoint(var checkpoint):
            checkpoint.eventIndex = checkpoint.eventIndex ?? 0
            line = .checkpoint(checkpoint)
        default: break
        }
        var out = ByteBuffer()
        write(line, isJSON: kind?.encoding == .json, to: &out)
        let again = out.withUnsafeBytes { bytes in
            require(bytes.last == 0x0A && bytes.count { $0 == 0x0A } == 1, "a line is one line")
            return readAlone(UnsafeRawBufferPointer(rebasing: bytes.dropLast()), like: line)
        }
        require(again == line, "a line that was read and written is read as the same")
    }

    static func write(_ line: ExportLine, isJSON: Bool, to out: inout ByteBuffer) {
        let writer = ExportWriter()
        switch line {
        case .header(let header):
            writer.header(store: header.store ?? "", metadata: header.metadata, to: &out)
        case .session(let begin): writer.session(begin, to: &out)
        case .pause(let number): writer.pause(session: number, to: &out)
        case .resume(let number): writer.resume(session: number, to: &out)
        case .end(let end): writer.end(end, to: &out)
        case .kind(let kind): writer.kind(kind, to: &out)
        case .event(let event):
            event.payload.withUnsafeBytes {
                writer.event(
                    session: event.session, index: event.index ?? 0, timestamp: event.timestamp,
                    kind: event.kind, isJSON: isJSON, payload: $0, to: &out)
            }
        case .checkpoint(let checkpoint):
            checkpoint.state.withUnsafeBytes {
                writer.checkpoint(
                    session: checkpoint.session, id: checkpoint.id, label: checkpoint.label,
                    timestamp: checkpoint.timestamp, eventIndex: checkpoint.eventIndex ?? 0, state: $0,
                    to: &out)
            }
        case .ledger(let ledger): writer.ledger(ledger, to: &out)
        }
    }

    /// Reads a line after the fewest that allow it.
    static func readAlone(
        _ bytes: UnsafeRawBufferPointer, like line: ExportLine
    ) -> ExportLine? {
        var before = ByteBuffer()
        let writer = ExportWriter()
        func begin(_ number: UInt64) {
            writer.session(.init(number: number, id: "", startedAt: 0, metadata: [:]), to: &before)
        }
        if case .header = line {} else { writer.header(store: "", metadata: [:], to: &before) }
        switch line {
        case .pause(let number): begin(number)
        case .end(let end): begin(end.number)
        case .checkpoint(let checkpoint): begin(checkpoint.session)
        case .event(let event):
            begin(event.session)
            writer.kind(
                .init(number: event.kind, name: "k", encoding: .json, metadata: [:]), to: &before)
        case .resume(let number):
            begin(number)
            writer.pause(session: number, to: &before)
        case .header, .session, .kind, .ledger: break
        }
        let reader = ExportReader()
        let isReady = before.withUnsafeBytes { lines in
            lines.split(separator: 0x0A).allSatisfy {
                (try? reader.next(UnsafeRawBufferPointer(rebasing: $0))) != nil
            }
        }
        require(isReady, "the lines before can be read")
        let read = try? reader.next(bytes)
        // An export that comes from no store gets an empty name for it here.
        if case .header(var header) = read, case .header(let original) = line, original.store == nil {
            header.store = nil
            return .header(header)
        }
        return read
    }

    // MARK: Importing

    static func importing(_ lines: [ExportLine]) {
        let fileSystem = MemoryFileSystem(nil)
        var options = StoreOptions()
        options.fileSystem = fileSystem
        options.encoderThreads = 1
        options.queueBatches = 2
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        let path = MemoryFileSystem.directory
        do {
            let store = try EventStore.open(path, options: options)
            let applier = ExportApplier(store: store, mode: .importing)
            for line in lines { try applier.apply(line) }
            try store.close()
            let imported = try EventStore.openReadOnly(path, options: options)
            let snapshot = try imported.snapshot()
            require(try snapshot.count() == applier.events, "all events are there")
            require(try snapshot.sessions().count == applier.sessions, "all sessions are there")
            let checkpoints = try snapshot.checkpoints()
            require(checkpoints.count == applier.checkpoints, "all checkpoints are there")
            require(try imported.verify().isIntact, "an imported store is intact")
            var cursor = try snapshot.cursor()
            var states = checkpoints.makeIterator()
            for line in lines {
                switch line {
                case .event(let event):
                    let found = try cursor.nextEvent()
                    require(
                        found?.payload == event.payload && found?.timestamp == event.timestamp
                            && (event.index == nil || found?.index == event.index),
                        "an event is as its line says")
                case .checkpoint(let checkpoint):
                    let found = states.next()
                    require(
                        found?.id == checkpoint.id && found?.label == checkpoint.label
                            && found?.timestamp == checkpoint.timestamp,
                        "a checkpoint is as its line says")
                    if let found {
                        require(try snapshot.state(of: found) == checkpoint.state, "a state is as it was")
                    }
                default: break
                }
            }
        } catch {
            require(!wasAccepted(error), "lines that were found good can be imported")
        }
    }

    /// Whether the error is one that an import must not meet. Indices that can't go up are refused only by the store.
    static func wasAccepted(_ error: any Error) -> Bool {
        switch error as? StoreError {
        case .beyondLimit, .invalid: false
        default: true
        }
    }
}
