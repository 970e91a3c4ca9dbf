internal import VarveFormat
internal import VarveIO

/// How segments are written anew.
///
/// The defaults are from a measurement of the workload A, 500,000 events in one segment. What is stored of 100 bytes of payload, columns
/// included, without filters, and how long that takes beside level 9 with sub-blocks of 16 KiB (on that machine some 20 MB/s on a core
/// that others used too; three quarters of it in the compressor):
///
/// | sub-block | level 6 | level 9 | level 12 | filters | level 6, no dictionary | 9 | 12 |
/// |---|---|---|---|---|---|---|---|
/// | 16 KiB | 19.7, 0.7 | 19.5, 1 | 19.3, 2.2 | 1.5 | 32.1 | 32.1 | 32.0 |
/// | 32 KiB | 19.5, 0.8 | 19.3, 1 | 19.1, 2 | 1.3 | 27.0 | 26.9 | 26.8 |
/// | 64 KiB | 19.4, 0.6 | 19.2, 0.7 | 19.0, 2 | 1.2 | 23.4 | 23.3 | 23.1 |
///
/// Those are with a dictionary of 32 samples at even distances; with the one that `DictionaryBuilder.choose` makes 16 KiB and level 9
/// take 18.7. As recorded it is 31.0. Small sub-blocks are what a point read and a text search want; with a dictionary they cost little.
/// For 2,000,000 events that is 77 MB, and 83 MB with filters. Events that were recorded in blocks of one each, in 13 segments, settle to
/// the same size as those in full blocks, within 0.01 %.
struct RewriteSettings: Hashable, Sendable {
    /// How blocks are made.
    var encoding = EncodingSettings(blockBytes: 256 << 10, subBlockBytes: 16 << 10, level: 9)
    /// Whether the segment gets a dictionary, where one pays.
    var usesDictionary = true
    /// Whether text filters are built.
    var buildsFilters = true
    /// Keys of filters that are held at once, four bytes each: the sub-blocks after that go without a filter.
    var filterKeysMax = 6 << 20
    /// Nanoseconds between the writing times of the blocks that are joined to one; nil: any.
    var spanMax: UInt64?
}

/// What the segments were written anew as.
enum RewriteOutcome: Sendable {
    /// Nothing in them is kept: no file was written.
    case nothing
    case segment(RewrittenSegment)
}

/// A segment that was written under a temporary name, synced, and read back. Its name and its directory's are for the caller to change.
struct RewrittenSegment: Sendable {
    var temporaryPath: String
    /// The name that it is to get.
    var fileName: String
    var trailer: Trailer
    var summary: SegmentSummary
    /// Of the whole file.
    var byteCount: UInt64
    var usesDictionary: Bool
    /// Sub-blocks that have no filter because there was no memory for its keys.
    var subBlocksWithoutFilter: Int
}

extension RewrittenSegment {
    /// Gives the file its own name, durably: from then on it hides its sources, which are the caller's to remove. Where that fails no
    /// temporary file is left.
    func takeName(in directory: String, _ fileSystem: any FileSystem) throws(IOFailure) -> SegmentHandle {
        do throws(IOFailure) {
            try fileSystem.rename(temporaryPath, to: directory + "/" + fileName, replacing: false)
        } catch {
            try? fileSystem.unlink(temporaryPath)
            throw error
        }
        if !Safeguard.compactedNameSync.isLeftOut { try fileSystem.syncDirectory(directory) }
        return SegmentHandle(
            directory: directory, fileName: fileName, trailer: trailer, summary: summary,
            fileSystem: fileSystem)
    }
}

/// Why segments were not written anew. No temporary file is left, and the sources are as they were.
enum RewriteError: Error, Hashable {
    /// The caller said so.
    case cancelled
    /// A source is damaged, contradicts itself or can't be read: what is left of it must not look whole.
    case source(StoreError)
    /// The system refused to write or sync the new file, or to read it back.
    case writing(IOFailure)
    /// The new file does not hold what was read from the sources.
    case unfaithful(String)
    /// The sources together are more than one segment may hold.
    case doesNotFit(String)
}

extension RewriteError {
    /// Does something with a source.
    static func reading<R>(_ body: () throws(StoreError) -> R) throws(RewriteError) -> R {
        do throws(StoreError) { return try body() } catch { throw .source(error) }
    }

    /// Does something with the new file.
    static func onDisk<R>(_ body: () throws(IOFailure) -> R) throws(RewriteError) -> R {
        do throws(IOFailure) { return try body() } catch { throw .writing(error) }
    }
}

extension SegmentRewriter {
    /// What of a segment's stored bytes and events is kept, as its block index tells: parts of blocks by their share of the events, the
    /// header and the records of sessions and the ledger as kept. O(blocks x pins).
    static func live(_ index: SegmentIndex, _ retained: Retained) -> (
        bytes: UInt64, events: UInt64, checkpoints: Int
    ) {
        var (bytes, events, checkpoints) = (index.headerBytes, UInt64(0), 0)
        var dropped: Set<UInt32> = []
        for checkpoint in index.checkpoints {
            if retained.keeps(checkpoint.record) {
                checkpoints += 1
            } else {
                dropped.insert(checkpoint.block)
            }
        }
        for (number, entry) in index.entries.enumerated() {
            switch entry.type {
            case .events:
                let kept = retained.count(
                    of: entry.sequences, session: entry.sessionOrdinal)
                events += kept
                // At most 2^28 bytes times 2^16 events.
                bytes += UInt64(entry.length) * kept / UInt64(entry.eventCount)
            case .checkpoint: if !dropped.contains(UInt32(number)) { bytes += UInt64(entry.length) }
            default: bytes += UInt64(entry.length)
            }
        }
        return (bytes, events, checkpoints)
    }
}
