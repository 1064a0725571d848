/* SPDX-License-Identifier: MIT */
/*
 * Reclaim.
 *
 * Purpose: keep usage below the limit. The first line is admission.c, where who grows pays at once;
 * this is the second one, which corrects it by what the platform says: it has the allocator give
 * back what is free, looks again, has caches shrink by what is still missing, and tells shrinkers
 * apart that free from those that say so.
 * Threads: rth-collect reports what it saw and never waits; rth-reclaim does what takes time. It
 * shares the host's descriptors and may use its malloc, since shrinkers do. An adopted child has no
 * such thread: admission.c does alone there.
 * Locks: one, around begin and end of the thread. None is held while an allocator purges or a
 * shrinker runs.
 * Failure: when the CPU cap is used up a pass is left out and counted: rather a limit that is
 * passed than a program that only reclaims. Three passes at CRITICAL that free nothing are futile.
 * Cost: parked while memory is OK; 10, 25, 50 % of the CPU quota at most, by state.
 */
#include "limits/reclaim.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "core/collect.h"
#include "core/counter.h"
#include "core/enable.h"
#include "core/latency.h"
#include "core/lock.h"
#include "core/pressure.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "limits/admission.h"
#include "limits/cpu_cap.h"
#include "limits/memory.h"
#include "limits/plan.h"
#include "limits/purge.h"
#include "limits/shrinkers.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/rawsys.h"
#include "rthooks/limits.h"
#include "rthooks/log.h"

#define JOIN_LIMIT_NS (5 * RTH_NS_PER_S)
#define LOOK_LIMIT_NS (50 * RTH_NS_PER_MS) /* for a look that was asked for */
#define REST_NS       (1 * RTH_NS_PER_S)
#define REST_DIVISOR  256 /* growth by less of the limit is rest */
#define STEP_DIVISOR  16  /* of the limit: given up at once at rest */
#define DISTRUST_NS   (250 * RTH_NS_PER_MS)
/* Purges in a row that gave nothing although something was free: the allocator never does. */
#define DISAPPOINTMENTS_MAX 2
#define BARREN_NS           (50 * RTH_NS_PER_MS) /* between two passes that count as barren */
#define BARREN_MAX          3
#define BACKGROUND_NS       (30 * RTH_NS_PER_S) /* between purges while memory is OK */

static struct rth_lock thread_lock = RTH_LOCK_INIT(RTH_RANK_RECLAIM);
/* Protected by thread_lock. */
static struct rth_service_thread thread;
static bool may_run; /* between start and stop, and not in an adopted child */
static bool is_child;

/* Set before the thread exists. */
static const void *serving_malloc;
static bool is_lazy;
static bool has_capped;
static struct rth_purge_caps caps;
static _Atomic uint64_t cpu_limit_milli;

static _Atomic uint32_t wakes, looks; /* futex words: something to do; a look was reported */
static _Atomic uint32_t stopping;
static _Atomic bool is_running;

/* rth-collect's; read by rth-reclaim, each for itself. */
static int64_t busy_ns, rest_usage_bytes;
static uint64_t requests_seen; /* but for health's */
static _Atomic bool is_at_rest;
static _Atomic int64_t peak_bytes;

/* rth-reclaim's. */
static struct rth_purge_model model;
static struct rth_cpu_cap cap;
static int64_t barren_ns, distrusted_ns;
static unsigned distrusts, disappointments; /* in a row */
static unsigned barren;
static uint64_t progress_seen_bytes;

static _Atomic uint64_t passes, capped_passes, shrunk_bytes, purges, purged_bytes;
static _Atomic uint64_t purge_cpu_ns, shrink_cpu_ns;
static _Atomic bool is_futile;
static _Atomic int64_t purged_ns; /* when the last purge was over */
static struct rth_latency purge_pauses, shrink_pauses;

/* ---- what is known --------------------------------------------------------------------------- */

