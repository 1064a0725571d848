/* SPDX-License-Identifier: MIT */
/*
 * Admission.
 *
 * Purpose: who wants memory pays for it. A thread that asks when there is no room calls the
 * shrinkers itself, for what is missing and a little more, before it takes any; so growth cannot
 * outrun reclaim, however fast it is. A thread that polls usage always loses that race.
 * Threads: any of the host asks; rth-collect (in an adopted child rth-admin) corrects the room by
 * what the platform says. Locks: none. Failure: with nothing to shrink a request is refused by
 * its class. Cost: without a limit a load; with one some atomic additions.
 */
#include "limits/admission.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/counter.h"
#include "core/enable.h"
#include "core/latency.h"
#include "limits/look_soon.h"
#include "limits/memory.h"
#include "limits/purge.h"
#include "limits/shrinkers.h"
#include "os/clock.h"
#include "os/futex.h"
#include "rthooks/limits.h"

#define DIRECT_BATCH_BYTES_MIN (INT64_C(256) * 1024)
#define DIRECT_BATCH_DIVISOR   200 /* 0.5 % of the limit */
#define DIRECT_DEADLINE_NS     (10 * RTH_NS_PER_MS)
#define LOOK_WAIT_NS           (5 * RTH_NS_PER_MS)
#define GIVE_BACK_SPACING_NS   (20 * RTH_NS_PER_MS)
#define CHILD_PURGE_SPACING    8
#define UNSEEN_BYTES_MIN       (INT64_C(1) << 20)
#define TARGET_DIVISOR         256
/* Overhead of the allocator: learned from so many bytes, and no more than that. */
#define FILLED_BYTES_MIN  ((double)(16 << 20))
#define OVERHEAD_MAX      1.5
#define TARGET_MARGIN_MAX (INT64_C(16) << 20)
/* What somebody asks for by mistake must not run the sums over. */
#define REQUEST_BYTES_MAX (UINT64_C(1) << 60)

static _Atomic bool is_limited, is_braked;
static _Atomic int state_now;
static _Atomic int64_t limit_now, refuse_below; /* room at which NORMAL is refused */
static _Atomic int64_t room, outstanding;
static _Atomic int64_t shrinking; /* what calls of shrinkers that run now are to free */
/* Since the last look: what was admitted, and how much that may be before there is another one. */
static _Atomic int64_t unseen, unseen_max;
static _Atomic uint32_t look_number; /* futex word of who waits for a look */
static _Atomic uint32_t look_waiters;
static _Atomic uint64_t freed_total, released_total;
static _Atomic uint64_t admitted, health_admitted, refused;
static _Atomic uint64_t direct_reclaims, direct_cpu_ns, direct_freed;
static struct rth_latency pauses;
static __thread int64_t gave_back_ns __attribute__((tls_model("initial-exec")));

/* rth-collect's. */
static struct rth_room_ledger ledger;
static uint64_t freed_seen, released_seen;
static _Atomic int64_t usable_shown, purgeable_shown;
/* By rth-reclaim. */
static _Atomic bool purged_said, distrust_said;
static _Atomic bool gives_nothing_back;
static bool is_child; /* adopted */
static _Atomic int64_t usage_now, child_purge_due_ns, child_purge_usage;
static _Atomic uint64_t freed_before_purge;

/* ---- the arithmetic -------------------------------------------------------------------------- */

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

int64_t rth__admission_target_bytes(int64_t limit_bytes)
{
    int64_t margin = limit_bytes / TARGET_DIVISOR;
    return limit_bytes - (margin < TARGET_MARGIN_MAX ? margin : TARGET_MARGIN_MAX);
}

int64_t rth__admission_brake_bytes(int64_t limit_bytes, int64_t critical_bytes)
{
    return limit_bytes + (critical_bytes - limit_bytes) / 2;
}

static double overhead_of(const struct rth_room_ledger *of)
{
    if (of->filled_bytes < FILLED_BYTES_MIN)
        return 1;
    double overhead = of->filled_usage_bytes / of->filled_bytes;
    return overhead < 1 ? 1 : overhead > OVERHEAD_MAX ? OVERHEAD_MAX : overhead;
}

