import ArgumentParser
import Varve

/// `varve unpin STORE SESSION`.
struct UnpinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpin",
        abstract: "Leaves a session, or a range of events, to the limits again.",
        discussion: """
            What they would have dropped of it meanwhile is dropped at once. Sessions and ranges are pinned apart from each \
            other: what both keep goes when neither does. Prints what is pinned then. A writer must not be at it.

            Example:

              varve unpin flight.varve flight-42
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup var pin: PinOptions

    func run() throws {
        try pin.run(on: store) {
            try $0.unpin(session: $1)
        } sequences: {
            try $0.unpin(sequences: $1)
        }
    }
}
