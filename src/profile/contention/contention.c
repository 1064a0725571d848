/* SPDX-License-Identifier: MIT */
/*
 * The mutex and block profiles.
 *
 * Purpose: where time goes while threads wait for each other. /debug/pprof/mutex blames who held a
 * lock, at the place where he gave it back, with what all others waited meanwhile;
 * /debug/pprof/block shows who waited, also for conditions and semaphores. Threads: routes and the
 * tick on rth-work; recording is recorder.c's, on the host's threads. Failure: where lock functions
 * cannot be seen the routes say so with 501; what was lost, and what cannot be seen at all, is in
 * the comments. Cost: a copy of the rows per answer.
 */
#include "profile/contention/contention.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/contention/recorder.h"
#include "profile/contention/rows.h"
#include "profile/contention/waiters.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "record/loader.h"
#include "unwind/unwind.h"

/* ---- options -------------------------------------------------------------------------------- */

#define INTERVAL_DEFAULT_TEXT "100us"
#define INTERVAL_NS_MAX       (100 * RTH_NS_PER_S)

static struct rth_option_value interval_value;

/* 0 for "off". */
static int parse_interval(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ns", 1}, {"us", RTH_NS_PER_US}, {"ms", RTH_NS_PER_MS}, {"s", RTH_NS_PER_S}};
    int64_t number = 0;
    if (strcmp(text, "off") == 0) {
        *ret_ns = 0;
        return 0;
    }
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= INTERVAL_NS_MAX; at++)
        number = number * 10 + (*at - '0');
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(at, units[i].unit) != 0)
            continue;
        if (number < 1 || number > INTERVAL_NS_MAX / units[i].ns)
            return -EINVAL;
        *ret_ns = number * units[i].ns;
        return 0;
    }
    return -EINVAL;
}

static int check_interval(const char *text)
{
    int64_t interval_ns;
    return parse_interval(text, &interval_ns);
}

static const struct rth_option options[] = {
    {
        .variable = "RTHOOKS_CONTENTION",
        .grammar = "a whole number with ns, us, ms or s, 1ns to 100s, or off",
        .default_text = INTERVAL_DEFAULT_TEXT,
        .doc = "Waited time per sample of the mutex and block profiles, on average; longer while "
               "there are too many; 1ns records every wait.",
        .opts_offset = SIZE_MAX,
        .check = check_interval,
        .value = &interval_value,
    },
};

/* ---- what can be seen ------------------------------------------------------------------------ */

/* Written at start. */
static bool has_interposer;
static const void *first_lock, *own_lock;

void rth__contention_attach(const struct rth_interpose_info *info)
{
    has_interposer = info != NULL;
    first_lock = info != NULL ? info->first_mutex_lock : NULL;
    own_lock = info != NULL ? info->own_mutex_lock : NULL;
}

static int check_visible(struct rth_call *call)
{
    if (first_lock == own_lock)
        return 0;
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)first_lock);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    return rth__call_fail(call, 501,
                          "%s profile not available: pthread_mutex_lock of %.150s comes before "
                          "librthooks_interpose.so",
                          call->artefact->name, module != NULL ? module->path : "an unknown file");
}

/* ---- a profile ------------------------------------------------------------------------------- */

struct contention_call {
    struct rth_named_request request;
    struct rth_sites_copy base; /* seconds=: as it was at the beginning */
    int64_t begun_unix_ns;
};
_Static_assert(sizeof(struct contention_call) <= RTH_CALL_STATE_BYTES, "it fits into its call");

static struct contention_call *contention_call_of(struct rth_call *call)
{
    return (struct contention_call *)(void *)call->state;
}

static uint32_t kind_of(const struct rth_call *call)
{
    return strcmp(call->artefact->name, "mutex") == 0 ? RTH_CONTENTION_MUTEX : RTH_CONTENTION_BLOCK;
}

static void refresh(void)
{
    (void)rth__unwind_refresh(rth__root_fd());
    rth__contention_recorder_settle();
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct contention_call *contention = contention_call_of(call);
    refresh();
    int error = check_visible(call);
    if (error == 0)
        error = rth__named_request_read(
            call, kind_of(call) == RTH_CONTENTION_MUTEX ? "mutex-delta" : "block-delta",
            &contention->request);
    if (error != 0)
        return error;
    contention->begun_unix_ns = rth__clock_realtime_ns_sigsafe();
    if (contention->request.seconds == 0)
        return 0;
    if (rth__sites_copy(&rth__contention_sites, &contention->base) != 0)
        return rth__call_fail(call, 503, "failed to collect profile: no memory");
    *ret_wait_ns = contention->request.seconds * RTH_NS_PER_S;
    return 0;
}

