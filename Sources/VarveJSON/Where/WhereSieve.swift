import CSimdJSON

/// Rules out payloads by their bytes: most need not be parsed. Looks through payloads that follow each other in memory at once, and each
/// of the texts that a condition needs as far as the first payload that has it.
///
/// Says yes wherever it does not know: what it keeps is parsed.
final class WhereSieve {
    private struct Node {
        enum Code: UInt8 {
            case all, any, bytes, member
        }

        var code: Code
        /// Of all and any: their parts in `links`. Of a member: what a glance may see, in `glances`.
        var links = 0
        var linkCount = 0
        /// Of bytes and a member: what is looked for.
        var needle = 0
    }

    private struct Glance {
        enum Code: UInt8 {
            case string, text, number
        }

        var code: Code
        var comparison = WhereComparison.equal
        var number: Int64 = 0
        var isNumberInText = false
        var text: UnsafePointer<UInt8>?
        var count = 0
    }

    /// Something that is looked for, and where it stands next: not before the last place that was asked about.
    private struct Search {
        var needle: varve_json_needle
        var found: UnsafePointer<UInt8>?
    }

    private let nodes: UnsafeMutableBufferPointer<Node>
    private let links: UnsafeMutableBufferPointer<Int>
    private let glances: UnsafeMutableBufferPointer<Glance>
    private let searches: UnsafeMutableBufferPointer<Search>
    private let root: Int
    private let texts: [UnsafeMutablePointer<UInt8>]
    /// Where the payloads end that are looked through.
    private var end: UnsafePointer<UInt8>?

    /// Nil where nothing can be ruled out.
    init?(_ need: WhereNeed) {
        if need == .nothing { return nil }
        var builder = Builder()
        root = builder.add(need)
        // The last search is for the escapes with which anything could be spelled.
        _ = builder.search(Array("\\u".utf8), ignoresCase: false)
        nodes = Self.copy(builder.nodes)
        links = Self.copy(builder.links)
        glances = Self.copy(builder.glances)
        searches = Self.copy(builder.searches)
        texts = builder.texts
    }

    deinit {
        nodes.deallocate()
        links.deallocate()
        glances.deallocate()
        searches.deallocate()
        for text in texts { text.deallocate() }
    }

