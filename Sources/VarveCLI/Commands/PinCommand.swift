import ArgumentParser
import Varve

/// `varve pin STORE SESSION`.
struct PinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keeps a session, or a range of events, whatever the limits say.",
        discussion: """
            What of it is there now stays, with its checkpoints, and so does what the session gets later. Pinned events \
            count towards the limits all the same: others go for them. Prints what is pinned now. A writer must not be at it.

            Examples: keep a session; the last one; the events around an incident.

              varve pin flight.varve flight-42
              varve pin flight.varve --session-number -1
              varve pin flight.varve --sequence 4000..4999
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup var pin: PinOptions

    func run() throws {
        try pin.run(on: store) {
            try $0.pin(session: $1)
        } sequences: {
            try $0.pin(sequences: $1)
        }
    }
}
