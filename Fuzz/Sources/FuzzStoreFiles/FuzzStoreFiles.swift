import FuzzSupport
import VarveFormat

/// The files beside the segments: `STORE`, `STATE` and `TAIL`, told apart by their magics.
@main
struct FuzzStoreFiles {
    static func main() {
        fuzz(
            allocating: allocationOfADecoder, mutation: structured(StoreFileBytes.layout),
            mending: { StoreFileBytes.mend(&$0) }
        ) { bytes in
            decodeStore(bytes)
            decodeState(bytes)
            decodeTail(bytes)
        }
    }

    static func decodeState(_ bytes: UnsafeRawBufferPointer) {
        let latest = StateFile.latest(of: bytes)
        guard let slot = try? StateSlot.decode(bytes) else { return }
        let again = slot.encode().withUnsafeBytes { try? StateSlot.decode($0) }
        require(again == slot, "what was read can be written and read again")
        guard bytes.count == StateFile.byteCount, let latest else { return }
        require(latest.counter >= slot.counter, "the slot with the higher counter counts")
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
            guard let decoded = try? TailSlot.decode(slot, header: header) else { continue }
            let again = decoded.encode(header: header).withUnsafeBytes {
                try? TailSlot.decode($0, header: header)
            }
            require(again == decoded, "what was read can be written and read again")
        }
    }
}
