/* SPDX-License-Identifier: MIT */
/*
 * What happens at a look, in this order: limits are read again when a second has passed, usage is
 * read, the state machine decides, the result is published, reclaim is told, evidence is asked for,
 * and the line in the allocation hooks is drawn anew.
 *
 * Nothing here waits. The view for others is left out when somebody reads it at that moment.
 */
#include "limits/look.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "core/call.h"
#include "core/collect.h"
#include "core/identity.h"
#include "core/lock.h"
#include "core/pressure.h"
#include "limits/evidence.h"
#include "limits/in_force.h"
#include "limits/pressure_watch.h"
#include "limits/psi.h"
#include "limits/publish.h"
#include "limits/reclaim.h"
#include "limits/saturation.h"
#include "os/rawsys.h"
#include "rthooks/error.h"
#include "rthooks/limits.h"
#include "rthooks/log.h"

#define NONE         INT64_MAX
#define REFRESH_NS   (1 * RTH_NS_PER_S)
#define TICK_NS      (1 * RTH_NS_PER_S)
#define UNLIMITED_NS (1 * RTH_NS_PER_S)
/* While the platform says that memory is short, and for as long after it. */
#define PRESSED_NS        (1 * RTH_NS_PER_S)
#define PRESSED_PERIOD_NS (10 * RTH_NS_PER_MS)
/* Where no hook reports, usage may rise by so much a second between two looks; and faster than this
 * they need not come for it. */
#define LEAP_BYTES_PER_S (1024.0 * 1024 * 1024)
#define LEAP_PERIOD_NS   (10 * RTH_NS_PER_MS)
/* Of the line in the hooks: no shorter budgets than these, however near a threshold is. */
#define BUDGET_MIN_BYTES  (INT64_C(1) << 20)
#define BUDGET_PART       256
#define PORTION_MIN_BYTES (UINT64_C(4) << 10)
#define PORTION_MAX_BYTES (UINT64_C(256) << 10)
#define BACKOFF_MAX       4

/* The looking thread's. */
static struct rth_memory_machine machine;
static struct rth_saturation saturation;
static int64_t refreshed_ns, pressed_until_ns;
static bool is_own_table; /* of descriptors: not the host's */
static int said_error;    /* what was logged of a failing look; 0: nothing */
static bool was_predicted;
static bool hooks_are_watched; /* a budget was set */
static bool hooks_report;      /* they have, ever */
static unsigned backoff;
static uint64_t budget_bytes;
static int64_t budget_usage_bytes; /* when it was set */
static struct rth_memory_view view_next;

/* Held for a copy: who reads the view or the ring, and the looking thread. */
static struct rth_lock view_lock = RTH_LOCK_INIT(RTH_RANK_LIMITS);
static struct rth_memory_view view;
static struct rth_memory_transition ring[RTH_TRANSITION_RING];

static bool is_of_gone_group(int error)
{
    return error == -ENOENT || error == -ENODEV;
}

static void say_error(int error, bool is_of_group)
{
    if (error == said_error)
        return;
    said_error = error;
    if (is_of_group && is_of_gone_group(error))
        rth_log(RTH_LOG_WARN, "limits.cgroup_gone",
                "text=\"the memory cgroup is gone; looking for the one we are in now\"");
    else if (error != 0)
        rth_log(RTH_LOG_WARN, "limits.unreadable", "error=\"%s\"", rth_strerror(error));
}

static void refresh(int root_fd, int64_t now_ns, bool is_gone)
{
    if (rth__sampler_open(root_fd, now_ns)) {
        rth__pressure_watch_open();
        rth__psi_forget();
        is_own_table = true;
    } else {
        if (now_ns - refreshed_ns < REFRESH_NS && !is_gone)
            return;
        int error;
        if (!rth__sampler_refresh(now_ns, &error)) {
            refreshed_ns = now_ns;
            return;
        }
        if (is_of_gone_group(error))
            say_error(error, true);
    }
    refreshed_ns = now_ns;
    (void)rth__in_force_platform(rth__sampler_watch());
    if (is_own_table)
        rth__psi_open(root_fd, rth__sampler_watch()->cgroups.unified.folder);
}

/* ---- the line in the hooks ------------------------------------------------------------------- */

static uint64_t portion_of(uint64_t budget)
{
    uint64_t portion = PORTION_MAX_BYTES;
    while (portion > PORTION_MIN_BYTES && portion > budget / 64)
        portion /= 4;
    return portion;
}

/* A program that frees what it allocates crosses the line without growing: further off next time.
 */
static void note_crossing(int64_t usage_bytes)
{
    uint64_t reported_bytes = rth__pressure_reported_bytes();
    int64_t grown_bytes = usage_bytes - budget_usage_bytes;
    if (reported_bytes < budget_bytes)
        return;
    if (grown_bytes < (int64_t)(reported_bytes / 8))
        backoff += backoff < BACKOFF_MAX;
    else if (grown_bytes > (int64_t)(reported_bytes / 2))
        backoff = 0;
}

