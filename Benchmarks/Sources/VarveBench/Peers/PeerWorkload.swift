import ArgumentParser
import VarveTestKit

/// The events that stores are compared with.
enum PeerWorkload: ExpressibleByArgument {
    case a
    case b
    case capture(path: String)

    init?(argument: String) {
        switch argument {
        case "a", "A": self = .a
        case "b", "B": self = .b
        default: self = .capture(path: argument)
        }
    }

    /// So many events: the first ones. Without a count 2,000,000 of workload A, 200,000 of B, and all of a capture.
    func events(_ count: Int?) throws -> Dataset {
        switch self {
        case .a: Dataset(.single, count: count ?? 2_000_000)
        case .b: Dataset(.snapshot, count: count ?? 200_000)
        case .capture(let path): try Capture.events(of: path, lineCount: count)
        }
    }

    /// What the report says of their order.
    var order: String {
        switch self {
        case .a, .b: ""
        case .capture: ", put in the order of time, which some stores need"
        }
    }
}
