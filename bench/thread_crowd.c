/* SPDX-License-Identifier: MIT */
/*
 * A process to dump: `thread_crowd SLEEPERS RUNNERS`. Sleepers wait, one half in poll, the other
 * half for a futex; runners look at the clock. Prints "ready"; at each line of standard input the
 * longest time in nanoseconds that a runner lost since the line before: while it kept its CPU, and
 * in whatever way.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NOTICED_NS 500

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long long longest_on_cpu_ns, longest_ns;

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *sleeper(void *kind)
{
    if (kind == NULL)
        return (void *)(long)poll(NULL, 0, -1);
    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&condition, &mutex);
    return NULL;
}

static long switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw + usage.ru_nvcsw;
}

static void raise_to(long long *longest, long long value_ns)
{
    long long seen = __atomic_load_n(longest, __ATOMIC_RELAXED);
    while (value_ns > seen && !__atomic_compare_exchange_n(longest, &seen, value_ns, 0,
                                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static void *runner(void *unused)
{
    (void)unused;
    long before_switches = switches();
    for (long long before_ns = now_ns();;) {
        long long ns = now_ns();
        if (ns - before_ns > NOTICED_NS) {
            long count = switches();
            if (count == before_switches)
                raise_to(&longest_on_cpu_ns, ns - before_ns);
            raise_to(&longest_ns, ns - before_ns);
            before_switches = count;
            ns = now_ns();
        }
        before_ns = ns;
    }
    return NULL;
}

static void start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    if (pthread_create(&thread, &attributes, function, argument) != 0)
        exit(2);
}

int main(int argc, char **argv)
{
    char line[16];
    long sleepers = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    long runners = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    for (long i = 0; i < sleepers; i++)
        start(sleeper, i % 2 != 0 ? &mutex : NULL);
    for (long i = 0; i < runners; i++)
        start(runner, NULL);
    sleep(1);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("%lld %lld\n", __atomic_exchange_n(&longest_on_cpu_ns, 0, __ATOMIC_RELAXED),
               __atomic_exchange_n(&longest_ns, 0, __ATOMIC_RELAXED));
        fflush(stdout);
    }
    return 0;
}
