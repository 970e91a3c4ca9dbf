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

    /// That these stores can be asked together: none twice, nothing that means one of several, every shift of one of them, and of each
    /// one at most.
    func validate(for stores: [String], _ filters: FilterOptions) throws {
        let paths = stores.map(StoreList.withoutSlash)
        for (place, path) in paths.enumerated() where paths[..<place].contains(path) {
            throw ValidationError("\(stores[place]): given twice")
        }
        if stores.count > 1, filters.around != nil {
            throw ValidationError("--around: a sequence number is one store's: use --from and --to")
        }
        for (place, shift) in shifts.enumerated() {
            let meant = stores.filter(shift.means)
            guard let store = meant.first else {
                throw ValidationError("--shift \(shift.store): there is no such store in this query")
            }
            if meant.count > 1 {
                throw ValidationError(
                    "--shift \(shift.store): that is the name of several stores: give the path")
            }
            if shifts[..<place].contains(where: { $0.means(store) }) {
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
    func means(_ path: String) -> Bool {
        StoreList.withoutSlash(path) == StoreList.withoutSlash(store) || StoreList.lastPart(of: path) == store
    }
}

/// The stores of a query, those that can be read and the others.
struct StoreList {
    struct Opened {
        let path: String
        /// What it is called in answers.
        let label: String
        /// Whether there are no others.
        let isAlone: Bool
        let snapshot: Snapshot

        /// What the filters mean here: as ``Selection``, with the store's name in errors where there are several.
        func selection(
            _ filters: FilterOptions, now: Int64, shift: Int64 = 0, isShiftedLater: Bool = false
        ) throws -> Selection {
            do {
                return try Selection(
                    filters, in: snapshot, now: now, shift: shift, isShiftedLater: isShiftedLater)
            } catch let failure as CommandFailure where !isAlone {
                throw CommandFailure("\(label): \(failure.message)", status: failure.status)
            }
        }
    }

    private(set) var opened: [Opened] = []
    /// Those that can't be read, and why: said when all else was answered.
    private(set) var failures: [(path: String, reason: String)] = []

    /// Opens what can be opened.
    ///
    /// - Throws: ``CommandFailure`` when that is none.
    static func open(_ paths: [String]) throws -> StoreList {
        var list = StoreList()
        for path in paths {
            let name = lastPart(of: path)
            let isUnique = paths.count { lastPart(of: $0) == name } == 1
            do throws(StoreError) {
                let snapshot = try EventStore.openReadOnly(path).snapshot()
                list.opened.append(
                    Opened(
                        path: path, label: isUnique ? name : path, isAlone: paths.count == 1,
                        snapshot: snapshot))
            } catch {
                list.failures.append((path, error.description))
            }
        }
        if list.opened.isEmpty, let last = list.failures.last {
            for failure in list.failures.dropLast() { Diagnostics.error(failure.reason) }
            throw CommandFailure(last.reason)
        }
        return list
    }

    static func lastPart(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    static func withoutSlash(_ path: String) -> Substring {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// Says which stores are missing in an answer, and what is missing of the others.
    ///
    /// - Throws: `ExitCode` 3 when something is missing.
    func report(_ gaps: [[Gap]]) throws {
        var isComplete = failures.isEmpty
        for failure in failures { Diagnostics.note("not complete: \(failure.reason)") }
        for (source, gaps) in zip(opened, gaps) {
            do {
                try QueryCommand.report(gaps, label: source.isAlone ? nil : source.label)
            } catch is ExitCode {
                isComplete = false
            }
        }
        if !isComplete { throw ExitCode(ExitStatus.loss) }
    }
}
