/* SPDX-License-Identifier: MIT */
/*
 * /debug/pprof/wall: where threads spend their time, running or not.
 *
 * Purpose: a profile in which each thread has its whole life within the window. On the CPU it is
 * sampled by the CPU sampler, as in /debug/pprof/profile; off the CPU it is looked at (watch.c).
 * The label "state" tells the two apart: "running", "waiting".
 *
 * Threads: rth-work; nobody who sleeps is woken or gets a signal. Locks: those of the sampler.
 *
 * Failure: time without a stack is in rows without one, and said in the comments. Cost: 0.2 to 0.4
 * % of a CPU at most for looks and stacks, some 50 us per tick and 1,000 threads for the glance at
 * what wrapped calls tell, and 20 us per thread at the begin and the end.
 */
#include "profile/wall/wall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/cpu/cpu.h"
#include "profile/cpu/sampler.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/row_list.h"
#include "profile/wall/watch.h"

#define SECONDS_DEFAULT 30
#define SECONDS_MAX     300
#define HZ_DEFAULT      20
#define CPU_HZ          100
#define AT_ONCE_NS      1
/* The sweep of the CPU sampler takes 3 to 5 us per thread: 0.1 % of a CPU. */
#define SWEEP_THREAD_NS (5 * RTH_NS_PER_MS)
#define SWEEP_NS_MIN    (100 * RTH_NS_PER_MS)
#define SWEEP_NS_MAX    (5 * RTH_NS_PER_S)

enum phase {
    PHASE_BEGINNING, /* time that belongs to captures before this one is told */
    PHASE_RUNNING,
    PHASE_ENDING, /* time up to now is told */
};

struct wall {
    enum phase phase;
    int hz;
    bool symbols;
    int64_t seconds;
    struct rth_snapshot *on_cpu, *off_cpu;
    int64_t start_ns, start_unix_ns, end_ns, sweep_ns;
    struct rth_wall_counts counts; /* at the start */
};
_Static_assert(sizeof(struct wall) <= RTH_CALL_STATE_BYTES, "the state fits into its call");

static struct wall *wall_of(struct rth_call *call)
{
    return (struct wall *)(void *)call->state;
}

/* ---- a capture ----------------------------------------------------------------------------- */

static int hz_of(struct rth_call *call)
{
    int64_t asked;
    int error = rth__params_int64(&call->params, "hz", &asked);
    if (error == -ERANGE || (error == 0 && asked > RTH_WALL_HZ_MAX)) {
        size_t used = strlen(call->clamped);
        (void)snprintf(call->clamped + used, sizeof(call->clamped) - used, "%shz=%d",
                       used > 0 ? "," : "", RTH_WALL_HZ_MAX);
        return RTH_WALL_HZ_MAX;
    }
    return error == 0 && asked > 0 ? (int)asked : HZ_DEFAULT;
}

static void release(struct wall *wall)
{
    rth__wall_watch_end(wall->hz);
    rth__cpu_sampler_release(CPU_HZ);
    rth__snapshot_free(wall->on_cpu);
    rth__snapshot_free(wall->off_cpu);
    wall->on_cpu = wall->off_cpu = NULL;
}

static void cancel(struct rth_call *call)
{
    release(wall_of(call));
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct wall *wall = wall_of(call);
    wall->seconds = rth__call_seconds(call, SECONDS_DEFAULT, SECONDS_MAX);
    wall->hz = hz_of(call);
    char symbols[16] = "";
    (void)rth__params_get(&call->params, "symbols", symbols, sizeof(symbols));
    wall->symbols = strcmp(symbols, "none") != 0;
    int error = rth__cpu_sampler_acquire(rth__root_fd(), CPU_HZ);
    if (error != 0)
        return rth__call_fail(call, 503, "Could not enable CPU profiling: errno %d", -error);
    error = rth__wall_watch_begin(rth__root_fd(), wall->hz);
    if (error != 0) {
        rth__cpu_sampler_release(CPU_HZ);
        return rth__call_fail(call, 503, "Could not watch threads: errno %d", -error);
    }
    *ret_wait_ns = AT_ONCE_NS;
    return 0;
}

