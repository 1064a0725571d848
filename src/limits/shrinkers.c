/* SPDX-License-Identifier: MIT */
/*
 * Shrinkers: what a program gives up when memory is short.
 *
 * Purpose: caches say once how they shrink; who is asked, when and for how much is decided here.
 * Threads: added and removed by any thread; called by rth-reclaim, and on threads inside
 * rth_memory_admit those that are flagged for it, several at a time. Never inside an allocation
 * function. Locks: none. A place is entered by counting up `inside` and then looking whether it is
 * still live; it is left for good by taking the mark off and then waiting until nobody is inside.
 * Fork: a child has its parent's. Failure: more than 32 are refused; one that yields nothing three
 * times in a row is left alone for a time that doubles. Cost: a few loads per place and request.
 */
#include "limits/shrinkers.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "core/counter.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "limits/reclaim.h"
#include "os/clock.h"
#include "os/futex.h"
#include "rthooks/limits.h"

enum place_state {
    PLACE_FREE,
    PLACE_FILLING,
    PLACE_LIVE,
    PLACE_LEAVING,  /* who removes it waits, and frees the place */
    PLACE_ORPHANED, /* removed from within itself: the last one out frees it */
};

struct rth_shrinker {
    _Atomic uint32_t state;  /* enum place_state */
    _Atomic uint32_t inside; /* calls that run now; futex word of who removes it */
    struct rth_shrinker_opts opts;
    char name[RTH_SHRINKER_NAME_BYTES];
    /* Since it was added. */
    _Atomic uint64_t calls, claimed_bytes, seen_bytes, held_bytes;
    /* Of calls by rth-reclaim. */
    _Atomic uint32_t zeros, lies; /* in a row: nothing freed; nothing of it seen */
    _Atomic uint32_t demotions;
    _Atomic int64_t demoted_until_ns;
    _Atomic uint64_t judged_bytes; /* claimed in the last request */
};

static struct rth_shrinker places[RTH_SHRINKERS_MAX];
static _Atomic uint32_t live_count, live_direct_count;
static _Atomic uint64_t calls_count;
/* The one whose callback this thread is in. */
static __thread struct rth_shrinker *own __attribute__((tls_model("initial-exec")));

static void store(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* ---- in and out of a place ------------------------------------------------------------------- */

static void release_place(struct rth_shrinker *shrinker)
{
    atomic_store_explicit(&shrinker->state, PLACE_FREE, memory_order_release);
}

static void leave(struct rth_shrinker *shrinker)
{
    if (atomic_fetch_sub_explicit(&shrinker->inside, 1, memory_order_seq_cst) != 1)
        return;
    uint32_t orphaned = PLACE_ORPHANED;
    uint32_t state = atomic_load_explicit(&shrinker->state, memory_order_seq_cst);
    if (state == PLACE_LEAVING)
        rth__futex_wake_sigsafe(&shrinker->inside, INT_MAX);
    else if (state == PLACE_ORPHANED)
        (void)atomic_compare_exchange_strong_explicit(&shrinker->state, &orphaned, PLACE_FREE,
                                                      memory_order_release, memory_order_relaxed);
}

static bool enter(struct rth_shrinker *shrinker)
{
    if (atomic_load_explicit(&shrinker->state, memory_order_relaxed) != PLACE_LIVE)
        return false;
    atomic_fetch_add_explicit(&shrinker->inside, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&shrinker->state, memory_order_seq_cst) == PLACE_LIVE)
        return true;
    leave(shrinker);
    return false;
}

static bool is_direct(const struct rth_shrinker *shrinker)
{
    return (shrinker->opts.flags & RTH_SHRINKER_DIRECT) != 0;
}

/* ---- what it is worth ------------------------------------------------------------------------ */

static bool is_demoted(const struct rth_shrinker *shrinker, int64_t now_ns)
{
    return now_ns < atomic_load_explicit(&shrinker->demoted_until_ns, memory_order_relaxed);
}

static void forgive(struct rth_shrinker *shrinker)
{
    atomic_store_explicit(&shrinker->zeros, 0, memory_order_relaxed);
    atomic_store_explicit(&shrinker->lies, 0, memory_order_relaxed);
    atomic_store_explicit(&shrinker->demotions, 0, memory_order_relaxed);
    atomic_store_explicit(&shrinker->demoted_until_ns, 0, memory_order_relaxed);
}