static void cancel(struct rth_call *call)
{
    rth__sites_copy_free(&contention_call_of(call)->base);
}

static void comment_losses(struct rth_comments *comments)
{
    struct rth_contention_counts counts;
    rth__contention_counts_read(&counts);
    struct rth_waiters_counts waiters = rth__waiters_counts();
    struct rth_sites_counts sites = rth__sites_counts(&rth__contention_sites);
    if (counts.lost_nested > 0)
        rth__comments_add(comments, "lost: %llu waits in signal handlers",
                          (unsigned long long)counts.lost_nested);
    if (waiters.refused > 0)
        rth__comments_add(comments,
                          "lost: %llu waits, for too many locks at once, are charged to nobody",
                          (unsigned long long)waiters.refused);
    if (waiters.uncharged_ns > 0)
        rth__comments_add(comments,
                          "lost: %llu ns were waited for locks that nobody gave back afterwards "
                          "where it is seen; they are charged to nobody",
                          (unsigned long long)waiters.uncharged_ns);
    if (counts.in_lock > 0)
        rth__comments_add(comments, "%llu samples were recorded before their lock was given back",
                          (unsigned long long)counts.in_lock);
    if (counts.without_stack > 0)
        rth__comments_add(comments, "%llu samples have no stack",
                          (unsigned long long)counts.without_stack);
    if (sites.overflowed > 0)
        rth__comments_add(comments, "%llu samples found no room for their stack (%u are kept)",
                          (unsigned long long)sites.overflowed, sites.rows);
}

static void write_comments(struct rth_comments *comments, uint32_t kind)
{
    struct rth_contention_totals totals;
    struct rth_contention_counts counts;
    rth__contention_totals_read(&totals);
    rth__contention_counts_read(&counts);
    uint64_t samples = kind == RTH_CONTENTION_MUTEX ? counts.mutex_samples : counts.block_samples;
    rth__comments_init(comments);
    rth__comments_add(comments,
                      "sampled every %llu ns of waited time on average, values scaled to stand for "
                      "all; %llu samples so far",
                      (unsigned long long)rth__contention_interval_ns(),
                      (unsigned long long)samples);
    if (samples == 0)
        rth__comments_add(comments, "empty: no wait%s was sampled yet%s",
                          kind == RTH_CONTENTION_MUTEX ? " for a mutex or rwlock" : "",
                          kind == RTH_CONTENTION_MUTEX && totals.lock_waits == 0 &&
                                  totals.cond_waits + totals.semaphore_waits != 0
                              ? "; waits for conditions and semaphores are in /debug/pprof/block"
                              : "");
    rth__comments_add(
        comments,
        "counted, all threads: %llu waits of %llu ns for mutexes and rwlocks, %llu "
        "of %llu ns for conditions, %llu of %llu ns for semaphores",
        (unsigned long long)totals.lock_waits, (unsigned long long)totals.lock_wait_ns,
        (unsigned long long)totals.cond_waits, (unsigned long long)totals.cond_wait_ns,
        (unsigned long long)totals.semaphore_waits, (unsigned long long)totals.semaphore_wait_ns);
    if (kind == RTH_CONTENTION_MUTEX)
        rth__comments_add(comments,
                          "charged to who gives a lock back, at that place, with what all others "
                          "waited since the last one did; of one that is given back more often "
                          "than every %d us or so, to one of them; not charged: the time from the "
                          "unlock until the next one runs, and taking a condition's mutex again",
                          RTH_SYNC_CHARGE_NS / 1000);
    rth__comments_add(comments, "not seen: locks that a program or library builds on futex itself "
                                "(absl, folly, parking_lot), spin locks, locks inside libc, "
                                "holders in other processes; see the wall clock profile");
    comment_losses(comments);
    rth__profile_labels_comment(comments);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct contention_call *contention = contention_call_of(call);
    refresh();
    struct rth_sites_copy now = {0};
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    int error = comments == NULL ? -ENOMEM : rth__sites_copy(&rth__contention_sites, &now);
    if (error == 0) {
        uint32_t kind = kind_of(call);
        bool is_delta = contention->request.seconds != 0;
        write_comments(comments, kind);
        struct rth_waited_profile profile = {
            .kind = kind,
            .text_name = kind == RTH_CONTENTION_MUTEX ? "mutex" : "contention",
            .has_period = kind == RTH_CONTENTION_MUTEX,
            .count_shift = RTH_CONTENTION_COUNT_SHIFT,
            .time_ns = contention->begun_unix_ns,
            .duration_ns =
                is_delta ? rth__clock_realtime_ns_sigsafe() - contention->begun_unix_ns : 0,
            .debug = contention->request.debug,
            .comments = comments,
            .naming = rth__named_naming(contention->request.symbols, sink),
        };
        error =
            rth__waited_profile_write(&profile, &now, is_delta ? &contention->base : NULL, sink);
    }
    rth__sites_copy_free(&now);
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    cancel(call);
    return error;
}

