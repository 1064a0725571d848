/* SPDX-License-Identifier: MIT */
/*
 * rth_task_new, _start, _pause and _end: see tasks.c for the whole.
 *
 * A handle is no pointer: it holds the task's number, which is never given twice, and its place. So
 * one that is used too late finds that the place has another number now, and does nothing. Who is
 * allowed to change a task is decided by one compare-and-swap of the word that holds number and
 * state; the other facts are for those who look on.
 *
 * What a thread worked on before a start is kept in a run, on a stack of the thread's own, so that
 * a task may be handed on before the callback that does so has paused it. A run whose task has
 * ended, elsewhere or below others, is taken off at the thread's next call here (`settle`), but
 * never from under a block of labels or a context that was put on top of it: these put back what
 * they found.
 */
#include "profile/tasks/task.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/enable.h"
#include "core/pool.h"
#include "formats/utf8.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "profile/custom/values.h"
#include "record/labelsets.h"
#include "rthooks/profile.h"
#include "rthooks/task.h"
#include "thread/context.h"

/* handle = number << PLACE_BITS | place; word = number << RUN_BITS | STARTED | runs, 0: free. */
#define PLACE_BITS 19u
#define RUN_BITS   16u
#define STARTED    (UINT64_C(1) << (RUN_BITS - 1))
#define RUNS_MAX   (STARTED - 1)
_Static_assert(RTH_POOL_CHUNKS_MAX *RTH_POOL_CHUNK_OBJECTS < 1u << PLACE_BITS, "a place fits");

struct place {
    struct rth_pool_object pooled;
    _Atomic uint64_t word;
    /* Written before the word is. */
    char name[RTH_TASK_NAME_BYTES];
    int64_t created_ns;
    uint64_t maker;
    uint32_t label_set;
    /* Written by the threads that start it. */
    _Atomic int tid;
    _Atomic int64_t queued_ns; /* until the first start; -1 before */
};

struct run {
    struct rth_pool_object pooled;
    struct run *below;
    struct rth_context_state own, before;
};

static struct rth_pool pool = {.object_bytes = sizeof(struct place)};
static struct rth_pool run_pool = {.object_bytes = sizeof(struct run)};
static _Atomic uint64_t numbers_given;
static _Atomic uint64_t made, ended, cancelled, misused;
struct rth_latency rth__task_latency;

static __thread struct {
    int tid;
    uint32_t runtime_generation; /* a child's is another */
    struct run *top;
    struct run first; /* nearly all runs are alone on their thread; own.task 0: not in use */
} self __attribute__((tls_model("initial-exec")));

/* ---- handles ------------------------------------------------------------------------------- */

static uint64_t handle_of(uint64_t number, const struct place *place)
{
    return number << PLACE_BITS | place->pooled.number;
}

/* NULL when the task is gone. */
static struct place *find(uint64_t handle, uint64_t *ret_word)
{
    struct place *place = rth__pool_at(&pool, (uint32_t)(handle & ((1u << PLACE_BITS) - 1)));
    if (place == NULL)
        return NULL;
    uint64_t word = atomic_load_explicit(&place->word, memory_order_acquire);
    if (handle >> PLACE_BITS == 0 || word >> RUN_BITS != handle >> PLACE_BITS)
        return NULL;
    *ret_word = word;
    return place;
}

static bool change(struct place *place, uint64_t *word, uint64_t to)
{
    return atomic_compare_exchange_weak_explicit(&place->word, word, to, memory_order_acq_rel,
                                                 memory_order_acquire);
}

/* Whether the word is still the task's, after a change that failed. */
static bool is_of(uint64_t word, uint64_t handle)
{
    return word >> RUN_BITS == handle >> PLACE_BITS;
}

static void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- the calling thread -------------------------------------------------------------------- */

static int own_tid(void)
{
    uint32_t generation = rth__enable_page()->generation;
    if (self.tid == 0 || self.runtime_generation != generation) {
        self.tid = rth__raw_gettid_sigsafe();
        self.runtime_generation = generation;
    }
    return self.tid;
}

