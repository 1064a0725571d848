/* SPDX-License-Identifier: MIT */
/*
 * `spawn_signals MS DISPOSITION`: for MS milliseconds makes children by fork, vfork, posix_spawn,
 * system and popen while a thread uses the CPU; each child tells its masks of ignored and blocked
 * signals. DISPOSITION: default, ignored or handled, of SIGPROF. Prints what the first child of
 * each kind told, and whether all said the same.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND "grep -E '^Sig(Ign|Blk|Pnd)' /proc/self/status"
#define KINDS   4

static volatile unsigned long sink;
static const char *const kind_name[KINDS] = {"fork", "vfork", "posix_spawn", "system"};

static void *burn(void *unused)
{
    for (;;)
        sink = sink * 6364136223846793005u + 1;
    return unused;
}

static void nothing(int number)
{
    (void)number;
}

/* The child's standard output is `fd`; its wait status, -1 on failure. */
static int run_child(int kind, int fd)
{
    static char *const argv[] = {"sh", "-c", "exec " COMMAND, NULL};
    pid_t pid = -1;
    int status = -1, saved;
    posix_spawn_file_actions_t actions;
    switch (kind) {
    case 0:
    case 1:
        pid = kind == 0 ? fork() : vfork();
        if (pid == 0) {
            (void)dup2(fd, 1);
            (void)execv("/bin/sh", argv);
            _exit(99);
        }
        break;
    case 2:
        (void)posix_spawn_file_actions_init(&actions);
        (void)posix_spawn_file_actions_adddup2(&actions, fd, 1);
        if (posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ) != 0)
            pid = -1;
        (void)posix_spawn_file_actions_destroy(&actions);
        break;
    default:
        saved = dup(1);
        (void)dup2(fd, 1);
        status = system(COMMAND);
        (void)dup2(saved, 1);
        (void)close(saved);
        return status;
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void tell(int kind, char *ret_text, size_t size)
{
    int fds[2];
    size_t used = 0;
    ssize_t got;
    if (pipe(fds) != 0)
        exit(1);
    int status = run_child(kind, fds[1]);
    (void)close(fds[1]);
    while (used + 1 < size && (got = read(fds[0], ret_text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    ret_text[used] = '\0';
    (void)close(fds[0]);
    (void)snprintf(ret_text + used, size - used, "status %d\n", status);
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    char first[KINDS][512], again[512];
    bool same = true;
    pthread_t thread;
    if (argc != 3 || pthread_create(&thread, NULL, burn, NULL) != 0)
        return 2;
    /* Half of the time passes first, so that the signal is in use when we choose. */
    long start_ms = now_ms(), length_ms = strtol(argv[1], NULL, 10);
    while (now_ms() < start_ms + length_ms / 2)
        (void)sched_yield();
    if (argv[2][0] != 'd')
        (void)signal(SIGPROF, argv[2][0] == 'i' ? SIG_IGN : nothing);
    for (int kind = 0; kind < KINDS; kind++) {
        tell(kind, first[kind], sizeof(first[kind]));
        printf("%s\n%s", kind_name[kind], first[kind]);
    }
    while (now_ms() < start_ms + length_ms) {
        for (int kind = 0; kind < KINDS; kind++) {
            tell(kind, again, sizeof(again));
            same = same && strcmp(first[kind], again) == 0;
        }
    }
    printf("%s\n", same ? "same" : "different");
    return 0;
}
