/* A slower disk: every sync takes longer by what the first four bytes of the file SLOW_SYNC_FILE say, in microseconds. They may
   change at any time, so that rounds with and without it take turns on the same running programs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile uint32_t *extra_us;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SLOW_SYNC_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(0, sizeof *extra_us, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) extra_us = at;
    close(fd);
}

static int slowly(int result) {
    uint32_t us = extra_us ? *extra_us : 0;
    if (us) {
        int error = errno;
        struct timespec left = {us / 1000000, (long)(us % 1000000) * 1000};
        while (nanosleep(&left, &left) && errno == EINTR) {}
        errno = error;
    }
    return result;
}

int fdatasync(int fd) { return slowly((int)syscall(SYS_fdatasync, fd)); }
int fsync(int fd) { return slowly((int)syscall(SYS_fsync, fd)); }
