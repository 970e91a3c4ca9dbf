import VarveIO

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// An open file of ``SimulatedFileSystem``.
final class SimulatedFile: File {
    let path: String
    private let node: Int
    private let isWritable: Bool
    private let system: SimulatedFileSystem
    private let isClosed = Locked(false)

    init(_ path: String, node: Int, isWritable: Bool, in system: SimulatedFileSystem) {
        self.path = path
        self.node = node
        self.isWritable = isWritable
        self.system = system
    }

    private func perform<R>(
        _ operation: IOFailure.Operation, changes: Bool = false, underWay change: SimulatedDisk.Change? = nil,
        _ body: (inout SimulatedFileSystem.State) throws(IOFailure) -> R
    ) throws(IOFailure) -> R {
        guard !isClosed.withLock({ $0 }), isWritable || !changes else {
            throw IOFailure(operation, path: path, code: EBADF)
        }
        return try system.state.withLock { state throws(IOFailure) in
            try state.pass(operation, path, underWay: change)
            return try body(&state)
        }
    }

    /// A length or an end that a file can have.
    private func checked(
        _ offset: UInt64, plus count: Int = 0, _ operation: IOFailure.Operation, code: Int32
    ) throws(IOFailure) -> Int {
        guard let start = Int(exactly: offset), !start.addingReportingOverflow(count).overflow else {
            throw IOFailure(operation, path: path, code: code)
        }
        return start
    }

    func size() throws(IOFailure) -> UInt64 {
        try perform(.inspect) { UInt64($0.disk.nodes[node].contents.count) }
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let start = try checked(offset, plus: buffer.count, .read, code: EINVAL)
        return try perform(.read) { state throws(IOFailure) in
            let bytes = state.disk.nodes[node].contents.bytes
            guard start < bytes.count, !buffer.isEmpty else { return 0 }
            let part = bytes[start..<min(start + buffer.count, bytes.count)]
            try check(state, part.startIndex..<part.endIndex, .read)
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            return part.count
        }
    }

    /// Throws where the disk can't deliver a range.
    fileprivate func check(
        _ state: SimulatedFileSystem.State, _ range: Range<Int>, _ operation: IOFailure.Operation
    ) throws(IOFailure) {
        let wanted = UInt64(range.lowerBound)..<UInt64(range.upperBound)
        if state.readErrors.contains(where: { $0.file == node && $0.range.overlaps(wanted) }) {
            throw IOFailure(operation, path: path, code: EIO)
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        guard !bytes.isEmpty else { return }
        let start = try checked(offset, plus: bytes.count, .write, code: EFBIG)
        let change = SimulatedDisk.Change.write(file: node, offset: start, bytes: Array(bytes))
        try perform(.write, changes: true, underWay: change) { state throws(IOFailure) in
            if let fault = state.takeWriteFault(path) {
                switch fault {
                case .lost: return
                case .misdirected(let place):
                    let place = try checked(place, plus: bytes.count, .write, code: EFBIG)
                    try state.takeRoom(node, upTo: place + bytes.count, .write, path)
                    state.change(.write(file: node, offset: place, bytes: Array(bytes)))
                case .misdirectedToFile(let other):
                    let other = try state.node(.write, other)
                    try state.takeRoom(other, upTo: start + bytes.count, .write, path)
                    state.change(.write(file: other, offset: start, bytes: Array(bytes)))
                }
                return
            }
            try state.takeRoom(node, upTo: start + bytes.count, .write, path)
            state.change(change)
        }
    }

    func sync() throws(IOFailure) {
        try perform(.sync) { state in
            guard !state.ignores(syncOf: path, isDirectory: false) else { return }
            state.change(.syncFile(node))
        }
    }

    @discardableResult
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        if isClosed.withLock({ $0 }) { throw IOFailure(.allocate, path: path, code: EBADF) }
        guard !range.isEmpty else { return true }
        let end = try checked(range.upperBound, .allocate, code: EFBIG)
        try perform(.allocate, changes: true) { state throws(IOFailure) in
            try extend(&state, to: end, .allocate)
        }
        return true
    }

