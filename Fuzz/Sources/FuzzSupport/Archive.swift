/// A small directory as the input of a target: entries of a name, an offset in that file, and bytes to stand there.
///
/// `u8` length of the name, the name, `u32` offset, `u32` count, bytes; what is not UTF-8 or within the limits is
/// left out. Bytes of a file that no entry names are zero, so that a file's holes take no part in mutations.
public enum Archive {
    private static let fileBytesMax = 1 << 20
    private static let filesMax = 16
    /// The fewest zeros that are left out.
    private static let holeBytes = 256

    /// The files of an archive. All bytes are one.
    public static func unpack(_ bytes: [UInt8]) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        var position = 0
        while position < bytes.count {
            let nameEnd = position + 1 + Int(bytes[position])
            guard nameEnd <= bytes.count, let offset = bytes.u32(at: nameEnd).map(Int.init),
                let count = bytes.u32(at: nameEnd + 4).map(Int.init)
            else { break }
            let name = String(decoding: bytes[position + 1..<nameEnd], as: UTF8.self)
            let start = nameEnd + 8
            // The last entry takes what there is.
            let end = min(start + count, bytes.count)
            position = end
            guard !name.isEmpty, !name.contains("/"), name != ".", name != "..", name != "LOCK",
                offset + (end - start) <= fileBytesMax, files.count < filesMax || files[name] != nil
            else { continue }
            var file = files[name] ?? []
            if file.count < offset + (end - start) {
                file.append(contentsOf: repeatElement(0, count: offset + (end - start) - file.count))
            }
            file.replaceSubrange(offset..<offset + (end - start), with: bytes[start..<end])
            files[name] = file
        }
        return files
    }

    /// The archive of these files.
    public static func pack(_ files: [String: [UInt8]]) -> [UInt8] {
        var archive: [UInt8] = []
        func add(_ name: String, _ offset: Int, _ bytes: ArraySlice<UInt8>) {
            let name = Array(name.utf8.prefix(255))
            archive.append(UInt8(name.count))
            archive += name
            archive += [0, 0, 0, 0, 0, 0, 0, 0]
            archive.put(UInt32(offset), at: archive.count - 8)
            archive.put(UInt32(bytes.count), at: archive.count - 4)
            archive += bytes
        }
        for (name, file) in files.sorted(by: { $0.key < $1.key }) {
            var (start, zeros) = (0, 0)
            for position in file.indices {
                if file[position] == 0 {
                    zeros += 1
                    continue
                }
                if zeros >= holeBytes {
                    if position - zeros > start { add(name, start, file[start..<position - zeros]) }
                    start = position
                }
                zeros = 0
            }
            if zeros >= holeBytes {
                if file.count - zeros > start { add(name, start, file[start..<file.count - zeros]) }
                add(name, file.count, [])
            } else {
                add(name, start, file[start...])
            }
        }
        return archive
    }
}
