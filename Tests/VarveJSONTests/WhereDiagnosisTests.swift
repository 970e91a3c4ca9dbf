import Testing

@testable import VarveJSON

@Suite("Why a condition matched nothing")
struct WhereDiagnosisTests {
    static let cases: [(expression: String, payloads: [String], notes: [String])] = [
        (
            "ProcessId == 5", [#"{"ProcessId":"5"}"#, #"{"ProcessId":"0x5"}"#],
            ["ProcessId is always a string here; use number(ProcessId)"]
        ),
        (
            "Port == \"80\"", [#"{"Port":80}"#, "{}"],
            ["Port is always a number here: compare it with a number, without quotes"]
        ),
        (
            "Port contains \"8\"", [#"{"Port":80}"#],
            ["Port is always a number here: contains is for texts only"]
        ),
        ("tags == \"x\"", [#"{"tags":["x"]}"#], ["tags is always an array here: use tags[]"]),
        (
            "tags.name == \"x\"", [#"{"tags":[{"name":"x"}]}"#],
            ["tags is always an array here: use tags[].name"]
        ),
        (
            "Foo == 1 and not (Bar == 2)", [#"{"foo":1}"#],
            ["Foo occurs in no payload that was looked at; foo does"]
        ),
        ("Foo exists", [#"{"a":1}"#], ["Foo occurs in no payload that was looked at"]),
        (
            "winlog.event_id == 1", [#"{"winlog.event_id":1}"#],
            [#"winlog.event_id occurs in no payload that was looked at; ["winlog.event_id"] does"#]
        ),
        (
            "number(a) > 5", [#"{"a":"x"}"#, #"{"a":"y"}"#],
            ["a is never a number here, nor a text that is one"]
        ),
        ("timestamp - time(t) > 1s", [#"{"t":"yesterday"}"#], ["t never reads as a time here"]),
        ("a == true", [#"{"a":"true"}"#], ["a is always a string here: compare it with text in quotes"]),
        (
            "a == \"true\"", [#"{"a":true}"#],
            ["a is always true or false here: compare it with one of them, without quotes"]
        ),
        ("a == 1", [#"{"a":{"b":1}}"#], ["a is always an object here: name a member of it"]),
        ("a == 1", [#"{"a":null}"#], ["a is always null here"]),
        (
            "any(d[], x == 1)", [#"{"d":[{"x":"1"},{"x":"2"}]}"#],
            ["d[].x is always a string here; use number(d[].x)"]
        ),
        ("a == 1", [#"{"a":1}"#, #"{"a":"1"}"#], []), ("a == 2", [#"{"a":1}"#], []), ("a == 1", [], []),
        (
            "a == 1", ["plain", "text"],
            ["no payload that was looked at is JSON: only attributes, such as kind, match"]
        ),
        ("kind == \"a\"", ["plain"], []), ("a == \"x\" and a in [1, \"y\"]", [#"{"a":"z"}"#], []),
        ("size(a) == 3 and kind == .kind", [#"{"a":[],"kind":"x"}"#], []),
        (".kind == 1", [#"{"kind":"1"}"#], [".kind is always a string here; use number(.kind)"]),
    ]

    @Test("is told from payloads", arguments: cases)
    func notes(expression: String, payloads: [String], notes: [String]) throws {
        var diagnosis = WhereDiagnosis(try WherePredicate(expression))
        for payload in payloads { Array(payload.utf8).withUnsafeBytes { diagnosis.look(at: $0) } }
        #expect(diagnosis.notes == notes)
    }
}