static void draw_line(const struct rth_memory_look *look)
{
    if (look->limit_bytes == NONE || look->usage_bytes < 0) {
        if (hooks_are_watched)
            rth__pressure_watch(0, 0, NULL);
        hooks_are_watched = false;
        return;
    }
    if (hooks_are_watched)
        note_crossing(look->usage_bytes);
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(look->limit_bytes, look->hard_bytes, &thresholds);
    int64_t headroom_bytes =
        rth__memory_headroom_bytes(&thresholds, look->hard_bytes, look->usage_bytes);
    int64_t least_bytes = look->limit_bytes / BUDGET_PART;
    if (least_bytes < BUDGET_MIN_BYTES)
        least_bytes = BUDGET_MIN_BYTES;
    int64_t far_bytes = least_bytes << backoff;
    int64_t critical_bytes = (thresholds.critical_bytes - look->usage_bytes) / 2;
    if (far_bytes > critical_bytes)
        far_bytes = critical_bytes > least_bytes ? critical_bytes : least_bytes;
    budget_bytes = (uint64_t)(headroom_bytes > far_bytes ? headroom_bytes : far_bytes);
    budget_usage_bytes = look->usage_bytes;
    hooks_are_watched = true;
    rth__pressure_watch(budget_bytes, portion_of(budget_bytes), rth__collect_wake_sigsafe);
}

/* ---- what follows from the state ------------------------------------------------------------- */

static void publish(const struct rth_memory_look *look, const struct rth_memory_reading *reading)
{
    struct rth_memory_now now = {
        .limit_bytes = look->limit_bytes,
        .hard_bytes = look->hard_bytes,
        .critical_bytes = rth__budget_critical_bytes(look->limit_bytes, look->hard_bytes),
        .usage_bytes = look->usage_bytes,
        .rss_bytes = reading->rss_bytes,
        .growth_bytes_per_s = (int64_t)machine.fast_bytes_per_s,
        .state = machine.state,
        .is_stale = machine.is_stale,
        .taken_ns = look->now_ns,
    };
    rth__memory_now_publish(&now);
    rth__reclaim_report(&now);
}

static void note_transition(int from, const struct rth_memory_look *look,
                            const struct rth_memory_reading *reading,
                            const struct rth_reclaim_counts *counts)
{
    struct rth_memory_transition transition = {
        .unix_ns = rth__clock_realtime_ns_sigsafe(),
        .from = from,
        .to = machine.state,
        .is_stale = machine.is_stale,
        .limit_bytes = look->limit_bytes,
        .hard_bytes = look->hard_bytes,
        .usage_bytes = machine.usage_bytes,
        .rss_bytes = reading->rss_bytes,
        .growth_bytes_per_s = (int64_t)machine.slow_bytes_per_s,
        .shrunk_bytes = counts->shrunk_bytes,
        .purged_bytes = counts->purged_bytes,
    };
    {
        RTH__LOCK_SCOPE(&view_lock);
        ring[view_next.transition_count % RTH_TRANSITION_RING] = transition;
        view.transition_count = ++view_next.transition_count;
    }
    rth_log(transition.to >= RTH_MEMORY_SHED ? RTH_LOG_WARN : RTH_LOG_INFO, "memory.state",
            "from=%s to=%s%s usage=%lld limit=%lld hard=%lld rss=%lld growth=%lld",
            rth__memory_state_name(from), rth__memory_state_name(transition.to),
            transition.is_stale ? " stale=yes" : "", (long long)transition.usage_bytes,
            (long long)transition.limit_bytes, (long long)transition.hard_bytes,
            (long long)transition.rss_bytes, (long long)transition.growth_bytes_per_s);
    if (transition.to > from)
        rth__evidence_of_state(&transition);
    rth__call_want_all();
}

static void note_prediction(const struct rth_memory_look *look)
{
    if (machine.is_predicted && !was_predicted && machine.state < RTH_MEMORY_CRITICAL) {
        view_next.predictions++;
        rth__evidence_of_prediction(look, (int64_t)machine.slow_bytes_per_s);
    }
    was_predicted = machine.is_predicted;
}

static void note_pressure(const struct rth_memory_look *look)
{
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(look->limit_bytes, look->hard_bytes, &thresholds);
    bool is_near = look->usage_bytes >= thresholds.predict_bytes;
    bool has_fired = rth__pressure_watch_fired();
    bool has_stalled = is_near && rth__psi_has_stalled();
    view_next.pressure_fires += has_fired;
    view_next.pressure_stalls += has_stalled;
    if (is_near && (has_fired || has_stalled))
        pressed_until_ns = look->now_ns + PRESSED_NS;
}

