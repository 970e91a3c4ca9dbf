import VarveIO

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

extension SimulatedFileSystem.State {
    /// Numbers an operation; throws when it is to fail. `underWay` is the write that it would be.
    mutating func pass(
        _ operation: IOFailure.Operation, _ path: String, underWay change: SimulatedDisk.Change? = nil
    ) throws(IOFailure) {
        let number = operations
        operations += 1
        guard number < lastOperation else {
            if underWay == nil { underWay = change }
            throw IOFailure(operation, path: path, code: EIO)
        }
        for position in faults.indices
        where faults[position].number <= number && faults[position].fits(operation) {
            let code = faults[position].code
            if !faults[position].isForGood { faults.remove(at: position) }
            injected += 1
            firstInjection = firstInjection ?? number
            throw IOFailure(operation, path: path, code: code)
        }
        if path.utf8.contains(0) { throw IOFailure(operation, path: path, code: EINVAL) }
    }

    mutating func change(_ change: SimulatedDisk.Change) {
        if journal != nil {
            sampleMappings()
            keep(change)
        }
        disk.apply(change)
    }

    private mutating func keep(_ change: SimulatedDisk.Change) {
        journal?.entries.append(.change(change))
        journal?.changeCount += 1
    }

    /// Notes which pages of mapped files were stored to since the last time.
    mutating func sampleMappings() {
        for (file, seen) in mapped {
            let now = disk.nodes[file].contents.bytes
            let old = seen.bytes
            var start = 0
            var fresh = seen
            var pages: [(page: Int, bytes: [UInt8])] = []
            while start < now.count {
                let end = min(start + SimulatedDisk.pageBytes, now.count)
                let page = UnsafeRawBufferPointer(rebasing: now[start..<end])
                if !SimulatedDisk.equal(page, old, at: start) {
                    // One copy for both: the page may be stored to meanwhile.
                    let copy = Array(page)
                    pages.append((start / SimulatedDisk.pageBytes, copy))
                    copy.withUnsafeBytes { fresh.write($0, at: start) }
                }
                start = end
            }
            guard !pages.isEmpty else { continue }
            let change = SimulatedDisk.Change.store(file: file, pages: pages)
            if journal != nil { keep(change) }
            disk.apply(change)
            mapped[file] = fresh
        }
    }

    func node(_ operation: IOFailure.Operation, _ path: String) throws(IOFailure) -> Int {
        do {
            return try disk.node(at: path)
        } catch {
            throw IOFailure(operation, path: path, code: error.code)
        }
    }

    func place(_ operation: IOFailure.Operation, _ path: String) throws(IOFailure) -> (
        directory: Int, name: String
    ) {
        do {
            return try disk.place(of: path)
        } catch {
            throw IOFailure(operation, path: path, code: error.code)
        }
    }

    /// Takes room for a file to grow to a length.
    mutating func takeRoom(_ file: Int, upTo end: Int, _ operation: IOFailure.Operation, _ path: String)
        throws(IOFailure)
    {
        guard end > disk.nodes[file].contents.count else { return }
        guard disk.nodes[file].contents.canHold(end) else {
            throw IOFailure(operation, path: path, code: EFBIG)
        }
        guard let budget = byteBudget else { return }
        let growth = end - disk.nodes[file].contents.count
        guard growth <= budget else { throw IOFailure(operation, path: path, code: ENOSPC) }
        byteBudget = budget - growth
    }

    mutating func ignores(syncOf path: String, isDirectory: Bool) -> Bool {
        var isIgnored = false
        for position in ignored.indices
        where ignored[position].ofDirectories == isDirectory && path.hasSuffix(ignored[position].pathSuffix) {
            let number = ignored[position].seen
            ignored[position].seen += 1
            if ignored[position].only.map({ $0 == number }) ?? true { isIgnored = true }
        }
        return isIgnored
    }
}

extension SimulatedDisk.LookupFailure {
    fileprivate var code: Int32 { self == .notFound ? ENOENT : ENOTDIR }
}