static void yielded(struct rth_shrinker *shrinker)
{
    atomic_store_explicit(&shrinker->zeros, 0, memory_order_relaxed);
    if (atomic_load_explicit(&shrinker->lies, memory_order_relaxed) == 0)
        atomic_store_explicit(&shrinker->demotions, 0, memory_order_relaxed);
}

/* fruitless: the counter of this kind. */
static void yielded_nothing(struct rth_shrinker *shrinker, _Atomic uint32_t *fruitless)
{
    if (atomic_fetch_add_explicit(fruitless, 1, memory_order_relaxed) + 1 < RTH_SHRINKER_ZEROS_MAX)
        return;
    uint32_t times = atomic_fetch_add_explicit(&shrinker->demotions, 1, memory_order_relaxed);
    int64_t wait_ns = RTH_SHRINKER_DEMOTED_NS << (times < 10 ? times : 10);
    if (wait_ns > RTH_SHRINKER_DEMOTED_MAX_NS)
        wait_ns = RTH_SHRINKER_DEMOTED_MAX_NS;
    atomic_store_explicit(&shrinker->demoted_until_ns, rth__clock_monotonic_ns_sigsafe() + wait_ns,
                          memory_order_relaxed);
    atomic_store_explicit(fruitless, 0, memory_order_relaxed);
}

void rth__shrinkers_judge(uint64_t claimed_bytes, uint64_t seen_bytes)
{
    double share = claimed_bytes == 0           ? 0
                   : seen_bytes < claimed_bytes ? (double)seen_bytes / (double)claimed_bytes
                                                : 1;
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        if (!enter(shrinker))
            continue;
        uint64_t claimed =
            atomic_exchange_explicit(&shrinker->judged_bytes, 0, memory_order_relaxed);
        rth__count_up(&shrinker->seen_bytes, (uint64_t)((double)claimed * share));
        if (claimed != 0 && share < 0.01)
            yielded_nothing(shrinker, &shrinker->lies);
        else if (claimed != 0)
            atomic_store_explicit(&shrinker->lies, 0, memory_order_relaxed);
        leave(shrinker);
    }
}

/* ---- a request ------------------------------------------------------------------------------- */

static uint64_t call_one(struct rth_shrinker *shrinker, uint64_t wanted_bytes,
                         const struct rth_shrink_request *request)
{
    own = shrinker;
    uint64_t freed =
        shrinker->opts.shrink(wanted_bytes, request->deadline_ns, shrinker->opts.userdata);
    own = NULL;
    rth__count_up(&calls_count, 1);
    rth__count_up(&shrinker->calls, 1);
    rth__count_up(&shrinker->claimed_bytes, freed);
    if (!request->is_direct)
        store(&shrinker->judged_bytes, freed);
    if (freed != 0)
        yielded(shrinker);
    else if (!request->is_direct) /* a direct one may have met another at the cache's lock */
        yielded_nothing(shrinker, &shrinker->zeros);
    return freed;
}

/* One round over a priority. */
struct round {
    int priority;
    struct {
        struct rth_shrinker *shrinker;
        uint64_t held_bytes; /* UINT64_MAX: not known */
    } asked[RTH_SHRINKERS_MAX];
    unsigned count;
    uint64_t known_bytes;
    unsigned unknown;
};

/* The lowest priority above `after`; false: none. */
static bool next_priority(int64_t after, const struct rth_shrink_request *request,
                          int *ret_priority)
{
    bool found = false;
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        if (!enter(shrinker))
            continue;
        int priority = shrinker->opts.priority;
        if (priority > after && (!found || priority < *ret_priority) &&
            (!request->is_direct || is_direct(shrinker))) {
            *ret_priority = priority;
            found = true;
        }
        leave(shrinker);
    }
    return found;
}

static uint64_t ask_held(struct rth_shrinker *shrinker)
{
    if (shrinker->opts.count == NULL)
        return UINT64_MAX;
    own = shrinker;
    uint64_t held = shrinker->opts.count(shrinker->opts.userdata);
    own = NULL;
    store(&shrinker->held_bytes, held);
    return held;
}

