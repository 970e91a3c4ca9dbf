/// Session JSON to import.
enum SessionDocument {
    private static let time = #""timestamp":"2026-05-10T12:34:56.000000001Z""#

    /// An event of each type, as a recorder writes it, and some of types that it does not know, as they came.
    static let events = [
        #"{"type":"Ipc","id":"c1","command":"get",\#(time),"duration_ms":5,"result":{"Ok":{"a":2.0, "b":[-0.0,18446744073709551615]}},"arg_size_bytes":42,"webview_label":"main"}"#,
        #"{"type":"Ipc","id":"c2","command":"get",\#(time),"duration_ms":null,"result":"Pending","arg_size_bytes":0,"webview_label":"main"}"#,
        #"{"type":"Ipc","id":"c3","command":"get",\#(time),"duration_ms":0,"result":{"Err":"no"},"arg_size_bytes":0,"webview_label":""}"#,
        #"{"type":"StateChange","key":"theme",\#(time),"caused_by":null}"#,
        #"{"type":"DomMutation","webview_label":"main",\#(time),"mutation_count":4294967295}"#,
        #"{"type":"DomInteraction","action":"Fill","selector":"input","value":"é😀",\#(time),"webview_label":"main"}"#,
        #"{"type":"WindowEvent","label":"main","event":"focus",\#(time)}"#,
        #"{"type":"Console","level":"warn","message":"m",\#(time)}"#,
        #"{ "x" : [1e999, {}], "type":"Later" }"#,
        #"{"type":"","timestamp":5}"#,
    ]

    /// One with those events, whose indices are gapped, repeated and unsorted, and two checkpoints.
    static let canonical = document(
        events: zip([7, 8, 9, 9, 2, 3, 100, 101, 102, 0], events).map(event),
        checkpoints: [
            #"{"id":"cp","label":null,"timestamp":"2026-05-10T12:34:57Z","state":{"n":1},"event_index":9}"#,
            #"{"id":"cp","label":"é","timestamp":"2026-05-10T12:34:56.123456Z","state":[null, 1.50],"event_index":18446744073709551615}"#,
        ])

    static func event(_ index: Int, _ json: String) -> String {
        #"{"index":\#(index),"timestamp":"2026-05-10T12:34:56.100Z","event":\#(json)}"#
    }

    static func document(id: String = "s1", events: [String], checkpoints: [String] = []) -> String {
        #"{"id":"\#(id)","started_at":"2026-05-10T12:34:56Z","events":[\#(events.joined(separator: ","))],"#
            + #""checkpoints":[\#(checkpoints.joined(separator: ","))]}"#
    }
}
