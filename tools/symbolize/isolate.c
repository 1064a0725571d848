/* SPDX-License-Identifier: MIT */
#include "symbolize/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/fd.h"

#define ANSWER_BYTES_MAX ((size_t)512 << 20)
#define MEMORY_BYTES_MAX ((rlim_t)4 << 30) /* of its own; files it maps do not count */
#define READ_BYTES       ((size_t)256 * 1024)
#define LINGER_MS        200 /* from its last byte to its end */

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void be_child(void (*work)(void *userdata, FILE *out), void *userdata, int fd,
                               unsigned timeout_ms)
{
    struct rlimit none = {0, 0};
    struct rlimit time_s = {timeout_ms / 1000 + 1, timeout_ms / 1000 + 2};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)setrlimit(RLIMIT_CPU, &time_s);
#ifndef __SANITIZE_ADDRESS__ /* its shadow alone is larger */
    struct rlimit memory = {MEMORY_BYTES_MAX, MEMORY_BYTES_MAX};
    (void)setrlimit(RLIMIT_DATA, &memory);
#endif
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0) {
        for (int standard = 0; standard < 3; standard++)
            (void)dup2(null_fd, standard);
    }
    FILE *out = fdopen(fd, "we");
    if (out == NULL)
        _exit(1);
    work(userdata, out);
    _exit(fflush(out) == 0 ? 0 : 1);
}

/* Reads to the end of what the child writes. */
static int collect(int fd, int64_t deadline_ms, struct isolated_answer *answer)
{
    size_t capacity = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - now_ms();
        if (left_ms <= 0)
            return -ETIMEDOUT;
        if (poll(&wait, 1, (int)left_ms) <= 0)
            continue;
        if (capacity - answer->size_bytes < READ_BYTES) {
            capacity = 2 * capacity + READ_BYTES;
            char *grown =
                capacity <= 2 * ANSWER_BYTES_MAX ? realloc(answer->bytes, capacity) : NULL;
            if (grown == NULL)
                return -E2BIG;
            answer->bytes = grown;
        }
        ssize_t got = read(fd, answer->bytes + answer->size_bytes, READ_BYTES);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            answer->size_bytes += (size_t)got;
        if (answer->size_bytes > ANSWER_BYTES_MAX)
            return -E2BIG;
    }
}

/* Ends the child if it does not end by itself. Returns the signal that ended it, 0: none. */
static int reap(pid_t pid, int64_t deadline_ms)
{
    int status;
    struct timespec pause = {0, 1000000};
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() >= deadline_ms) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return SIGKILL;
        }
        (void)nanosleep(&pause, NULL);
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int isolated_run(void (*work)(void *userdata, FILE *out), void *userdata, unsigned timeout_ms,
                 struct isolated_answer *ret_answer)
{
    struct isolated_answer answer = {0};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int error = -errno;
        (void)rth__close(ends[0]);
        (void)rth__close(ends[1]);
        return error;
    }
    if (pid == 0) {
        (void)close(ends[0]);
        be_child(work, userdata, ends[1], timeout_ms);
    }
    (void)rth__close(ends[1]);
    int error = collect(ends[0], now_ms() + timeout_ms, &answer);
    (void)rth__close(ends[0]);
    answer.signal = reap(pid, error == 0 ? now_ms() + LINGER_MS : 0);
    if (error != 0)
        free(answer.bytes);
    else
        *ret_answer = answer;
    return error;
}
