/* SPDX-License-Identifier: MIT */
/*
 * What locks cost. bench/run.py starts it bare and hooked in turn.
 *
 *   bench_locks pairs       locks that nobody else wants, in nanoseconds of the thread's CPU time:
 *                           waits for a byte of input, so that a hooked one is past its start,
 *                           and prints a line of JSON; every value is the least of several passes
 *   bench_locks calibrate   steps of work per microsecond, for the next one
 *   bench_locks contended THREADS STEPS
 *                           threads that take one mutex in turn, STEPS of work with it and as many
 *                           without; for each line of input with a number of milliseconds it does
 *                           that for so long and prints "OPERATIONS NANOSECONDS HOLD HOLD", the
 *                           holds being the 99.9th percentile and the longest, in nanoseconds
 *
 * Work is steps, not time, so that bare and hooked programs have the same to do. A hold is the time
 * from the return of the lock to the call of the unlock: what a wrapper did there would show.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PASSES          40
#define PAIRS           50000
#define CALIBRATE_STEPS 200000u
#define THREADS_MAX     16u
#define STEPS_MAX       10000000u
#define FAR_MS          10000u

static double cpu_time_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* 0: no number from 1 to max. */
static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    bool is_whole = end != text && (*end == '\0' || *end == '\n');
    return is_whole && value <= max ? (unsigned)value : 0;
}

static void pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

/* ---- locks that nobody else wants -------------------------------------------------------------
 */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;

static void mutex_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        (void)pthread_mutex_lock(&mutex);
        (void)pthread_mutex_unlock(&mutex);
    }
}

static void read_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        (void)pthread_rwlock_rdlock(&rwlock);
        (void)pthread_rwlock_unlock(&rwlock);
    }
}

static void write_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        (void)pthread_rwlock_wrlock(&rwlock);
        (void)pthread_rwlock_unlock(&rwlock);
    }
}

static void signals(void)
{
    for (int i = 0; i < PAIRS; i++)
        (void)pthread_cond_signal(&condition);
}

static void semaphore_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        (void)sem_post(&semaphore);
        (void)sem_wait(&semaphore);
    }
}

static double least_ns(void (*calls)(void))
{
    double least = 1e18;
    for (int pass = 0; pass < PASSES; pass++) {
        double start = cpu_time_ns();
        calls();
        double ns = (cpu_time_ns() - start) / PAIRS;
        if (ns < least)
            least = ns;
    }
    return least;
}

static void *sleep_for_ever(void *argument)
{
    for (;;)
        (void)pause();
    return argument;
}

static int pairs(void)
{
    /* Locks are cheaper in a program of one thread, and a hooked one never is. */
    pthread_t idle;
    char byte;
    if (pthread_create(&idle, NULL, sleep_for_ever, NULL) != 0 || sem_init(&semaphore, 0, 0) != 0)
        return 1;
    (void)!read(STDIN_FILENO, &byte, 1);
    pin(0);
    (void)printf("{\"mutex_ns\": %.3f", least_ns(mutex_pairs));
    (void)printf(", \"rwlock_read_ns\": %.3f", least_ns(read_pairs));
    (void)printf(", \"rwlock_write_ns\": %.3f", least_ns(write_pairs));
    (void)printf(", \"cond_signal_ns\": %.3f", least_ns(signals));
    (void)printf(", \"semaphore_ns\": %.3f}\n", least_ns(semaphore_pairs));
    return 0;
}

/* ---- work -------------------------------------------------------------------------------------
 */

static uint64_t work(uint64_t state, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(state));
    }
    return state;
}

static int calibrate(void)
{
    uint64_t state = 1;
    double least = 1e18;
    pin(0);
    for (int pass = 0; pass < PASSES; pass++) {
        double start = cpu_time_ns();
        state = work(state, CALIBRATE_STEPS);
        double ns = cpu_time_ns() - start;
        if (ns < least)
            least = ns;
    }
    (void)printf("%.3f\n", CALIBRATE_STEPS * 1e3 / least);
    return 0;
}

/* ---- how long a lock was held -----------------------------------------------------------------
 */

/* Sixty-four buckets for each power of two: within 1.6 %. */
#define PART_BITS 6
#define PARTS     (1u << PART_BITS)
#define BUCKETS   ((64 - PART_BITS + 1) * PARTS)

