internal import CTextSearch

/// Rules out payloads by their bytes: most need not be parsed. Looks through payloads that follow each other
/// in memory at once, and each of the texts that a condition needs as far as the first payload that has it.
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

    /// Something that is looked for, and where it stands next: not before the last place that was asked
    /// about.
    private struct Search {
        let needle: OpaquePointer?
        let count: Int
        var found: UnsafePointer<UInt8>?
    }

    private let nodes: UnsafeMutableBufferPointer<Node>
    private let links: UnsafeMutableBufferPointer<Int>
    private let glances: UnsafeMutableBufferPointer<Glance>
    private let searches: UnsafeMutableBufferPointer<Search>
    private let root: Int
    private let texts: [UnsafeMutablePointer<UInt8>]
    /// The UTF-16 units of what is looked for: escapes of these by number might spell it.
    private let units: UnsafeMutableBufferPointer<UInt64>
    /// Where the next of them stands.
    private var escape: UnsafePointer<UInt8>?
    /// Where the payloads end that are looked through.
    private var end: UnsafePointer<UInt8>?

    /// Nil where nothing can be ruled out.
    init?(_ need: WhereNeed) {
        if need == .nothing { return nil }
        var builder = Builder()
        root = builder.add(need)
        nodes = Self.copy(builder.nodes)
        links = Self.copy(builder.links)
        glances = Self.copy(builder.glances)
        searches = Self.copy(builder.searches)
        texts = builder.texts
        units = Self.copy(builder.units)
    }

    deinit {
        nodes.deallocate()
        links.deallocate()
        glances.deallocate()
        for search in searches { varve_needle_free(search.needle) }
        searches.deallocate()
        units.deallocate()
        for text in texts { text.deallocate() }
    }

    private static func copy<Element: BitwiseCopyable>(_ array: [Element]) -> UnsafeMutableBufferPointer<
        Element
    > {
        let room = UnsafeMutableBufferPointer<Element>.allocate(capacity: array.count)
        _ = room.initialize(from: array)
        return room
    }

    /// Begins with payloads that follow each other up to `end`. What is asked about them comes in their
    /// order.
    func begin(upTo end: UnsafePointer<UInt8>) {
        self.end = end
        escape = nil
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
            for link in 0..<node.linkCount where !holds(links[node.links + link], start, rowEnd) {
                return false
            }
            return true
        case .any:
            for link in 0..<node.linkCount where holds(links[node.links + link], start, rowEnd) {
                return true
            }
            return false
        case .bytes: return place(node.needle, start, rowEnd) != nil
        case .member:
            var from = start
            while let key = place(node.needle, from, rowEnd) {
                if allows(node, after: key + searches[node.needle].count, rowEnd) { return true }
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
                // SAFETY: from here to the end are payloads.
                found = from + varve_needle_find(searches[search].needle, from, end - from, 0)
                searches[search].found = found
            }
            guard let found, found < rowEnd else { return nil }
            if rowEnd - found >= searches[search].count { return found }
            // It goes on in the next payload: there is none here.
            from = found + 1
            if from >= rowEnd { return nil }
        }
    }

    /// Whether an escape by number spells something that is looked for: its backslash is not the second of
    /// two.
    private func hasEscape(_ start: UnsafePointer<UInt8>, _ rowEnd: UnsafePointer<UInt8>) -> Bool {
        guard let end else { return true }
        var from = start
        while from < rowEnd {
            if escape == nil || escape.unsafelyUnwrapped < from {
                // SAFETY: from here to the end are payloads.
                escape = from + varve_unit_find(units.baseAddress, from, end - from, 0)
            }
            guard let found = escape, found < rowEnd else { return false }
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
            guard count > 0, count <= 15, place < end, place.pointee == UInt8(ascii: "\"") else {
                return true
            }
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
        var units = [UInt64](repeating: 0, count: 1 << 10)

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
                        add(unitsOf: text, ignoresCase: false)
                        glances.append(Glance(code: .text, text: keep(text), count: text.count))
                    case .number(let comparison, let number, let inText):
                        glances.append(
                            Glance(
                                code: .number, comparison: comparison, number: number, isNumberInText: inText)
                        )
                    }
                }
                node.linkCount = glances.count - node.links
            // Always there, as nothing is.
            case .nothing: node = Node(code: .all)
            }
            nodes.append(node)
            return nodes.count - 1
        }

        /// Each part of a condition has a search of its own, even for the same text: they go on
        /// independently.
        mutating func search(_ bytes: [UInt8], ignoresCase: Bool) -> Int {
            add(unitsOf: bytes, ignoresCase: ignoresCase)
            searches.append(
                Search(
                    needle: varve_needle_new(bytes, bytes.count, ignoresCase), count: bytes.count, found: nil)
            )
            return searches.count - 1
        }

        /// Of a spelled text.
        private mutating func add(unitsOf bytes: [UInt8], ignoresCase: Bool) {
            var wanted = Array(String(decoding: bytes, as: UTF8.self).utf16)
            if ignoresCase { wanted += wanted.filter { $0 &- 97 < 26 }.map { $0 - 32 } }
            // What its escapes may stand for.
            if bytes.contains(UInt8(ascii: "\\")) { wanted += [0x08, 0x09, 0x0A, 0x0C, 0x0D] }
            for unit in wanted { units[Int(unit >> 6)] |= 1 << UInt64(unit & 63) }
        }

        private mutating func keep(_ bytes: [UInt8]) -> UnsafePointer<UInt8> {
            let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
            room.initialize(from: bytes, count: bytes.count)
            texts.append(room)
            return UnsafePointer(room)
        }
    }
}