int64_t rth__room_look(struct rth_room_ledger *of, const struct rth_room_look *look)
{
    double grown = of->has_usage ? (double)(look->usage_bytes - of->usage_bytes) : 0;
    if (!of->has_freed && look->freed_bytes == 0 && of->has_usage) {
        of->filled_usage_bytes += grown;
        of->filled_bytes += (double)look->released_bytes;
    }
    of->has_freed = of->has_freed || look->freed_bytes != 0;
    double overhead = overhead_of(of);
    double put_in = (double)look->released_bytes * overhead;
    /* Growth that nobody asked for is somebody else's, and may be in what was free. */
    double unasked = grown > put_in ? grown - put_in : 0;
    double left = (double)of->free_bytes + (double)look->freed_bytes * overhead - put_in + grown -
                  2 * unasked;
    of->free_bytes = clamp((int64_t)left, 0, look->usage_bytes);
    of->stuck_bytes = clamp(of->stuck_bytes, 0, of->free_bytes);
    of->waste_bytes = clamp(of->waste_bytes, 0, of->free_bytes);
    of->usage_bytes = look->usage_bytes;
    of->has_usage = true;
    int64_t usable = of->free_bytes - of->waste_bytes;
    return look->target_bytes - (look->usage_bytes - usable) - look->outstanding_bytes;
}

void rth__room_purged(struct rth_room_ledger *of, uint64_t freed_since_bytes, bool is_telling)
{
    int64_t since = (int64_t)((double)freed_since_bytes * overhead_of(of));
    of->stuck_bytes = clamp(of->free_bytes - since, 0, of->free_bytes);
    if (is_telling)
        of->waste_bytes = of->stuck_bytes;
}

void rth__room_distrusted(struct rth_room_ledger *of)
{
    of->waste_bytes = of->free_bytes;
}

/* ---- a look ---------------------------------------------------------------------------------- */

static int64_t load(const _Atomic int64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* What rth-reclaim has found out since the last look. */
static void hear_of_purges(uint64_t freed)
{
    if (atomic_exchange_explicit(&distrust_said, false, memory_order_relaxed))
        rth__room_distrusted(&ledger);
    if (atomic_exchange_explicit(&purged_said, false, memory_order_acquire))
        rth__room_purged(&ledger,
                         freed - atomic_load_explicit(&freed_before_purge, memory_order_relaxed),
                         !atomic_load_explicit(&gives_nothing_back, memory_order_relaxed));
}

/* Returns the room. */
static int64_t look_at_ledger(const struct rth_memory_now *now)
{
    uint64_t freed = atomic_load_explicit(&freed_total, memory_order_relaxed);
    uint64_t released = atomic_load_explicit(&released_total, memory_order_relaxed);
    struct rth_room_look look = {
        .target_bytes = rth__admission_target_bytes(now->limit_bytes),
        .usage_bytes = now->usage_bytes,
        .outstanding_bytes = load(&outstanding),
        .freed_bytes = freed - freed_seen,
        .released_bytes = released - released_seen,
    };
    freed_seen = freed;
    released_seen = released;
    int64_t room_new = rth__room_look(&ledger, &look);
    int64_t waste_before = ledger.waste_bytes;
    hear_of_purges(freed);
    atomic_store_explicit(&usable_shown, ledger.free_bytes - ledger.waste_bytes,
                          memory_order_relaxed);
    atomic_store_explicit(&purgeable_shown, ledger.free_bytes - ledger.stuck_bytes,
                          memory_order_relaxed);
    return room_new - (ledger.waste_bytes - waste_before);
}

static void draw_bounds(const struct rth_memory_now *now)
{
    bool has_brake = !atomic_load_explicit(&gives_nothing_back, memory_order_relaxed);
    int64_t brake = rth__admission_brake_bytes(now->limit_bytes, now->critical_bytes);
    atomic_store_explicit(&is_braked, has_brake && now->usage_bytes >= brake, memory_order_relaxed);
    atomic_store_explicit(&limit_now, now->limit_bytes, memory_order_relaxed);
    atomic_store_explicit(&usage_now, now->usage_bytes, memory_order_relaxed);
    atomic_store_explicit(&refuse_below, -(now->critical_bytes - now->limit_bytes) / 2,
                          memory_order_relaxed);
    /* With what the allocator puts on top. */
    int64_t most = (int64_t)((double)(now->critical_bytes - now->usage_bytes) / OVERHEAD_MAX);
    atomic_store_explicit(&unseen_max, most > UNSEEN_BYTES_MIN ? most : UNSEEN_BYTES_MIN,
                          memory_order_relaxed);
    atomic_store_explicit(&unseen, 0, memory_order_relaxed);
}

void rth__admission_look(const struct rth_memory_now *now)
{
    atomic_store_explicit(&state_now, now->state, memory_order_relaxed);
    if (now->limit_bytes == RTH_MEMORY_LIMIT_NONE) {
        rth__admission_stop();
        return;
    }
    if (now->usage_bytes < 0)
        return; /* what was known goes on */
    int64_t room_seen = load(&room);
    int64_t room_new = look_at_ledger(now);
    draw_bounds(now);
    /* What was taken and given back meanwhile stays so. */
    atomic_fetch_add_explicit(&room, room_new - room_seen, memory_order_relaxed);
    atomic_store_explicit(&is_limited, true, memory_order_release);
    atomic_fetch_add_explicit(&look_number, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&look_waiters, memory_order_seq_cst) != 0)
        rth__futex_wake_sigsafe(&look_number, INT_MAX);
}

