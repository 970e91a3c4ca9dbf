import Foundation
import VarveTestKit

/// A file system mounted on a directory of its own. It is unmounted when the object ends, whatever uses it still.
final class Mount {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let directory: TemporaryDirectory
    private var isMounted = false

    /// Where it is mounted.
    var path: String { directory.path }

    private init(_ script: String, _ arguments: String...) throws {
        directory = try TemporaryDirectory()
        let made = try ChildProcess.run(
            URL(fileURLWithPath: "/bin/sh"), ["-c", script, directory.path] + arguments)
        guard made.outcome == .exited(0) else { throw Failure(description: "\(script): \(made.errors)") }
        isMounted = true
    }

    deinit { if isMounted { _ = try? ChildProcess.shell("umount -l \"$1\"", path) } }

    func unmount() throws {
        let done = try ChildProcess.shell("umount \"$1\"", path)
        guard done.outcome == .exited(0) else { throw Failure(description: done.errors) }
        isMounted = false
    }

    /// Memory that is full after so many bytes.
    static func tmpfs(megabytes: Int) throws -> Mount {
        try Mount("mount -t tmpfs -o size=\(megabytes)m tmpfs \"$0\"")
    }

    /// The same directory once more, where nothing can be written.
    static func readOnly(_ path: String) throws -> Mount {
        try Mount("mount --bind \"$1\" \"$0\" && mount -o remount,bind,ro \"$0\"", path)
    }

    /// An image with a file system, on a loop device that goes away with the mount.
    static func image(_ path: String) throws -> Mount { try Mount("mount -o loop \"$1\" \"$0\"", path) }

    /// The same on a device that gets its writes page by page.
    static func imageByPages(_ path: String) throws -> Mount {
        try Mount(
            """
            mount -o loop "$1" "$0" || exit
            device=$(findmnt -no SOURCE "$0") &&
                echo 4 >"/sys/block/${device#/dev/}/queue/max_sectors_kb" || { umount "$0"; exit 1; }
            """, path)
    }

    /// Cuts the power of an ext4 file system: nothing that is not on its device by now gets there any more.
    func cutPower() throws {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        // `EXT4_IOC_SHUTDOWN` without flushing the journal.
        var withoutFlush: UInt32 = 2
        guard descriptor >= 0, ioctl(descriptor, 0x8004_587D, &withoutFlush) == 0 else {
            throw Failure(description: "can't shut down \(path): errno \(errno)")
        }
    }
}

/// A sparse file with an ext4 file system in it.
final class DiskImage {
    private let directory: TemporaryDirectory?
    /// The file.
    let path: String

    private let isOnFullMemory: Bool

    /// In a temporary directory, or in `memory`, a file system without room for all of it.
    ///
    /// What of a write finds no room there the device has to refuse. Linux calls a write that its file took in part done (seen in
    /// 6.18): so none may be larger than a page, which the memory takes whole or not at all.
    init(megabytes: Int, in memory: String? = nil) throws {
        isOnFullMemory = memory != nil
        directory = memory == nil ? try TemporaryDirectory() : nil
        path = (memory ?? directory?.path ?? "") + "/image"
        let blocks = isOnFullMemory ? "-b 4096" : ""
        let made = try ChildProcess.shell(
            "truncate -s \(megabytes)M \"$1\" && PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F \(blocks) \"$1\"",
            path)
        guard made.outcome == .exited(0) else { throw Mount.Failure(description: made.errors) }
    }

    func mount() throws -> Mount { try isOnFullMemory ? Mount.imageByPages(path) : Mount.image(path) }
}
