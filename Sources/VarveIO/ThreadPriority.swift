internal import CPOSIX

/// Lets the calling thread work when nobody else wants the processor or the disk, as far as the system can.
package func lowerThreadPriority() { varve_posix_lower_thread_priority() }