static void view_from(const struct rth_memory_now *now, struct rth_reclaim_view *ret_view)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    *ret_view = (struct rth_reclaim_view){
        .state = now->state,
        .limit_bytes = now->limit_bytes,
        .usage_bytes = now->usage_bytes,
        .target_bytes = rth__admission_target_bytes(now->limit_bytes),
        .brake_bytes = rth__admission_brake_bytes(now->limit_bytes, now->critical_bytes),
        .peak_bytes = atomic_load_explicit(&peak_bytes, memory_order_relaxed),
        .room_bytes = counts.room_bytes,
        .unpurged_ns = rth__clock_monotonic_ns_sigsafe() -
                       atomic_load_explicit(&purged_ns, memory_order_relaxed),
        .usable_bytes = counts.usable_bytes,
        .free_bytes = counts.purgeable_bytes,
        .knows_free = counts.released_bytes != 0 || counts.freed_bytes != 0,
        .is_at_rest = atomic_load_explicit(&is_at_rest, memory_order_relaxed),
        .is_lazy = is_lazy,
        .has_shrinkers = rth__shrinkers_exist(false),
    };
}

static void look(struct rth_reclaim_view *ret_view)
{
    struct rth_memory_now now;
    rth__memory_now_read_sigsafe(&now);
    view_from(&now, ret_view);
}

static bool has_work(const struct rth_reclaim_view *view)
{
    return rth__plan_is_pressing(view) || rth__plan_wants_purge(view) ||
           rth__plan_missing_bytes(view) != 0 || rth__plan_excess_at_rest_bytes(view) != 0;
}

/* On rth-collect: whether the program is busy, and how high usage was. */
static void follow(const struct rth_memory_now *now)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    uint64_t requests = counts.admitted - counts.health_admitted + counts.refused;
    int64_t slack = now->limit_bytes == RTH_MEMORY_LIMIT_NONE ? now->usage_bytes / REST_DIVISOR
                                                              : now->limit_bytes / REST_DIVISOR;
    bool is_grown = now->usage_bytes > rest_usage_bytes + slack;
    if (requests != requests_seen || is_grown || busy_ns == 0) {
        busy_ns = now->taken_ns;
        rest_usage_bytes = now->usage_bytes;
        requests_seen = requests;
    } else if (now->usage_bytes < rest_usage_bytes) {
        rest_usage_bytes = now->usage_bytes;
    }
    atomic_store_explicit(&is_at_rest, now->taken_ns - busy_ns >= REST_NS, memory_order_relaxed);
    if (now->usage_bytes > atomic_load_explicit(&peak_bytes, memory_order_relaxed))
        atomic_store_explicit(&peak_bytes, now->usage_bytes, memory_order_relaxed);
}

void rth__reclaim_report(const struct rth_memory_now *now)
{
    rth__admission_look(now);
    if (now->state < RTH_MEMORY_CRITICAL)
        atomic_store_explicit(&is_futile, false, memory_order_relaxed);
    if (now->usage_bytes >= 0)
        follow(now);
    atomic_fetch_add_explicit(&looks, 1, memory_order_release);
    rth__futex_wake_sigsafe(&looks, INT_MAX);
    struct rth_reclaim_view view;
    view_from(now, &view);
    if (!has_work(&view))
        return;
    atomic_fetch_add_explicit(&wakes, 1, memory_order_release);
    rth__futex_wake_sigsafe(&wakes, INT_MAX);
}

/* ---- a pass ---------------------------------------------------------------------------------- */

static bool must_stop(void)
{
    return atomic_load_explicit(&stopping, memory_order_acquire) != 0;
}

/* A look that began after now, if one comes in time. */
static void look_anew(struct rth_reclaim_view *ret_view)
{
    int64_t asked_ns = rth__clock_monotonic_ns_sigsafe(), deadline_ns = asked_ns + LOOK_LIMIT_NS;
    struct rth_memory_now now;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&looks, memory_order_acquire);
        rth__memory_now_read_sigsafe(&now);
        if (now.taken_ns >= asked_ns || must_stop() ||
            rth__clock_monotonic_ns_sigsafe() >= deadline_ns)
            break;
        rth__collect_wake_sigsafe();
        (void)rth__futex_wait_sigsafe(&looks, seen, deadline_ns);
    }
    view_from(&now, ret_view);
}