int64_t rth__admission_room_bytes(void)
{
    return load(&room);
}

uint64_t rth__admission_shrink_begin(uint64_t least_bytes, uint64_t batch_bytes,
                                     uint64_t most_bytes)
{
    int64_t missing = -load(&room) - load(&shrinking);
    uint64_t wanted = missing <= 0                      ? 0
                      : (uint64_t)missing < batch_bytes ? batch_bytes
                      : (uint64_t)missing > most_bytes  ? most_bytes
                                                        : (uint64_t)missing;
    if (wanted < least_bytes)
        wanted = least_bytes;
    atomic_fetch_add_explicit(&shrinking, (int64_t)wanted, memory_order_relaxed);
    return wanted;
}

void rth__admission_shrink_end(uint64_t begun_bytes, uint64_t freed_bytes)
{
    if (freed_bytes > REQUEST_BYTES_MAX)
        freed_bytes = REQUEST_BYTES_MAX;
    atomic_fetch_add_explicit(&room, (int64_t)freed_bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shrinking, (int64_t)begun_bytes, memory_order_relaxed);
    rth__count_up(&freed_total, freed_bytes);
}

void rth__admission_gives_back(bool gives_back)
{
    atomic_store_explicit(&gives_nothing_back, !gives_back, memory_order_relaxed);
}

void rth__admission_purged(uint64_t freed_before_bytes)
{
    atomic_store_explicit(&freed_before_purge, freed_before_bytes, memory_order_relaxed);
    atomic_store_explicit(&purged_said, true, memory_order_release);
}

void rth__admission_distrusted(void)
{
    atomic_store_explicit(&distrust_said, true, memory_order_relaxed);
}

/* ---- a request ------------------------------------------------------------------------------- */

/* The caller pays: frees what is missing, and a batch so that not each request comes here. What is
 * much is shared with the requests after it. */
static void reclaim_directly(int64_t size_bytes)
{
    int64_t batch = load(&limit_now) / DIRECT_BATCH_DIVISOR;
    if (batch < DIRECT_BATCH_BYTES_MIN)
        batch = DIRECT_BATCH_BYTES_MIN;
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe(),
            begun_cpu_ns = rth__clock_own_cpu_ns_sigsafe();
    struct rth_shrink_request request = {
        .wanted_bytes =
            rth__admission_shrink_begin((uint64_t)size_bytes, (uint64_t)batch, 4 * (uint64_t)batch),
        .deadline_ns = begun_ns + DIRECT_DEADLINE_NS,
        .is_direct = true,
    };
    uint64_t freed = rth__shrinkers_call(&request);
    rth__admission_shrink_end(request.wanted_bytes, freed);
    rth__count_up(&direct_reclaims, 1);
    rth__count_up(&direct_freed, freed);
    rth__count_up(&direct_cpu_ns, (uint64_t)(rth__clock_own_cpu_ns_sigsafe() - begun_cpu_ns));
    rth__latency_observe_sigsafe(&pauses, rth__clock_monotonic_ns_sigsafe() - begun_ns);
}

