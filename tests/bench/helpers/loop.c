/* The limit of a supervisor: starts COUNT times the program that is named, and anew whatever ends. It knows no names, writes no logs
   and answers nobody. Arguments: COUNT PROGRAM. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    char *const child[] = {argv[2], 0};
    for (long left = atol(argv[1]); left > 0; left--) {
        pid_t pid;
        if (posix_spawn(&pid, argv[2], 0, 0, child, environ)) return 1;
    }
    while (wait(0) > 0) {
        pid_t pid;
        if (posix_spawn(&pid, argv[2], 0, 0, child, environ)) return 1;
    }
    return 0;
}
