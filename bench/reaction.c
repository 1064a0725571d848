/* SPDX-License-Identifier: MIT */
/*
 * bench_reaction CROSSINGS MIB_PER_S FOLDER: how long after memory use crossed the soft limit the
 * first shrinker is called. FOLDER is that of its control group (version 1 or 2), whose usage it
 * reads itself, after each block that it touched.
 *
 * It grows until its shrinker was called, or until 4 MiB below the hard limit, gives all back,
 * waits for OK, and again. Prints one JSON object: microseconds from the crossing to the call,
 * below zero for one that came before this program saw the crossing, and how many never came.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rthooks/limits.h>
#include <rthooks/rthooks.h>

#define MIB      INT64_C(1048576)
#define NS_PER_S INT64_C(1000000000)
#define MISSED   INT64_MIN

enum { BLOCK_BYTES = 64 << 10, MAX_BLOCKS = 65536 };

static void *blocks[MAX_BLOCKS];
static _Atomic size_t block_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int64_t first_call_ns;
static char usage_path[4200], stat_path[4200];
static const char *inactive_name, *active_name;

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_reaction: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t count(void *userdata)
{
    (void)userdata;
    return atomic_load(&block_count) * BLOCK_BYTES;
}

/* Frees down to a number of blocks, at most so many bytes; returns what it freed. */
static uint64_t give_back(size_t kept, uint64_t wanted_bytes)
{
    uint64_t freed = 0;
    (void)pthread_mutex_lock(&mutex);
    while (block_count > kept && freed < wanted_bytes) {
        free(blocks[--block_count]);
        freed += BLOCK_BYTES;
    }
    (void)pthread_mutex_unlock(&mutex);
    return freed;
}

static uint64_t shrink(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    (void)deadline_ns;
    (void)userdata;
    int64_t none = 0;
    (void)atomic_compare_exchange_strong(&first_call_ns, &none, now_ns());
    return give_back(0, wanted_bytes);
}

static void read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (length < 0)
        fail(path);
    text[length] = '\0';
    (void)close(fd);
}

static int64_t field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return strtoll(line + length, NULL, 10);
    }
    return 0;
}

/* As rthooks counts it: without page cache. */
static int64_t usage_bytes(void)
{
    char text[8192];
    read_file(usage_path, text, sizeof(text));
    int64_t usage = strtoll(text, NULL, 10);
    read_file(stat_path, text, sizeof(text));
    return usage - field(text, inactive_name) - field(text, active_name);
}

static void find_files(const char *folder)
{
    (void)snprintf(usage_path, sizeof(usage_path), "%s/memory.usage_in_bytes", folder);
    (void)snprintf(stat_path, sizeof(stat_path), "%s/memory.stat", folder);
    if (access(usage_path, R_OK) == 0) {
        inactive_name = "total_inactive_file";
        active_name = "total_active_file";
        return;
    }
    (void)snprintf(usage_path, sizeof(usage_path), "%s/memory.current", folder);
    inactive_name = "inactive_file";
    active_name = "active_file";
}

static void grow(void)
{
    char *block = malloc(BLOCK_BYTES);
    if (block == NULL)
        fail("malloc");
    memset(block, 'r', BLOCK_BYTES);
    (void)pthread_mutex_lock(&mutex);
    if (block_count == MAX_BLOCKS)
        fail("more than it can hold");
    blocks[block_count++] = block;
    (void)pthread_mutex_unlock(&mutex);
}

static void sleep_until(int64_t when_ns)
{
    struct timespec when = {when_ns / NS_PER_S, when_ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        continue;
}

static struct rth_limits limits_now(void)
{
    struct rth_limits limits = RTH_LIMITS_INIT;
    if (rth_limits_read(&limits) < 0)
        fail("rth_limits_read");
    return limits;
}

/* Microseconds; MISSED: no call came within a second. */
static int64_t crossing(int64_t limit_bytes, int64_t hard_bytes, int64_t bytes_per_s)
{
    int64_t step_ns = BLOCK_BYTES * NS_PER_S / bytes_per_s, next_ns = now_ns(), crossed_ns = 0;
    for (;;) {
        int64_t usage = usage_bytes();
        if (crossed_ns == 0 && usage > limit_bytes)
            crossed_ns = now_ns();
        int64_t called_ns = atomic_load(&first_call_ns);
        if (crossed_ns != 0 && called_ns != 0)
            return (called_ns - crossed_ns) / 1000;
        if (crossed_ns != 0 && now_ns() - crossed_ns > NS_PER_S)
            return MISSED;
        if (usage < hard_bytes - 4 * MIB)
            grow();
        next_ns += step_ns;
        if (next_ns > now_ns())
            sleep_until(next_ns);
        else
            next_ns = now_ns();
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_reaction CROSSINGS MIB_PER_S FOLDER\n");
        return 2;
    }
    long crossings = strtol(argv[1], NULL, 10);
    int64_t bytes_per_s = strtoll(argv[2], NULL, 10) * MIB;
    find_files(argv[3]);
    /* Each block is a mapping of its own: what is freed is gone at once. */
    (void)mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES / 2);
    struct rth_opts opts = RTH_OPTS_INIT;
    struct rth_shrinker_opts shrinker = {
        .struct_size = sizeof(shrinker), .name = "reaction", .count = count, .shrink = shrink};
    struct rth_shrinker *added;
    if (rth_start(&opts) < 0 || rth_shrinker_add(&shrinker, &added) < 0 || bytes_per_s <= 0)
        fail("rthooks");
    struct rth_limits limits = limits_now();
    if (limits.memory_hard_bytes == RTH_MEMORY_LIMIT_NONE)
        fail("no limit");
    /* What stays: the rest of the limit is grown anew each time. */
    while (usage_bytes() < limits.memory_limit_bytes * 3 / 4)
        grow();
    size_t kept = block_count;
    long missed = 0;
    const char *separator = "";
    printf("{\"microseconds\": [");
    for (long i = 0; i < crossings; i++) {
        atomic_store(&first_call_ns, 0);
        int64_t took_us =
            crossing(limits.memory_limit_bytes, limits.memory_hard_bytes, bytes_per_s);
        if (took_us == MISSED) {
            missed++;
        } else {
            printf("%s%" PRId64, separator, took_us);
            separator = ", ";
        }
        (void)give_back(kept, UINT64_MAX);
        for (int turn = 0; turn < 1000 && limits_now().memory_state != RTH_MEMORY_OK; turn++)
            sleep_until(now_ns() + NS_PER_S / 100);
        sleep_until(now_ns() + NS_PER_S / 20);
    }
    printf("], \"missed\": %ld, \"crossings\": %ld}\n", missed, crossings);
    return 0;
}
