/* SPDX-License-Identifier: MIT */
/*
 * Burns CPU time 3 : 2 : 1 in burn_three, burn_two and burn_one, without frame pointers.
 * `burn_shares THREADS CPU_MS LIFE_MS` waits for a line on standard input, then THREADS threads at
 * a time use CPU_MS milliseconds of CPU time each; with LIFE_MS > 0 every thread ends after that
 * much and another one takes its place. Prints "ready", and at the end the nanoseconds of CPU time
 * really used: three numbers and the whole process's.
 */
#pragma GCC optimize("O2", "omit-frame-pointer")
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Atomic uint64_t used_ns[3];
static volatile uint64_t sink;

static int64_t cpu_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

#define BURN(name)                                                                                 \
    __attribute__((noinline, noclone)) void name(int64_t until_ns);                                \
    void name(int64_t until_ns)                                                                    \
    {                                                                                              \
        do                                                                                         \
            for (int i = 0; i < 2000; i++)                                                         \
                sink = sink * 6364136223846793005u + 1442695040888963407u;                         \
        while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns);                                        \
    }
BURN(burn_three)
BURN(burn_two)
BURN(burn_one)

struct job {
    int64_t cpu_ms, life_ms;
    uint64_t seed;
};

/* Slices of random length, so that no rhythm of ours meets one of the kernel's. */
static void burn(int64_t for_ns, uint64_t *seed)
{
    static void (*const functions[])(int64_t) = {burn_three, burn_two, burn_one};
    int64_t start_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID), now_ns = start_ns;
    while (now_ns - start_ns < for_ns) {
        for (int i = 0; i < 3; i++) {
            int64_t slice_ns = (int64_t)(next_random(seed) % 400000) * (3 - i);
            functions[i](now_ns + slice_ns);
            int64_t after_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
            used_ns[i] += (uint64_t)(after_ns - now_ns);
            now_ns = after_ns;
        }
    }
}

static void *short_life(void *argument)
{
    struct job *job = argument;
    burn(job->life_ms * 1000000, &job->seed);
    return NULL;
}

static void *long_life(void *argument)
{
    struct job *job = argument;
    if (job->life_ms == 0) {
        burn(job->cpu_ms * 1000000, &job->seed);
        return NULL;
    }
    for (int64_t done_ms = 0; done_ms < job->cpu_ms; done_ms += job->life_ms) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_life, job) != 0)
            exit(1);
        (void)pthread_join(thread, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int count = atoi(argv[1]);
    pthread_t threads[256];
    struct job jobs[256];
    if (count < 1 || count > 256)
        return 2;
    (void)puts("ready");
    (void)fflush(stdout);
    char line[16];
    if (fgets(line, sizeof(line), stdin) == NULL)
        return 1;
    for (int i = 0; i < count; i++) {
        jobs[i] =
            (struct job){atoi(argv[2]), atoi(argv[3]), 88172645463325252u + (uint64_t)i * 977};
        if (pthread_create(&threads[i], NULL, long_life, &jobs[i]) != 0)
            return 1;
    }
    for (int i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    (void)printf("%llu %llu %llu %lld\n", (unsigned long long)used_ns[0],
                 (unsigned long long)used_ns[1], (unsigned long long)used_ns[2],
                 (long long)cpu_ns(CLOCK_PROCESS_CPUTIME_ID));
    (void)fflush(stdout);
    (void)fgets(line, sizeof(line), stdin);
    return 0;
}
