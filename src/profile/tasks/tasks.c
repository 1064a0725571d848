/* SPDX-License-Identifier: MIT */
/*
 * Tasks: units of work that a program queues and runs later.
 *
 * Purpose: /debug/pprof/tasks, the live tasks by the stack and the labels with which they were
 * made, as Go shows goroutines; how long tasks wait from queue to start. Shape: a task is a value
 * in a profile like those of the program's own (profile/custom), and a place with its name, state
 * and times (task.c). A row's label "task" is the name. Threads: the program's make, start, pause
 * and end tasks; the rest runs on rth-work. Locks: that of the sites, for some 50 ns when a task is
 * made or ends; states change without one. Fork: a child begins without tasks, and handles of its
 * parent's are known to have ended. Failure: a refused task is NULL to the program, and counted.
 * Cost: a microsecond per task, 50 ns per start; 200 to 270 bytes per live task.
 */
#include "profile/tasks/tasks.h"

#include <errno.h>
#include <stdio.h>

#include "formats/json.h"
#include "os/clock.h"
#include "profile/custom/held.h"
#include "profile/tasks/task.h"
#include "profile/tasks/text.h"

struct tasks {
    struct rth_named_request request;
    bool has_base; /* seconds=: what was held at the begin is kept */
    struct rth_sites_copy base;
    int64_t base_ns;
};
_Static_assert(sizeof(struct tasks) <= RTH_CALL_STATE_BYTES, "the state fits into its call");

static struct tasks *tasks_of(struct rth_call *call)
{
    return (struct tasks *)(void *)call->state;
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct tasks *tasks = tasks_of(call);
    int error = rth__named_request_read(call, "tasks-delta", &tasks->request);
    if (error != 0)
        return error;
    rth__held_refresh();
    if (tasks->request.seconds == 0)
        return 0;
    error = rth__custom_sites_copy(&tasks->base);
    if (error != 0)
        return rth__call_fail(call, 503, "failed to collect profile: errno %d", -error);
    tasks->has_base = true;
    tasks->base_ns = rth__clock_monotonic_ns_sigsafe();
    *ret_wait_ns = tasks->request.seconds * RTH_NS_PER_S;
    return 0;
}

static void cancel(struct rth_call *call)
{
    rth__sites_copy_free(&tasks_of(call)->base);
}

static int write_tasks(struct rth_call *call, struct rth_sink *sink)
{
    struct tasks *tasks = tasks_of(call);
    if (tasks->request.debug == 2)
        return rth__tasks_text(tasks->request.symbols, sink);
    struct rth_held held = {
        .profile = rth__custom_tasks(),
        .noun = "tasks",
        .request = &tasks->request,
    };
    if (tasks->has_base) {
        rth__held_refresh(); /* stacks that were not known at the begin */
        held.base = &tasks->base;
        held.duration_ns = rth__clock_monotonic_ns_sigsafe() - tasks->base_ns;
    }
    int error = rth__held_write(&held, sink);
    cancel(call);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static int start(char *ret_reason, size_t reason_size)
{
    rth__tasks_forget();
    int error = rth__custom_start();
    if (error != 0)
        (void)snprintf(ret_reason, reason_size, "no memory for the sites of tasks");
    return error;
}

static void status(struct rth_json *json)
{
    struct rth_task_counts counts;
    struct rth_custom_counts held;
    rth__task_counts_read(&counts);
    rth__custom_counts(rth__custom_tasks(), &held);
    rth__json_member_uint(json, "tasks", held.values);
    rth__json_member_uint(json, "tasks_max", held.values_max);
    rth__json_member_uint(json, "made", counts.made);
    rth__json_member_uint(json, "ended", counts.ended);
    rth__json_member_uint(json, "cancelled", counts.cancelled);
    rth__json_member_uint(json, "misused", counts.misused);
    rth__json_member_uint(json, "refused", held.refused_full + held.refused_memory);
    rth__latency_json(&rth__task_latency, "latency", json);
}

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "tasks",
        .path = "/debug/pprof/tasks",
        .content_type = "application/octet-stream",
        .description = "Tasks that are alive, by the stack that made them. Use debug=2 as a query "
                       "parameter for one block per task.",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .write = write_tasks,
        .cancel = cancel,
        .count = rth__task_count,
    },
};

const struct rth_capability rth__tasks_capability = {
    .name = "tasks",
    .needs = needs,
    .start = start,
    .child_reset = rth__tasks_forget,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
