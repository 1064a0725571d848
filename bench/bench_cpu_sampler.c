/* SPDX-License-Identifier: MIT */
/*
 * bench_cpu_sampler [REPEAT]: what being sampled costs. The same work, batch by batch, by turns
 * without a profiler, under ours, and under gperftools where libprofiler is installed; CPU time of
 * the worker per unit of work. One process per rate, since gperftools reads its rate once. Prints
 * one JSON object: per rate the cost in percent of a busy core (median and quartiles of the pairs),
 * our weighted total over what the process used, and the share of signals that were lost.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "os/clock.h"
#include "profile/cpu/sampler.h"
#include "thread/registry.h"
#include "thread/sigmux.h"

#define REPEAT_DEFAULT 12
#define REPEAT_MAX     200
#define BATCH_NS       (250 * RTH_NS_PER_MS)
#define DEPTH          24
#define PEER_LIBRARY   "libprofiler.so.0"

enum mode { BARE, OURS, PEER, MODES };

static int root_fd, hz;
static int (*peer_start)(const char *file);
static void (*peer_stop)(void);
static volatile uint64_t sink;
static double ns_per_unit[MODES][REPEAT_MAX];
static double weighed_ns, process_ns;

/* ---- the work -------------------------------------------------------------------------------- */

static __attribute__((noinline)) uint64_t descend(unsigned depth, uint64_t seed)
{
    volatile uint64_t kept = seed;
    if (depth == 0) {
        for (int i = 0; i < 2000; i++)
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return seed;
    }
    return descend(depth - 1, seed + 1) ^ kept;
}

static int64_t thread_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * RTH_NS_PER_S + now.tv_nsec;
}

static void *one_batch(void *ret_ns_per_unit)
{
    uint64_t units = 0;
    int64_t start_ns = thread_cpu_ns(), now_ns;
    do {
        for (int i = 0; i < 100; i++)
            sink = descend(DEPTH, sink);
        units += 100;
        now_ns = thread_cpu_ns();
    } while (now_ns - start_ns < BATCH_NS);
    *(double *)ret_ns_per_unit = (double)(now_ns - start_ns) / (double)units;
    return NULL;
}

/* On a new thread, made as the wrapper of pthread_create does, while this one sweeps as rth-work
 * does. */
static void work(bool sweeps, double *ret_ns_per_unit)
{
    pthread_t worker;
    void *handle = rth__thread_prepare(one_batch, ret_ns_per_unit);
    if (handle == NULL || pthread_create(&worker, NULL, rth__thread_run, handle) != 0) {
        perror("bench_cpu_sampler: pthread_create");
        exit(1);
    }
    for (;;) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * RTH_NS_PER_MS;
        until.tv_sec += until.tv_nsec / RTH_NS_PER_S;
        until.tv_nsec %= RTH_NS_PER_S;
        if (pthread_timedjoin_np(worker, NULL, &until) == 0)
            return;
        if (sweeps)
            rth__cpu_sampler_sweep(root_fd);
    }
}

/* ---- under each profiler --------------------------------------------------------------------- */

static void measure_ours(double *ret_ns_per_unit)
{
    int error = rth__cpu_sampler_acquire(root_fd, hz);
    struct rth_snapshot *snapshot = error == 0 ? rth__snapshot_take(&rth__cpu_counted) : NULL;
    if (snapshot == NULL) {
        (void)fprintf(stderr, "bench_cpu_sampler: acquire: %s\n", strerror(-error));
        exit(1);
    }
    int64_t start_ns = rth__clock_process_cpu_ns_sigsafe(0);
    work(true, ret_ns_per_unit);
    process_ns += (double)(rth__clock_process_cpu_ns_sigsafe(0) - start_ns);
    struct rth_counted_delta *rows;
    size_t count;
    if (rth__snapshot_difference(snapshot, &rows, &count) == 0) {
        for (size_t i = 0; i < count; i++)
            weighed_ns += (double)rows[i].values[1];
        rth__counted_deltas_free(rows);
    }
    rth__snapshot_free(snapshot);
    rth__cpu_sampler_release(hz);
}