/* ---- the row --------------------------------------------------------------------------------- */

static uint64_t count_mutex(void)
{
    struct rth_contention_counts counts;
    rth__contention_counts_read(&counts);
    return counts.mutex_samples;
}

static uint64_t count_block(void)
{
    struct rth_contention_counts counts;
    rth__contention_counts_read(&counts);
    return counts.block_samples;
}

static int start(char *ret_reason, size_t reason_size)
{
    int64_t interval_ns;
    if (!has_interposer) {
        (void)snprintf(ret_reason, reason_size, "librthooks_interpose.so is not loaded");
        return -ENOTSUP;
    }
    if (parse_interval(interval_value.text, &interval_ns) != 0)
        return -EINVAL;
    if (interval_ns == 0) {
        (void)snprintf(ret_reason, reason_size, "RTHOOKS_CONTENTION=off");
        return -ECANCELED;
    }
    return rth__contention_recorder_start((uint64_t)interval_ns);
}

static void tick(void)
{
    struct rth_contention_counts counts;
    rth__contention_recorder_tick();
    rth__contention_counts_read(&counts);
    if (counts.early > 0)
        refresh();
}

enum { METRIC_WAIT, METRIC_CONTENTIONS, METRICS };

static const struct rth_metric metrics[METRICS] = {
    [METRIC_WAIT] =
        {
            .key = "/sync/mutex/wait/total:seconds",
            .help = "Time threads have spent waiting for mutexes and read-write locks.",
            .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FLOAT,
        },
    [METRIC_CONTENTIONS] =
        {
            .key = "/sync/contentions:events",
            .help = "Times a thread found a mutex or read-write lock busy and waited for it.",
            .flags = RTH_METRIC_CUMULATIVE,
        },
};

static void collect(int pid, struct rth_metric_value *ret_values)
{
    struct rth_contention_totals totals;
    if (pid != 0)
        return;
    rth__contention_totals_read(&totals);
    ret_values[METRIC_WAIT] = (struct rth_metric_value){true, (double)totals.lock_wait_ns / 1e9};
    ret_values[METRIC_CONTENTIONS] = (struct rth_metric_value){true, (double)totals.lock_waits};
}

static void status(struct rth_json *json)
{
    struct rth_contention_totals totals;
    struct rth_contention_counts counts;
    rth__contention_totals_read(&totals);
    rth__contention_counts_read(&counts);
    rth__json_member_uint(json, "interval_ns", rth__contention_interval_ns());
    rth__json_member_bool(json, "lock_is_ours", first_lock == own_lock);
    rth__json_member_uint(json, "lock_waits", totals.lock_waits);
    rth__json_member_uint(json, "lock_wait_ns", totals.lock_wait_ns);
    rth__json_member_uint(json, "cond_waits", totals.cond_waits);
    rth__json_member_uint(json, "semaphore_waits", totals.semaphore_waits);
    rth__json_member_uint(json, "mutex_samples", counts.mutex_samples);
    rth__json_member_uint(json, "block_samples", counts.block_samples);
    rth__json_member_uint(json, "kept", counts.kept);
    rth__json_member_uint(json, "waiting", counts.early);
    rth__json_member_uint(json, "lost_nested", counts.lost_nested);
    rth__json_member_uint(json, "without_stack", counts.without_stack);
    rth__json_member_uint(json, "stacks", rth__sites_counts(&rth__contention_sites).rows);
}

static const char *const needs[] = {"capture", NULL};

#define FLAGS (RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT)

static const struct rth_artefact artefacts[] = {
    {
        .name = "block",
        .path = "/debug/pprof/block",
        .content_type = "application/octet-stream",
        .description = "Stack traces that led to blocking on synchronization primitives",
        .flags = FLAGS,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = count_block,
    },
    {
        .name = "mutex",
        .path = "/debug/pprof/mutex",
        .content_type = "application/octet-stream",
        .description = "Stack traces of holders of contended mutexes",
        .flags = FLAGS,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = count_mutex,
    },
};

const struct rth_capability rth__contention_capability = {
    .name = "contention",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .needs = needs,
    .start = start,
    .stop = rth__contention_recorder_stop,
    .child_reset = rth__contention_recorder_child_reset,
    .tick = tick,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .metrics = metrics,
    .metric_count = METRICS,
    .collect = collect,
    .status = status,
};
