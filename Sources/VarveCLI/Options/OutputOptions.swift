import ArgumentParser

/// How events are printed.
struct OutputOptions: ParsableArguments {
    @Option(
        name: [.customLong("output"), .customShort("o")],
        help: "short: one line each; json: one object each; payload: the payloads' own bytes; table; csv.")
    var format: EventFormat = .short

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With table and csv: values of JSON payloads in place of the payload. A whole key where there is one, else keys with "
                + "dots between, or a path as of varve fields; several values of one with [] as a JSON array.",
            valueName: "a,b.c"))
    var fields: String?

    @Flag(name: .customShort("0"), help: "With --output payload: end each with a NUL and not a newline.")
    var endsWithNUL = false

    func validate() throws {
        if fields != nil, format != .table, format != .csv {
            throw ValidationError("--fields needs --output table or csv")
        }
        _ = try FieldColumn.columns(fields)
        if endsWithNUL, format != .payload { throw ValidationError("-0 needs --output payload") }
    }
}
