/* The task that is measured. Its first act is to read the clock; then it says when that was, in one write to a pipe. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct stamp {
    uint64_t at_ns;
    uint32_t pid;
    uint32_t reserved;
};

/* Arguments: the pipe, and `exit` for one that fails at once. STAMP_PIPE and STAMP_MODE take their place: a supervisor that starts
   `./run` gives none, or those that it likes. */
int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const char *told = getenv("STAMP_PIPE");
    const char *pipe = told ? told : argc > 1 ? argv[1] : 0;
    const char *mode = told ? getenv("STAMP_MODE") : argc > 2 ? argv[2] : 0;
    struct stamp stamp = {(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, (uint32_t)getpid(), 0};
    int fd = pipe ? open(pipe, O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0 || write(fd, &stamp, sizeof stamp) != (ssize_t)sizeof stamp) return 2;
    close(fd);
    if (mode && !strcmp(mode, "exit")) return 1;
    for (;;) pause();
}
