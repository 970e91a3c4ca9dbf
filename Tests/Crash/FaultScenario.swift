import Dispatch
import Varve
import VarveIO
import VarveTestKit

/// Records into a store until the disk does not let it, and remembers what it was told.
struct FaultScenario {
    static let session = "flight"

    let path: String
    /// Events whose append returned.
    private(set) var appended: UInt64 = 0
    /// Checkpoints whose recording returned.
    private(set) var checkpoints: UInt64 = 0
    /// Those that were asked for: one that was refused may be there.
    private(set) var checkpointsTried: UInt64 = 0
    /// Events of which a flush said that they are durable.
    private(set) var acknowledged: UInt64 = 0
    /// Whether everything went well to the end.
    private(set) var isClosed = false
    /// Whether appends were not taken again for so long that it was given up.
    private(set) var isStuck = false
    /// What went wrong, in order.
    private(set) var failures: [StoreError] = []

    init(path: String) { self.path = path }

    static func options(_ fileSystem: any FileSystem) -> StoreOptions {
        var options = StoreOptions()
        // Its own crash tests: RetentionCrashTests.
        options.compactsInBackground = false
        options.fileSystem = fileSystem
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = 16 << 10
        options.queueBatches = 2
        return options
    }

    /// The event's number, and bytes that do not compress.
    static func payload(_ number: UInt64) -> [UInt8] {
        var random = SplitMix64(seed: number)
        return Array("event \(number) ".utf8)
            + (0..<300).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    /// Opens the store, records `events` events with a checkpoint after every 20th and a flush after every 16th, and closes.
    ///
    /// Where space has run out it waits until appends are taken again, if that is to be expected (`recovers`).
    mutating func run(on fileSystem: any FileSystem, events: UInt64 = 150, recovers: Bool) {
        // The library says when a stall or the store's life is over.
        let changed = DispatchSemaphore(value: 0)
        var options = Self.options(fileSystem)
        options.diagnostics = { diagnostic in
            switch diagnostic {
            case .resumed, .poisoned: changed.signal()
            default: break
            }
        }
        do throws(StoreError) {
            let store = try EventStore.open(path, options: options)
            do throws(StoreError) {
                try record(in: store, events: events, recovers: recovers, changed)
            } catch {
                failures.append(error)
            }
            try store.close()
            isClosed = failures.allSatisfy(\.isOutOfSpace)
        } catch {
            failures.append(error)
        }
    }

    private mutating func record(
        in store: EventStore, events: UInt64, recovers: Bool, _ changed: DispatchSemaphore
    ) throws(StoreError) {
        // Until it works: a stall may be met at any step.
        func retrying<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> (R, [StoreError]) {
            var met: [StoreError] = []
            let end = ContinuousClock.now + .seconds(waitSecondsMax)
            while true {
                do throws(StoreError) {
                    return (try body(), met)
                } catch {
                    guard recovers, error.isOutOfSpace else { throw error }
                    isStuck = ContinuousClock.now >= end
                    if isStuck { throw error }
                    met.append(error)
                    // It may have gone on already: then the next try succeeds at once.
                    _ = changed.wait(timeout: .now() + .milliseconds(50))
                }
            }
        }
        let (kind, _) = try retrying { () throws(StoreError) in try store.kind("telemetry", .binary) }
        let (session, met) = try retrying { () throws(StoreError) in try store.startSession(Self.session) }
        failures += met
        for number in 0..<events {
            let (_, met) = try retrying { () throws(StoreError) in
                try session.append(Self.payload(number), kind: kind, at: Int64(number))
            }
            failures += met
            appended = number + 1
            if number % 20 == 19 {
                let state = Array("state after \(number)".utf8)
                let (_, met) = try retrying { () throws(StoreError) in
                    checkpointsTried = checkpoints + 1
                    try session.checkpoint("cp-\(checkpoints)", state: state)
                }
                failures += met
                checkpoints += 1
            }
            if number % 16 == 15 {
                let (_, met) = try retrying { () throws(StoreError) in try store.flush() }
                failures += met
                acknowledged = appended
            }
        }
    }
}

extension StoreError {
    var isOutOfSpace: Bool { if case .outOfSpace = self { true } else { false } }
    var isPoisoned: Bool { if case .poisoned = self { true } else { false } }
}

extension Coverage {
    /// The first of the numbers below `end` that was neither seen nor is said to be missing.
    func firstUnexplained(below end: UInt64, seen: Set<UInt64>) -> UInt64? {
        (0..<end).first { number in
            !seen.contains(number)
                && !gaps.contains {
                    // Of a tail that can't be read nobody knows where it ends.
                    $0.sequences.contains(number)
                        || $0.reason == .unconfirmedTail && $0.sequences.lowerBound <= number
                }
        }
    }
}
