import Varve

extension PayloadEncoding {
    /// The encoding as texts name it.
    package var exportName: String {
        switch self {
        case .binary: "binary"
        case .utf8: "utf8"
        case .json: "json"
        }
    }

    package init?(exportName: String) {
        switch exportName {
        case "binary": self = .binary
        case "utf8": self = .utf8
        case "json": self = .json
        default: return nil
        }
    }
}