static int start(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct wall *wall = wall_of(call);
    rth__wall_counts_read(&wall->counts);
    wall->start_unix_ns = rth__clock_realtime_ns_sigsafe();
    wall->start_ns = wall->sweep_ns = rth__clock_monotonic_ns_sigsafe();
    wall->end_ns = wall->start_ns + wall->seconds * RTH_NS_PER_S;
    wall->on_cpu = rth__snapshot_take(&rth__cpu_counted);
    wall->off_cpu = rth__snapshot_take(&rth__wall_counted);
    if (wall->on_cpu == NULL || wall->off_cpu == NULL) {
        release(wall);
        return rth__call_fail(call, 503, "no memory for a snapshot");
    }
    wall->phase = PHASE_RUNNING;
    *ret_wait_ns = RTH_NS_PER_S / wall->hz;
    return 0;
}

static void sweep_if_due(struct wall *wall, int64_t now_ns)
{
    int64_t period_ns = SWEEP_THREAD_NS * rth__wall_watched();
    period_ns = period_ns < SWEEP_NS_MIN ? SWEEP_NS_MIN : period_ns;
    period_ns = period_ns > SWEEP_NS_MAX ? SWEEP_NS_MAX : period_ns;
    if (now_ns - wall->sweep_ns < period_ns)
        return;
    rth__cpu_sampler_sweep(rth__root_fd());
    wall->sweep_ns = now_ns;
}

