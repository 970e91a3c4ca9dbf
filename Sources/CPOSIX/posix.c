#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64

#include "CPOSIX.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#ifdef __APPLE__
#include <sys/mount.h>
#include <pthread/qos.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#else
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

#ifndef F_OFD_SETLK
#include <sys/file.h>
#endif

#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#if defined(__linux__) && !defined(RENAME_NOREPLACE)
#define RENAME_NOREPLACE 1
#endif

// The result of a call that is made again when a signal interrupts it: what it returned, or the negated
// errno.
#define RETRIED(call)                                                                                        \
    ({                                                                                                       \
        __typeof__(call) result_;                                                                            \
        do {                                                                                                 \
            result_ = (call);                                                                                \
        } while (result_ == -1 && errno == EINTR);                                                           \
        result_ == -1 ? -errno : result_;                                                                    \
    })

void varve_posix_error_text(int32_t code, char *text, size_t capacity) {
    if (capacity == 0) {
        return;
    }
    text[0] = 0;
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    // This variant may answer with a constant of its own instead of writing to `text`.
    char own[128];
    snprintf(text, capacity, "%s", strerror_r(code, own, sizeof own));
#else
    if (strerror_r(code, text, capacity) != 0 && text[0] == 0) {
        snprintf(text, capacity, "error %d", (int)code);
    }
#endif
}

// Names.

static int32_t kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return varve_posix_regular;
    case S_IFDIR:
        return varve_posix_directory;
    case S_IFLNK:
        return varve_posix_symbolic_link;
    default:
        return varve_posix_other;
    }
}

int32_t varve_posix_make_directory(const char *path) {
    int32_t made = RETRIED(mkdir(path, 0700));
    if (made < 0) {
        return made;
    }
    // The umask can only have taken permissions away.
    struct stat status;
    int32_t looked = RETRIED(lstat(path, &status));
    if (looked < 0 || (status.st_mode & 0700) == 0700) {
        return looked;
    }
    return RETRIED(fchmodat(AT_FDCWD, path, 0700, AT_SYMLINK_NOFOLLOW));
}

int32_t varve_posix_kind(const char *path) {
    struct stat status;
    int32_t looked = RETRIED(lstat(path, &status));
    return looked < 0 ? looked : kind_of(status.st_mode);
}