/* NULL when memory is short. */
static struct run *run_new(void)
{
    return self.first.own.task == 0 ? &self.first : rth__pool_take_nomalloc(&run_pool);
}

static void run_free(struct run *run)
{
    if (run == &self.first)
        self.first.own.task = 0;
    else
        rth__pool_give_nomalloc(&run_pool, run);
}

/* What the thread worked on before its last start is back. */
static void pop(void)
{
    struct run *run = self.top;
    self.top = run->below;
    (void)rth__context_exchange(run->before);
    run_free(run);
}

/* Nothing was put on top of it. */
static bool is_bare(const struct run *run)
{
    return rth__context_task_sigsafe() == run->own.task &&
           rth__context_label_set_sigsafe() == run->own.label_set;
}

static void settle(void)
{
    uint64_t word;
    while (self.top != NULL && find(self.top->own.task, &word) == NULL && is_bare(self.top))
        pop();
}

/* ---- the API ------------------------------------------------------------------------------- */

/* In the profile a task's name is a label among those of its maker. */
static uint32_t label_set_of_site(uint32_t label_set, const char *name)
{
    const char *const pair[] = {"task", name};
    struct rth_label_pair interned[RTH_LABELS_MAX];
    if (!rth__label_sets_ready())
        return label_set;
    int count = rth__label_pairs_intern(pair, 1, interned);
    return count < 0 ? RTH_LABEL_SET_OVERFLOW
                     : rth__label_set_with(label_set, interned, (unsigned)count);
}

static void fill(struct place *place, const char *name)
{
    rth__utf8_copy_line(place->name, sizeof(place->name), name);
    place->created_ns = rth__clock_monotonic_ns_sigsafe();
    place->maker = rth__context_task_sigsafe() >> PLACE_BITS;
    place->label_set = rth__context_label_set_sigsafe();
    atomic_store_explicit(&place->tid, 0, memory_order_relaxed);
    atomic_store_explicit(&place->queued_ns, -1, memory_order_relaxed);
}

int rth_task_new(const char *name, struct rth_task **ret_task)
{
    if (ret_task == NULL)
        return -EINVAL;
    *ret_task = NULL;
    if (name == NULL || name[0] == '\0')
        return -EINVAL;
    if (!rth__enabled())
        return -EAGAIN;
    int saved_errno = errno;
    settle();
    struct place *place = rth__pool_take_nomalloc(&pool);
    int error = -ENOMEM;
    uint64_t handle = 0;
    if (place != NULL) {
        fill(place, name);
        handle = handle_of(atomic_fetch_add_explicit(&numbers_given, 1, memory_order_relaxed) + 1,
                           place);
        error = rth__custom_add(rth__custom_tasks(), (uintptr_t)handle,
                                label_set_of_site(place->label_set, place->name),
                                (uintptr_t)__builtin_return_address(0));
    }
    errno = saved_errno;
    if (error != 0) {
        if (place != NULL)
            rth__pool_give_nomalloc(&pool, place);
        return error;
    }
    count_one(&made);
    atomic_store_explicit(&place->word, handle >> PLACE_BITS << RUN_BITS, memory_order_release);
    *ret_task = (struct rth_task *)(uintptr_t)handle;
    return 0;
}

static void count_wait(struct place *place)
{
    int64_t queued_ns = rth__clock_monotonic_ns_sigsafe() - place->created_ns;
    queued_ns = queued_ns > 0 ? queued_ns : 0;
    atomic_store_explicit(&place->queued_ns, queued_ns, memory_order_relaxed);
    rth__latency_observe_sigsafe(&rth__task_latency, queued_ns);
}

int rth_task_start(struct rth_task *task)
{
    if (task == NULL)
        return 0;
    if (!rth__enabled())
        return -EAGAIN;
    uint64_t handle = (uintptr_t)task, word;
    settle();
    struct place *place = find(handle, &word);
    struct run *run = place != NULL ? run_new() : NULL;
    if (run == NULL)
        return place != NULL ? -ENOMEM : -ESRCH;
    run->own = (struct rth_context_state){place->label_set, handle};
    while (is_of(word, handle) && (word & RUNS_MAX) < RUNS_MAX)
        if (change(place, &word, (word | STARTED) + 1)) {
            atomic_store_explicit(&place->tid, own_tid(), memory_order_relaxed);
            if ((word & STARTED) == 0)
                count_wait(place);
            run->below = self.top;
            run->before = rth__context_exchange(run->own);
            self.top = run;
            return 0;
        }
    run_free(run);
    return is_of(word, handle) ? -ENOMEM : -ESRCH;
}

