internal import CPOSIX

/// Lets the calling thread work when nobody else wants the processor or the disk, as far as the system can.
package func lowerThreadPriority() { varve_posix_lower_thread_priority() }

/// Lets the calling thread, which has its share of the processor, not take it away from the one that wakes it.
package func workInBatches() { varve_posix_work_in_batches() }
