/* SPDX-License-Identifier: MIT */
/*
 * Pairs of malloc and free, in nanoseconds of the thread's CPU time, under whatever allocator and
 * wrappers the program was started with. bench/run.py starts it bare and hooked in turn.
 *
 *   bench_heap pairs          64 bytes; a mix of sizes with a mean of 527 bytes; blocks of a page;
 *                             then the first two on two threads at once
 *   bench_heap sample DEPTH   64 bytes, called DEPTH frames deep, to be run at a small interval
 *
 * Waits for a byte of input, so that a hooked one is past its start; prints a line of JSON; and
 * waits for the end of its input, so that it can be asked what it counted. Every value is the least
 * of several passes: what a busy machine adds is not ours.
 */
#include <execinfo.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PASSES       12
#define PAIRS        100000
#define RING         256 /* blocks held by the mix and by the pages */
#define MIX_SIZES    1024
#define MIX_MEAN     527
#define PAGE_BYTES   4096
#define HELD_BLOCKS  16384 /* 64 MiB, so that some samples are alive */
#define FRAMES_MAX   256
#define SAMPLE_PAIRS 400000

static size_t mix[MIX_SIZES];
static void *held[HELD_BLOCKS];

/* Of many small sizes and a few large ones, scaled to the mean. */
static void mix_make(void)
{
    uint64_t state = 88172645463325252u;
    double wanted[MIX_SIZES], sum = 0;
    for (size_t i = 0; i < MIX_SIZES; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double part = (double)(state >> 11) / (double)(UINT64_C(1) << 53);
        wanted[i] = 1.0 / (1.01 - part);
        sum += wanted[i];
    }
    for (size_t i = 0; i < MIX_SIZES; i++)
        mix[i] = 16 + (size_t)(wanted[i] * (MIX_MEAN - 16) * MIX_SIZES / sum);
}

static double thread_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void *used(void *block)
{
    __asm__ volatile("" : "+r"(block)::"memory");
    return block;
}

static void small_pairs(void **ring)
{
    (void)ring;
    for (int i = 0; i < PAIRS; i++)
        free(used(malloc(64)));
}

static void mixed_pairs(void **ring)
{
    for (int i = 0; i < PAIRS; i++) {
        free(ring[i % RING]);
        ring[i % RING] = used(malloc(mix[i % MIX_SIZES]));
    }
}

static void page_pairs(void **ring)
{
    for (int i = 0; i < PAIRS; i++) {
        free(ring[i % RING]);
        ring[i % RING] = used(malloc(PAGE_BYTES));
    }
}

typedef void (*pairs_fn)(void **ring);

/* barrier: for each pass, NULL for none. */
static double least_ns(pairs_fn pairs, pthread_barrier_t *barrier)
{
    void *ring[RING] = {NULL};
    double least = 1e18;
    for (int pass = 0; pass < PASSES; pass++) {
        if (barrier != NULL)
            (void)pthread_barrier_wait(barrier);
        double start = thread_ns();
        pairs(ring);
        double ns = (thread_ns() - start) / PAIRS;
        if (ns < least)
            least = ns;
    }
    for (size_t i = 0; i < RING; i++)
        free(ring[i]);
    return least;
}

static void pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

/* ---- two threads ----------------------------------------------------------------------------- */

struct runner {
    pairs_fn pairs;
    pthread_barrier_t *barrier;
    double ns;
};

static void *run(void *argument)
{
    struct runner *runner = argument;
    pin(1);
    runner->ns = least_ns(runner->pairs, runner->barrier);
    return NULL;
}

static double two_threads_ns(pairs_fn pairs)
{
    pthread_barrier_t barrier;
    pthread_t thread;
    struct runner other = {.pairs = pairs, .barrier = &barrier};
    if (pthread_barrier_init(&barrier, NULL, 2) != 0 ||
        pthread_create(&thread, NULL, run, &other) != 0)
        exit(1);
    double ns = least_ns(pairs, &barrier);
    (void)pthread_join(thread, NULL);
    return (ns + other.ns) / 2;
}

/* ---- deep in the stack ------------------------------------------------------------------------
 */

static double sample_pair_ns;

static void sample_pairs(void)
{
    sample_pair_ns = 1e18;
    for (int pass = 0; pass < PASSES; pass++) {
        double start = thread_ns();
        for (int i = 0; i < SAMPLE_PAIRS; i++)
            free(used(malloc(64)));
        double ns = (thread_ns() - start) / SAMPLE_PAIRS;
        if (ns < sample_pair_ns)
            sample_pair_ns = ns;
    }
}

__attribute__((noinline)) static int deeper(int frames, int wanted)
{
    void *addresses[FRAMES_MAX];
    if (frames == 0) {
        int depth = backtrace(addresses, FRAMES_MAX);
        if (wanted != 0)
            sample_pairs();
        return depth;
    }
    int depth = deeper(frames - 1, wanted);
    __asm__ volatile("" ::: "memory");
    return depth;
}

static int sample(int wanted)
{
    int missing = wanted - deeper(0, 0);
    if (missing < 0)
        return 2;
    int depth = deeper(missing, wanted);
    (void)printf("{\"depth\": %d, \"pairs\": %d, \"pair_ns\": %.3f}\n", depth,
                 PASSES * SAMPLE_PAIRS, sample_pair_ns);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- */

static void pairs(void)
{
    (void)printf("{\"small_ns\": %.3f", least_ns(small_pairs, NULL));
    (void)printf(", \"mix_ns\": %.3f", least_ns(mixed_pairs, NULL));
    (void)printf(", \"page_ns\": %.3f", least_ns(page_pairs, NULL));
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        (void)printf(", \"small_two_threads_ns\": %.3f", two_threads_ns(small_pairs));
        (void)printf(", \"mix_two_threads_ns\": %.3f", two_threads_ns(mixed_pairs));
    }
    (void)printf("}\n");
}

static void *sleep_for_ever(void *argument)
{
    for (;;)
        (void)pause();
    return argument;
}

int main(int argc, char **argv)
{
    bool is_sample = argc == 3 && strcmp(argv[1], "sample") == 0;
    int depth = is_sample ? (int)strtol(argv[2], NULL, 10) : 0, status = 0;
    if (!(argc == 2 && strcmp(argv[1], "pairs") == 0) && (depth < 1 || depth > FRAMES_MAX)) {
        (void)fprintf(stderr, "usage: bench_heap pairs | bench_heap sample DEPTH   (1 to %d)\n",
                      FRAMES_MAX);
        return 2;
    }
    /* Allocators are faster in a program of one thread, and a hooked one never is. */
    pthread_t idle;
    if (pthread_create(&idle, NULL, sleep_for_ever, NULL) != 0)
        return 1;
    char byte;
    (void)!read(STDIN_FILENO, &byte, 1);
    pin(0);
    mix_make();
    for (size_t i = 0; i < HELD_BLOCKS; i++)
        held[i] = malloc(PAGE_BYTES);
    if (is_sample)
        status = sample(depth);
    else
        pairs();
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return status;
}
