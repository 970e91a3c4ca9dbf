import Testing
import Varve
import VarveTestKit

@Suite("The module's page")
struct LandingExample {
    private let directory: TemporaryDirectory
    private let output = Output()
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func print(_ items: Any...) { output.print(items) }

    @Test("Its example records and queries")
    func example() async throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("flight-42", metadata: ["host": "db-3"])
        let placed = try store.kind("order.placed", .json)
        let number = try session.append(#"{"order":17}"#, kind: placed)
        try await store.waitUntilDurable(through: number)

        var bytes = 0
        var cursor = try store.cursor(Query().session("flight-42").kinds("order.placed"))
        while let event = try cursor.next() { bytes += event.payloadByteCount }
        print(bytes, cursor.coverage.isComplete)
        try store.close()

        #expect(output.lines == ["12 true"])
    }
}
