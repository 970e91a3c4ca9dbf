// What Swift can't see of the system's headers, or sees differently on each platform.
//
// Every function returns its result, or the negated errno, so that nothing can change errno in between; calls
// that a signal interrupts are made again. Descriptors are close-on-exec. Paths are terminated strings.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    varve_posix_regular = 1,
    varve_posix_directory = 2,
    varve_posix_symbolic_link = 3,
    varve_posix_other = 4,
};

enum {
    varve_posix_open_read = 0,
    varve_posix_open_read_write = 1,
    varve_posix_open_create_exclusive = 2,
};

/// The answer of varve_posix_open and varve_posix_lock to what is no regular file.
static const int32_t varve_posix_not_regular = INT32_MIN;

/// The system's text for an errno; always terminated.
void varve_posix_error_text(int32_t code, char *text, size_t capacity);

// Names.

/// Makes a directory, 0700 whatever the umask.
int32_t varve_posix_make_directory(const char *path);
/// What a path names (varve_posix_regular and so on), not following a symbolic link.
int32_t varve_posix_kind(const char *path);
/// Renames; if not replacing, fails with EEXIST. See FileSystem.rename for file systems that can't.
int32_t varve_posix_rename(const char *from, const char *to, _Bool replacing);
int32_t varve_posix_unlink(const char *path);

/// What tells a file, and its content at a time, from another. Times in nanoseconds since the epoch.
typedef struct {
    uint64_t byte_count;
    uint64_t device;
    uint64_t inode;
    int64_t modified_at;
    int64_t changed_at;
} varve_posix_stamp;

/// The stamp of a regular file, not following a symbolic link.
int32_t varve_posix_stamp_of(const char *path, varve_posix_stamp *stamp);
int32_t varve_posix_sync_directory(const char *path);

/// Opens a directory for listing; null on failure, with the negated errno in *failure.
void *varve_posix_list_open(const char *path, int32_t *failure);
/// The next name, without . and ..: its kind, 0 at the end. `name` has room for `capacity` bytes with the
/// terminator.
int32_t varve_posix_list_next(void *listing, char *name, size_t capacity);
void varve_posix_list_close(void *listing);

// Descriptors.

/// Opens a regular file (varve_posix_open_read and so on), following no symbolic link in the last component
/// and not waiting for a FIFO's other end. A created file is 0600 whatever the umask.
int32_t varve_posix_open(const char *path, int32_t mode);
void varve_posix_close(int32_t descriptor);
int64_t varve_posix_size(int32_t descriptor);
/// One call, which may transfer less than asked for, and may be interrupted (-EINTR).
int64_t varve_posix_read(int32_t descriptor, void *bytes, size_t count, int64_t offset);
/// One call, which may transfer less than asked for, and may be interrupted (-EINTR).
int64_t varve_posix_write(int32_t descriptor, const void *bytes, size_t count, int64_t offset);
/// fdatasync; on Darwin F_FULLFSYNC, since fsync there leaves the data in the drive's cache.
int32_t varve_posix_sync(int32_t descriptor);
/// Sets room aside and extends the file. -EOPNOTSUPP where the file system can't.
int32_t varve_posix_allocate(int32_t descriptor, int64_t offset, int64_t count);
int32_t varve_posix_truncate(int32_t descriptor, int64_t count);

/// Lets the calling thread have the processor and the disk when nobody else wants them, as far as the system can.
void varve_posix_lower_thread_priority(void);
/// Linux: the calling thread has its share of the processor, and does not take it from another one because it was woken.
void varve_posix_work_in_batches(void);

// Locks: whole file, exclusive. An open-file-description lock where the system has them, otherwise flock(2):
// both belong to the descriptor and not to the process. The two don't see each other; a platform always uses
// one of them.

/// Opens the file, making it (0600) if it is absent, and takes the lock: the descriptor, or -EAGAIN if it is
/// held.
int32_t varve_posix_lock(const char *path);
/// Gives the lock up, also where a child process that is just being started still has the descriptor.
void varve_posix_unlock(int32_t descriptor);
/// 1 if somebody holds the lock, else 0. Takes nothing; with flock(2) it takes a shared lock for an instant.
int32_t varve_posix_is_locked(const char *path);

// Watches: descriptors to wait for.

/// Both ends of a pipe that neither waits nor is inherited: the reading one, and the one that wakes it.
int32_t varve_posix_waker_open(int32_t ends[2]);
/// Wakes whoever waits, now and at every later call.
void varve_posix_waker_wake(int32_t descriptor);
/// A descriptor that is readable once something in a directory was changed. -ENOSYS where the system has none.
int32_t varve_posix_watch_open(const char *path);
/// Waits for at most so many milliseconds (negative: for good) for a change or for the waker; `watch` may be -1.
/// Takes the changes that were told of. 2 for the waker, else 1 for a change, else 0.
int32_t varve_posix_watch_wait(int32_t watch, int32_t waker, int32_t milliseconds);

// Mappings.

/// Maps the file's beginning, shared; null on failure, with the negated errno in *failure.
void *varve_posix_map(int32_t descriptor, size_t count, _Bool writable, int32_t *failure);
void varve_posix_unmap(void *bytes, size_t count);
/// Whether the system knows MADV_POPULATE_READ.
_Bool varve_posix_can_populate(void);
/// Brings whole pages in, for reading or also for writing. `bytes` is page-aligned.
int32_t varve_posix_populate(void *bytes, size_t count, _Bool writable);
size_t varve_posix_page_size(void);

// The machine.

/// 1 if the path lies on a network file system, else 0.
int32_t varve_posix_is_on_network(const char *path);
int32_t varve_posix_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
/// Nanoseconds since the epoch, UTC; held at the ends of the range.
int64_t varve_posix_wall_clock(void);
uint64_t varve_posix_monotonic_clock(void);
/// The boot's identity as the system's text, at most capacity - 1 characters.
int32_t varve_posix_boot_identity(char *text, size_t capacity);

#ifdef __cplusplus
}
#endif
