/// What is on a simulated disk, and what would be there after a power cut: a value.
///
/// Files and directories are numbered in the order of their making; 0 is the root. Each has its state as a process
/// sees it, and its durable state; the changes in between are kept, so that a power cut can choose among them.
public struct SimulatedDisk: Sendable {
    /// Bytes that a power cut writes whole or not at all.
    static let sectorBytes = 512
    static let pageBytes = 4096

    /// A change, as it is applied and kept in a journal.
    enum Change: Sendable {
        /// A file or directory, in a directory.
        case create(isDirectory: Bool, in: Int, name: String)
        case rename(node: Int, from: Int, name: String, to: Int, newName: String)
        case unlink(node: Int, in: Int, name: String)
        case write(file: Int, offset: Int, bytes: [UInt8])
        case setLength(file: Int, Int)
        /// Pages that were stored to in a mapping since the last change.
        case store(file: Int, pages: [(page: Int, bytes: [UInt8])])
        case syncFile(Int)
        case syncDirectory(Int)
    }

    /// A change of a file's bytes that is not durable.
    enum PendingBytes: Sendable {
        case write(offset: Int, bytes: [UInt8])
        case setLength(Int)
    }

    struct Node: Sendable {
        let isDirectory: Bool
        var contents = FileContents()
        var durable = FileContents()
        var pending: [PendingBytes] = []
        /// Pages stored to in a mapping since the last sync.
        var pendingPages: [Int: [UInt8]] = [:]
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
    }

    var nodes = [Node(isDirectory: true)]
    /// Changes of names that are not durable, in order.
    var pendingNames: [Change] = []

    /// A disk with an empty root directory.
    public init() {}

    // MARK: Looking up

    /// Why a path leads nowhere.
    enum LookupFailure: Error {
        case notFound, notDirectory
    }

    func node(at path: String) throws(LookupFailure) -> Int {
        var node = 0
        for part in path.utf8.split(separator: UInt8(ascii: "/")) where !part.elementsEqual(".".utf8) {
            guard nodes[node].isDirectory else { throw .notDirectory }
            guard let next = nodes[node].names[String(Substring(part))] else { throw .notFound }
            node = next
        }
        return node
    }

    /// The directory of a path, and the name in it. The name is empty for the root.
    func place(of path: String) throws(LookupFailure) -> (directory: Int, name: String) {
        var parts = path.utf8.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }
        guard let last = parts.popLast() else { return (0, "") }
        var directory = 0
        for part in parts {
            guard let next = nodes[directory].names[String(Substring(part))] else { throw .notFound }
            guard nodes[next].isDirectory else { throw .notDirectory }
            directory = next
        }
        return (directory, String(Substring(last)))
    }

    // MARK: Changing

    /// Applies a change. A write to a pinned file is applied in place.
    mutating func apply(_ change: Change) {
        switch change {
        case .create(let isDirectory, _, _):
            nodes.append(Node(isDirectory: isDirectory))
            changeNames(change)
        case .rename, .unlink: changeNames(change)
        case .write(let file, let offset, let bytes):
            bytes.withUnsafeBytes { nodes[file].contents.write($0, at: offset) }
            nodes[file].pending.append(.write(offset: offset, bytes: bytes))
        case .setLength(let file, let length):
            nodes[file].contents.setCount(length)
            nodes[file].pending.append(.setLength(length))
        case .store(let file, let pages):
            for (page, bytes) in pages {
                if !nodes[file].contents.isPinned {
                    bytes.withUnsafeBytes { nodes[file].contents.write($0, at: page * Self.pageBytes) }
                }
                nodes[file].pendingPages[page] = bytes
            }
        case .syncFile(let file):
            nodes[file].durable =
                nodes[file].contents.isPinned ? nodes[file].contents.copy() : nodes[file].contents
            nodes[file].pending = []
            nodes[file].pendingPages = [:]
        case .syncDirectory(let directory):
            for pending in pendingNames where pending.concerns(directory) {
                applyName(pending, \.durableNames)
            }
            pendingNames.removeAll { $0.concerns(directory) }
        }
    }

    private mutating func changeNames(_ change: Change) {
        // A made node's number is known only now: it is kept as a rename from no name.
        var change = change
        if case .create(_, let directory, let name) = change {
            change = .rename(node: nodes.count - 1, from: directory, name: "", to: directory, newName: name)
        }
        applyName(change, \.names)
        pendingNames.append(change)
    }

    mutating func applyName(_ change: Change, _ names: WritableKeyPath<Node, [String: Int]>) {
        switch change {
        case .rename(let node, let from, let name, let to, let newName):
            if nodes[from][keyPath: names][name] == node { nodes[from][keyPath: names][name] = nil }
            nodes[to][keyPath: names][newName] = node
        case .unlink(let node, let directory, let name):
            if nodes[directory][keyPath: names][name] == node { nodes[directory][keyPath: names][name] = nil }
        default: break
        }
    }

    /// A disk of its own where this one's mapped files are being written to.
    func detached() -> SimulatedDisk {
        var copy = self
        for node in nodes.indices where nodes[node].contents.isPinned {
            copy.nodes[node].contents = nodes[node].contents.copy()
        }
        return copy
    }

    /// Bytes of all files, as a process sees them.
    var byteCount: Int { nodes.reduce(0) { $0 + $1.contents.count } }
}

extension SimulatedDisk.Change {
    /// Whether syncing the directory makes the change durable.
    func concerns(_ directory: Int) -> Bool {
        switch self {
        case .rename(_, let from, _, let to, _): from == directory || to == directory
        case .unlink(_, let parent, _): parent == directory
        default: false
        }
    }
}