/* Enters those that are to be asked; whoever says it holds nothing is not. */
static void begin_round(struct round *round, const struct rth_shrink_request *request)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    round->count = round->unknown = 0;
    round->known_bytes = 0;
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        if (!enter(shrinker))
            continue;
        uint64_t held = 0;
        if (shrinker->opts.priority == round->priority && !is_demoted(shrinker, now_ns) &&
            (!request->is_direct || is_direct(shrinker)))
            held = ask_held(shrinker);
        if (held == 0) {
            leave(shrinker);
            continue;
        }
        round->asked[round->count].shrinker = shrinker;
        round->asked[round->count++].held_bytes = held;
        if (held == UINT64_MAX)
            round->unknown++;
        else if (__builtin_add_overflow(round->known_bytes, held, &round->known_bytes))
            round->known_bytes = UINT64_MAX;
    }
}

/* What one is asked for: its share by what it holds; who does not know counts as a mean one. */
static uint64_t share_of(const struct round *round, uint64_t held_bytes, uint64_t wanted_bytes)
{
    unsigned known = round->count - round->unknown;
    if (known == 0)
        return (wanted_bytes + round->count - 1) / round->count;
    double mean = (double)round->known_bytes / known;
    double all = (double)round->known_bytes + mean * round->unknown;
    double own_bytes = held_bytes == UINT64_MAX ? mean : (double)held_bytes;
    double share = (double)wanted_bytes * own_bytes / all + 1;
    if (held_bytes != UINT64_MAX && share > (double)held_bytes)
        return held_bytes;
    return share < (double)wanted_bytes ? (uint64_t)share : wanted_bytes;
}

static uint64_t run_round(struct round *round, uint64_t wanted_bytes,
                          const struct rth_shrink_request *request)
{
    uint64_t freed = 0;
    begin_round(round, request);
    for (unsigned i = 0; i < round->count; i++) {
        struct rth_shrinker *shrinker = round->asked[i].shrinker;
        if (rth__clock_monotonic_ns_sigsafe() < request->deadline_ns)
            freed += call_one(shrinker, share_of(round, round->asked[i].held_bytes, wanted_bytes),
                              request);
        leave(shrinker);
    }
    return freed;
}

uint64_t rth__shrinkers_call(const struct rth_shrink_request *request)
{
    if (own != NULL || !rth__shrinkers_exist(request->is_direct))
        return 0;
    struct round round;
    uint64_t freed = 0;
    int64_t after = INT64_MIN;
    while (freed < request->wanted_bytes &&
           rth__clock_monotonic_ns_sigsafe() < request->deadline_ns &&
           next_priority(after, request, &round.priority)) {
        freed += run_round(&round, request->wanted_bytes - freed, request);
        after = round.priority;
    }
    return freed;
}

bool rth__shrinkers_exist(bool of_direct)
{
    return atomic_load_explicit(of_direct ? &live_direct_count : &live_count,
                                memory_order_relaxed) != 0;
}

bool rth__shrinkers_are_inside(void)
{
    return own != NULL;
}

uint64_t rth__shrinker_calls_count(void)
{
    return rth__count_of(&calls_count);
}

uint64_t rth__shrinkers_held_bytes(void)
{
    uint64_t sum = 0;
    if (own != NULL)
        return 0;
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        if (!enter(&places[i]))
            continue;
        if (__builtin_add_overflow(sum, ask_held(&places[i]), &sum))
            sum = UINT64_MAX;
        leave(&places[i]);
    }
    return sum;
}

/* ---- who they are ---------------------------------------------------------------------------- */

