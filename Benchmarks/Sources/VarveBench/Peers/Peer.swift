import Foundation

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What a question is answered with, so far as it can be compared between stores.
struct Answer: Equatable {
    var events = 0
    var bytes = 0
    /// Of sequence numbers, timestamps and all bytes of the payloads, which are read for that: other events give another one.
    var check: UInt64 = 0

    @inline(__always)
    mutating func add(_ sequence: UInt64, _ timestamp: Int64, _ payload: UnsafeRawBufferPointer) {
        events += 1
        bytes += payload.count
        var sum = (sequence &+ 1) &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(bitPattern: timestamp)
        var place = 0
        while place &+ 8 <= payload.count {
            sum &+= payload.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            place &+= 8
        }
        while place < payload.count {
            sum &+= UInt64(payload[place]) &<< UInt64(place & 7 &* 8)
            place &+= 1
        }
        check &+= sum ^ sum &>> 29
    }
}

/// A store of events beside Varve, in a directory of its own, with a key by sequence number and one by time.
///
/// For one thread. What it throws ends its part of the comparison, and not the others'.
protocol Peer: AnyObject {
    var name: String { get }
    /// The settings that are not the library's own.
    var settings: String { get }

    /// Makes the store of all events and closes it; everything is durable then.
    func append(_ data: Dataset, in directory: String) throws
    /// Seconds for so many batches of events, each durable before the next one is made; opening is left out.
    func appendDurably(_ data: Dataset, batch: Int, batches: Int, in directory: String) throws -> Double
    /// What `append` made, to be read.
    func open(_ directory: String) throws -> any PeerReader
}

protocol PeerReader: AnyObject {
    func scan() throws -> Answer
    func event(_ sequence: UInt64) throws -> Answer
    /// In the order of time.
    func events(in range: ClosedRange<Int64>) throws -> Answer
    /// Events of a kind, by its number or its name: whichever the store keeps.
    func count(kind: Int, named name: String) throws -> Int
    /// Events whose payload has the text.
    func count(text: String) throws -> Int
    func close() throws
}

/// What a peer's library said.
struct PeerFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

extension Dataset {
    /// The events in parts for transactions: each of so many, but of not more than 16 MiB unless one event alone is larger.
    func parts(of eventCount: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var first = 0
        while first < count {
            var end = min(first + eventCount, count)
            while end > first + 1, offsets[end] - offsets[first] > 16 << 20 { end -= 1 }
            parts.append(first..<end)
            first = end
        }
        return parts
    }
}

/// A record as the peers without columns have it: timestamp, kind and payload.
enum PeerRecord {
    static let headBytes = 9

    @inline(__always)
    static func write(_ data: Dataset, _ position: Int, to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: data.timestamps[position], as: Int64.self)
        target.storeBytes(of: data.kinds[position], toByteOffset: 8, as: UInt8.self)
        let payload = data.payload(position)
        if let source = payload.baseAddress {
            (target + headBytes).copyMemory(from: source, byteCount: payload.count)
        }
    }

    @inline(__always)
    static func timestamp(_ record: UnsafeRawBufferPointer) -> Int64 {
        record.loadUnaligned(as: Int64.self)
    }

    @inline(__always)
    static func kind(_ record: UnsafeRawBufferPointer) -> Int { Int(record[8]) }

    @inline(__always)
    static func payload(_ record: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: record[headBytes...])
    }
}

/// A reader of a store of `PeerRecord`s, that passes over all of them for what it has no index of.
protocol RecordReader: PeerReader {
    /// All records with their sequence numbers, ascending.
    func forEach(_ body: (UInt64, UnsafeRawBufferPointer) -> Void) throws
}

extension RecordReader {
    func scan() throws -> Answer {
        var answer = Answer()
        try forEach { answer.add($0, PeerRecord.timestamp($1), PeerRecord.payload($1)) }
        return answer
    }

    func count(kind: Int, named _: String) throws -> Int {
        var count = 0
        try forEach { if PeerRecord.kind($1) == kind { count += 1 } }
        return count
    }

    func count(text: String) throws -> Int {
        let needle = Needle(text)
        var count = 0
        try forEach { if needle.stands(in: PeerRecord.payload($1)) { count += 1 } }
        return count
    }
}

/// Bytes that all files below a directory take on the disk: some libraries make theirs as large as they may become.
func storedBytes(in directory: String) throws -> UInt64 {
    try FileManager.default.subpathsOfDirectory(atPath: directory).reduce(0) { sum, name in
        var status = stat()
        guard lstat("\(directory)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return sum
        }
        return sum + UInt64(status.st_blocks) * 512
    }
}

/// Syncs every file in a directory, and the directory.
func syncFiles(in directory: String) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) + ["."] {
        let descriptor = open("\(directory)/\(name)", O_RDONLY)
        guard descriptor >= 0 else { throw PeerFailure("can't open \(name)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw PeerFailure("can't sync \(name)") }
    }
}
