/* Records what a process does to the files below one directory, so that a test can rebuild what a power cut would have
 * left of them. Preloaded; RECORDER_ROOT is the directory (an absolute path that exists), RECORDER_TRACE the file that
 * takes the events, RECORDER_MARKS a file whose writes are noted as marks of the workload.
 *
 * An event is: u8 kind, u64 inode, u64 number, u32 path length, u32 data length, path, data; little-endian. The calls
 * are made under one lock, so that the order of events is the order of effects. Files are known by inode, because a
 * descriptor outlives the name of its file. sync_file_range is noted but makes nothing durable: it does not empty the
 * disk's cache, nor does it write meta data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { ROOT = 0, CREATE, MKDIR, WRITE, TRUNCATE, FSYNC, FDATASYNC, RANGE, RENAME, UNLINK, MARK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char root[PATH_MAX], marks[PATH_MAX];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void put(const void *bytes, size_t len) {
    const char *at = bytes;
    while (len) {
        long n = syscall(SYS_write, trace, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) { fprintf(stderr, "recorder: cannot write the trace\n"); _exit(99); }
        at += n;
        len -= (size_t)n;
    }
}

static void event(enum kind kind, uint64_t inode, uint64_t number, const char *path, const void *data, size_t len) {
    unsigned char head[25];
    uint32_t path_len = path ? (uint32_t)strlen(path) : 0, data_len = (uint32_t)len;
    int saved = errno;
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &number, 8);
    memcpy(head + 17, &path_len, 4);
    memcpy(head + 21, &data_len, 4);
    put(head, sizeof head);
    put(path, path_len);
    put(data, len);
    errno = saved;
}

__attribute__((constructor)) static void start(void) {
    const char *r = getenv("RECORDER_ROOT"), *t = getenv("RECORDER_TRACE"), *m = getenv("RECORDER_MARKS");
    struct stat st;
    if (!r || !t || !m) return;
    snprintf(root, sizeof root, "%s", r);
    snprintf(marks, sizeof marks, "%s", m);
    trace = (int)syscall(SYS_openat, AT_FDCWD, t, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (trace < 0 || stat(root, &st)) { fprintf(stderr, "recorder: cannot start\n"); _exit(99); }
    event(ROOT, st.st_ino, 0, root, NULL, 0);
}

static int below(const char *path) {
    size_t len = strlen(root);
    return trace >= 0 && path && !strncmp(path, root, len) && (path[len] == '/' || !path[len]);
}

/* 1 for a file below the root, 2 for the marks, 0 for everything else. */
static int watched(int fd, struct stat *st) {
    char link[64], path[PATH_MAX];
    ssize_t len;
    int saved = errno, result = 0;
    if (trace < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    if (len > 0) {
        path[len] = 0;
        if (!strcmp(path, marks)) result = 2;
        else if (below(path) && !fstat(fd, st)) result = 1;
    }
    errno = saved;
    return result;
}

static int opened(int (*call)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    struct stat st;
    int fd, existed;
    if (!below(path) || !(flags & (O_CREAT | O_TRUNC))) return call(path, flags, mode);
    pthread_mutex_lock(&lock);
    existed = !access(path, F_OK);
    fd = call(path, flags, mode);
    if (fd >= 0 && !fstat(fd, &st)) {
        if (!existed) event(CREATE, st.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC) event(TRUNCATE, st.st_ino, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags, mode) \
    mode_t mode = 0; \
    if (flags & O_CREAT) { va_list args; va_start(args, flags); mode = va_arg(args, mode_t); va_end(args); }

int open(const char *path, int flags, ...) { MODE_OF(flags, mode) REAL(open); return opened(real, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags, mode) REAL(open64); return opened(real, path, flags, mode); }

static ssize_t wrote(int fd, const void *bytes, ssize_t n, int is_watched, uint64_t inode, off_t offset) {
    if (n > 0 && is_watched) event(is_watched == 2 ? MARK : WRITE, inode, (uint64_t)offset, NULL, bytes, (size_t)n);
    (void)fd;
    return n;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    struct stat st = {0};
    REAL(write);
    int is = watched(fd, &st);
    if (!is) return real(fd, bytes, len);
    pthread_mutex_lock(&lock);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (fcntl(fd, F_GETFL) & O_APPEND) offset = lseek(fd, 0, SEEK_END);
    ssize_t n = wrote(fd, bytes, real(fd, bytes, len), is, st.st_ino, offset);
    pthread_mutex_unlock(&lock);
    return n;
}

static ssize_t positioned(ssize_t (*call)(int, const void *, size_t, off_t), int fd, const void *bytes, size_t len,
                          off_t offset) {
    struct stat st = {0};
    int is = watched(fd, &st);
    if (!is) return call(fd, bytes, len, offset);
    pthread_mutex_lock(&lock);
    ssize_t n = wrote(fd, bytes, call(fd, bytes, len, offset), is, st.st_ino, offset);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { REAL(pwrite); return positioned(real, fd, b, n, at); }
ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { REAL(pwrite64); return positioned(real, fd, b, n, at); }

/* One buffer at a time: a short write is allowed, and callers go on with the rest. */
ssize_t writev(int fd, const struct iovec *buffers, int count) {
    struct stat st = {0};
    REAL(writev);
    if (!watched(fd, &st)) return real(fd, buffers, count);
    for (int i = 0; i < count; i++)
        if (buffers[i].iov_len) return write(fd, buffers[i].iov_base, buffers[i].iov_len);
    return 0;
}

static int synced(int (*call)(int), enum kind kind, int fd) {
    struct stat st;
    int result;
    if (watched(fd, &st) != 1) return call(fd);
    pthread_mutex_lock(&lock);
    result = call(fd);
    if (!result) event(kind, st.st_ino, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { REAL(fsync); return synced(real, FSYNC, fd); }
int fdatasync(int fd) { REAL(fdatasync); return synced(real, FDATASYNC, fd); }

int sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags) {
    struct stat st;
    REAL(sync_file_range);
    int result = real(fd, offset, len, flags);
    if (watched(fd, &st) == 1) {
        pthread_mutex_lock(&lock);
        event(RANGE, st.st_ino, (uint64_t)offset, NULL, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

static int truncated(int (*call)(int, off_t), int fd, off_t len) {
    struct stat st;
    int result;
    if (watched(fd, &st) != 1) return call(fd, len);
    pthread_mutex_lock(&lock);
    result = call(fd, len);
    if (!result) event(TRUNCATE, st.st_ino, (uint64_t)len, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t len) { REAL(ftruncate); return truncated(real, fd, len); }
int ftruncate64(int fd, off_t len) { REAL(ftruncate64); return truncated(real, fd, len); }

int rename(const char *from, const char *to) {
    int result;
    REAL(rename);
    if (!below(from)) return real(from, to);
    pthread_mutex_lock(&lock);
    result = real(from, to);
    if (!result) event(RENAME, 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    int result;
    REAL(unlink);
    if (!below(path)) return real(path);
    pthread_mutex_lock(&lock);
    result = real(path);
    if (!result) event(UNLINK, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    struct stat st;
    int result;
    REAL(mkdir);
    if (!below(path)) return real(path, mode);
    pthread_mutex_lock(&lock);
    result = real(path, mode);
    if (!result && !stat(path, &st)) event(MKDIR, st.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
