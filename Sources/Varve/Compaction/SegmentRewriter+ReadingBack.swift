internal import VarveFormat
internal import VarveIO

extension SegmentRewriter {
    /// Opens the new file as any reader would, and compares it with what was meant to be written.
    func readBack(
        _ name: String, _ header: SegmentHeader,
        _ sealed: (footer: Footer, trailer: Trailer, withoutFilter: Int), _ digest: ContentDigest
    ) throws(RewriteError) {
        let source: RewriteSource
        do throws(StoreError) {
            guard case .sealed(let handle) = try StoreDirectory.segment(directory, name, fileSystem).segment
            else { throw .damaged(file: name, offset: 0, reason: "it has no footer") }
            source = try RewriteSource(handle, fileSystem)
            guard handle.trailer == sealed.trailer, source.index.header == header,
                try handle.readFooter(of: source.file) == sealed.footer
            else { throw .damaged(file: name, offset: 0, reason: "its header or footer is another one") }
        } catch {
            throw .unfaithful(error.description)
        }
        defer { source.close() }
        guard try scan(source).entries == sealed.footer.entries else {
            throw .unfaithful("the blocks of \(name) are not those of its index")
        }
        var found = ContentDigest()
        for number in source.index.entries.indices {
            let goesOn = try RewriteError.onDisk { () throws(IOFailure) in try announce(0) }
            guard goesOn else { throw .cancelled }
            do throws(StoreError) { try add(number, of: source, to: &found) } catch {
                throw .unfaithful(error.description)
            }
        }
        do throws(StoreError) { try source.checkFooter() } catch { throw .unfaithful(error.description) }
        guard found == digest else {
            throw .unfaithful("the events of \(name) are not those of the segments it was made of")
        }
    }

    /// The index that a scan without the footer finds.
    private func scan(_ source: RewriteSource) throws(RewriteError) -> SegmentIndex {
        var scan = SegmentScan(
            fileName: source.file.path, file: source.file, header: source.index.header,
            headerBytes: source.index.headerBytes)
        try RewriteError.onDisk { () throws(IOFailure) in
            try scan.run(upTo: source.index.dataEnd)
            if let failure = scan.failure { throw failure }
        }
        guard scan.unreadable.isEmpty else {
            throw .unfaithful("\(source.file.path): \(scan.unreadable[0].reason)")
        }
        return scan.index()
    }

    /// Adds everything in a block to a digest.
    private func add(_ number: Int, of source: RewriteSource, to digest: inout ContentDigest)
        throws(StoreError)
    {
        let entry = source.index.entries[number]
        if entry.type == .events {
            let header = try source.loadEvents(number)
            source.count(header, at: entry.offset)
            for run in source.runs(header, [entry.sequences]) {
                try digest.add(run, of: header, source)
            }
        } else {
            let (header, record) = try source.control(number)
            guard case .checkpoint(let checkpoint, let state) = record else { return }
            digest.add(checkpoint, state: try source.state(header, state))
        }
    }
}
