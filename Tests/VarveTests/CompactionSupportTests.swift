import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// What stands in a segment, in order, read by the format alone.
enum Recorded: Hashable {
    case event(
        sequence: UInt64, session: UInt64, index: UInt64, timestamp: Int64, kind: String, payload: [UInt8])
    case checkpoint(CheckpointRecord, state: [UInt8])
    case begin(SessionBegin)
    case end(SessionEnd)
    case ledger(LedgerRecord)

    var isRecord: Bool {
        switch self {
        case .event, .checkpoint: false
        default: true
        }
    }

    /// An event's number.
    var sequence: UInt64? { if case .event(let sequence, _, _, _, _, _) = self { sequence } else { nil } }

    /// Whether retention keeps it, as an event or a checkpoint.
    func isKept(_ retained: Retained) -> Bool {
        switch self {
        case .event(let sequence, let session, _, _, _, _):
            retained.keeps(sequence: sequence, session: session)
        case .checkpoint(let record, _): retained.keeps(record)
        default: false
        }
    }

    /// Everything in a segment's file.
    static func all(of file: String) throws -> [Recorded] {
        let parts = try SegmentParts(file)
        var kinds = parts.header.kinds ?? []
        var dictionary: [UInt8]?
        var found: [Recorded] = []
        let columns = EventColumns()
        for block in parts.blocks {
            let header = block.header
            let small = Array(block.body[..<Int(header.smallLength)])
            func stored(_ offset: Int, _ count: Int) -> [UInt8] { Array(block.body[offset..<offset + count]) }
            guard header.type == .events else {
                switch try block.record {
                case .checkpoint(let record, let state):
                    let bytes = stored(Int(header.smallLength), Int(state.storedBytes))
                    let raw = try bytes.withUnsafeBytes {
                        try LZ4Block.decompress(
                            $0, method: state.method, rawBytes: Int(state.rawBytes), dictionary: dictionary)
                    }
                    found.append(.checkpoint(record, state: raw))
                case .sessionBegin(let begin): found.append(.begin(begin))
                case .sessionEnd(let end): found.append(.end(end))
                case .ledger(let records): found += records.map(Recorded.ledger)
                case .kinds(let more): kinds += more
                case .dictionary(let first, _):
                    dictionary = stored(Int(header.smallLength), Int(first.storedBytes))
                case .padding: break
                }
                continue
            }
            try small.withUnsafeBytes { try columns.load($0, of: header) }
            for number in 0..<columns.subBlockCount {
                let part = columns.subBlock(number)
                let bytes = stored(part.offset, part.storedBytes)
                var rest = try bytes.withUnsafeBytes {
                    try LZ4Block.decompress(
                        $0, method: part.method, rawBytes: part.rawBytes, dictionary: dictionary)
                }[...]
                for row in part.firstRow..<part.firstRow + part.eventCount {
                    let kind = kinds[Int(columns.kinds[row])]
                    found.append(
                        .event(
                            sequence: header.firstSequence + UInt64(row), session: header.sessionOrdinal,
                            index: columns.indices?[row] ?? header.firstIndex + UInt64(row),
                            timestamp: columns.timestamps[row], kind: "\(kind.name) \(kind.encoding)",
                            payload: Array(rest.prefix(Int(columns.lengths[row])))))
                    rest = rest.dropFirst(Int(columns.lengths[row]))
                }
            }
        }
        return found
    }
}

/// A store whose sealed segments are written anew.
struct CompactionBed {
    let directory: TemporaryDirectory
    var path: String { directory.path("store") }
    var settings = RewriteSettings()

    init() throws {
        directory = try TemporaryDirectory()
        settings.encoding = EncodingSettings(blockBytes: 16 << 10, subBlockBytes: 2 << 10, level: 9)
    }

    /// Small blocks, small segments.
    static func options() -> StoreOptions {
        var options = smallBlocks()
        options.segmentBytes = 16 << 10
        options.durability = .none
        options.encoderThreads = 1
        return options
    }

    /// Records, and closes the store, so that all segments are sealed.
    func record(_ options: StoreOptions = options(), _ body: (EventStore) throws -> Void) throws {
        let store = try EventStore.open(path, options: options)
        try body(store)
        try store.close()
    }

    func handles() throws -> [SegmentHandle] { try segments(of: path).map(Self.handle) }

    static func handle(_ file: String) throws -> SegmentHandle {
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        let found = try StoreDirectory.segment(
            parts.dropLast().joined(separator: "/"), String(parts.last ?? ""), POSIXFileSystem())
        guard case .sealed(let handle) = found.segment else { throw CocoaError(.fileReadCorruptFile) }
        return handle
    }