/* Returns what usage fell by. */
static uint64_t purge(struct rth_reclaim_view *view)
{
    int64_t before_bytes = view->usage_bytes, free_bytes = view->free_bytes;
    int64_t over_bytes = view->usage_bytes - view->limit_bytes;
    bool is_telling = !rth__plan_is_pressing(view) || !view->knows_free ||
                      free_bytes >= rth__plan_purge_worth_bytes(view->limit_bytes);
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe(),
            begun_cpu_ns = rth__clock_own_cpu_ns_sigsafe();
    rth__purge_call((uint64_t)(free_bytes > over_bytes ? free_bytes : over_bytes));
    int64_t cost_ns = rth__clock_own_cpu_ns_sigsafe() - begun_cpu_ns;
    rth__latency_observe_sigsafe(&purge_pauses, rth__clock_monotonic_ns_sigsafe() - begun_ns);
    rth__admission_purged(counts.freed_bytes);
    look_anew(view);
    uint64_t yield = view->usage_bytes >= 0 && view->usage_bytes < before_bytes
                         ? (uint64_t)(before_bytes - view->usage_bytes)
                         : 0;
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    atomic_store_explicit(&purged_ns, now_ns, memory_order_relaxed);
    rth__purge_model_learn(&model, now_ns, cost_ns, yield, is_telling);
    if (yield >= RTH_PURGE_YIELD_MIN)
        disappointments = 0;
    else if (view->knows_free && free_bytes >= rth__plan_purge_worth_bytes(view->limit_bytes))
        disappointments++;
    rth__admission_gives_back(disappointments < DISAPPOINTMENTS_MAX);
    atomic_store_explicit(&peak_bytes, view->usage_bytes, memory_order_relaxed);
    rth__count_up(&purges, 1);
    rth__count_up(&purged_bytes, yield);
    rth__count_up(&purge_cpu_ns, (uint64_t)cost_ns);
    return yield;
}

/* Usage is where requests are refused, and no purge changes that: what seems to be free is not, and
 * shrinkers are asked again. Not for each look, since what they free needs time to show, and ever
 * less often where it never shows. */
static void distrust(struct rth_reclaim_view *view)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    unsigned shift = distrusts < 8 ? distrusts : 8;
    if (now_ns - distrusted_ns < DISTRUST_NS << shift)
        return;
    distrusted_ns = now_ns;
    distrusts++;
    rth__admission_distrusted();
    look_anew(view);
}

static bool may_purge(const struct rth_reclaim_view *view)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (rth__purge_method() == NULL)
        return false;
    if (view->state < RTH_MEMORY_ELEVATED && model.ended_ns != 0 &&
        now_ns - model.ended_ns < BACKGROUND_NS)
        return false;
    return rth__purge_model_allows(&model, now_ns, view->state, rth__plan_is_pressing(view));
}

static uint64_t purge_if_useful(struct rth_reclaim_view *view)
{
    bool has_purged = rth__plan_wants_purge(view) && may_purge(view);
    uint64_t yield = has_purged ? purge(view) : 0;
    if (!rth__plan_is_pressing(view))
        distrusts = 0;
    else if (has_purged || rth__purge_method() == NULL || model.fruitless != 0)
        distrust(view);
    return yield;
}

static uint64_t step_at_rest(const struct rth_reclaim_view *view)
{
    uint64_t excess = rth__plan_excess_at_rest_bytes(view);
    /* Caches that cannot bring memory back are not emptied for it. */
    if (excess == 0 || rth__shrinkers_held_bytes() < excess)
        return 0;
    uint64_t step = (uint64_t)view->limit_bytes / STEP_DIVISOR;
    return excess < step ? excess : step;
}

