/* SPDX-License-Identifier: MIT */
/*
 * bench_unwind [REPEAT]: what a frame costs. One stack of DEPTH frames without frame pointers,
 * walked by turns by our walker (with a warm cache, with an empty one, with none), by libgcc's
 * _Unwind_Backtrace and, where it is installed, by libunwind's unw_backtrace. Prints one JSON
 * object: the samples of each, in ns per frame.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#include "os/clock.h"
#include "unwind/unwind.h"

#define DEPTH       36
#define REPEAT_MIN  20
#define ROUNDS      2048
#define COLD_CACHES 64 /* a divisor of ROUNDS */

/* Loaded by hand: merely linking the library replaces _Unwind_Backtrace of the whole program. */
#define LIBUNWIND_NAME "libunwind.so.8"
typedef int (*unw_backtrace_fn)(void **, int);
static unw_backtrace_fn libunwind_backtrace; /* NULL: not installed */

static union {
    unsigned char bytes[RTH_UNWIND_CACHE_BYTES];
    _Alignas(64) uint64_t align;
} cache[COLD_CACHES];

static rth_frame frames[RTH_UNWIND_FRAMES_MAX];
static struct rth_registers start;
static struct rth_unwind_stack stack;

enum peer { OURS_WARM, OURS_COLD, OURS_NO_CACHE, LIBGCC, LIBUNWIND, PEER_COUNT };
static const char *const peer_name[PEER_COUNT] = {"ours_warm", "ours_cold", "ours_no_cache",
                                                  "libgcc", "libunwind"};
static unsigned frame_count[PEER_COUNT];

static unsigned walk_ours(void *with_cache)
{
    enum rth_unwind_end end;
    unsigned count =
        rth__unwind_sigsafe(&start, &stack, with_cache, frames, RTH_UNWIND_FRAMES_MAX, &end);
    if (end != RTH_UNWIND_ROOT) {
        (void)fprintf(stderr, "bench_unwind: the walk ended with %s after %u frames\n",
                      rth__unwind_end_name(end), count);
        exit(1);
    }
    return count;
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *count)
{
    frames[*(unsigned *)count] = _Unwind_GetIP(context);
    ++*(unsigned *)count;
    return _URC_NO_REASON;
}

static unsigned walk_once(enum peer peer, unsigned round)
{
    unsigned count = 0;
    switch (peer) {
    case OURS_WARM:
        return walk_ours(&cache[0]);
    case OURS_COLD:
        return walk_ours(&cache[round % COLD_CACHES]);
    case OURS_NO_CACHE:
        return walk_ours(NULL);
    case LIBGCC:
        (void)_Unwind_Backtrace(count_frame, &count);
        return count;
    default:
        return (unsigned)libunwind_backtrace((void **)frames, RTH_UNWIND_FRAMES_MAX);
    }
}

/* ns per frame. An empty cache is a cleared one; clearing is not part of the time. */
static double measure(enum peer peer)
{
    int64_t elapsed_ns = 0;
    unsigned count = walk_once(peer, 0);
    unsigned batch = peer == OURS_COLD ? COLD_CACHES : ROUNDS;
    for (unsigned done = 0; done < ROUNDS; done += batch) {
        if (peer == OURS_COLD)
            memset(cache, 0, sizeof(cache));
        int64_t start_ns = rth__clock_monotonic_ns_sigsafe();
        for (unsigned round = 0; round < batch; round++)
            count = walk_once(peer, round);
        elapsed_ns += rth__clock_monotonic_ns_sigsafe() - start_ns;
    }
    frame_count[peer] = count;
    return (double)elapsed_ns / ROUNDS / count;
}

static bool is_present(enum peer peer)
{
    return peer != LIBUNWIND || libunwind_backtrace != NULL;
}

static __attribute__((noinline)) void measure_all(unsigned repeat)
{
    static double sample[PEER_COUNT][1024];
    ucontext_t context;
    (void)getcontext(&context);
    rth__registers_from_ucontext_sigsafe(&context, &start);
    for (unsigned i = 0; i < repeat; i++) {
        for (unsigned peer = 0; peer < PEER_COUNT; peer++) {
            if (is_present((enum peer)peer))
                sample[peer][i] = measure((enum peer)peer);
        }
    }
    struct rth_unwind_stats stats;
    rth__unwind_stats(&stats);
    (void)printf("{\"depth\": %d, \"repeat\": %u, \"row_bytes\": %llu, \"eh_frame_bytes\": %llu",
                 DEPTH, repeat, (unsigned long long)stats.row_bytes,
                 (unsigned long long)stats.eh_frame_bytes);
    for (unsigned peer = 0; peer < PEER_COUNT; peer++) {
        if (!is_present((enum peer)peer))
            continue;
        (void)printf(", \"%s\": {\"frames\": %u, \"ns_per_frame\": [", peer_name[peer],
                     frame_count[peer]);
        for (unsigned i = 0; i < repeat; i++)
            (void)printf("%s%.3f", i == 0 ? "" : ", ", sample[peer][i]);
        (void)printf("]}");
    }
    (void)printf("}\n");
}

/* A function for every frame, with more and less of a stack of its own, as real programs have. */
static volatile unsigned sink;
static __attribute__((noinline)) unsigned innermost(unsigned repeat)
{
    measure_all(repeat);
    return 0;
}

#define LEVEL(name, inner, words)                                                                  \
    static __attribute__((noinline)) unsigned name(unsigned repeat)                                \
    {                                                                                              \
        volatile unsigned local[words] = {0};                                                      \
        local[repeat % (words)] = repeat;                                                          \
        sink += inner(repeat);                                                                     \
        return local[repeat % (words)] + sink;                                                     \
    }
#define FOUR_LEVELS(name, inner)                                                                   \
    LEVEL(name##_3, inner, 2)                                                                      \
    LEVEL(name##_2, name##_3, 9)                                                                   \
    LEVEL(name##_1, name##_2, 33)                                                                  \
    LEVEL(name, name##_1, 70)
FOUR_LEVELS(level_g, innermost)
FOUR_LEVELS(level_f, level_g)
FOUR_LEVELS(level_e, level_f)
FOUR_LEVELS(level_d, level_e)
FOUR_LEVELS(level_c, level_d)
FOUR_LEVELS(level_b, level_c)
FOUR_LEVELS(level_a, level_b)
LEVEL(level_1, level_a, 5)
LEVEL(level_0, level_1, 5)

int main(int argc, char **argv)
{
    unsigned repeat = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : REPEAT_MIN;
    if (repeat < REPEAT_MIN || repeat > 1024) {
        (void)fprintf(stderr, "usage: bench_unwind [REPEAT]   (%d to 1024)\n", REPEAT_MIN);
        return 2;
    }
    void *library = dlopen(LIBUNWIND_NAME, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL)
        libunwind_backtrace = (unw_backtrace_fn)dlsym(library, "unw_backtrace");
    int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int error = rth__unwind_refresh(root_fd);
    if (error < 0) {
        (void)fprintf(stderr, "bench_unwind: refresh: %s\n", strerror(-error));
        return 1;
    }
    char here;
    stack.low = (uint64_t)(uintptr_t)&here - 65536;
    stack.high = (uint64_t)(uintptr_t)&here + 4096;
    stack.probe = true;
    return level_0(repeat) == 0;
}