    /// Changes a segment's blocks, and seals it again.
    func forge(_ handle: SegmentHandle, _ change: (inout SegmentParts) throws -> Void) throws {
        var parts = try SegmentParts(handle.path)
        try change(&parts)
        for number in parts.blocks.indices { parts.blocks[number].header.number = UInt32(number) }
        try parts.write(to: handle.path)
        let found = try StoreDirectory.segment(path, handle.fileName, POSIXFileSystem())
        guard case .unsealed(var scan) = found.segment else { throw CocoaError(.fileReadCorruptFile) }
        try scan.run()
        _ = try RecoveryWorker.reseal(
            OpenSegment(file: scan.file, index: scan.index()), directory: path, fileSystem: POSIXFileSystem())
    }

    func rewriter(
        _ handles: [SegmentHandle], _ retained: Retained = Retained(),
        on fileSystem: any FileSystem = POSIXFileSystem(),
        announce: @escaping (UInt64) throws(IOFailure) -> Bool = { _ in true }
    ) -> SegmentRewriter {
        SegmentRewriter(
            sources: handles, retained: retained, settings: settings, directory: path, fileSystem: fileSystem,
            sync: { file throws(IOFailure) in try file.sync() }, announce: announce)
    }

    /// Writes segments anew; nil where nothing is kept.
    func rewrite(_ handles: [SegmentHandle], _ retained: Retained = Retained()) throws -> RewrittenSegment? {
        guard case .segment(let segment) = try rewriter(handles, retained).run() else { return nil }
        return segment
    }

    var temporaries: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(".tmp") }
    }

    /// Writes segments anew and checks what came out against what the sources hold.
    @discardableResult
    func check(
        _ handles: [SegmentHandle], _ retained: Retained = Retained(),
        _ location: SourceLocation = #_sourceLocation
    ) throws -> RewrittenSegment? {
        let all = try handles.flatMap { try Recorded.all(of: $0.path) }
        let expected = all.filter { $0.isKept(retained) }
        guard let segment = try rewrite(handles, retained) else {
            #expect(expected.isEmpty && temporaries.isEmpty, sourceLocation: location)
            return nil
        }
        let found = try Recorded.all(of: segment.temporaryPath)
        #expect(found.filter { !$0.isRecord } == expected, sourceLocation: location)
        let summary = segment.summary
        let first = try #require(handles.first).summary
        let last = try #require(handles.last).summary
        #expect(summary.isSettled && summary.ordinal == last.ordinal, sourceLocation: location)
        #expect(summary.generation == handles.map(\.summary.generation).max()! + 1, sourceLocation: location)
        #expect(
            summary.baseSequence == first.baseSequence && summary.nextSequence == last.nextSequence,
            sourceLocation: location)
        #expect(
            summary.predecessor == first.predecessor && summary.predecessorLength == first.predecessorLength,
            sourceLocation: location)
        #expect(
            summary.sessionsBegun == last.sessionsBegun && summary.checkpointsMade == last.checkpointsMade
                && summary.lastEpoch == last.lastEpoch && summary.isSessionActive == last.isSessionActive,
            sourceLocation: location)
        #expect(summary.headSequence >= retained.headSequence, sourceLocation: location)
        // Alone in a directory it is a store that nothing is wrong with.
        let alone = directory.path("alone")
        try? FileManager.default.removeItem(atPath: alone)
        try FileManager.default.createDirectory(atPath: alone, withIntermediateDirectories: true)
        try FileManager.default.moveItem(
            atPath: segment.temporaryPath, toPath: alone + "/" + segment.fileName)
        let store = try EventStore.openReadOnly(alone)
        let report = try store.verify()
        #expect(report.damage == [], sourceLocation: location)
        let index = try Self.handle(alone + "/" + segment.fileName).load().index
        #expect(index.replaces.map(\.ordinal) == handles.map(\.summary.ordinal), sourceLocation: location)
        if let session = index.activeSession {
            let before = try #require(handles.last).load().index.activeSession
            #expect(session.nextIndex == before?.nextIndex, sourceLocation: location)
        }
        var dropped: [UInt64] = []
        for range in index.droppedRanges { dropped += range.first...range.last }
        #expect(
            dropped == all.filter { !$0.isKept(retained) }.compactMap(\.sequence), sourceLocation: location)
        return segment
    }
}
