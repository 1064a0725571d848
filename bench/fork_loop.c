/* SPDX-License-Identifier: MIT */
/*
 * What a fork costs in a hooked process. `fork_loop exit|exec COUNT THREADS` prints nanoseconds
 * per round: exit: fork, the child leaves at once; exec: fork, the child runs /bin/true. Waits 500
 * ms first, so that the threads of rthooks are up, as they are in a service. THREADS idle threads
 * of its own tell what any threads cost a fork, whoever made them.
 * `fork_loop child` forks one child that waits for its end of input, and prints its pid.
 */
#include <poll.h>
#include <pthread.h>
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

static void *idle(void *unused)
{
    for (;;)
        (void)pause();
    return unused;
}

/* The child blocks in poll, where a hooked one may be adopted. */
static int one_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        while (poll(&input, 1, -1) == -1)
            ;
        _exit(0);
    }
    (void)printf("%d\n", (int)pid);
    (void)fflush(stdout);
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static int fork_rounds(int does_exec, long count)
{
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

int main(int argc, char **argv)
{
    int is_child = argc == 2 && strcmp(argv[1], "child") == 0;
    if (!is_child && argc != 4) {
        (void)fprintf(stderr, "usage: fork_loop exit|exec COUNT THREADS | fork_loop child\n");
        return 2;
    }
    long threads = is_child ? 0 : strtol(argv[3], NULL, 10);
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, idle, NULL) != 0)
            return 1;
    }
    struct timespec settle = {.tv_nsec = 500000000};
    (void)nanosleep(&settle, NULL);
    if (is_child)
        return one_child();
    return fork_rounds(strcmp(argv[1], "exec") == 0, strtol(argv[2], NULL, 10));
}
