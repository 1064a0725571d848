/* SPDX-License-Identifier: MIT */
/*
 * What a fork costs in a hooked process. `fork_loop MODE COUNT` prints nanoseconds per round:
 * exit: fork, the child leaves at once; exec: fork, the child runs /bin/true. Waits 500 ms first,
 * so that the threads of rthooks are up, as they are in a service.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: fork_loop exit|exec COUNT\n");
        return 2;
    }
    int does_exec = strcmp(argv[1], "exec") == 0;
    long count = strtol(argv[2], NULL, 10);
    struct timespec settle = {.tv_nsec = 500000000};
    (void)nanosleep(&settle, NULL);
    long long start_ns = now_ns();
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (does_exec)
                (void)execl("/bin/true", "true", (char *)NULL);
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            return 1;
    }
    (void)printf("%lld\n", (now_ns() - start_ns) / count);
    return 0;
}
