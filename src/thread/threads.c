/* SPDX-License-Identifier: MIT */
/*
 * The threads of the service in numbers: how many there are, by what they do, and how many were
 * created.
 *
 * Threads: runs on rth-work, reads /proc and the registry. Failure: a thread that ends while it is
 * read is left out. Cost: about 10 us per thread. The list for people is profile/threads/list.c.
 */
#include "thread/threads.h"

#include "core/service_thread.h"
#include "formats/json.h"
#include "thread/process_threads.h"
#include "thread/registry.h"

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

const struct rth_capability rth__threads_capability = {
    .name = "threads",
    .child_reset = rth__thread_registry_child_reset,
    .metrics = metrics,
    .metric_count = sizeof(metrics) / sizeof(metrics[0]),
    .collect = collect,
    .status = status,
};
