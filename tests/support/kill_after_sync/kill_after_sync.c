/* Kills the process around a sync, so that a test hits the moments between "written", "durable" and "acknowledged", which a kill
 * from outside hardly ever does. Preloaded; KILL_SYNC_AT is the number of the sync (1 is the first), KILL_SYNC_WHEN is `before`
 * (written, nobody was told, and the system may still have it) or `after` (durable, and nobody was told). A kill leaves what the
 * system's cache holds; what a power cut takes from it is the recorder's part. With KILL_SYNC_ARMED, a path, syncs count from
 * when that file exists. A sync that fails does not count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int armed;
static atomic_long counted;

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is_armed(void) {
    const char *path;
    if (armed) return 1;
    path = getenv("KILL_SYNC_ARMED");
    if (path && access(path, F_OK)) return 0;
    armed = 1;
    return 1;
}

static int around(int (*real)(int), int fd) {
    const char *at = getenv("KILL_SYNC_AT"), *when = getenv("KILL_SYNC_WHEN");
    long wanted = at ? atol(at) : 0;
    int result;
    if (!wanted || !when || !is_armed()) return real(fd);
    if (!strcmp(when, "before")) {
        if (atomic_fetch_add(&counted, 1) + 1 == wanted) die();
        return real(fd);
    }
    result = real(fd);
    if (result == 0 && atomic_fetch_add(&counted, 1) + 1 == wanted) die();
    return result;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return around(real, fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return around(real, fd);
}