int32_t varve_posix_rename(const char *from, const char *to, _Bool replacing) {
    if (replacing) {
        return RETRIED(rename(from, to));
    }
#if defined(__APPLE__)
    int32_t renamed = RETRIED(renamex_np(from, to, RENAME_EXCL));
#elif defined(SYS_renameat2)
    long flags = RENAME_NOREPLACE;
    int32_t renamed = (int32_t)RETRIED(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
#else
    int32_t renamed = -ENOSYS;
#endif
    if (renamed != -EINVAL && renamed != -ENOSYS && renamed != -ENOTSUP) {
        return renamed;
    }
    // A link never replaces. Linked before it is unlinked, the file always has a name.
    int32_t linked = RETRIED(linkat(AT_FDCWD, from, AT_FDCWD, to, 0));
    return linked < 0 ? linked : RETRIED(unlink(from));
}

int32_t varve_posix_unlink(const char *path) { return RETRIED(unlink(path)); }

int32_t varve_posix_stamp_of(const char *path, varve_posix_stamp *stamp) {
    struct stat status;
    int32_t looked = RETRIED(lstat(path, &status));
    if (looked < 0) {
        return looked;
    }
    if (!S_ISREG(status.st_mode)) {
        return varve_posix_not_regular;
    }
#ifdef __APPLE__
    struct timespec modified = status.st_mtimespec, changed = status.st_ctimespec;
#else
    struct timespec modified = status.st_mtim, changed = status.st_ctim;
#endif
    stamp->byte_count = (uint64_t)status.st_size;
    stamp->device = (uint64_t)status.st_dev;
    stamp->inode = (uint64_t)status.st_ino;
    // Times far off may wrap: they are only compared.
    stamp->modified_at = (int64_t)((uint64_t)modified.tv_sec * 1000000000u + (uint64_t)modified.tv_nsec);
    stamp->changed_at = (int64_t)((uint64_t)changed.tv_sec * 1000000000u + (uint64_t)changed.tv_nsec);
    return 0;
}

#ifdef __APPLE__
static int32_t full_sync(int32_t descriptor) {
    int32_t synced = RETRIED(fcntl(descriptor, F_FULLFSYNC));
    // File systems that have no such command have fsync at least.
    if (synced == -ENOTSUP || synced == -ENOTTY || synced == -EINVAL) {
        synced = RETRIED(fsync(descriptor));
    }
    return synced < 0 ? synced : 0;
}
#endif

int32_t varve_posix_sync_directory(const char *path) {
    int32_t descriptor = RETRIED(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor < 0) {
        return descriptor;
    }
#ifdef __APPLE__
    int32_t synced = full_sync(descriptor);
#else
    int32_t synced = RETRIED(fsync(descriptor));
#endif
    varve_posix_close(descriptor);
    return synced == -EINVAL ? 0 : synced;
}

void *varve_posix_list_open(const char *path, int32_t *failure) {
    int32_t descriptor = RETRIED(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor < 0) {
        *failure = descriptor;
        return NULL;
    }
    DIR *listing = fdopendir(descriptor);
    if (listing == NULL) {
        *failure = -errno;
        varve_posix_close(descriptor);
    }
    return listing;
}

int32_t varve_posix_list_next(void *listing, char *name, size_t capacity) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(listing);
        if (entry == NULL) {
            return errno == 0 ? 0 : -errno;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        size_t count = strlen(entry->d_name);
        if (count >= capacity) {
            return -ENAMETOOLONG;
        }
        memcpy(name, entry->d_name, count + 1);
        switch (entry->d_type) {
        case DT_REG:
            return varve_posix_regular;
        case DT_DIR:
            return varve_posix_directory;
        case DT_LNK:
            return varve_posix_symbolic_link;
        case DT_UNKNOWN:
            break;
        default:
            return varve_posix_other;
        }
        struct stat status;
        int32_t looked = RETRIED(fstatat(dirfd(listing), name, &status, AT_SYMLINK_NOFOLLOW));
        if (looked == -ENOENT) {
            continue;  // Removed since.
        }
        return looked < 0 ? looked : kind_of(status.st_mode);
    }
}

void varve_posix_list_close(void *listing) { closedir(listing); }

// Descriptors.

// 0 if the descriptor is a regular file's.
static int32_t refuse_irregular(int32_t descriptor) {
    struct stat status;
    int32_t looked = RETRIED(fstat(descriptor, &status));
    if (looked < 0) {
        return looked;
    }
    return S_ISREG(status.st_mode) ? 0 : varve_posix_not_regular;
}

// 0600, where the umask has taken some of it away and the file system has permissions at all.
static int32_t restore_owner_mode(int32_t descriptor) {
    struct stat status;
    int32_t looked = RETRIED(fstat(descriptor, &status));
    if (looked < 0 || (status.st_mode & 0777) == 0600) {
        return looked;
    }
    int32_t changed = RETRIED(fchmod(descriptor, 0600));
    return changed == -EPERM || changed == -ENOTSUP ? 0 : changed;
}

// Without O_NONBLOCK, opening a FIFO would wait for its other end. For regular files it has no effect.
static const int open_flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

static int32_t create_exclusive(const char *path) {
    int32_t descriptor = RETRIED(open(path, O_RDWR | O_CREAT | O_EXCL | open_flags, 0600));
    if (descriptor < 0) {
        return descriptor;
    }
    int32_t restored = restore_owner_mode(descriptor);
    if (restored < 0) {
        varve_posix_close(descriptor);
        unlink(path);
        return restored;
    }
    return descriptor;
}