static void measure_peer(double *ret_ns_per_unit)
{
    if (peer_start("/dev/null") == 0) {
        (void)fprintf(stderr, "bench_cpu_sampler: ProfilerStart failed\n");
        exit(1);
    }
    work(false, ret_ns_per_unit);
    peer_stop();
}

/* First of all, so that it finds SIGPROF free. */
static void load_peer(void)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", hz);
    (void)setenv("CPUPROFILE_FREQUENCY", text, 1);
    void *library = dlopen(PEER_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    peer_start = (int (*)(const char *))dlsym(library, "ProfilerStart");
    peer_stop = (void (*)(void))dlsym(library, "ProfilerStop");
    if (peer_start == NULL || peer_stop == NULL || peer_start("/dev/null") == 0)
        peer_start = NULL;
    else
        peer_stop();
}

/* ---- results --------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static void print_cost(const char *name, enum mode mode, unsigned repeat)
{
    double percent[REPEAT_MAX];
    for (unsigned i = 0; i < repeat; i++)
        percent[i] = 100 * (ns_per_unit[mode][i] / ns_per_unit[BARE][i] - 1);
    qsort(percent, repeat, sizeof(percent[0]), compare);
    (void)printf(", \"%s_percent\": {\"median\": %.3f, \"quartiles\": [%.3f, %.3f]}", name,
                 percent[repeat / 2], percent[repeat / 4], percent[repeat * 3 / 4]);
}

static void measure_rate(unsigned repeat)
{
    load_peer();
    root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || rth__enable_init() != 0)
        exit(1);
    rth__enable_on(getpid(), 1);
    rth__sigmux_init(NULL);
    double unused;
    measure_ours(&unused); /* rows are compiled by the first capture */
    weighed_ns = process_ns = 0;
    struct rth_cpu_counts before, after;
    rth__cpu_counts_read(&before);
    for (unsigned i = 0; i < repeat; i++) {
        work(false, &ns_per_unit[BARE][i]);
        measure_ours(&ns_per_unit[OURS][i]);
        if (peer_start != NULL)
            measure_peer(&ns_per_unit[PEER][i]);
    }
    rth__cpu_counts_read(&after);
    double samples = (double)(after.samples - before.samples);
    double lost_ns = (double)(after.lost_late_ns - before.lost_late_ns);
    (void)printf("{\"requested_hz\": %d, \"repeat\": %u", hz, repeat);
    print_cost("ours", OURS, repeat);
    if (peer_start != NULL)
        print_cost("gperftools", PEER, repeat);
    (void)printf(", \"samples\": %.0f, \"lost_percent\": %.3f, \"total_over_used\": %.4f}", samples,
                 100 * lost_ns / (weighed_ns + lost_ns), weighed_ns / process_ns);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int rates[] = {100, 250, 1000};
    unsigned long repeat = argc > 1 ? strtoul(argv[1], NULL, 10) : REPEAT_DEFAULT;
    if (repeat < 4 || repeat > REPEAT_MAX) {
        (void)fprintf(stderr, "usage: bench_cpu_sampler [REPEAT]   (4 to %d)\n", REPEAT_MAX);
        return 2;
    }
    (void)printf("{\"depth\": %d, \"rates\": [", DEPTH);
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        int status;
        (void)printf("%s", i == 0 ? "" : ", ");
        (void)fflush(stdout);
        hz = rates[i];
        pid_t pid = fork();
        if (pid == 0) {
            measure_rate((unsigned)repeat);
            _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0) {
            (void)fprintf(stderr, "bench_cpu_sampler: status %d at %d Hz\n", status, hz);
            return 1;
        }
    }
    (void)printf("]}\n");
    return 0;
}
