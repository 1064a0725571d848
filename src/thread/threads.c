/* SPDX-License-Identifier: MIT */
/*
 * The threads of the service: a list for people, counts for graphs.
 *
 * Purpose: name, state, wait channel, age and CPU of each thread, without stopping any.
 * Threads: runs on rth-work, reads /proc and the registry. Failure: a thread that ends while it is
 * read is left out; a file the kernel refuses (a process that dropped privileges is not dumpable)
 * leaves its column empty. Cost: about 30 us per thread in the list, 10 us in the counts.
 */
#include "thread/threads.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/procfs.h"
#include "thread/process_threads.h"
#include "thread/registry.h"

#define WCHAN_BYTES 64

struct listing {
    struct rth_json json;
    int root_fd;
    double ticks_per_s;
    double now_since_boot_s;
};

static void write_thread(struct listing *listing, int tid, const struct rth_proc_stat *stat)
{
    struct rth_json *json = &listing->json;
    char wchan[WCHAN_BYTES] = "";
    (void)rth__proc_wchan_read(listing->root_fd, 0, tid, wchan, sizeof(wchan));
    double user_s = (double)stat->utime_ticks / listing->ticks_per_s;
    double system_s = (double)stat->stime_ticks / listing->ticks_per_s;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    struct rth_thread_info info;
    bool known = rth__thread_find(tid, &info);

    rth__json_object_begin(json);
    rth__json_member_int(json, "tid", tid);
    rth__json_member_string(json, "name", stat->comm);
    rth__json_member_string(json, "state", rth__proc_state_name(stat->state));
    rth__json_member_string(json, "wchan", wchan);
    rth__json_member_double(json, "age_seconds",
                            listing->now_since_boot_s -
                                (double)stat->starttime_ticks / listing->ticks_per_s);
    /* The thread's clock is exact; the split is in ticks of the kernel. */
    rth__json_member_double(json, "cpu_seconds",
                            cpu_ns >= 0 ? (double)cpu_ns / 1e9 : user_s + system_s);
    rth__json_member_double(json, "user_seconds", user_s);
    rth__json_member_double(json, "system_seconds", system_s);
    rth__json_member_int(json, "processor", stat->processor);
    rth__json_member_string(json, "origin",
                            rth__service_thread_has(tid)     ? "rthooks"
                            : known && info.creator_tid != 0 ? "pthread_create"
                                                             : "host");
    if (known && info.creator_tid != 0)
        rth__json_member_int(json, "creator_tid", info.creator_tid);
    rth__json_object_end(json);
}

static double since_boot_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int write_threads(struct rth_call *call, struct rth_sink *sink)
{
    struct listing listing = {
        .root_fd = rth__root_fd(),
        .ticks_per_s = (double)sysconf(_SC_CLK_TCK),
        .now_since_boot_s = since_boot_s(),
    };
    struct rth_proc_stat process;
    int error = rth__proc_stat_read(listing.root_fd, 0, 0, &process);
    struct rth_dir dir;
    if (error == 0)
        error = rth__dir_open(&dir, listing.root_fd, "proc/self/task");
    if (error != 0)
        return rth__call_fail(call, 503, "cannot read /proc/self/task: errno %d", -error);

    struct rth_json *json = &listing.json;
    rth__json_init(json, sink);
    rth__json_object_begin(json);
    rth__json_key(json, "process");
    rth__json_object_begin(json);
    rth__json_member_int(json, "pid", process.pid);
    rth__json_member_string(json, "name", process.comm);
    rth__json_object_end(json);
    rth__json_key(json, "threads");
    rth__json_array_begin(json);
    int tid;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0 && !rth__sink_cancelled(sink)) {
        struct rth_proc_stat stat;
        if (rth__proc_stat_read(listing.root_fd, 0, tid, &stat) == 0)
            write_thread(&listing, tid, &stat);
    }
    rth__dir_close(&dir);
    rth__json_array_end(json);
    rth__json_object_end(json);
    rth__json_finish(json);
    return sink->error;
}

enum {
    METRIC_THREADS,
    METRIC_RUNNING,
    METRIC_RUNNABLE,
    METRIC_WAITING,
    METRIC_BLOCKED_IO,
    METRIC_CREATED,
};

static const struct rth_metric metrics[] = {
    [METRIC_THREADS] = {.key = "/sched/threads:threads",
                        .help = "Threads of the service, without those of rthooks."},
    [METRIC_RUNNING] = {.key = "/sched/threads/running:threads",
                        .help = "Threads that held a CPU when they were counted."},
    [METRIC_RUNNABLE] = {.key = "/sched/threads/runnable:threads",
                         .help = "Threads that were ready to run and waited for a CPU."},
    [METRIC_WAITING] = {.key = "/sched/threads/waiting:threads",
                        .help = "Threads that slept: locks, timers, sockets, or stopped."},
    [METRIC_BLOCKED_IO] = {.key = "/sched/threads/blocked-io:threads",
                           .help = "Threads in uninterruptible sleep, mostly for a disk."},
    [METRIC_CREATED] = {.key = "/sched/threads-created:threads",
                        .help = "Threads created through pthread_create since rthooks attached.",
                        .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FIRST_ONLY},
};

static void collect(int pid, struct rth_metric_value *ret_values)
{
    struct rth_thread_counts counts;
    if (rth__thread_counts_read(rth__root_fd(), pid, &counts) == 0) {
        ret_values[METRIC_THREADS] = (struct rth_metric_value){true, (double)counts.total};
        ret_values[METRIC_RUNNING] = (struct rth_metric_value){true, (double)counts.running};
        ret_values[METRIC_RUNNABLE] = (struct rth_metric_value){true, (double)counts.runnable};
        ret_values[METRIC_WAITING] = (struct rth_metric_value){true, (double)counts.waiting};
        ret_values[METRIC_BLOCKED_IO] = (struct rth_metric_value){true, (double)counts.blocked_io};
    }
    /* Counted by the interposer of this process alone. */
    if (pid == 0)
        ret_values[METRIC_CREATED] =
            (struct rth_metric_value){true, (double)rth__thread_created_count()};
}

static void status(struct rth_json *json)
{
    rth__json_member_uint(json, "created", rth__thread_created_count());
    rth__json_member_uint(json, "registered", rth__thread_live_count());
    rth__json_member_uint(json, "unseen", rth__thread_unseen_count());
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "threads",
        .path = "/debug/runtime/threads",
        .content_type = "application/json",
        .description = "every thread: name, state, wait channel, age, CPU",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = write_threads,
    },
};

const struct rth_capability rth__threads_capability = {
    .name = "threads",
    .child_reset = rth__thread_registry_child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .metrics = metrics,
    .metric_count = sizeof(metrics) / sizeof(metrics[0]),
    .collect = collect,
    .status = status,
};
