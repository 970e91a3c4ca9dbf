import FuzzSupport
import VarveFormat

/// The files beside the segments: `STORE`, `STATE` and `TAIL`, told apart by their magics.
@main
struct FuzzStoreFiles {
    static func main() {
        fuzz(mending: mend) { bytes in
            decodeStore(bytes)
            _ = StateFile.latest(of: bytes)
            _ = try? StateSlot.decode(bytes)
            decodeTail(bytes)
        }
    }

    static func mend(_ bytes: inout [UInt8]) {
        switch bytes.prefix(8) {
        case [UInt8]("VARVESTR".utf8)[...]:
            guard let store = bytes.uniqueID(at: 32) else { return }
            bytes.put(UInt32(bytes.count), at: 12)
            bytes.mendSections(from: 64, owner: store)
            bytes.mendChecksum(of: 0..<60, at: 60)
        case [UInt8]("VARVESTA".utf8)[...]:
            for slot in [0, 4_096] { bytes.mendChecksum(of: slot..<slot + 124, at: slot + 124) }
        case [UInt8]("VARVETAI".utf8)[...]:
            mendTail(&bytes)
        default:
            break
        }
    }

    private static func mendTail(_ bytes: inout [UInt8]) {
        guard let slots = bytes.u32(at: 12), bytes.count >= 4_096,
            let slotBytes = bytes.u64(at: 56).flatMap({ Int(exactly: $0) }), slotBytes < 1 << 32,
            let kindsBytes = bytes.u32(at: 72)
        else { return }
        for slot in 0..<Int(min(slots, 64)) {
            let start = 4_096 + Int(kindsBytes) + slot * slotBytes
            let seed = bytes[48..<56].withUnsafeBytes { Checksum.crc($0) }
            bytes.mendChecksum(of: start..<start + 40, at: start + 44, after: seed)
        }
        bytes.mendChecksum(of: 0..<92, at: 92)
    }

    static func decodeStore(_ bytes: UnsafeRawBufferPointer) {
        guard let identity = try? StoreIdentity(decoding: bytes) else { return }
        let again = identity.encode().withUnsafeBytes { try? StoreIdentity(decoding: $0) }
        require(again == identity, "what was read can be written and read again")
    }

    static func decodeTail(_ bytes: UnsafeRawBufferPointer) {
        guard let header = try? TailHeader(decoding: bytes) else { return }
        _ = header.kinds(in: bytes)
        for number in 0..<Int(header.slotCount) {
            let start = header.slotOffset(number)
            guard start <= bytes.count - Int(header.slotBytes) else { return }
            let slot = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(header.slotBytes)])
            _ = try? TailSlot.decode(slot, header: header)
        }
    }
}