static int32_t open_existing(const char *path, int access) {
    int32_t descriptor = RETRIED(open(path, access | open_flags));
    if (descriptor < 0) {
        // A symbolic link, a directory (for writing) and a socket can't be opened so; say what they are.
        if (descriptor == -ELOOP || descriptor == -EISDIR || descriptor == -ENXIO
            || descriptor == -EOPNOTSUPP) {
            struct stat status;
            if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
                return varve_posix_not_regular;
            }
        }
        return descriptor;
    }
    int32_t refused = refuse_irregular(descriptor);
    if (refused < 0) {
        varve_posix_close(descriptor);
        return refused;
    }
    return descriptor;
}

int32_t varve_posix_open(const char *path, int32_t mode) {
    switch (mode) {
    case varve_posix_open_read:
        return open_existing(path, O_RDONLY);
    case varve_posix_open_read_write:
        return open_existing(path, O_RDWR);
    case varve_posix_open_create_exclusive:
        return create_exclusive(path);
    default:
        return -EINVAL;
    }
}

// Never again after EINTR: the descriptor is gone by then, and its number may be somebody else's.
void varve_posix_close(int32_t descriptor) { close(descriptor); }

int64_t varve_posix_size(int32_t descriptor) {
    struct stat status;
    int32_t looked = RETRIED(fstat(descriptor, &status));
    return looked < 0 ? looked : (int64_t)status.st_size;
}

int64_t varve_posix_read(int32_t descriptor, void *bytes, size_t count, int64_t offset) {
    ssize_t read_count = pread(descriptor, bytes, count, offset);
    return read_count < 0 ? -errno : read_count;
}

int64_t varve_posix_write(int32_t descriptor, const void *bytes, size_t count, int64_t offset) {
    ssize_t written_count = pwrite(descriptor, bytes, count, offset);
    return written_count < 0 ? -errno : written_count;
}

int32_t varve_posix_sync(int32_t descriptor) {
#ifdef __APPLE__
    return full_sync(descriptor);
#else
    return RETRIED(fdatasync(descriptor));
#endif
}

void varve_posix_lower_thread_priority(void) {
#if defined(__linux__)
    // On Linux a priority belongs to a thread, whatever POSIX says. A nice value alone is not enough: threads that work in batches wait
    // for the next tick even then. 3 << 13: the idle class of the disk's scheduler.
    const pid_t thread = (pid_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, (id_t)thread, 19);
    const struct sched_param parameters = {0};
    (void)sched_setscheduler(0, SCHED_IDLE, &parameters);
    (void)syscall(SYS_ioprio_set, 1, thread, 3 << 13);
#elif defined(__APPLE__)
    (void)pthread_set_qos_class_self_np(QOS_CLASS_BACKGROUND, 0);
#endif
}

void varve_posix_work_in_batches(void) {
#if defined(__linux__)
    const struct sched_param parameters = {0};
    (void)sched_setscheduler(0, SCHED_BATCH, &parameters);
#endif
}

int32_t varve_posix_allocate(int32_t descriptor, int64_t offset, int64_t count) {
#if defined(__linux__)
    int32_t allocated = RETRIED(fallocate(descriptor, 0, offset, count));
    return allocated == -ENOSYS ? -EOPNOTSUPP : allocated;
#elif defined(__APPLE__)
    int64_t size = varve_posix_size(descriptor);
    if (size < 0) {
        return (int32_t)size;
    }
    // Darwin sets room aside past the end only; nothing is promised for holes before it.
    int64_t end = offset + count;
    if (end <= size) {
        return 0;
    }
    fstore_t request = {.fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE, .fst_length = end - size};
    int32_t allocated = RETRIED(fcntl(descriptor, F_PREALLOCATE, &request));
    if (allocated < 0) {
        return allocated == -ENOTSUP || allocated == -EINVAL ? -EOPNOTSUPP : allocated;
    }
    return RETRIED(ftruncate(descriptor, end));
#else
    return -EOPNOTSUPP;
#endif
}

int32_t varve_posix_truncate(int32_t descriptor, int64_t count) {
    return RETRIED(ftruncate(descriptor, count));
}