/* As its platform would end it; once, whatever comes of it. */
static void note_saturation(const struct rth_memory_look *look)
{
    int64_t limit_ns = rth__limits_saturation_ns();
    int pid = rth__raw_getpid_sigsafe();
    /* In containers the pids of replicas are the same. */
    uint64_t seed = rth__identity()->starttime_ticks + (uint64_t)pid;
    if (!rth__saturation_look(&saturation, machine.state, limit_ns, seed, look->now_ns))
        return;
    rth_log(RTH_LOG_ERROR, "memory.saturated", "state=%s seconds=%lld text=\"sending SIGTERM\"",
            rth__memory_state_name(machine.state),
            (long long)((look->now_ns - saturation.since_ns) / RTH_NS_PER_S));
    (void)RTH__RAW(SYS_kill, pid, SIGTERM);
}

/* What brings a look in time although nobody says that memory is being taken. */
static int64_t unreported_period_ns(const struct rth_memory_look *look)
{
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(look->limit_bytes, look->hard_bytes, &thresholds);
    double headroom_bytes =
        (double)rth__memory_headroom_bytes(&thresholds, look->hard_bytes, look->usage_bytes);
    double period_ns = headroom_bytes * (double)RTH_NS_PER_S / (4 * LEAP_BYTES_PER_S);
    return period_ns > (double)RTH_MEMORY_PERIOD_MAX_NS ? RTH_MEMORY_PERIOD_MAX_NS
           : period_ns > (double)LEAP_PERIOD_NS         ? (int64_t)period_ns
                                                        : LEAP_PERIOD_NS;
}

static int64_t period_of(const struct rth_memory_look *look, bool is_tick)
{
    if (is_tick)
        return TICK_NS;
    if (look->limit_bytes == NONE)
        return UNLIMITED_NS;
    int64_t period_ns = rth__memory_machine_period_ns(&machine, look);
    hooks_report = hooks_report || rth__pressure_reported_bytes() != 0;
    int64_t unreported_ns = hooks_report ? period_ns : unreported_period_ns(look);
    if (period_ns > unreported_ns)
        period_ns = unreported_ns;
    bool is_pressed = look->now_ns < pressed_until_ns && period_ns > PRESSED_PERIOD_NS;
    return is_pressed ? PRESSED_PERIOD_NS : period_ns;
}

static void show(const struct rth_memory_look *look, const struct rth_memory_reading *reading)
{
    view_next.machine = machine;
    view_next.look = *look;
    view_next.reading = *reading;
    view_next.period_ns = machine.period_ns;
    view_next.looks++;
    view_next.failed_looks += look->usage_bytes < 0;
    if (!rth__lock_try_sigsafe(&view_lock))
        return;
    view = view_next;
    rth__unlock(&view_lock);
}

int64_t rth__look(int root_fd, int64_t now_ns, bool is_tick)
{
    refresh(root_fd, now_ns, false);
    struct rth_memory_reading reading;
    rth__sampler_read(&reading);
    if (!reading.is_of_process && is_of_gone_group(reading.error)) {
        say_error(reading.error, true);
        refresh(root_fd, now_ns, true);
        rth__sampler_read(&reading);
    }
    say_error(reading.error, !reading.is_of_process);
    struct rth_reclaim_counts counts;
    rth__reclaim_counts_read(&counts);
    struct rth_memory_look look = {
        .now_ns = now_ns,
        .limit_bytes = rth__in_force_memory_limit(),
        .hard_bytes = rth__in_force_memory_hard(),
        .usage_bytes = reading.usage_bytes,
        .is_futile = counts.is_futile,
    };
    int from = machine.state;
    bool changed = rth__memory_machine_look(&machine, &look);
    machine.period_ns = period_of(&look, is_tick);
    rth__evidence_danger(&look);
    rth__evidence_again(machine.state);
    publish(&look, &reading);
    if (changed)
        note_transition(from, &look, &reading, &counts);
    note_prediction(&look);
    note_pressure(&look);
    note_saturation(&look);
    show(&look, &reading);
    if (!is_tick)
        draw_line(&look);
    return machine.period_ns;
}

void rth__look_view(struct rth_memory_view *ret_view)
{
    RTH__LOCK_SCOPE(&view_lock);
    *ret_view = view;
}

bool rth__look_transition(uint64_t number, struct rth_memory_transition *ret_transition)
{
    RTH__LOCK_SCOPE(&view_lock);
    if (number >= view.transition_count || view.transition_count - number > RTH_TRANSITION_RING)
        return false;
    *ret_transition = ring[number % RTH_TRANSITION_RING];
    return true;
}

void rth__look_end(void)
{
    if (hooks_are_watched)
        rth__pressure_watch(0, 0, NULL);
    hooks_are_watched = false;
}

void rth__look_reset(void)
{
    rth__lock_reset(&view_lock);
    rth__evidence_reset();
    memset(&machine, 0, sizeof(machine));
    memset(&saturation, 0, sizeof(saturation));
    rth__psi_forget();
    is_own_table = false;
    memset(&view, 0, sizeof(view));
    memset(&view_next, 0, sizeof(view_next));
    refreshed_ns = pressed_until_ns = 0;
    said_error = 0;
    was_predicted = hooks_are_watched = hooks_report = false;
    backoff = 0;
    budget_bytes = 0;
}
