/* SPDX-License-Identifier: MIT */
/*
 * `queue_crowd THREADS MS`: THREADS threads sleep in poll, four more use the CPU, and the main one
 * sends itself queued signals all the time, at most two at once. Prints "ready", and at the end how
 * many could not be queued, how many poll calls ended with EINTR, and how many signals were sent.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_bool stop;
static atomic_long interrupted;
static volatile unsigned long sink;

static void *sleep_in_poll(void *unused)
{
    while (!stop)
        if (poll(NULL, 0, 200) < 0 && errno == EINTR)
            interrupted++;
    return unused;
}

__attribute__((noinline)) static void busy_work(void)
{
    for (int i = 0; i < 100000; i++)
        sink = sink * 6364136223846793005u + 1;
}

static void *burn(void *unused)
{
    while (!stop)
        busy_work();
    return unused;
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long sleepers = strtol(argv[1], NULL, 10), refused = 0, sent = 0;
    pthread_t *threads = calloc((size_t)sleepers + 4, sizeof(*threads));
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGRTMIN);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (long i = 0; i < sleepers + 4; i++)
        if (pthread_create(&threads[i], NULL, i < 4 ? burn : sleep_in_poll, NULL) != 0)
            return 1;
    printf("ready\n");
    (void)fflush(stdout);
    long until_ms = now_ms() + strtol(argv[2], NULL, 10);
    while (now_ms() < until_ms) {
        const struct timespec pause = {.tv_nsec = 1000000}, none = {0};
        for (int i = 0; i < 2; i++)
            refused += sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) != 0;
        sent += 2;
        while (sigtimedwait(&set, NULL, &none) > 0)
            continue;
        (void)nanosleep(&pause, NULL);
    }
    stop = true;
    for (long i = 0; i < sleepers + 4; i++)
        (void)pthread_join(threads[i], NULL);
    printf("%ld %ld %ld\n", refused, (long)interrupted, sent);
    return 0;
}
