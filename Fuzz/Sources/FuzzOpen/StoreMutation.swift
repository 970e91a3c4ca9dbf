import FuzzSupport
import VarveTestKit

/// Changes a store: a structure in one of its files, or the files themselves. Then its checksums are mended, mostly.
@Sendable func mutateStore(_ input: inout FuzzInput, _ random: inout SplitMix64) {
    var files = Archive.unpack(input.bytes)
    let names = files.keys.sorted()
    guard !names.isEmpty, !random.oneIn(16) else {
        mutateFreely(&input.bytes, countMax: input.countMax)
        return
    }
    let name = names[random.index(names.count)]
    var file = files[name] ?? []
    let room = file.count + max(0, input.countMax - input.bytes.count)
    switch random.below(24) {
    case 0: files[name] = nil
    case 1: files[name] = Array(file.prefix(random.index(file.count + 1)))
    case 2:
        let start = random.index(file.count + 1)
        files[name] = Array(file.prefix(start)) + repeatElement(0, count: file.count - start)
    case 3: files[otherName(name, &random)] = file
    case 4:
        files[name] = nil
        files[otherName(name, &random)] = file
    case 5...6:
        // A block of any segment into this one.
        let source = files[names[random.index(names.count)]] ?? []
        let (blocks, places) = (SegmentFileBytes.blocks(in: source), SegmentFileBytes.blocks(in: file))
        guard !blocks.isEmpty, !places.isEmpty else { break }
        let place = places[random.index(places.count)]
        let target = random.oneIn(2) ? place.lowerBound : place.upperBound
        file.insert(contentsOf: source[blocks[random.index(blocks.count)]], at: target)
        files[name] = file
    case 7:
        // Without its footer it is a segment that was being written.
        guard let end = SegmentFileBytes.blocks(in: file).last?.upperBound else { break }
        files[name] = Array(file[..<end])
    default:
        mutate(&file, countMax: room, layout(of: file), &random)
        files[name] = file
    }
    if !random.oneIn(8) { mend(&files) }
    let packed = Archive.pack(files)
    if packed.count <= input.countMax { input.bytes = packed }
}

private func layout(of file: [UInt8]) -> Layout {
    file.hasMagic("VARVESEG", at: 0) ? SegmentFileBytes.layout(of: file) : StoreFileBytes.layout(of: file)
}

private func otherName(_ name: String, _ random: inout SplitMix64) -> String {
    switch random.below(4) {
    case 0: "STORE"
    case 1: name + ".tmp"
    case 2: "\(random.below(10))-\(random.below(4)).seg"
    default: "00000000000000000000-000000000\(random.below(10))-0\(random.below(4)).seg"
    }
}

private func mend(_ files: inout [String: [UInt8]]) {
    let store = files["STORE"].flatMap { $0.uniqueID(at: 32) }
    let boot = MemoryFileSystem.boot.uniqueID(at: 0)
    for (name, file) in files {
        var file = file
        if file.hasMagic("VARVESEG", at: 0) {
            SegmentFileBytes.mend(&file, adopting: store)
        } else {
            StoreFileBytes.mend(&file, adopting: store, boot: boot)
        }
        files[name] = file
    }
}
