/// Makes the payloads of workloads A and B. Every draw from the generator is part of the workload: neither their
/// order nor their bounds may change.
struct PayloadMaker: ~Copyable {
    private typealias Texts = WorkloadTexts

    private(set) var text: TextWriter

    // Texts that repeat, drawn once: log templates, selectors, files, addresses, sessions, entity tags.
    private let phrases: TextTable
    private let selectors: TextTable
    private let files: TextTable
    private let addresses: TextTable
    private let sessions: TextTable
    private let entityTags: TextTable

    private var call: UInt64 = 100_000
    private var revision: UInt64 = 50_000
    private var request: UInt64 = 7_000
    private var session: UInt32 = 0

    init(seed: UInt64) {
        var text = TextWriter(random: SplitMix64(seed: seed))
        phrases = text.table(400) { $0.words(3 + $0.random.below(6)) }
        selectors = text.table(300) {
            $0.put("#app>main.content>")
            $0.pick(Texts.tags)
            $0.put(".")
            $0.pickSkewed(Texts.words)
            $0.put(">")
            $0.pick(Texts.tags)
            $0.put(".")
            $0.pickSkewed(Texts.words)
        }
        files = text.table(500) {
            $0.put("/home/user/projects/")
            $0.pickSkewed(Texts.words)
            $0.put("/src/")
            $0.pickSkewed(Texts.words)
            $0.put("/")
            $0.pick(Texts.words)
            $0.put(".")
            $0.pick(Texts.extensions)
        }
        addresses = text.table(400) {
            $0.put("https://api.example.com/v1/")
            $0.pick(Texts.resources)
            $0.put("/")
            $0.hexadecimal(8)
            $0.put("/")
            $0.pick(Texts.resources)
        }
        sessions = text.table(8) { $0.hexadecimal(12) }
        entityTags = text.table(600) { $0.hexadecimal(16) }
        self.text = text
    }

    /// Draws below `bound`, for what stands around the payloads.
    mutating func draw(below bound: UInt32) -> UInt32 { text.random.below(bound) }

    /// Makes a payload of a kind (0...7). Only kinds 1, 3 and 6 can hold the rare text.
    mutating func make(kind: Int, isRare: Bool) {
        text.clear()
        add(kind: kind, isRare: isRare)
    }

    /// Makes a snapshot: an object that holds payloads, the first one of this kind and the others of `otherKinds`, until there are
    /// about 4 KiB. Only the first one can hold the rare text.
    mutating func makeSnapshot(kind: Int, isRare: Bool, otherKinds: [UInt8]) {
        text.clear()
        let target = 3_600 + Int(text.random.below(1_000))
        text.put("{\"type\":\"snapshot\",\"reason\":\"")
        text.put(Texts.kinds[UInt32(kind)])
        text.put("\",\"entries\":[")
        add(kind: kind, isRare: isRare)
        while text.bytes.count < target - 200 {
            text.put(",")
            add(kind: Int(otherKinds[Int(text.random.below(UInt32(otherKinds.count)))]), isRare: false)
        }
        text.put("],\"count\":")
        // Of bytes so far, not of entries.
        text.put(UInt64(text.bytes.count))
        text.put("}")
    }

    /// Puts a payload behind what is there.
    private mutating func add(kind: Int, isRare: Bool) {
        if text.random.below(2_000) == 0 { session = text.random.below(8) }
        switch kind {
        case 0: makeCall()
        case 1: makeCallResult(isRare)
        case 2: makeStateChange()
        case 3: makeConsoleMessage(isRare)
        case 4: makeMutation()
        case 5: makeRequest()
        case 6: makeResponse(isRare)
        default: makeInput()
        }
    }

    private mutating func makeCall() {
        call += 1
        text.put("{\"id\":")
        text.put(call)
        text.put(",\"cmd\":\"")
        text.pick(Texts.commands)
        text.put("\",\"window\":\"")
        text.pickSkewed(Texts.windows)
        text.put("\",\"args\":{\"path\":\"")
        text.pickSkewed(files)
        text.put("\",\"options\":{\"encoding\":\"utf8\",\"timeout_ms\":")
        text.put(1_000 * (1 + UInt64(text.random.below(5))))
        text.put("},\"limit\":")
        text.put(10 * UInt64(text.random.below(50)))
        text.put("},\"trace\":\"")
        text.hexadecimal(8)
        text.put("\"}")
    }

    private mutating func makeCallResult(_ isRare: Bool) {
        text.put("{\"id\":")
        text.put(call - UInt64(text.random.below(4)))
        text.put(",\"cmd\":\"")
        text.pick(Texts.commands)
        text.put("\",\"window\":\"")
        text.pickSkewed(Texts.windows)
        text.put("\",\"ok\":")
        // No draw for a rare one: its result is a failure anyway.
        let isFailure = isRare || text.random.below(40) == 0
        text.put(isFailure ? "false" : "true")
        text.put(",\"dur_us\":")
        text.putSkewed(below: 60_000, plus: 20)
        text.put(",\"result\":{\"bytes\":")
        text.putSkewed(below: 200_000)
        text.put(",\"hash\":\"")
        if text.random.below(3) == 0 { text.hexadecimal(16) } else { text.pickSkewed(entityTags) }
        text.put("\",\"cached\":")
        text.put(text.random.below(3) != 0 ? "false" : "true")
        if isRare { text.put(",\"code\":\"E_QUOTA_EXCEEDED\"") }
        text.put("}}")
    }