/* Returns what they claim. */
static uint64_t shrink_if_missing(struct rth_reclaim_view *view)
{
    uint64_t missing = rth__plan_missing_bytes(view);
    uint64_t least = missing != 0 ? 0 : step_at_rest(view);
    uint64_t wanted = missing != 0 ? missing : least;
    if (wanted == 0)
        return 0;
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe(),
            begun_cpu_ns = rth__clock_own_cpu_ns_sigsafe();
    int64_t limit_ms = rth__plan_is_pressing(view) ? 50 : view->state >= RTH_MEMORY_SHED ? 20 : 10;
    struct rth_shrink_request request = {
        .wanted_bytes = rth__admission_shrink_begin(least, 0, wanted),
        .deadline_ns = begun_ns + limit_ms * RTH_NS_PER_MS,
    };
    if (request.wanted_bytes == 0)
        return 0; /* who asks for admission is about it */
    uint64_t claimed = rth__shrinkers_call(&request);
    rth__admission_shrink_end(request.wanted_bytes, claimed);
    rth__count_up(&shrink_cpu_ns, (uint64_t)(rth__clock_own_cpu_ns_sigsafe() - begun_cpu_ns));
    rth__count_up(&shrunk_bytes, claimed);
    rth__latency_observe_sigsafe(&shrink_pauses, rth__clock_monotonic_ns_sigsafe() - begun_ns);
    view->free_bytes += (int64_t)claimed;
    view->usable_bytes += (int64_t)claimed;
    view->knows_free = true;
    return claimed;
}

/* What was given back after shrinkers were called is theirs, if nobody took memory meanwhile. */
static void judge(uint64_t claimed_bytes, uint64_t seen_bytes, uint64_t released_before)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    bool is_clear = counts.released_bytes == released_before && counts.outstanding_bytes == 0;
    if (is_clear && claimed_bytes >= RTH_PURGE_YIELD_MIN)
        rth__shrinkers_judge(claimed_bytes, seen_bytes);
}

/* Whether passes at CRITICAL still free anything, direct reclaim included. */
static void note_progress(const struct rth_reclaim_view *view, bool is_capped)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    uint64_t progress = counts.freed_bytes + rth__count_of(&purged_bytes);
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (view->state < RTH_MEMORY_CRITICAL) {
        barren = 0;
        barren_ns = now_ns;
        progress_seen_bytes = progress;
        return;
    }
    if (is_capped)
        atomic_store_explicit(&is_futile, true, memory_order_relaxed);
    if (now_ns - barren_ns < BARREN_NS)
        return;
    barren_ns = now_ns;
    barren = progress - progress_seen_bytes < (uint64_t)view->limit_bytes / 100 ? barren + 1 : 0;
    progress_seen_bytes = progress;
    atomic_store_explicit(&is_futile, is_capped || barren >= BARREN_MAX, memory_order_relaxed);
}

static void pass(void)
{
    struct rth_reclaim_view view;
    look(&view);
    double cpus = (double)rth__count_of(&cpu_limit_milli) / 1000;
    bool may_spend = rth__cpu_cap_fill(&cap, rth__clock_monotonic_ns_sigsafe(), cpus,
                                       rth__cpu_cap_percent(view.state));
    if (!has_work(&view))
        return;
    rth__count_up(may_spend ? &passes : &capped_passes, 1);
    if (may_spend) {
        struct rth_admission_counts before;
        rth__admission_counts_read(&before);
        int64_t begun_cpu_ns = rth__clock_own_cpu_ns_sigsafe();
        (void)purge_if_useful(&view);
        uint64_t claimed = shrink_if_missing(&view);
        uint64_t purges_before = rth__count_of(&purges);
        uint64_t seen = claimed != 0 ? purge_if_useful(&view) : 0;
        if (rth__count_of(&purges) != purges_before)
            judge(claimed, seen, before.released_bytes);
        rth__cpu_cap_take(&cap, rth__clock_own_cpu_ns_sigsafe() - begun_cpu_ns);
    }
    note_progress(&view, !may_spend);
}

static void reclaim_main(void *userdata)
{
    (void)userdata;
    while (!must_stop()) {
        uint32_t seen = atomic_load_explicit(&wakes, memory_order_acquire);
        pass();
        while (!must_stop() && seen == atomic_load_explicit(&wakes, memory_order_acquire))
            (void)rth__futex_wait_sigsafe(&wakes, seen, -1);
    }
}

/* ---- begin and end --------------------------------------------------------------------------- */

void rth__reclaim_attach(const void *serving)
{
    serving_malloc = serving;
}

/* What passes have learned; nobody runs one. */
static void forget_passes(void)
{
    model = (struct rth_purge_model){0};
    cap = (struct rth_cpu_cap){0};
    busy_ns = rest_usage_bytes = 0;
    requests_seen = 0;
    is_at_rest = false;
    is_futile = false;
    peak_bytes = purged_ns = 0;
    barren = distrusts = disappointments = 0;
    progress_seen_bytes = 0;
}

