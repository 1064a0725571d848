/* SPDX-License-Identifier: MIT */
#include "thread/process_threads.h"

#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "os/dir.h"
#include "os/procfs.h"

/* How long the process clock is watched to tell running threads from runnable ones. */
#define WATCH_NS (50 * RTH_NS_PER_US)

static void count_state(char state, struct rth_thread_counts *counts, uint64_t *ready)
{
    switch (state) {
    case 'R':
        (*ready)++;
        break;
    case 'D':
        counts->blocked_io++;
        break;
    case 'Z':
    case 'X':
        return;
    default:
        counts->waiting++;
    }
    counts->total++;
}

/* The kernel calls both "R". A thread that holds a CPU moves the process' CPU clock: its rate over
 * a short watch is the number of threads on a CPU. In our own process the reader itself is one of
 * them and is taken off. */
static uint64_t count_on_cpu(int pid)
{
    int64_t wall_ns = rth__clock_monotonic_ns_sigsafe();
    int64_t cpu_ns = rth__clock_process_cpu_ns_sigsafe(pid);
    int64_t now_ns;
    do {
        now_ns = rth__clock_monotonic_ns_sigsafe();
    } while (now_ns - wall_ns < WATCH_NS);
    int64_t used_ns = rth__clock_process_cpu_ns_sigsafe(pid) - cpu_ns;
    if (cpu_ns < 0 || used_ns < 0)
        return 0;
    if (pid == 0)
        used_ns -= now_ns - wall_ns;
    return used_ns > 0 ? (uint64_t)((used_ns + (now_ns - wall_ns) / 2) / (now_ns - wall_ns)) : 0;
}

int rth__thread_counts_read(int root_fd, int pid, struct rth_thread_counts *ret_counts)
{
    char path[64];
    if (pid == 0)
        (void)snprintf(path, sizeof(path), "proc/self/task");
    else
        (void)snprintf(path, sizeof(path), "proc/%d/task", pid);
    struct rth_dir dir;
    int error = rth__dir_open(&dir, root_fd, path);
    if (error != 0)
        return error;
    struct rth_thread_counts counts = {0};
    uint64_t ready = 0;
    int tid;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0) {
        struct rth_proc_stat stat;
        /* Gone meanwhile, or a thread of rthooks, here or in another member of the family. */
        if (rth__proc_stat_read(root_fd, pid, tid, &stat) != 0 ||
            strncmp(stat.comm, "rth-", 4) == 0)
            continue;
        count_state(stat.state, &counts, &ready);
    }
    rth__dir_close(&dir);
    if (error != 0)
        return error;
    uint64_t on_cpu = ready > 0 ? count_on_cpu(pid) : 0;
    counts.running = on_cpu < ready ? on_cpu : ready;
    counts.runnable = ready - counts.running;
    *ret_counts = counts;
    return 0;
}
