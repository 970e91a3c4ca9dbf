import Foundation
import Testing

/// Recordings of real captures, where the environment variable `VARVE_CAPTURES` names a directory that has them.
@Suite("Real captures", .enabled(if: ProcessInfo.processInfo.environment["VARVE_CAPTURES"] != nil))
struct CaptureTests {
    let harness: Harness

    init() throws { harness = try Harness() }

    /// Counts by kind and the span of time of the same file, without any of our code.
    private static let reference = """
        import collections, datetime, json, sys
        kinds, times = collections.Counter(), []
        for line in open(sys.argv[1], "rb"):
            event = json.loads(line)
            kinds[event["Channel"]] += 1
            times.append(event["@timestamp"])
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        parsed = [datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times]
        text = lambda t: t.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
        print(json.dumps({"kinds": kinds, "min": text(min(parsed)), "max": text(max(parsed))}))
        """

    @Test(
        "A capture comes back byte for byte, with the counts and times of an independent reading",
        arguments: ["windows-logonpasswords.zip", "windows-eventlog-path.zip"])
    func capture(archive: String) throws {
        let captures = try #require(ProcessInfo.processInfo.environment["VARVE_CAPTURES"])
        let python = URL(fileURLWithPath: "/usr/bin/env")
        let unpacked = harness.path("unpacked")
        let unpack = try harness.run(
            ["python3", "-m", "zipfile", "-e", captures + "/" + archive, unpacked], executable: python)
        try #require(unpack.status == 0)
        let name = try #require(
            try FileManager.default.contentsOfDirectory(atPath: unpacked).first { $0.hasSuffix(".json") })
        let file = unpacked + "/" + name
        let store = harness.path("store")
        let content = try Data(contentsOf: URL(fileURLWithPath: file))

        try harness.succeed("record", store, "--input", file, "--kind-field", "Channel")
        #expect(try harness.succeed("query", store, "--output", "payload").output == content)

        let counted = try harness.run(["python3", "-c", Self.reference, file], executable: python)
        let expected = try #require(try harness.objects(counted).first)
        let info = try #require(try harness.objects(harness.succeed("info", store, "--json")).first)
        let kinds = try #require(info["kinds"] as? [[String: Any]])
        let counts = Dictionary(
            kinds.map { ($0["name"] as? String ?? "", $0["events"] as? Int ?? 0) }, uniquingKeysWith: +)
        #expect(counts == expected["kinds"] as? [String: Int])
        #expect(info["min_time"] as? String == expected["min"] as? String)
        #expect(info["max_time"] as? String == expected["max"] as? String)
        for (kind, count) in counts {
            #expect(try harness.succeed("query", store, "--kind", kind, "--count").text == "\(count)\n")
        }

        let second = harness.path("second")
        let export = try harness.succeed("export", store)
        try harness.succeed("import", second, "-", input: export.output)
        #expect(try harness.succeed("query", second, "--output", "payload").output == content)
        #expect(try harness.succeed("verify", second).text.hasPrefix("intact"))
    }
}