static int step(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct wall *wall = wall_of(call);
    if (wall->phase != PHASE_RUNNING) {
        if (!rth__wall_watch_settle(rth__root_fd()))
            *ret_wait_ns = AT_ONCE_NS;
        else if (wall->phase == PHASE_BEGINNING)
            return start(call, ret_wait_ns);
        return 0;
    }
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe(), left_ns = wall->end_ns - now_ns;
    if (left_ns <= 0) {
        wall->phase = PHASE_ENDING;
        *ret_wait_ns = AT_ONCE_NS;
        return 0;
    }
    rth__wall_watch_look(rth__root_fd());
    sweep_if_due(wall, now_ns);
    int64_t period_ns = RTH_NS_PER_S / wall->hz;
    *ret_wait_ns = left_ns < period_ns ? left_ns : period_ns;
    return 0;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void write_comments(struct rth_comments *comments, const struct wall *wall)
{
    struct rth_wall_counts now;
    struct rth_cpu_coverage coverage;
    rth__wall_counts_read(&now);
    rth__cpu_coverage_read(&coverage);
    const struct rth_wall_counts *before = &wall->counts;
    rth__comments_init(comments);
    rth__comments_add(comments, "hz=%d threads=%u looks=%llu stacks=%llu", wall->hz,
                      rth__wall_watched(), (unsigned long long)(now.looks - before->looks),
                      (unsigned long long)(now.stacks - before->stacks));
    rth__comments_add(comments,
                      "waiting of threads that ran when they were looked at, on their last stack: "
                      "%llu ns",
                      (unsigned long long)(now.late_ns - before->late_ns));
    if (now.without_ns != before->without_ns)
        rth__comments_add(comments, "waiting without a stack: %llu ns; %llu sleepers not readable",
                          (unsigned long long)(now.without_ns - before->without_ns),
                          (unsigned long long)(now.unreadable - before->unreadable));
    if (now.threads_refused != before->threads_refused)
        rth__comments_add(comments, "threads that are not watched: there are more than 32768, or "
                                    "no memory for them");
    rth__cpu_comment_on_coverage(comments, &coverage);
    rth__profile_labels_comment(comments);
}

/* Rows of one state. *carried_ns: of a sample that is not full yet, as rows share samples. */
static int add_rows(struct rth_row_list *list, const struct rth_counted_delta *deltas, size_t count,
                    const char *state, uint64_t period_ns)
{
    const struct rth_pprof_label own = {.key = "state", .text = state};
    uint64_t carried_ns = period_ns / 2;
    for (size_t i = 0; i < count; i++) {
        const struct rth_counted_delta *delta = &deltas[i];
        int64_t *values =
            rth__row_list_add(list, delta->frames, delta->frame_count, delta->label_set, &own, 1);
        if (values == NULL)
            return -ENOMEM;
        carried_ns += delta->values[1];
        values[0] = (int64_t)(carried_ns / period_ns);
        values[1] = (int64_t)delta->values[1];
        carried_ns %= period_ns;
    }
    return 0;
}

static int encode(const struct wall *wall, const struct rth_row_list *list, int64_t duration_ns,
                  const struct rth_comments *comments, struct rth_sink *sink)
{
    static const struct rth_profile_value_type types[] = {{"samples", "count"},
                                                          {"wall", "nanoseconds"}};
    struct rth_profile_description description = {
        .sample_types = types,
        .sample_type_count = 2,
        .period_type = {"wall", "nanoseconds"},
        .period = RTH_NS_PER_S / wall->hz,
        .time_ns = wall->start_unix_ns,
        .duration_ns = duration_ns,
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    struct rth_profile_naming naming = rth__named_naming(wall->symbols, sink);
    return rth__profile_encode(&description, &(struct rth_profile_rows){list->rows, list->count},
                               &naming, sink);
}

static int write_rows(const struct wall *wall, const struct rth_comments *comments,
                      struct rth_sink *sink)
{
    struct rth_counted_delta *on_cpu = NULL, *off_cpu = NULL;
    size_t on_count = 0, off_count = 0;
    struct rth_row_list list = {0};
    int64_t duration_ns = rth__clock_monotonic_ns_sigsafe() - wall->start_ns;
    uint64_t period_ns = (uint64_t)(RTH_NS_PER_S / wall->hz);
    int error = rth__snapshot_difference(wall->on_cpu, &on_cpu, &on_count);
    if (error == 0)
        error = rth__snapshot_difference(wall->off_cpu, &off_cpu, &off_count);
    if (error == 0)
        error = rth__row_list_init(&list, on_count + off_count, 2);
    if (error == 0)
        error = add_rows(&list, on_cpu, on_count, "running", period_ns);
    if (error == 0)
        error = add_rows(&list, off_cpu, off_count, "waiting", period_ns);
    if (error == 0)
        error = encode(wall, &list, duration_ns, comments, sink);
    rth__row_list_free(&list);
    rth__counted_deltas_free(off_cpu);
    rth__counted_deltas_free(on_cpu);
    return error;
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct wall *wall = wall_of(call);
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    int error = comments != NULL ? 0 : -ENOMEM;
    if (error == 0) {
        write_comments(comments, wall);
        error = write_rows(wall, comments, sink);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    release(wall);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static void status(struct rth_json *json)
{
    struct rth_wall_counts counts;
    rth__wall_counts_read(&counts);
    rth__json_member_uint(json, "threads", rth__wall_watched());
    rth__json_member_uint(json, "looks", counts.looks);
    rth__json_member_uint(json, "stacks", counts.stacks);
    rth__json_member_uint(json, "unreadable", counts.unreadable);
}

static const char *const needs[] = {"capture", "cpu", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "wall",
        .path = "/debug/pprof/wall",
        .content_type = "application/octet-stream",
        .description = "Where threads spend their time, running or waiting. You can specify the "
                       "duration in the seconds GET parameter, and how often waiting threads are "
                       "looked at in hz.",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .step = step,
        .write = write_profile,
        .cancel = cancel,
    },
};

const struct rth_capability rth__wall_capability = {
    .name = "wall",
    .needs = needs,
    .child_reset = rth__wall_watch_child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