static bool wait_for_look(void)
{
    uint32_t seen = atomic_load_explicit(&look_number, memory_order_seq_cst);
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + LOOK_WAIT_NS;
    atomic_fetch_add_explicit(&look_waiters, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&look_number, memory_order_seq_cst) == seen &&
           rth__futex_wait_sigsafe(&look_number, seen, deadline_ns) != -ETIMEDOUT)
        ;
    atomic_fetch_sub_explicit(&look_waiters, 1, memory_order_relaxed);
    return atomic_load_explicit(&look_number, memory_order_relaxed) != seen;
}

/* The room says what may be taken if the allocator uses again what was freed. If it does not, usage
 * grows by all that is admitted: so between two looks no more than what leads to CRITICAL. Growth
 * that is as fast as that waits for its looks. False: there was none in time. */
static bool is_seen(int64_t size_bytes)
{
    int64_t before = atomic_fetch_add_explicit(&unseen, size_bytes, memory_order_relaxed);
    int64_t most = load(&unseen_max);
    if (before + size_bytes <= most / 2)
        return true;
    bool is_first = before <= most / 2, is_over = before + size_bytes > most;
    if ((is_first || is_over) && rth__look_soon() != 0 && is_child)
        return true; /* nobody looks there */
    return !is_over || wait_for_look();
}

/* In an adopted child nobody else purges: the thread that is refused does, for a ninth of the time.
 */
