import ArgumentParser
import Varve

/// What several stores' clocks lack.
struct ShiftOptions: ParsableArguments {
    @Option(
        name: .customLong("shift"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Add this to a store's times, whose clock was slow (-19h: fast); repeatable.",
            valueName: "store=duration"))
    var shifts: [StoreShift] = []

    /// That every shift is of one of the stores, and of each there is one at most.
    func validate(for stores: [String]) throws {
        for (place, shift) in shifts.enumerated() {
            guard stores.contains(where: { shift.means($0) }) else {
                throw ValidationError("--shift \(shift.store): there is no such store in this query")
            }
            if shifts[..<place].contains(where: { $0.store == shift.store }) {
                throw ValidationError("--shift \(shift.store): given twice")
            }
        }
    }

    /// Nanoseconds to add to the times of a store.
    func shift(of path: String) -> Int64 {
        shifts.first { $0.means(path) }?.nanoseconds ?? 0
    }
}

/// `--shift STORE=19h`.
struct StoreShift: ExpressibleByArgument, Equatable {
    var store: String
    var nanoseconds: Int64

    init?(argument: String) {
        guard let separator = argument.lastIndex(of: "="), separator != argument.startIndex else {
            return nil
        }
        var text = argument[argument.index(after: separator)...]
        let isNegative = text.hasPrefix("-")
        if isNegative || text.hasPrefix("+") { text = text.dropFirst() }
        guard let duration = DurationText(text), let length = Int64(exactly: duration.nanoseconds) else {
            return nil
        }
        store = String(argument[..<separator])
        nanoseconds = isNegative ? -length : length
    }

    /// Whether it is of the store at a path: by the path, or its last part.
    func means(_ path: String) -> Bool { path == store || StoreList.lastPart(of: path) == store }
}

/// The stores of a query, those that can be read and the others.
struct StoreList {
    struct Opened {
        let path: String
        /// What it is called in answers.
        let label: String
        let snapshot: Snapshot
    }

    private(set) var opened: [Opened] = []
    /// Those that can't be read, and why: said when all else was answered.
    private(set) var failures: [(path: String, reason: String)] = []

    /// Opens what can be opened.
    static func open(_ paths: [String]) -> StoreList {
        var list = StoreList()
        for path in paths {
            let name = lastPart(of: path)
            let isUnique = paths.count { lastPart(of: $0) == name } == 1
            do throws(StoreError) {
                let snapshot = try EventStore.openReadOnly(path).snapshot()
                list.opened.append(
                    Opened(path: path, label: isUnique ? name : path, snapshot: snapshot))
            } catch {
                list.failures.append((path, error.description))
            }
        }
        return list
    }

    static func lastPart(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    /// Says which stores are missing in an answer, and what is missing of the others.
    ///
    /// - Throws: ``CommandFailure`` when none could be read; `ExitCode` 3 when something is missing.
    static func report(_ gaps: [[Gap]], of list: StoreList, isAlone: Bool) throws {
        if list.opened.isEmpty, let failure = list.failures.first {
            for failure in list.failures.dropFirst() { Diagnostics.error(failure.reason) }
            throw CommandFailure(failure.reason)
        }
        var isComplete = list.failures.isEmpty
        for failure in list.failures { Diagnostics.note("not complete: \(failure.reason)") }
        for (source, gaps) in zip(list.opened, gaps) {
            do {
                try QueryCommand.report(gaps, label: isAlone ? nil : source.label)
            } catch is ExitCode {
                isComplete = false
            }
        }
        if !isComplete { throw ExitCode(ExitStatus.loss) }
    }
}
