internal import VarveFormat
internal import VarveIO

extension StoreDirectory {
    /// Makes the footers durable that the last writer may not have synced, and writes anew those that a power cut has torn: their
    /// data were synced before, so that nothing is lost. O(bytes) of a segment with a torn footer.
    ///
    /// A writer seals one segment after the other: only the last two sealed ones can have such a footer. What can't be mended stays as
    /// it is; it is read by its blocks.
    mutating func mendFooters(_ fileSystem: any FileSystem) throws(StoreError) {
        if let state, state.isClosed, state.watermarkUUID == segments.last?.uuid { return }
        let sealed = segments.indices.filter { if case .sealed = segments[$0] { true } else { false } }
        for position in sealed.suffix(2) {
            guard case .sealed(let handle) = segments[position] else { continue }
            let path = handle.path
            let mended = try StoreError.catching(at: path, StoreError.reading) {
                () throws -> SegmentHandle? in
                let file = try fileSystem.open(path, .read)
                if !Safeguard.mendedFooterSync.isLeftOut { try file.sync() }
                do throws(StoreError) {
                    _ = try handle.readFooter(of: file)
                    return nil
                } catch {
                    guard case .damaged = error else { throw error }
                }
                let header: SegmentHeader
                let headerBytes: UInt64
                do throws(StoreError) {
                    // That of the footer's segment: with another it would be another one from then on.
                    (header, headerBytes) = try handle.readHeader(of: file)
                } catch {
                    guard case .damaged = error else { throw error }
                    return nil
                }
                guard let index = (try? handle.scannedIndex(of: file, header, headerBytes)) ?? nil else {
                    return nil
                }
                do throws(IOFailure) {
                    return try RecoveryWorker.reseal(
                        OpenSegment(file: file, index: index), directory: self.path, fileSystem: fileSystem)
                } catch {
                    if error.operation == .sync { throw error }
                    return nil
                }
            }
            if let mended { segments[position] = .sealed(mended) }
        }
    }

    /// Seals the first segment that is not durable to its end, whole, so that its blocks need not be copied into another; false: there
    /// is none before the one that the log ends in, or it can't have a footer. O(bytes) of the segment.
    ///
    /// In the order of the log, since a footer says that everything before its segment is durable.
    mutating func sealFirstUnconfirmed(
        _ plan: RecoveryPlan, _ fileSystem: any FileSystem
    ) throws(StoreError) -> Bool {
        let watermark = plan.watermark ?? Watermark(segment: 0, offset: 0)
        for position in segments.indices {
            guard case .unsealed(let scan) = segments[position] else { continue }
            let end = scan.blocks.last?.end ?? scan.headerBytes
            guard Watermark(segment: scan.header.ordinal, offset: end) > watermark else { continue }
            if let cut = plan.cut, cut.segment <= scan.header.ordinal { return false }
            do throws(IOFailure) {
                let handle = try RecoveryWorker.reseal(
                    OpenSegment(file: scan.file, index: scan.index()), directory: path,
                    fileSystem: fileSystem)
                segments[position] = .sealed(handle)
                return true
            } catch {
                if error.operation == .sync || error.isOutOfSpace { throw .writing(error) }
                return false
            }
        }
        return false
    }
}
