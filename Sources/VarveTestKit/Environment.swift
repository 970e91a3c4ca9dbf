#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The value of an environment variable, or nil when it isn't set.
func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    // SAFETY: `getenv` returns a terminated string; nothing in the tests changes the environment.
    return String(cString: value)
}
