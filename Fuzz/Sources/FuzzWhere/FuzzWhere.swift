import FuzzSupport
import VarveJSON

/// Conditions and paths from arbitrary text.
///
/// What is refused is refused at a place in it; what is read is printed, and read as the same again.
@main
struct FuzzWhere {
    static func main() {
        let mutation = structured { _ in Layout() }
        // Regular expressions take some memory whatever their length.
        fuzz(allocating: { 256 * $0 + (32 << 20) }, mutation: mutation) { input in
            let text = String(decoding: input, as: UTF8.self)
            path(text)
            for offset in [0, -5400] { condition(text, offset) }
        }
    }

    static func path(_ text: String) {
        do throws(JSONPath.Fault) {
            let path = try JSONPath(text)
            require(path.description == text, "a path is kept as it was written")
        } catch {
            check(text, error.column)
        }
    }

    static func condition(_ text: String, _ offset: Int) {
        let predicate: WherePredicate
        do throws(WhereFault) {
            predicate = try WherePredicate(text, defaultOffsetSeconds: offset)
        } catch {
            check(text, error.column)
            require(!error.reason.isEmpty, "a fault has a reason")
            return
        }
        let printed = predicate.description
        // What is printed may be longer than what may be read.
        guard printed.utf8.count <= 1 << 16 else { return }
        guard let again = try? WherePredicate(printed) else {
            return require(false, "what is printed is read")
        }
        require(again.description == printed, "what is printed is read as the same")
        require(again.needsPayload == predicate.needsPayload, "the same needs the same")
        _ = predicate.textRequirement
        let narrowed = predicate.narrowing(.init())
        require(predicate.narrowing(narrowed) == narrowed, "bounds that are set stay")
    }

    static func check(_ text: String, _ column: Int) {
        require(
            (1...text.unicodeScalars.count + 1).contains(column), "a fault stands in the text, or at its end")
    }
}
