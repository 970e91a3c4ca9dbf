import Varve

/// What must come before what in the export form: the part of a line's meaning that depends on the lines before.
struct ExportSequence {
    private var hasHeader = false
    private var current: UInt64?
    private var paused: Set<UInt64> = []
    private var ended: Set<UInt64> = []
    private var kinds: Set<UInt64> = []

    /// Takes the next line, or says why it can't stand here.
    mutating func accept(_ line: ExportLine) -> String? {
        if case .header = line {
            if hasHeader { return "a second export header" }
            hasHeader = true
            return nil
        }
        guard hasHeader else { return "no export header before it: {\"record\":\"export\",\"version\":1}" }
        switch line {
        case .header, .ledger:
            return nil
        case .session(let begin):
            if let current { return "session \(current) has not ended" }
            if paused.contains(begin.number) || ended.contains(begin.number) {
                return "a second session \(begin.number)"
            }
            current = begin.number
        case .resume(let number):
            if let current { return "session \(current) has not ended" }
            guard paused.remove(number) != nil else { return "session \(number) is not paused" }
            current = number
        case .pause(let number):
            guard number == current else { return "session \(number) is not the one at hand" }
            paused.insert(number)
            current = nil
        case .end(let end):
            guard end.number == current else { return "session \(end.number) is not the one at hand" }
            ended.insert(end.number)
            current = nil
        case .kind(let kind):
            guard kinds.insert(kind.number).inserted else { return "a second kind \(kind.number)" }
        case .event(let event):
            guard event.session == current else { return "session \(event.session) is not the one at hand" }
            guard kinds.contains(event.kind) else { return "kind \(event.kind) is not defined" }
        case .checkpoint(let checkpoint):
            guard checkpoint.session == current else {
                return "session \(checkpoint.session) is not the one at hand"
            }
        }
        return nil
    }

    /// Why the lines can't end here, if they can't.
    func incompleteness() -> String? {
        if !hasHeader { return "no export header" }
        if let current { return "session \(current) has no end line" }
        if let number = paused.min() { return "session \(number) has no end line" }
        return nil
    }
}