    private func extend(
        _ state: inout SimulatedFileSystem.State, to end: Int, _ operation: IOFailure.Operation
    ) throws(IOFailure) {
        guard end > state.disk.nodes[node].contents.count else { return }
        try state.takeRoom(node, upTo: end, operation, path)
        state.change(.setLength(file: node, end))
    }

    func truncate(to byteCount: UInt64) throws(IOFailure) {
        let end = try checked(byteCount, .truncate, code: EFBIG)
        try perform(.truncate, changes: true) { state throws(IOFailure) in
            try state.takeRoom(node, upTo: end, .truncate, path)
            if end != state.disk.nodes[node].contents.count { state.change(.setLength(file: node, end)) }
        }
    }

    func map() throws(IOFailure) -> (any MappedRegion)? {
        try perform(.map) { state in
            let contents = state.disk.nodes[node].contents
            return contents.count == 0 ? nil : SimulatedMappedRegion(contents, of: self)
        }
    }

    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try perform(.map, changes: true) { state throws(IOFailure) in
            guard byteCount > 0 else { throw IOFailure(.map, path: path, code: EINVAL) }
            try extend(&state, to: byteCount, .allocate)
            state.disk.nodes[node].contents.pin()
            if state.mapped[node] == nil { state.mapped[node] = state.disk.nodes[node].contents.copy() }
            return SimulatedWritableRegion(state.disk.nodes[node].contents, byteCount: byteCount)
        }
    }

    func close() { isClosed.withLock { $0 = true } }

    fileprivate func populate(_ range: Range<Int>) throws(IOFailure) {
        try system.state.withLock { state throws(IOFailure) in
            try state.pass(.populate, path)
            let pages =
                (state.disk.nodes[node].contents.count + SimulatedDisk.pageBytes - 1)
                / SimulatedDisk.pageBytes
            // The file was cut.
            guard range.upperBound <= pages * SimulatedDisk.pageBytes else {
                throw IOFailure(.populate, path: path, code: EFAULT)
            }
            try check(state, range, .populate)
        }
    }
}

extension SimulatedFileSystem.State {
    /// The fault that a write to this path meets.
    fileprivate mutating func takeWriteFault(_ path: String) -> SimulatedFileSystem.WriteFault? {
        for position in writeFaults.indices where path.hasSuffix(writeFaults[position].suffix) {
            guard writeFaults[position].successes == 0 else {
                writeFaults[position].successes -= 1
                continue
            }
            return writeFaults.remove(at: position).fault
        }
        return nil
    }
}

private final class SimulatedMappedRegion: MappedRegion {
    private let contents: FileContents
    private let file: SimulatedFile

    init(_ contents: FileContents, of file: SimulatedFile) {
        self.contents = contents
        self.file = file
    }

    var bytes: UnsafeRawBufferPointer { contents.bytes }
    var canPopulate: Bool { true }

    func populate(_ range: Range<Int>) throws(IOFailure) {
        guard range.lowerBound >= 0, range.upperBound <= contents.count else {
            throw IOFailure(.populate, path: file.path, code: EFAULT)
        }
        if !range.isEmpty { try file.populate(range) }
    }
}

private final class SimulatedWritableRegion: WritableRegion {
    private let contents: FileContents
    private let byteCount: Int

    init(_ contents: FileContents, byteCount: Int) {
        self.contents = contents
        self.byteCount = byteCount
    }

    // SAFETY: the storage is pinned, and holds at least `byteCount` bytes; a cut does not give its memory back.
    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: contents.pinnedBase, count: byteCount)
    }
}

final class SimulatedLock: FileLock {
    let path: String
    private let node: Int
    private let system: SimulatedFileSystem

    init(_ path: String, node: Int, in system: SimulatedFileSystem) {
        self.path = path
        self.node = node
        self.system = system
    }

    deinit { release() }

    func release() {
        let identity = ObjectIdentifier(self)
        system.state.withLock { state in
            if state.locks[node] == identity { state.locks[node] = nil }
        }
    }
}
