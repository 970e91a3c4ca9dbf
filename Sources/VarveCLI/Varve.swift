import ArgumentParser

@main
struct VarveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "varve", abstract: "An event store and flight recorder.")
}