static unsigned bucket_of(uint64_t ns)
{
    if (ns < PARTS)
        return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - PART_BITS;
    return (shift + 1) * PARTS + (unsigned)((ns >> shift) - PARTS);
}

static uint64_t bucket_ns(unsigned bucket)
{
    if (bucket < PARTS)
        return bucket;
    return (uint64_t)(bucket % PARTS + PARTS) << (bucket / PARTS - 1);
}

/* ---- one mutex for all ------------------------------------------------------------------------
 */

struct worker {
    _Alignas(64) pthread_t thread;
    unsigned cpu, steps;
    uint64_t operations, longest_ns, holds[BUCKETS];
};

static struct worker workers[THREADS_MAX];
static _Alignas(64) pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static _Alignas(64) uint64_t guarded = 1; /* by shared */
static _Alignas(64) atomic_bool is_over;
static pthread_barrier_t begin;

static void *take_in_turn(void *argument)
{
    struct worker *worker = argument;
    uint64_t own = worker->cpu;
    pin(worker->cpu);
    (void)pthread_barrier_wait(&begin);
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        (void)pthread_mutex_lock(&shared);
        uint64_t start = now_ns();
        guarded = work(guarded, worker->steps);
        uint64_t held_ns = now_ns() - start;
        (void)pthread_mutex_unlock(&shared);
        worker->operations++;
        worker->holds[bucket_of(held_ns)]++;
        if (held_ns > worker->longest_ns)
            worker->longest_ns = held_ns;
        own = work(own, worker->steps);
    }
    return NULL;
}

static void report(unsigned threads, uint64_t elapsed_ns)
{
    uint64_t operations = 0, longest_ns = 0, seen = 0;
    for (unsigned i = 0; i < threads; i++) {
        operations += workers[i].operations;
        if (workers[i].longest_ns > longest_ns)
            longest_ns = workers[i].longest_ns;
    }
    unsigned bucket = BUCKETS;
    while (bucket > 0 && seen <= operations / 1000) {
        bucket--;
        for (unsigned i = 0; i < threads; i++)
            seen += workers[i].holds[bucket];
    }
    (void)printf("%llu %llu %llu %llu\n", (unsigned long long)operations,
                 (unsigned long long)elapsed_ns, (unsigned long long)bucket_ns(bucket),
                 (unsigned long long)longest_ns);
}

static bool burst(unsigned threads, unsigned steps, unsigned milliseconds)
{
    unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    struct timespec duration = {.tv_sec = milliseconds / 1000,
                                .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    atomic_store_explicit(&is_over, false, memory_order_relaxed);
    memset(workers, 0, sizeof(workers));
    if (pthread_barrier_init(&begin, NULL, threads + 1) != 0)
        return false;
    for (unsigned i = 0; i < threads; i++) {
        workers[i].cpu = i % cpus;
        workers[i].steps = steps;
        if (pthread_create(&workers[i].thread, NULL, take_in_turn, &workers[i]) != 0)
            return false;
    }
    (void)pthread_barrier_wait(&begin);
    uint64_t start = now_ns();
    (void)nanosleep(&duration, NULL);
    atomic_store_explicit(&is_over, true, memory_order_relaxed);
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(workers[i].thread, NULL);
    report(threads, now_ns() - start);
    (void)pthread_barrier_destroy(&begin);
    return true;
}

static int contended(unsigned threads, unsigned steps)
{
    char line[32];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        unsigned milliseconds = number(line, FAR_MS);
        if (milliseconds == 0 || !burst(threads, steps, milliseconds) || fflush(stdout) != 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned threads = argc == 4 ? number(argv[2], THREADS_MAX) : 0;
    unsigned steps = argc == 4 ? number(argv[3], STEPS_MAX) : 0;
    if (argc == 2 && strcmp(argv[1], "pairs") == 0)
        return pairs();
    if (argc == 2 && strcmp(argv[1], "calibrate") == 0)
        return calibrate();
    if (argc == 4 && strcmp(argv[1], "contended") == 0 && threads != 0 && steps != 0)
        return contended(threads, steps);
    (void)fprintf(stderr,
                  "usage: bench_locks pairs | bench_locks calibrate\n"
                  "       bench_locks contended THREADS STEPS   (1 to %u, 1 to %u)\n",
                  THREADS_MAX, STEPS_MAX);
    return 2;
}