/* Accepts callers that know fewer members, or more that they leave zero. */
static int copy_opts(const struct rth_shrinker_opts *given, struct rth_shrinker_opts *ret_opts)
{
    if (given == NULL || given->struct_size < sizeof(given->struct_size))
        return -EINVAL;
    for (size_t i = sizeof(*ret_opts); i < given->struct_size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return -E2BIG;
    size_t known = given->struct_size < sizeof(*ret_opts) ? given->struct_size : sizeof(*ret_opts);
    memset(ret_opts, 0, sizeof(*ret_opts));
    memcpy(ret_opts, given, known);
    if (ret_opts->name == NULL || ret_opts->name[0] == '\0' || ret_opts->shrink == NULL ||
        (ret_opts->flags & ~RTH_SHRINKER_DIRECT) != 0)
        return -EINVAL;
    return 0;
}

static void fill(struct rth_shrinker *shrinker, const struct rth_shrinker_opts *opts)
{
    rth__utf8_copy_line(shrinker->name, sizeof(shrinker->name), opts->name);
    shrinker->opts = *opts;
    shrinker->opts.name = shrinker->name;
    store(&shrinker->calls, 0);
    store(&shrinker->claimed_bytes, 0);
    store(&shrinker->seen_bytes, 0);
    store(&shrinker->held_bytes, 0);
    store(&shrinker->judged_bytes, 0);
    forgive(shrinker);
}

int rth_shrinker_add(const struct rth_shrinker_opts *opts, struct rth_shrinker **ret_shrinker)
{
    if (ret_shrinker == NULL)
        return -EINVAL;
    *ret_shrinker = NULL;
    struct rth_shrinker_opts copy;
    int error = copy_opts(opts, &copy);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        uint32_t seen = PLACE_FREE;
        if (!atomic_compare_exchange_strong_explicit(&shrinker->state, &seen, PLACE_FILLING,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        fill(shrinker, &copy);
        atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
        if (is_direct(shrinker))
            atomic_fetch_add_explicit(&live_direct_count, 1, memory_order_relaxed);
        atomic_store_explicit(&shrinker->state, PLACE_LIVE, memory_order_release);
        *ret_shrinker = shrinker;
        rth__reclaim_shrinker_added();
        return 0;
    }
    return -ENOSPC;
}

void rth_shrinker_remove(struct rth_shrinker *shrinker)
{
    if (shrinker == NULL)
        return;
    if (is_direct(shrinker))
        atomic_fetch_sub_explicit(&live_direct_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    if (own == shrinker) {
        atomic_store_explicit(&shrinker->state, PLACE_ORPHANED, memory_order_seq_cst);
        return;
    }
    atomic_store_explicit(&shrinker->state, PLACE_LEAVING, memory_order_seq_cst);
    uint32_t inside;
    while ((inside = atomic_load_explicit(&shrinker->inside, memory_order_seq_cst)) != 0)
        (void)rth__futex_wait_sigsafe(&shrinker->inside, inside,
                                      rth__clock_monotonic_ns_sigsafe() + 100 * RTH_NS_PER_MS);
    release_place(shrinker);
}

void rth__shrinkers_child_reset(void)
{
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        atomic_store_explicit(&shrinker->inside, own == shrinker ? 1 : 0, memory_order_relaxed);
        uint32_t state = atomic_load_explicit(&shrinker->state, memory_order_relaxed);
        /* The thread that was filling or removing it is the parent's, unless it is this one. */
        if (state == PLACE_FILLING || state == PLACE_LEAVING ||
            (state == PLACE_ORPHANED && own != shrinker))
            release_place(shrinker);
        store(&shrinker->calls, 0);
        store(&shrinker->claimed_bytes, 0);
        store(&shrinker->seen_bytes, 0);
        forgive(shrinker);
    }
    store(&calls_count, 0);
}

/* ---- shown ----------------------------------------------------------------------------------- */

void rth__shrinkers_json(const char *key, struct rth_json *json)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    rth__json_key(json, key);
    rth__json_array_begin(json);
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        struct rth_shrinker *shrinker = &places[i];
        if (!enter(shrinker))
            continue;
        rth__json_object_begin(json);
        rth__json_member_string(json, "name", shrinker->name);
        rth__json_member_int(json, "priority", shrinker->opts.priority);
        rth__json_member_bool(json, "direct", is_direct(shrinker));
        rth__json_member_uint(json, "held_bytes", rth__count_of(&shrinker->held_bytes));
        rth__json_member_uint(json, "calls", rth__count_of(&shrinker->calls));
        rth__json_member_uint(json, "claimed_bytes", rth__count_of(&shrinker->claimed_bytes));
        rth__json_member_uint(json, "seen_bytes", rth__count_of(&shrinker->seen_bytes));
        rth__json_member_bool(json, "left_alone", is_demoted(shrinker, now_ns));
        rth__json_object_end(json);
        leave(shrinker);
    }
    rth__json_array_end(json);
}