// Locks.

static int32_t try_lock(int32_t descriptor) {
#ifdef F_OFD_SETLK
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    int32_t locked = RETRIED(fcntl(descriptor, F_OFD_SETLK, &whole));
#else
    int32_t locked = RETRIED(flock(descriptor, LOCK_EX | LOCK_NB));
#endif
    return locked == -EACCES || locked == -EWOULDBLOCK ? -EAGAIN : locked;
}

// Whether the path still names the descriptor's file: a lock on an unlinked file keeps nobody out.
static _Bool still_names(const char *path, int32_t descriptor) {
    struct stat named, opened;
    return lstat(path, &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_dev == opened.st_dev
        && named.st_ino == opened.st_ino;
}

int32_t varve_posix_lock(const char *path) {
    // Each further attempt means that somebody made, removed or replaced the file between two calls.
    for (int attempt = 0; attempt < 100; attempt++) {
        int32_t descriptor = open_existing(path, O_RDWR);
        if (descriptor == -ENOENT) {
            descriptor = create_exclusive(path);
            if (descriptor == -EEXIST) {
                continue;
            }
        }
        if (descriptor < 0) {
            return descriptor;
        }
        int32_t locked = try_lock(descriptor);
        if (locked >= 0 && still_names(path, descriptor)) {
            return descriptor;
        }
        varve_posix_close(descriptor);
        if (locked < 0) {
            return locked;
        }
    }
    return -EAGAIN;
}

void varve_posix_unlock(int32_t descriptor) {
#ifdef F_OFD_SETLK
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    (void)RETRIED(fcntl(descriptor, F_OFD_SETLK, &whole));
#else
    (void)RETRIED(flock(descriptor, LOCK_UN));
#endif
}

int32_t varve_posix_is_locked(const char *path) {
    int32_t descriptor = open_existing(path, O_RDONLY);
    if (descriptor < 0) {
        return 0;
    }
#ifdef F_OFD_SETLK
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    int32_t asked = RETRIED(fcntl(descriptor, F_OFD_GETLK, &whole));
    int32_t locked = asked >= 0 && whole.l_type != F_UNLCK;
#else
    int32_t locked = RETRIED(flock(descriptor, LOCK_SH | LOCK_NB)) == -EWOULDBLOCK;
#endif
    varve_posix_close(descriptor);
    return locked;
}

// Watches.

int32_t varve_posix_waker_open(int32_t ends[2]) {
    int both[2];
#ifdef __linux__
    int32_t made = RETRIED(pipe2(both, O_CLOEXEC | O_NONBLOCK));
#else
    int32_t made = RETRIED(pipe(both));
    for (int end = 0; made == 0 && end < 2; end++) {
        fcntl(both[end], F_SETFD, FD_CLOEXEC);
        fcntl(both[end], F_SETFL, O_NONBLOCK);
    }
#endif
    if (made == 0) {
        ends[0] = both[0];
        ends[1] = both[1];
    }
    return made;
}

void varve_posix_waker_wake(int32_t descriptor) {
    char byte = 1;
    // A full pipe wakes as well.
    int32_t written = (int32_t)RETRIED(write(descriptor, &byte, 1));
    (void)written;
}

int32_t varve_posix_watch_open(const char *path) {
#ifdef __linux__
    int32_t descriptor = RETRIED(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (descriptor < 0) {
        return descriptor;
    }
    // IN_CLOSE_WRITE also tells of a writer that was killed.
    uint32_t mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE
                    | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    int32_t added = RETRIED(inotify_add_watch(descriptor, path, mask));
    if (added < 0) {
        varve_posix_close(descriptor);
        return added;
    }
    return descriptor;
#else
    (void)path;
    return -ENOSYS;
#endif
}

int32_t varve_posix_watch_wait(int32_t watch, int32_t waker, int32_t milliseconds) {
    struct pollfd both[2] = {{.fd = waker, .events = POLLIN}, {.fd = watch, .events = POLLIN}};
    int32_t ready = poll(both, 2, milliseconds);
    if (ready == -1) {
        // Interrupted: the caller looks once too often.
        return 1;
    }
    if (both[0].revents != 0) {
        return 2;
    }
    if (ready == 0 || both[1].revents == 0) {
        return 0;
    }
    // A burst is one change.
    char events[16384];
    while (read(watch, events, sizeof events) > 0) {
    }
    return 1;
}

// Mappings.

void *varve_posix_map(int32_t descriptor, size_t count, _Bool writable, int32_t *failure) {
    void *bytes = mmap(NULL, count, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED) {
        *failure = -errno;
        return NULL;
    }
    return bytes;
}

void varve_posix_unmap(void *bytes, size_t count) { munmap(bytes, count); }

_Bool varve_posix_can_populate(void) {
#ifdef MADV_POPULATE_READ
    size_t count = varve_posix_page_size();
    void *page = mmap(NULL, count, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return 0;
    }
    _Bool can = varve_posix_populate(page, count, 0) == 0;
    munmap(page, count);
    return can;
#else
    return 0;
#endif
}

int32_t varve_posix_populate(void *bytes, size_t count, _Bool writable) {
#ifdef MADV_POPULATE_READ
    return RETRIED(madvise(bytes, count, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ));
#else
    return -ENOTSUP;
#endif
}

size_t varve_posix_page_size(void) {
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (size_t)size : 4096;
}

// The machine.

int32_t varve_posix_is_on_network(const char *path) {
    struct statfs status;
    if (RETRIED(statfs(path, &status)) < 0) {
        return 0;
    }
#ifdef __APPLE__
    return (status.f_flags & MNT_LOCAL) == 0;
#else
    // The field's width and sign differ between machines; the magic numbers have 32 bits.
    switch ((uint32_t)status.f_type) {
    case 0x00006969:  // NFS
    case 0x0000517B:  // SMB
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
    case 0x0000564C:  // NCP
    case 0x5346414F:  // AFS, OpenAFS
    case 0x6B414653:  // AFS, kernel
    case 0x73757245:  // Coda
    case 0x00C36400:  // Ceph
    case 0x01021997:  // 9P
    case 0x0BD00BD0:  // Lustre
    case 0x013111A8:  // GPFS
        return 1;
    default:
        return 0;
    }
#endif
}

static uint64_t saturating_product(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

int32_t varve_posix_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes) {
    struct statvfs status;
    int32_t asked = RETRIED(statvfs(path, &status));
    if (asked < 0) {
        return asked;
    }
    *free_bytes = saturating_product(status.f_bavail, status.f_frsize);
    *total_bytes = saturating_product(status.f_blocks, status.f_frsize);
    return 0;
}

int64_t varve_posix_wall_clock(void) {
    struct timespec time;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0) {
        return 0;
    }
    int64_t nanoseconds;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, INT64_C(1000000000), &nanoseconds)
        || __builtin_add_overflow(nanoseconds, (int64_t)time.tv_nsec, &nanoseconds)) {
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    }
    return nanoseconds;
}

uint64_t varve_posix_monotonic_clock(void) {
    struct timespec time;
    if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) {
        return 0;
    }
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

int32_t varve_posix_boot_identity(char *text, size_t capacity) {
    if (capacity == 0) {
        return -EINVAL;
    }
#ifdef __APPLE__
    size_t count = capacity;
    if (sysctlbyname("kern.bootsessionuuid", text, &count, NULL, 0) != 0) {
        return -errno;
    }
    text[count < capacity ? count : capacity - 1] = 0;
    return 0;
#else
    int32_t descriptor = RETRIED(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    if (descriptor < 0) {
        return descriptor;
    }
    ssize_t count = RETRIED(read(descriptor, text, capacity - 1));
    varve_posix_close(descriptor);
    if (count < 0) {
        return (int32_t)count;
    }
    text[count] = 0;
    return 0;
#endif
}