static void purge_in_child(void)
{
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe();
    int64_t due_ns = load(&child_purge_due_ns), usage = load(&usage_now);
    if (begun_ns < due_ns ||
        !atomic_compare_exchange_strong_explicit(&child_purge_due_ns, &due_ns, INT64_MAX,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    uint64_t freed = atomic_load_explicit(&freed_total, memory_order_relaxed);
    rth__purge_call(UINT64_MAX / 4);
    rth__admission_purged(freed);
    /* The last one has not helped: what seems to be free is not. */
    if (usage >= load(&child_purge_usage))
        rth__admission_distrusted();
    atomic_store_explicit(&child_purge_usage, usage, memory_order_relaxed);
    (void)rth__look_soon();
    int64_t ended_ns = rth__clock_monotonic_ns_sigsafe();
    atomic_store_explicit(&child_purge_due_ns,
                          ended_ns + CHILD_PURGE_SPACING * (ended_ns - begun_ns) +
                              GIVE_BACK_SPACING_NS,
                          memory_order_release);
}

/* Who is refused gives back what its own heap holds, where nobody else can. */
static void give_back_own(void)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (now_ns - gave_back_ns < GIVE_BACK_SPACING_NS || rth__shrinkers_are_inside())
        return;
    rth__purge_own_heap();
    if (is_child)
        purge_in_child();
    gave_back_ns = rth__clock_monotonic_ns_sigsafe();
}

static bool is_refused(enum rth_memory_class memory_class, int64_t room_left)
{
    int state = atomic_load_explicit(&state_now, memory_order_relaxed);
    if (memory_class == RTH_MEMORY_HEALTH)
        return false;
    if (state >= RTH_MEMORY_CRITICAL || atomic_load_explicit(&is_braked, memory_order_relaxed))
        return true;
    if (memory_class == RTH_MEMORY_LOW)
        return state >= RTH_MEMORY_SHED || room_left < 0;
    return room_left < load(&refuse_below);
}

int rth_memory_admit(enum rth_memory_class memory_class, uint64_t size_bytes)
{
    if (!atomic_load_explicit(&is_limited, memory_order_relaxed) || !rth__enabled())
        return 0;
    if (size_bytes > REQUEST_BYTES_MAX)
        return memory_class == RTH_MEMORY_HEALTH ? 0 : -EAGAIN;
    int64_t size = (int64_t)size_bytes;
    atomic_fetch_add_explicit(&outstanding, size, memory_order_relaxed);
    int64_t left = atomic_fetch_sub_explicit(&room, size, memory_order_relaxed) - size;
    if (left < 0 && memory_class == RTH_MEMORY_NORMAL && !rth__shrinkers_are_inside() &&
        rth__shrinkers_exist(true)) {
        reclaim_directly(size);
        left = load(&room);
    }
    bool is_stopped = memory_class != RTH_MEMORY_HEALTH && !is_seen(size);
    if (is_stopped || is_refused(memory_class, left)) {
        atomic_fetch_sub_explicit(&outstanding, size, memory_order_relaxed);
        atomic_fetch_add_explicit(&room, size, memory_order_relaxed);
        if (memory_class != RTH_MEMORY_HEALTH)
            atomic_fetch_sub_explicit(&unseen, size, memory_order_relaxed);
        rth__count_up(&refused, 1);
        give_back_own();
        return -EAGAIN;
    }
    rth__count_up(&admitted, 1);
    if (memory_class == RTH_MEMORY_HEALTH)
        rth__count_up(&health_admitted, 1);
    return 0;
}

void rth_memory_release(uint64_t size_bytes)
{
    if (!atomic_load_explicit(&is_limited, memory_order_relaxed) || !rth__enabled() ||
        size_bytes > REQUEST_BYTES_MAX)
        return;
    int64_t size = (int64_t)size_bytes;
    /* What was admitted before there was a limit, or more than was asked for, is no debt. */
    int64_t before = load(&outstanding);
    while (before > 0 && !atomic_compare_exchange_weak_explicit(
                             &outstanding, &before, before > size ? before - size : 0,
                             memory_order_relaxed, memory_order_relaxed))
        ;
    rth__count_up(&released_total, size_bytes);
}

/* ---- shown, and begun anew ------------------------------------------------------------------- */

void rth__admission_counts_read(struct rth_admission_counts *ret_counts)
{
    *ret_counts = (struct rth_admission_counts){
        .admitted = rth__count_of(&admitted),
        .health_admitted = rth__count_of(&health_admitted),
        .refused = rth__count_of(&refused),
        .direct_reclaims = rth__count_of(&direct_reclaims),
        .direct_cpu_ns = rth__count_of(&direct_cpu_ns),
        .direct_freed_bytes = rth__count_of(&direct_freed),
        .freed_bytes = rth__count_of(&freed_total),
        .released_bytes = rth__count_of(&released_total),
        .room_bytes = load(&room),
        .outstanding_bytes = load(&outstanding),
        .usable_bytes = load(&usable_shown),
        .purgeable_bytes = load(&purgeable_shown),
    };
}

const struct rth_latency *rth__admission_pauses(void)
{
    return &pauses;
}

void rth__admission_stop(void)
{
    atomic_store_explicit(&is_limited, false, memory_order_relaxed);
    atomic_store_explicit(&room, 0, memory_order_relaxed);
    atomic_store_explicit(&outstanding, 0, memory_order_relaxed);
    ledger = (struct rth_room_ledger){0};
    freed_seen = rth__count_of(&freed_total);
    released_seen = rth__count_of(&released_total);
}

void rth__admission_child_reset(void)
{
    _Atomic uint64_t *const counters[] = {&freed_total,     &released_total, &admitted,
                                          &health_admitted, &refused,        &direct_reclaims,
                                          &direct_cpu_ns,   &direct_freed};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        atomic_store_explicit(counters[i], 0, memory_order_relaxed);
    rth__latency_clear(&pauses);
    is_child = true;
    atomic_store_explicit(&child_purge_due_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&child_purge_usage, INT64_MAX, memory_order_relaxed);
    rth__look_soon_child_reset();
    atomic_store_explicit(&purged_said, false, memory_order_relaxed);
    atomic_store_explicit(&distrust_said, false, memory_order_relaxed);
    atomic_store_explicit(&shrinking, 0, memory_order_relaxed);
    rth__admission_stop();
}