/* One that outlived its stop, in a shrinker that did not return, goes on. */
static bool is_left_over_locked(void)
{
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + 10 * RTH_NS_PER_MS;
    return thread.started && (!must_stop() || rth__service_thread_join(&thread, deadline_ns) != 0);
}

static int thread_start_locked(void)
{
    if (!may_run)
        return 0;
    bool is_left_over = is_left_over_locked();
    atomic_store_explicit(&stopping, 0, memory_order_relaxed);
    if (is_left_over) {
        atomic_store_explicit(&is_running, true, memory_order_relaxed);
        return 0;
    }
    thread.name = "rth-reclaim";
    thread.main = reclaim_main;
    int error = rth__service_thread_start(&thread);
    atomic_store_explicit(&is_running, error == 0, memory_order_relaxed);
    return error;
}

int rth__reclaim_thread_start(void)
{
    RTH__LOCK_SCOPE(&thread_lock);
    return thread_start_locked();
}

void rth__reclaim_thread_stop(void)
{
    RTH__LOCK_SCOPE(&thread_lock);
    /* A shrinker that stops rthooks runs on it. */
    if (!thread.started || thread.tid == rth__raw_gettid_sigsafe())
        return;
    atomic_store_explicit(&stopping, 1, memory_order_release);
    atomic_fetch_add_explicit(&wakes, 1, memory_order_release);
    rth__futex_wake_sigsafe(&wakes, INT_MAX);
    atomic_fetch_add_explicit(&looks, 1, memory_order_release);
    rth__futex_wake_sigsafe(&looks, INT_MAX);
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS;
    if (rth__service_thread_join(&thread, deadline_ns) != 0)
        rth_log(RTH_LOG_ERROR, "reclaim.stuck", "thread=rth-reclaim waited_s=5");
    atomic_store_explicit(&is_running, false, memory_order_relaxed);
}

void rth__reclaim_shrinker_added(void)
{
    if (!rth__enabled() || atomic_load_explicit(&is_running, memory_order_relaxed))
        return;
    int error = rth__reclaim_thread_start();
    if (error != 0)
        rth_log(RTH_LOG_ERROR, "reclaim.failed", "thread=rth-reclaim error=%d", error);
}

int rth__reclaim_start(bool lazy, int64_t limit_bytes, double cpu_limit)
{
    bool has_limit = limit_bytes != RTH_MEMORY_LIMIT_NONE;
    is_lazy = lazy;
    rth__reclaim_cpu_limit_set(cpu_limit);
    /* A child has found them in its parent. */
    if (!is_child) {
        rth__purge_find(serving_malloc);
        rth__admission_gives_back(rth__purge_method() != NULL);
        unsigned workers = (unsigned)cpu_limit + (cpu_limit > (unsigned)cpu_limit);
        if (has_limit && !has_capped)
            rth__purge_cap_caches(workers, limit_bytes, &caps);
        has_capped = has_capped || has_limit;
    }
    RTH__LOCK_SCOPE(&thread_lock);
    if (!thread.started)
        forget_passes();
    may_run = !is_child;
    return has_limit || rth__shrinkers_exist(false) ? thread_start_locked() : 0;
}

void rth__reclaim_stop(void)
{
    rth__reclaim_thread_stop();
    {
        RTH__LOCK_SCOPE(&thread_lock);
        may_run = false;
    }
    rth__admission_stop();
}

void rth__reclaim_cpu_limit_set(double cpu_limit)
{
    if (!(cpu_limit > 0.001))
        cpu_limit = 0.001;
    if (cpu_limit > 65536)
        cpu_limit = 65536;
    atomic_store_explicit(&cpu_limit_milli, (uint64_t)(cpu_limit * 1000), memory_order_relaxed);
}

void rth__reclaim_child_reset(void)
{
    _Atomic uint64_t *const counters[] = {&passes,       &capped_passes, &shrunk_bytes, &purges,
                                          &purged_bytes, &purge_cpu_ns,  &shrink_cpu_ns};
    rth__lock_reset(&thread_lock);
    rth__service_thread_child_reset(&thread);
    is_child = true;
    may_run = false;
    is_running = false;
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        atomic_store_explicit(counters[i], 0, memory_order_relaxed);
    rth__latency_clear(&purge_pauses);
    rth__latency_clear(&shrink_pauses);
    forget_passes();
    rth__pressure_child_reset();
    rth__shrinkers_child_reset();
    rth__admission_child_reset();
}

