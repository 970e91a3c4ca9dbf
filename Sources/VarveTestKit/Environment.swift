#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The value of an environment variable, or nil when it isn't set.
public func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    // SAFETY: `getenv` returns a terminated string; nothing in the tests changes the environment.
    return String(cString: value)
}

/// The number in an environment variable, or nil when it isn't set to one.
public func environmentNumber(_ name: String) -> Int? { environment(name).flatMap { Int($0) } }
