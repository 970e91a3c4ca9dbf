import Foundation
import VarveIO
import VarveTestKit

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A file of JSON Lines: written through a buffer; read through a mapping and an array of where each line begins, which opening makes.
final class LinesPeer: Peer {
    let name = "JSON Lines"
    let settings =
        "one file, written 1 MiB at a time and synced at the end, no checksums; mapped, with an array of offsets that opening makes; durable appends: a write and a sync a batch"

    static func path(_ directory: String) -> String { "\(directory)/events.jsonl" }

    func append(_ data: Dataset, in directory: String) throws {
        let file = try LinesFile(Self.path(directory), kindNames: data.description.kindNames)
        defer { file.close() }
        for position in 0..<data.count {
            file.add(data, position)
            if file.count >= 1 << 20 { try file.write() }
        }
        try file.write()
        try file.sync()
    }

    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double {
        let file = try LinesFile(Self.path(directory), kindNames: data.description.kindNames)
        defer { file.close() }
        return try seconds {
            for number in 0..<batches {
                for position in number * batch..<(number + 1) * batch { file.add(data, position) }
                try file.write()
                try file.sync()
            }
        }
    }

    func open(_ directory: String) throws -> any PeerReader { try LinesReader(Self.path(directory)) }
}

/// What stands before, between and behind the fields of a line.
private enum LinePart {
    static let start = Array("{\"seq\":".utf8)
    static let time = Array(",\"ts\":".utf8)
    static let kind = Array(",\"kind\":\"".utf8)
    static let payload = Array("\",\"payload\":".utf8)
    static let end = Array("}\n".utf8)
    /// More than all of these and two numbers take.
    static let bytesMax = 128
}

private final class LinesFile {
    private let file: any File
    private var offset: UInt64 = 0
    private let kindNames: [[UInt8]]
    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 64)
    private(set) var count = 0

    init(_ path: String, kindNames: [String]) throws {
        file = try POSIXFileSystem().open(path, .createExclusive)
        self.kindNames = kindNames.map { Array($0.utf8) }
    }

    func close() {
        file.close()
        buffer.deallocate()
    }

    @inline(__always)
    private func put(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    @inline(__always)
    private func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    /// Not negative.
    @inline(__always)
    private func put(_ number: UInt64) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { digits in
            var (rest, place) = (number, digits.count)
            repeat {
                place -= 1
                digits[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            put(UnsafeRawBufferPointer(rebasing: digits[place...]))
        }
    }

    /// Doubles the buffer until so many more bytes fit.
    private func makeRoom(for byteCount: Int) {
        var capacity = buffer.count
        while capacity - count < byteCount { capacity *= 2 }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 64)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        buffer.deallocate()
        buffer = larger
    }

    func add(_ data: Dataset, _ position: Int) {
        let (payload, kindName) = (data.payload(position), kindNames[Int(data.kinds[position])])
        let byteCount = payload.count + kindName.count + LinePart.bytesMax
        if byteCount > buffer.count - count { makeRoom(for: byteCount) }
        put(LinePart.start)
        put(UInt64(position))
        put(LinePart.time)
        put(UInt64(data.timestamps[position]))
        put(LinePart.kind)
        put(kindName)
        put(LinePart.payload)
        put(payload)
        put(LinePart.end)
    }

    func write() throws {
        try file.write(UnsafeRawBufferPointer(rebasing: buffer[0..<count]), at: offset)
        offset += UInt64(count)
        count = 0
    }

    func sync() throws { try file.sync() }
}

private final class LinesReader: PeerReader {
    private let bytes: UnsafeRawBufferPointer
    /// One more than there are lines.
    private var offsets: [Int] = [0]

    init(_ path: String) throws {
        bytes = try mapFile(path)
        while let end = lineEnd(from: offsets[offsets.count - 1]) { offsets.append(end) }
    }

    /// Behind the line break that is next after a place.
    @inline(__always)
    private func lineEnd(from place: Int) -> Int? {
        guard let start = bytes.baseAddress, place < bytes.count,
            let found = memchr(start + place, Int32(UInt8(ascii: "\n")), bytes.count - place)
        else { return nil }
        return UnsafeRawPointer(found) - start + 1
    }

    func close() { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }

    private var lineCount: Int { offsets.count - 1 }

    /// The number that begins at a place, and the place behind it.
    @inline(__always)
    private func number(_ place: inout Int) -> UInt64 {
        var number: UInt64 = 0
        while case let digit = bytes[place] &- UInt8(ascii: "0"), digit < 10 {
            number = number &* 10 &+ UInt64(digit)
            place += 1
        }
        return number
    }

    private struct Line {
        var sequence: UInt64 = 0
        var timestamp: Int64 = 0
        var kind: UnsafeRawBufferPointer
        var payload: UnsafeRawBufferPointer
    }

    @inline(__always)
    private func line(_ row: Int) -> Line {
        var place = offsets[row] + LinePart.start.count
        let sequence = number(&place)
        place += LinePart.time.count
        let timestamp = Int64(number(&place))
        place += LinePart.kind.count
        let kind = place
        while bytes[place] != UInt8(ascii: "\"") { place += 1 }
        let name = UnsafeRawBufferPointer(rebasing: bytes[kind..<place])
        place += LinePart.payload.count
        let end = offsets[row + 1] - LinePart.end.count
        return Line(
            sequence: sequence, timestamp: timestamp, kind: name,
            payload: UnsafeRawBufferPointer(rebasing: bytes[place..<end]))
    }

    private func answer(_ rows: Range<Int>) -> Answer {
        var answer = Answer()
        for row in rows {
            let line = line(row)
            answer.add(line.sequence, line.timestamp, line.payload)
        }
        return answer
    }

    func scan() throws -> Answer { answer(0..<lineCount) }

    func event(_ sequence: UInt64) throws -> Answer { answer(Int(sequence)..<Int(sequence) + 1) }

    private func row(from time: Int64) -> Int {
        var (low, high) = (0, lineCount)
        while low < high {
            let middle = (low + high) / 2
            if line(middle).timestamp < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func events(in range: ClosedRange<Int64>) throws -> Answer {
        answer(row(from: range.lowerBound)..<row(from: range.upperBound + 1))
    }

    func count(kind _: Int, named name: String) throws -> Int {
        Array(name.utf8).withUnsafeBytes { name in
            (0..<lineCount).reduce(0) { count, row in
                let kind = line(row).kind
                guard kind.count == name.count, let one = kind.baseAddress, let other = name.baseAddress
                else {
                    return count
                }
                return memcmp(one, other, name.count) == 0 ? count + 1 : count
            }
        }
    }

    /// Over the whole file: where the text stands is behind a payload's beginning, since nothing before it holds such a text.
    func count(text: String) throws -> Int {
        let needle = Needle(text)
        var (count, place) = (0, 0)
        while place < bytes.count,
            let found = needle.place(in: UnsafeRawBufferPointer(rebasing: bytes[place...]))
        {
            count += 1
            // The rest of the line is the same event's.
            place = lineEnd(from: place + found) ?? bytes.count
        }
        return count
    }
}

/// A whole file, to be read; `munmap` ends it.
private func mapFile(_ path: String) throws -> UnsafeRawBufferPointer {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw PeerFailure("can't open \(path)") }
    defer { close(descriptor) }
    let length = Int(lseek(descriptor, 0, SEEK_END))
    guard length > 0, let start = mmap(nil, length, PROT_READ, MAP_SHARED, descriptor, 0),
        start != MAP_FAILED
    else { throw PeerFailure("can't map \(path)") }
    return UnsafeRawBufferPointer(start: start, count: length)
}