    private mutating func makeStateChange() {
        text.put("{\"store\":\"")
        text.pickSkewed(Texts.stores)
        text.put("\",\"path\":\"")
        text.pick(Texts.paths)
        text.put("[")
        text.putSkewed(below: 40)
        text.put("].")
        text.pick(Texts.paths)
        text.put(".")
        text.pickSkewed(Texts.words)
        text.put("\",\"op\":\"replace\",\"old\":")
        text.putSkewed(below: 2_000)
        text.put(",\"new\":")
        text.putSkewed(below: 2_000)
        revision += 1
        text.put(",\"rev\":")
        text.put(revision)
        text.put(",\"meta\":{\"origin\":\"user\",\"batch\":false,\"persist\":true}")
        makeSession()
    }

    private mutating func makeConsoleMessage(_ isRare: Bool) {
        text.put("{\"level\":\"")
        text.pick(Texts.levels)
        text.put("\",\"message\":\"")
        if isRare { text.put("request rejected: E_QUOTA_EXCEEDED ") }
        text.pickSkewed(phrases)
        text.put(" ")
        text.putSkewed(below: 10_000)
        text.put("ms ")
        text.words(text.skewed(30))
        text.put("\",\"source\":\"")
        text.pick(Texts.sources)
        text.put("\",\"line\":")
        text.putSkewed(below: 900, plus: 1)
        text.put(",\"column\":")
        text.putSkewed(below: 80, plus: 1)
        text.put(",\"context\":{\"tab\":")
        text.putSkewed(below: 9)
        text.put(",\"build\":\"2.4.1\",\"platform\":\"linux-x86_64\"}")
        makeSession()
    }

    private mutating func makeMutation() {
        let nodeCount = 1 + text.skewed(5)
        text.put("{\"type\":\"childList\",\"target\":\"")
        text.pickSkewed(selectors)
        text.put(":nth-child(")
        text.putSkewed(below: 60, plus: 1)
        text.put(")\",\"added\":[")
        for node in 0..<nodeCount {
            if node > 0 { text.put(",") }
            text.put("{\"tag\":\"")
            text.pick(Texts.tags)
            text.put("\",\"class\":\"")
            text.pick(Texts.classes)
            text.put("\",\"node\":")
            text.put(10_000 + UInt64(text.random.below(90_000)))
            text.put(",\"text\":\"")
            text.words(1 + text.skewed(4))
            text.put("\"}")
        }
        text.put("],\"removed\":")
        text.putSkewed(below: 6)
        text.put(",\"frame\":0}")
    }

    private mutating func makeRequest() {
        request += 1
        text.put("{\"id\":\"req-")
        text.put(request)
        text.put("\",\"method\":\"")
        text.put(text.random.below(4) != 0 ? "GET" : "POST")
        text.put("\",\"url\":\"")
        text.pickSkewed(addresses)
        text.put("?page=")
        text.putSkewed(below: 40, plus: 1)
        text.put("&limit=50\",\"headers\":{\"accept\":\"application/json\"")
        text.put(",\"content-type\":\"application/json\",\"x-request-id\":\"")
        text.hexadecimal(16)
        text.put("\"},\"initiator\":\"")
        text.pick(Texts.sources)
        text.put(":")
        text.putSkewed(below: 900, plus: 1)
        text.put("\",\"size\":")
        text.putSkewed(below: 5_000)
        text.put("}")
    }

    private mutating func makeResponse(_ isRare: Bool) {
        text.put("{\"id\":\"req-")
        text.put(request - UInt64(text.random.below(6)))
        text.put("\",\"status\":")
        // No draw for a rare one here either.
        let status: StaticString = isRare ? "429" : text.random.below(30) != 0 ? "200" : "404"
        text.put(status)
        text.put(",\"url\":\"")
        text.pickSkewed(addresses)
        text.put("\",\"dur_ms\":")
        text.putSkewed(below: 3_000)
        text.put(".")
        text.put(UInt64(text.random.below(10)))
        text.put(",\"headers\":{\"content-type\":\"application/json; charset=utf-8\",\"etag\":\"")
        text.pickSkewed(entityTags)
        text.put("\",\"content-length\":")
        text.putSkewed(below: 90_000)
        text.put("},\"from_cache\":")
        text.put(text.random.below(4) != 0 ? "false" : "true")
        if isRare { text.put(",\"error\":\"E_QUOTA_EXCEEDED\"") }
        text.put("}")
    }

    private mutating func makeInput() {
        text.put("{\"type\":\"")
        text.pick(Texts.inputs)
        text.put("\",\"x\":")
        text.putSkewed(below: 1_920)
        text.put(",\"y\":")
        text.putSkewed(below: 1_080)
        text.put(",\"target\":\"")
        text.pickSkewed(selectors)
        text.put("\",\"buttons\":0,\"mods\":{\"ctrl\":false,\"shift\":false,\"alt\":false}")
        makeSession()
    }

    /// The session, as the last member of the object.
    private mutating func makeSession() {
        text.put(",\"session\":\"")
        text.put(sessions[session])
        text.put("\"}")
    }
}