int rth_task_pause(struct rth_task *task)
{
    if (task == NULL)
        return 0;
    if (!rth__enabled())
        return -EAGAIN;
    uint64_t handle = (uintptr_t)task, word;
    struct place *place = find(handle, &word);
    bool is_top = self.top != NULL && self.top->own.task == handle;
    if (is_top)
        pop(); /* whatever was put on top of it, and whether it has ended meanwhile or not */
    settle();
    if (place == NULL)
        return -ESRCH;
    if (!is_top) {
        count_one(&misused);
        return -EPERM;
    }
    while (is_of(word, handle))
        if (change(place, &word, word - 1))
            return 0;
    return -ESRCH;
}

void rth_task_end(struct rth_task *task)
{
    if (task == NULL || !rth__enabled())
        return;
    uint64_t handle = (uintptr_t)task, word;
    struct place *place = find(handle, &word);
    while (place != NULL && is_of(word, handle)) {
        if (!change(place, &word, 0))
            continue;
        count_one(&ended);
        if ((word & STARTED) == 0)
            count_one(&cancelled);
        rth_profile_remove(rth__custom_tasks(), task);
        rth__pool_give_nomalloc(&pool, place);
        break;
    }
    settle();
}

/* ---- for the row --------------------------------------------------------------------------- */

uint64_t rth__task_count(void)
{
    return rth_profile_count(rth__custom_tasks());
}

uint32_t rth__task_places(void)
{
    return rth__pool_handed(&pool);
}

bool rth__task_read(uint32_t number, int64_t now_ns, struct rth_task_info *ret_info)
{
    struct place *place = rth__pool_at(&pool, number);
    if (place == NULL)
        return false;
    uint64_t word = atomic_load_explicit(&place->word, memory_order_acquire);
    if (word == 0)
        return false;
    struct rth_task_info info = {
        .number = word >> RUN_BITS,
        .state = (word & RUNS_MAX) != 0  ? RTH_TASK_RUNNING
                 : (word & STARTED) != 0 ? RTH_TASK_PAUSED
                                         : RTH_TASK_QUEUED,
        .created_ns = place->created_ns,
        .queued_ns = atomic_load_explicit(&place->queued_ns, memory_order_relaxed),
        .tid = atomic_load_explicit(&place->tid, memory_order_relaxed),
        .label_set = place->label_set,
        .maker = place->maker,
    };
    memcpy(info.name, place->name, sizeof(info.name));
    info.name[sizeof(info.name) - 1] = '\0';
    if (info.queued_ns < 0)
        info.queued_ns = now_ns > info.created_ns ? now_ns - info.created_ns : 0;
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&place->word, memory_order_relaxed) >> RUN_BITS != info.number)
        return false;
    info.site = rth__custom_site_of(rth__custom_tasks(), (uintptr_t)handle_of(info.number, place));
    *ret_info = info;
    return true;
}

void rth__task_counts_read(struct rth_task_counts *ret_counts)
{
    *ret_counts = (struct rth_task_counts){
        .made = atomic_load_explicit(&made, memory_order_relaxed),
        .ended = atomic_load_explicit(&ended, memory_order_relaxed),
        .cancelled = atomic_load_explicit(&cancelled, memory_order_relaxed),
        .misused = atomic_load_explicit(&misused, memory_order_relaxed),
    };
}

void rth__tasks_forget(void)
{
    for (uint32_t number = 1; number <= rth__pool_handed(&pool); number++) {
        struct place *place = rth__pool_at(&pool, number);
        if (atomic_exchange_explicit(&place->word, 0, memory_order_relaxed) != 0)
            rth__pool_give_nomalloc(&pool, place);
    }
    made = ended = cancelled = misused = 0;
    rth__latency_clear(&rth__task_latency);
}
