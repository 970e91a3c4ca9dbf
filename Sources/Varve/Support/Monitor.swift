internal import VarveIO

#if canImport(Darwin)
internal import Darwin
#else
internal import Glibc
#endif

/// A lock with a condition: what the pipeline's threads wait on.
///
/// Any thread may call. `wait` gives the lock up while it sleeps; every waiter wakes at each `wakeAll`.
final class Monitor: @unchecked Sendable {
    // SAFETY: both are initialised once, never moved, and destroyed with self.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let keeperCondition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let workerCondition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        keeperCondition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        #if !canImport(Darwin)
        // By the other clock a wait would be longer by what that is put back.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        #endif
        pthread_cond_init(keeperCondition, &attributes)
        pthread_condattr_destroy(&attributes)
        workerCondition.initialize(to: pthread_cond_t())
        pthread_cond_init(workerCondition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_cond_destroy(keeperCondition)
        keeperCondition.deallocate()
        pthread_cond_destroy(workerCondition)
        workerCondition.deallocate()
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    @inline(__always)
    func lock() { pthread_mutex_lock(mutex) }

    @inline(__always)
    func unlock() { pthread_mutex_unlock(mutex) }

    /// Takes the lock unless somebody has it.
    func tryLock() -> Bool { pthread_mutex_trylock(mutex) == 0 }

    /// Whether somebody has the lock, at this moment.
    var isTaken: Bool {
        guard tryLock() else { return true }
        unlock()
        return false
    }

    /// Sleeps until woken. Call with the lock held; it is held again afterwards. May wake for no reason.
    func wait() { pthread_cond_wait(condition, mutex) }

    /// Sleeps until `wakeKeeper`, for at most `nanoseconds`: for the one background thread, which need not wake for every block.
    func waitAsKeeper(nanoseconds: UInt64) {
        var time = timespec()
        #if canImport(Darwin)
        time.tv_sec = Int(nanoseconds / 1_000_000_000)
        time.tv_nsec = Int(nanoseconds % 1_000_000_000)
        pthread_cond_timedwait_relative_np(keeperCondition, mutex, &time)
        #else
        clock_gettime(CLOCK_MONOTONIC, &time)
        let total = UInt64(time.tv_nsec) + nanoseconds
        time.tv_sec += Int(total / 1_000_000_000)
        time.tv_nsec = Int(total % 1_000_000_000)
        pthread_cond_timedwait(keeperCondition, mutex, &time)
        #endif
    }

    /// Wakes the background thread.
    func wakeKeeper() { pthread_cond_signal(keeperCondition) }

    /// Sleeps until `wakeWorker` or `wakeWorkers`: for threads that have nothing to do.
    func waitAsWorker() { pthread_cond_wait(workerCondition, mutex) }

    /// Wakes one of the threads that have nothing to do.
    func wakeWorker() { pthread_cond_signal(workerCondition) }

    /// Wakes all of them.
    func wakeWorkers() { pthread_cond_broadcast(workerCondition) }

    /// Wakes every other waiter.
    func wakeAll() { pthread_cond_broadcast(condition) }

    func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        lock()
        defer { unlock() }
        return try body()
    }
}

/// What one thread waits at until another one opens it, once.
final class Gate: @unchecked Sendable {
    private struct State {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
        var isOpen = false
    }

    // SAFETY: initialised once, never moved, and destroyed with self.
    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    init() {
        state.initialize(to: State())
        pthread_mutex_init(&state.pointee.mutex, nil)
        pthread_cond_init(&state.pointee.condition, nil)
    }

    deinit {
        pthread_cond_destroy(&state.pointee.condition)
        pthread_mutex_destroy(&state.pointee.mutex)
        state.deallocate()
    }

    func wait() {
        pthread_mutex_lock(&state.pointee.mutex)
        while !state.pointee.isOpen { pthread_cond_wait(&state.pointee.condition, &state.pointee.mutex) }
        pthread_mutex_unlock(&state.pointee.mutex)
    }

    /// What was done before is seen by the one that waits.
    func open() {
        pthread_mutex_lock(&state.pointee.mutex)
        state.pointee.isOpen = true
        pthread_mutex_unlock(&state.pointee.mutex)
        pthread_cond_signal(&state.pointee.condition)
    }
}

/// A dedicated thread. It runs `body` once; `join` waits for its end.
final class WorkerThread: @unchecked Sendable {
    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    // SAFETY: written in init before the thread is shared, read by `join` alone.
    #if canImport(Darwin)
    private var handle: pthread_t?
    #else
    private var handle = pthread_t()
    #endif

    /// Nil when the system gives no more threads.
    init?(_ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(body))
        guard pthread_create(&handle, nil, runWorker, start.toOpaque()) == 0 else {
            start.release()
            return nil
        }
    }

    fileprivate static func run(_ context: UnsafeMutableRawPointer) {
        Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
    }

    /// Lets it end by itself. Call once, in place of `join`.
    func detach() {
        #if canImport(Darwin)
        if let handle { pthread_detach(handle) }
        #else
        pthread_detach(handle)
        #endif
    }

    /// Call once.
    func join() {
        #if canImport(Darwin)
        if let handle { pthread_join(handle, nil) }
        #else
        pthread_join(handle, nil)
        #endif
    }
}

#if canImport(Darwin)
private func runWorker(_ context: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    WorkerThread.run(context)
    return nil
}
#else
private func runWorker(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { WorkerThread.run(context) }
    return nil
}
#endif

/// Does `body` on a thread of its own, of the lowest priority, and waits for its end; here where the system gives no thread.
func atLowestPriority<R, E: Error>(_ body: @escaping () throws(E) -> R) throws(E) -> R {
    let errand = Errand(body)
    guard
        let thread = WorkerThread({
            lowerThreadPriority()
            errand.run()
        })
    else { return try body() }
    thread.join()
    return try errand.result!.get()
}

// SAFETY: one thread runs it, and another reads the result after joining that one.
private final class Errand<R, E: Error>: @unchecked Sendable {
    private let body: () throws(E) -> R
    private(set) var result: Result<R, E>?

    init(_ body: @escaping () throws(E) -> R) { self.body = body }

    func run() { result = Result(catching: body) }
}