    private static func copy<Element: BitwiseCopyable>(_ array: [Element]) -> UnsafeMutableBufferPointer<Element> {
        let room = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(array.count, 1))
        _ = room.initialize(from: array)
        return room
    }

    /// Begins with payloads that follow each other up to `end`. What is asked about them comes in their order.
    func begin(upTo end: UnsafePointer<UInt8>) {
        self.end = end
        for place in searches.indices { searches[place].found = nil }
    }

    /// Whether a payload must be parsed to know whether it matches.
    func keeps(_ payload: UnsafeRawBufferPointer) -> Bool {
        guard let base = payload.baseAddress else { return true }
        let start = base.assumingMemoryBound(to: UInt8.self)
        return holds(root, start, start + payload.count) || hasEscape(start, start + payload.count)
    }

    private func holds(_ number: Int, _ start: UnsafePointer<UInt8>, _ rowEnd: UnsafePointer<UInt8>) -> Bool {
        let node = nodes[number]
        switch node.code {
        case .all:
            for link in 0..<node.linkCount where !holds(links[node.links + link], start, rowEnd) { return false }
            return true
        case .any:
            for link in 0..<node.linkCount where holds(links[node.links + link], start, rowEnd) { return true }
            return false
        case .bytes: return place(node.needle, start, rowEnd) != nil
        case .member:
            var from = start
            while let key = place(node.needle, from, rowEnd) {
                if allows(node, after: key + searches[node.needle].needle.length, rowEnd) { return true }
                from = key + 1
            }
            return false
        }
    }

    /// Where a text first stands from a place on and before the row's end.
    @inline(__always)
    private func place(
        _ search: Int, _ from: UnsafePointer<UInt8>, _ rowEnd: UnsafePointer<UInt8>
    ) -> UnsafePointer<UInt8>? {
        var from = from
        while true {
            var found = searches[search].found
            if found == nil || found.unsafelyUnwrapped < from {
                guard let end else { return nil }
                // SAFETY: from here to the end are payloads, and the needle is not empty.
                found = withUnsafePointer(to: searches[search].needle) { varve_json_find(from, end, $0) }
                searches[search].found = found
            }
            guard let found, found < rowEnd else { return nil }
            if rowEnd - found >= searches[search].needle.length { return found }
            // It goes on in the next payload: there is none here.
            from = found + 1
            if from >= rowEnd { return nil }
        }
    }

    /// Whether there is an escape by number: a backslash that is not the second of two.
    private func hasEscape(_ start: UnsafePointer<UInt8>, _ rowEnd: UnsafePointer<UInt8>) -> Bool {
        var from = start
        while let found = place(searches.count - 1, from, rowEnd) {
            var first = found
            while first > start, first[-1] == UInt8(ascii: "\\") { first -= 1 }
            if (found - first) % 2 == 0 { return true }
            from = found + 1
        }
        return false
    }

    /// Whether what follows a key in quotes may be the value that is wanted.
    private func allows(_ node: Node, after key: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
        var place = key
        func skipSpace() {
            while place < end, place.pointee == 0x20 || place.pointee &- 9 <= 4 { place += 1 }
        }
        skipSpace()
        guard place < end, place.pointee == UInt8(ascii: ":") else { return false }
        if node.linkCount == 0 { return true }
        place += 1
        skipSpace()
        guard place < end else { return false }
        for index in node.links..<node.links + node.linkCount {
            let glance = glances[index]
            switch glance.code {
            case .string:
                if place.pointee == UInt8(ascii: "\"") { return true }
            case .text:
                guard end - place >= glance.count, let text = glance.text else { continue }
                var isSame = true
                for offset in 0..<glance.count where place[offset] != text[offset] {
                    isSame = false
                    break
                }
                if isSame { return true }
            case .number:
                if Self.mayBe(glance, place, end) { return true }
            }
        }
        return false
    }

    private static func mayBe(
        _ glance: Glance, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> Bool {
        var place = start
        let isText = place.pointee == UInt8(ascii: "\"")
        if isText {
            guard glance.isNumberInText else { return false }
            place += 1
        }
        if isText, end - place > 3, place[0] == 48, place[1] | 0x20 == UInt8(ascii: "x") {
            place += 2
            var value: Int64 = 0
            let digits = place
            while place < end, place - digits <= 15 {
                let letter = (place.pointee | 0x20) &- UInt8(ascii: "a")
                let isDigit = place.pointee &- 48 <= 9
                guard isDigit || letter < 6 else { break }
                value = value << 4 | Int64(isDigit ? place.pointee &- 48 : letter &+ 10)
                place += 1
            }
            let count = place - digits
            guard count > 0, count <= 15, place < end, place.pointee == UInt8(ascii: "\"") else { return true }
            return WhereOrder(value, glance.number).fulfils(glance.comparison)
        }
        guard place < end else { return true }
        let isNegative = place.pointee == UInt8(ascii: "-")
        if isNegative { place += 1 }
        let digits = place
        var value: Int64 = 0
        while place < end, place - digits <= 18, place.pointee &- 48 <= 9 {
            value = value &* 10 &+ Int64(place.pointee &- 48)
            place += 1
        }
        let count = place - digits
        // No number at all, and nothing that could be read as one.
        if count == 0 { return isText || isNegative }
        guard count <= 18 else { return true }
        if isText {
            guard place < end, place.pointee == UInt8(ascii: "\"") else { return true }
        } else if place < end {
            let byte = place.pointee
            if byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") { return true }
        }
        return WhereOrder(isNegative ? -value : value, glance.number).fulfils(glance.comparison)
    }

    private struct Builder {
        var nodes: [Node] = []
        var links: [Int] = []
        var glances: [Glance] = []
        var searches: [Search] = []
        var texts: [UnsafeMutablePointer<UInt8>] = []

        mutating func add(_ need: WhereNeed) -> Int {
            var node: Node
            switch need {
            case .all(let parts), .any(let parts):
                let numbers = parts.map { add($0) }
                node = Node(code: .any, links: links.count, linkCount: numbers.count)
                if case .all = need { node.code = .all }
                links += numbers
            case .bytes(let bytes, let ignoresCase):
                node = Node(code: .bytes, needle: search(bytes, ignoresCase: ignoresCase))
            case .member(let key, let wanted):
                node = Node(code: .member, links: glances.count, needle: search(key, ignoresCase: false))
                for glance in wanted {
                    switch glance {
                    case .anything: continue
                    case .string: glances.append(Glance(code: .string))
                    case .text(let text):
                        glances.append(Glance(code: .text, text: keep(text), count: text.count))
                    case .number(let comparison, let number, let inText):
                        glances.append(
                            Glance(
                                code: .number, comparison: comparison, number: number, isNumberInText: inText))
                    }
                }
                node.linkCount = glances.count - node.links
            // Always there, as nothing is.
            case .nothing: node = Node(code: .all)
            }
            nodes.append(node)
            return nodes.count - 1
        }

        /// Each part of a condition has a search of its own, even for the same text: they go on independently.
        mutating func search(_ bytes: [UInt8], ignoresCase: Bool) -> Int {
            // The two rarest bytes, as far apart as they happen to be.
            let ranked = bytes.indices.sorted { WhereSieve.frequency(bytes[$0]) < WhereSieve.frequency(bytes[$1]) }
            let needle = varve_json_needle(
                bytes: keep(bytes), length: bytes.count, first: ranked[0], second: ranked[min(1, ranked.count - 1)],
                ignores_case: ignoresCase)
            searches.append(Search(needle: needle, found: nil))
            return searches.count - 1
        }

        private mutating func keep(_ bytes: [UInt8]) -> UnsafePointer<UInt8> {
            let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
            room.initialize(from: bytes, count: bytes.count)
            texts.append(room)
            return UnsafePointer(room)
        }
    }

    /// How frequent a byte is in JSON, roughly.
    private static func frequency(_ byte: UInt8) -> Int {
        switch byte {
        case UInt8(ascii: "\""): 100
        case UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: " "), UInt8(ascii: "0"), UInt8(ascii: "\\"): 60
        case 48...57: 50
        case UInt8(ascii: "a")...UInt8(ascii: "z"):
            // The letters of English by their frequency.
            60 - (Array("etaoinsrhldcumfpgwybvkxjqz".utf8).firstIndex(of: byte) ?? 0) * 2
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): 15
        default: 10
        }
    }
}