/* ---- shown ----------------------------------------------------------------------------------- */

void rth__reclaim_counts_read(struct rth_reclaim_counts *ret_counts)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    *ret_counts = (struct rth_reclaim_counts){
        .passes = rth__count_of(&passes),
        .shrinker_calls = rth__shrinker_calls_count(),
        .shrunk_bytes = rth__count_of(&shrunk_bytes) + counts.direct_freed_bytes,
        .purges = rth__count_of(&purges),
        .purged_bytes = rth__count_of(&purged_bytes),
        .purge_cpu_ns = rth__count_of(&purge_cpu_ns),
        .shrink_cpu_ns = rth__count_of(&shrink_cpu_ns) + counts.direct_cpu_ns,
        .direct_reclaims = counts.direct_reclaims,
        .admitted = counts.admitted,
        .refused = counts.refused,
        .capped_passes = rth__count_of(&capped_passes),
        .is_futile = atomic_load_explicit(&is_futile, memory_order_relaxed),
        .purge_method = rth__purge_method(),
    };
}

static void counts_json(struct rth_json *json)
{
    struct rth_reclaim_counts counts;
    rth__reclaim_counts_read(&counts);
    rth__json_member_string(json, "purge_method", counts.purge_method);
    rth__json_member_uint(json, "passes", counts.passes);
    rth__json_member_uint(json, "capped_passes", counts.capped_passes);
    rth__json_member_uint(json, "purges", counts.purges);
    rth__json_member_uint(json, "purged_bytes", counts.purged_bytes);
    rth__json_member_uint(json, "purge_cpu_ns", counts.purge_cpu_ns);
    rth__json_member_uint(json, "shrinker_calls", counts.shrinker_calls);
    rth__json_member_uint(json, "shrunk_bytes", counts.shrunk_bytes);
    rth__json_member_uint(json, "shrink_cpu_ns", counts.shrink_cpu_ns);
    rth__json_member_bool(json, "futile", counts.is_futile);
}

static void admission_json(struct rth_json *json)
{
    struct rth_admission_counts counts;
    rth__admission_counts_read(&counts);
    rth__json_key(json, "admission");
    rth__json_object_begin(json);
    rth__json_member_uint(json, "admitted", counts.admitted);
    rth__json_member_uint(json, "refused", counts.refused);
    rth__json_member_uint(json, "direct_reclaims", counts.direct_reclaims);
    rth__json_member_uint(json, "direct_freed_bytes", counts.direct_freed_bytes);
    rth__json_member_int(json, "room_bytes", counts.room_bytes);
    rth__json_member_int(json, "outstanding_bytes", counts.outstanding_bytes);
    rth__json_member_int(json, "usable_bytes", counts.usable_bytes);
    rth__json_member_int(json, "purgeable_bytes", counts.purgeable_bytes);
    rth__latency_json(rth__admission_pauses(), "pauses", json);
    rth__json_object_end(json);
}

void rth__reclaim_json(const char *key, struct rth_json *json)
{
    rth__json_key(json, key);
    rth__json_object_begin(json);
    rth__json_member_string(json, "thread",
                            is_child ? "none: an adopted child has no rth-reclaim"
                            : atomic_load_explicit(&is_running, memory_order_relaxed)
                                ? "rth-reclaim"
                                : "none");
    if (caps.arenas_max != 0)
        rth__json_member_uint(json, "arenas_max", caps.arenas_max);
    if (caps.thread_caches_max_bytes != 0)
        rth__json_member_uint(json, "thread_caches_max_bytes", caps.thread_caches_max_bytes);
    counts_json(json);
    rth__latency_json(&purge_pauses, "purge_pauses", json);
    rth__latency_json(&shrink_pauses, "shrink_pauses", json);
    admission_json(json);
    rth__shrinkers_json("shrinkers", json);
    rth__json_object_end(json);
}
