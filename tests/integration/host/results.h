/* SPDX-License-Identifier: MIT */
/* What calls return, as lines: two runs on one machine print the same. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char title[128];

static inline void say(const char *call, long result, int error)
{
    const char *name = strerrorname_np((int)result);
    printf("%s: %s = %ld%s%s errno=%d\n", title, call, result, result != 0 ? " " : "",
           result != 0 && name != NULL ? name : "", error);
    fflush(stdout);
}

/* errno must be what it was where the call does not use it. */
#define SAY(call)                                                                                  \
    do {                                                                                           \
        errno = 4711;                                                                              \
        long result_ = (call);                                                                     \
        say(#call, result_, errno);                                                                \
    } while (0)

static inline struct timespec in_ms(clockid_t clock, long ms)
{
    struct timespec time;
    clock_gettime(clock, &time);
    long nsec = time.tv_nsec + ms % 1000 * 1000000;
    time.tv_sec += ms / 1000 + nsec / 1000000000;
    time.tv_nsec = nsec % 1000000000;
    if (time.tv_nsec < 0) {
        time.tv_nsec += 1000000000;
        time.tv_sec--;
    }
    return time;
}

static const struct timespec past = {.tv_sec = 1}, before_1970 = {.tv_sec = -5};
static const struct timespec bad_nsec = {.tv_sec = 1, .tv_nsec = 1000000000};
static const struct timespec negative_nsec = {.tv_sec = 1, .tv_nsec = -1};
#define BAD_CLOCK 77

static inline void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0)
        continue;
}

static inline void in_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        abort();
    pthread_join(thread, NULL);
}
