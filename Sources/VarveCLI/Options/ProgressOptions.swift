import ArgumentParser

/// `--progress`, of every command that may take a while.
struct ProgressOptions: ParsableArguments {
    @Flag(name: .customLong("progress"), help: "Show progress also when standard error is no terminal.")
    var isWanted = false
}
