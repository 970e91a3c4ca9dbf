public import VarveIO

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension SimulatedFileSystem: FileSystem {
    private func perform<R>(
        _ operation: IOFailure.Operation, _ path: String, _ body: (inout State) throws(IOFailure) -> R
    ) throws(IOFailure) -> R {
        try state.withLock { state throws(IOFailure) in
            try state.pass(operation, path)
            return try body(&state)
        }
    }

    public func makeDirectory(_ path: String) throws(IOFailure) {
        try perform(.makeDirectory, path) { state throws(IOFailure) in
            let (directory, name) = try state.place(.makeDirectory, path)
            guard !name.isEmpty, state.disk.nodes[directory].names[name] == nil else {
                throw IOFailure(.makeDirectory, path: path, code: EEXIST)
            }
            state.change(.create(isDirectory: true, in: directory, name: name))
        }
    }

    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        try perform(.list, directory) { state throws(IOFailure) in
            let node = state.disk.nodes[try state.node(.list, directory)]
            guard node.isDirectory else { throw IOFailure(.list, path: directory, code: ENOTDIR) }
            return node.names.map { name, number in
                DirectoryEntry(name: name, kind: state.disk.nodes[number].isDirectory ? .directory : .regular)
            }
        }
    }

    public func kind(of path: String) throws(IOFailure) -> FileKind? {
        try perform(.inspect, path) { state throws(IOFailure) in
            do throws(IOFailure) {
                return state.disk.nodes[try state.node(.inspect, path)].isDirectory ? .directory : .regular
            } catch {
                if error.isNotFound { return nil }
                throw error
            }
        }
    }

    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let operation: IOFailure.Operation = mode == .createExclusive ? .create : .open
        return try perform(operation, path) { state throws(IOFailure) in
            if mode == .createExclusive {
                let (directory, name) = try state.place(operation, path)
                guard !name.isEmpty, state.disk.nodes[directory].names[name] == nil else {
                    throw IOFailure(operation, path: path, code: EEXIST)
                }
                state.change(.create(isDirectory: false, in: directory, name: name))
                return SimulatedFile(path, node: state.disk.nodes.count - 1, isWritable: true, in: self)
            }
            let node = try state.node(operation, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(operation, path: path, code: IOFailure.notRegularFileCode)
            }
            return SimulatedFile(path, node: node, isWritable: mode == .readWrite, in: self)
        }
    }

    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try perform(.rename, from) { state throws(IOFailure) in
            guard !to.utf8.contains(0) else { throw IOFailure(.rename, path: to, code: EINVAL) }
            let node = try state.node(.rename, from)
            let (directory, name) = try state.place(.rename, from)
            let (target, newName) = try state.place(.rename, to)
            if let old = state.disk.nodes[target].names[newName] {
                guard replacing else { throw IOFailure(.rename, path: from, code: EEXIST) }
                guard state.disk.nodes[old].isDirectory == state.disk.nodes[node].isDirectory else {
                    throw IOFailure(.rename, path: from, code: EISDIR)
                }
                if old == node { return }
            }
            state.change(.rename(node: node, from: directory, name: name, to: target, newName: newName))
        }
    }

    public func unlink(_ path: String) throws(IOFailure) {
        try perform(.unlink, path) { state throws(IOFailure) in
            let node = try state.node(.unlink, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(.unlink, path: path, code: EISDIR)
            }
            let (directory, name) = try state.place(.unlink, path)
            state.change(.unlink(node: node, in: directory, name: name))
        }
    }

    public func syncDirectory(_ path: String) throws(IOFailure) {
        try perform(.sync, path) { state throws(IOFailure) in
            let node = try state.node(.sync, path)
            guard state.disk.nodes[node].isDirectory else {
                throw IOFailure(.sync, path: path, code: ENOTDIR)
            }
            if !state.ignores(syncOf: path, isDirectory: true) { state.change(.syncDirectory(node)) }
        }
    }

    public func lock(_ path: String) throws(IOFailure) -> any FileLock {
        try perform(.lock, path) { state throws(IOFailure) in
            let (directory, name) = try state.place(.lock, path)
            if !name.isEmpty, state.disk.nodes[directory].names[name] == nil {
                state.change(.create(isDirectory: false, in: directory, name: name))
            }
            let node = try state.node(.lock, path)
            guard !state.disk.nodes[node].isDirectory else {
                throw IOFailure(.lock, path: path, code: IOFailure.notRegularFileCode)
            }
            guard state.locks[node] == nil else { throw IOFailure(.lock, path: path, code: EWOULDBLOCK) }
            let lock = SimulatedLock(path, node: node, in: self)
            state.locks[node] = ObjectIdentifier(lock)
            return lock
        }
    }

    public func isLocked(_ path: String) -> Bool {
        state.withLock { state in
            guard let node = try? state.disk.node(at: path) else { return false }
            return state.locks[node] != nil
        }
    }

    public func isOnNetwork(_ path: String) -> Bool { false }

    public func space(at path: String) throws(IOFailure) -> DiskSpace {
        try perform(.measureSpace, path) { state throws(IOFailure) in
            _ = try state.node(.measureSpace, path)
            let total: UInt64 = 1 << 40
            return DiskSpace(freeBytes: state.byteBudget.map { UInt64($0) } ?? total / 2, totalBytes: total)
        }
    }

    public func now() -> Int64 { 1_700_000_000_000_000_000 + Int64(monotonic()) }

    public func monotonic() -> UInt64 {
        state.withLock { state in
            state.clock += 1000
            return state.clock
        }
    }

    public func randomBytes(_ count: Int) -> [UInt8] {
        state.withLock { state in
            (0..<count).map { _ in UInt8(truncatingIfNeeded: state.random.next() >> 32) }
        }
    }

    public func bootIdentity() -> [UInt8] { boot }
}
