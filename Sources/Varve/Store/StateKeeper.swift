internal import VarveFormat
internal import VarveIO

/// Writes `STATE`: slots in turn, each durable before anything is built on it. Any thread may call.
final class StateKeeper: @unchecked Sendable {
    private let monitor = Monitor()
    private let directory: String
    private let fileSystem: any FileSystem
    // Guarded by the monitor.
    private var slot: StateSlot

    /// `slot`: the last one that was written; with counter 0 none was.
    init(directory: String, fileSystem: any FileSystem, slot: StateSlot) {
        self.directory = directory
        self.fileSystem = fileSystem
        self.slot = slot
    }

    /// Writes the next slot, changed by `body`.
    func write(_ body: (inout StateSlot) -> Void) throws(IOFailure) {
        monitor.lock()
        defer { monitor.unlock() }
        var next = slot
        next.counter += 1
        next.writtenAt = fileSystem.now()
        body(&next)
        // What only this file knows of the heads is not taken back.
        next.headSequence = max(next.headSequence, slot.headSequence)
        next.headCheckpoint = max(next.headCheckpoint, slot.headCheckpoint)
        try StateKeeper.write(next, directory, fileSystem)
        slot = next
    }

    /// Makes the heads durable, unless they are.
    func raise(head: UInt64, checkpoint: UInt64) throws(IOFailure) {
        let isKnown = monitor.withLock { slot.headSequence >= head && slot.headCheckpoint >= checkpoint }
        if isKnown { return }
        try write {
            $0.headSequence = head
            $0.headCheckpoint = checkpoint
        }
    }

    /// Writes a slot of `STATE`, and makes it durable. Where something else has that name, or a file that may not be written, it is set
    /// aside.
    private static func write(
        _ slot: StateSlot, _ path: String, _ fileSystem: any FileSystem
    ) throws(IOFailure) {
        let statePath = path + "/STATE"
        let kind = try fileSystem.kind(of: statePath)
        do throws(IOFailure) {
            let file = try fileSystem.open(statePath, kind == nil ? .createExclusive : .readWrite)
            defer { file.close() }
            // A new one, or one whose making was cut off: slots of zeros are empty.
            if try file.size() != StateFile.byteCount {
                try file.truncate(to: UInt64(StateFile.byteCount))
            }
            try file.write(slot.encode(), at: slot.counter % 2 == 1 ? 0 : UInt64(StateSlot.stride))
            // Nothing in it was to go on from: what is left there must not come after this.
            if slot.counter == 1 {
                try file.write([UInt8](repeating: 0, count: StateSlot.stride), at: UInt64(StateSlot.stride))
            }
            if !Safeguard.stateSync.isLeftOut { try file.sync() }
        } catch {
            guard error.operation != .sync, let kind, kind != .regular || error.isNotPermitted else {
                throw error
            }
            // The new one first: what the old one says is known nowhere else.
            let temporary = statePath + ".tmp"
            try? fileSystem.unlink(temporary)
            let file = try fileSystem.open(temporary, .createExclusive)
            defer { file.close() }
            try file.truncate(to: UInt64(StateFile.byteCount))
            try file.write(slot.encode(), at: slot.counter % 2 == 1 ? 0 : UInt64(StateSlot.stride))
            try file.sync()
            try fileSystem.setAside(statePath)
            try fileSystem.rename(temporary, to: statePath, replacing: false)
            return try fileSystem.syncDirectory(path)
        }
        if kind == nil, !Safeguard.stateNameSync.isLeftOut { try fileSystem.syncDirectory(path) }
    }
}
