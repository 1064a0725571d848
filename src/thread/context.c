/* SPDX-License-Identifier: MIT */
/*
 * The context of a thread.
 *
 * Purpose: on whose account a thread works, readable at any instant by a signal handler on it and
 * at leisure by rth-work. A thread-local word holds the number of its label set; a change is one
 * aligned store. The word begins as RTH_LABEL_UNSEEN, which no call site can know, so a thread's
 * first label goes through here, where the address of its word is noted for others.
 * Threads: any. Locks: none; the table of words is open-addressed by tid, and who dies without
 * telling (no interposer) is found out by the next one who wants the place. Fork: label sets are
 * inherited (record/labelsets.c), so a child keeps its labels, and contexts, tokens and call sites
 * of its parent stay true; only its tid is another.
 * Failure: without memory there are no labels; without a place a thread's labels are missing from
 * thread dumps alone. Cost: a block of literals 2 ns, others 20 ns and 20 per label.
 */
#include "thread/context.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/capability.h"
#include "core/pool.h"
#include "formats/json.h"
#include "os/rawsys.h"
#include "record/image.h"
#include "record/labelsets.h"
#include "rthooks/context.h"
#include "rthooks/label.h"

#define PLACES (1u << 13)
#define PROBES 32u

/* The model again: without it here the definition would go by the general one, which may allocate.
 */
__thread uint32_t rth_label_current __attribute__((tls_model("initial-exec"))) = RTH_LABEL_UNSEEN;
/* The task that the thread runs; nobody else reads it. */
static __thread uint64_t current_task __attribute__((tls_model("initial-exec")));

static uint32_t word_to_set(uint32_t word)
{
    return word == RTH_LABEL_UNSEEN ? RTH_LABEL_SET_NONE : word;
}

static void set_current(uint32_t label_set)
{
    __atomic_store_n(&rth_label_current, label_set, __ATOMIC_RELAXED);
}

uint32_t rth__context_label_set_sigsafe(void)
{
    return word_to_set(__atomic_load_n(&rth_label_current, __ATOMIC_RELAXED));
}

/* ---- where the words of threads are -------------------------------------------------------- */

/* owner: pid << 32 | tid of the thread whose word is at the address; 0: free; TAKEN while the
 * address is being written. The pid tells what a child inherited. */
struct place {
    _Atomic uint64_t owner;
    _Atomic uintptr_t word;
};
#define TAKEN UINT64_C(1)

static struct place places[PLACES];
static _Atomic uint64_t unseen_count;

static uint64_t owner_of(int tid)
{
    return (uint64_t)(uint32_t)rth__raw_getpid_sigsafe() << 32 | (uint32_t)tid;
}

static struct place *place_at(int tid, uint32_t probe)
{
    uint32_t hash = (uint32_t)tid * UINT32_C(0x9e3779b9);
    return &places[((hash >> 8) + probe) & (PLACES - 1)];
}

static bool is_gone(uint64_t owner)
{
    int pid = (int)(owner >> 32), tid = (int)(uint32_t)owner;
    return pid != rth__raw_getpid_sigsafe() || RTH__RAW(SYS_tgkill, pid, tid, 0) == -ESRCH;
}

/* Signal-safe. */
static bool take_place(struct place *place, uint64_t seen, uint64_t owner)
{
    if (!atomic_compare_exchange_strong_explicit(&place->owner, &seen, TAKEN, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    atomic_store_explicit(&place->word, (uintptr_t)&rth_label_current, memory_order_relaxed);
    atomic_store_explicit(&place->owner, owner, memory_order_release);
    return true;
}

/* The calling thread, seen from now on. A place under its number belonged to one who is dead. */
static void show_self_sigsafe(int tid)
{
    uint64_t owner = owner_of(tid);
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        struct place *place = place_at(tid, probe);
        if (atomic_load_explicit(&place->owner, memory_order_relaxed) == owner &&
            take_place(place, owner, owner))
            return;
    }
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        struct place *place = place_at(tid, probe);
        uint64_t seen = atomic_load_explicit(&place->owner, memory_order_relaxed);
        if ((seen == 0 || (seen != TAKEN && is_gone(seen))) && take_place(place, seen, owner))
            return;
    }
    atomic_fetch_add_explicit(&unseen_count, 1, memory_order_relaxed);
}

/* The calling thread's label set; from here on it is one that others see. */
static uint32_t current_of_seen_thread(void)
{
    uint32_t word = __atomic_load_n(&rth_label_current, __ATOMIC_RELAXED);
    if (word != RTH_LABEL_UNSEEN)
        return word;
    set_current(RTH_LABEL_SET_NONE);
    show_self_sigsafe(rth__raw_gettid_sigsafe());
    return RTH_LABEL_SET_NONE;
}

uint32_t rth__context_label_set_of(struct rth_image_reader *reader, int tid)
{
    uint64_t owner = owner_of(tid);
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        const struct place *place = place_at(tid, probe);
        if (atomic_load_explicit(&place->owner, memory_order_acquire) != owner)
            continue;
        uintptr_t address = atomic_load_explicit(&place->word, memory_order_relaxed);
        uint32_t word;
        /* The thread may end meanwhile, and its memory be gone or another's. */
        if (rth__image_read(reader, address, &word, sizeof(word)) != 0 ||
            atomic_load_explicit(&place->owner, memory_order_acquire) != owner)
            return RTH_LABEL_SET_NONE;
        return word_to_set(word);
    }
    return RTH_LABEL_SET_NONE;
}

void rth__context_inherit(uint32_t label_set, int tid)
{
    if (label_set == RTH_LABEL_SET_NONE)
        return;
    set_current(label_set);
    show_self_sigsafe(tid);
}

void rth__context_thread_ending(int tid)
{
    if (__atomic_load_n(&rth_label_current, __ATOMIC_RELAXED) == RTH_LABEL_UNSEEN)
        return;
    uint64_t owner = owner_of(tid);
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        uint64_t seen = owner;
        if (atomic_compare_exchange_strong_explicit(&place_at(tid, probe)->owner, &seen, 0,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
}

void rth__context_child_forked_sigsafe(void)
{
    if (__atomic_load_n(&rth_label_current, __ATOMIC_RELAXED) != RTH_LABEL_UNSEEN)
        show_self_sigsafe(rth__raw_gettid_sigsafe());
}

uint64_t rth__context_unseen_count(void)
{
    return atomic_load_explicit(&unseen_count, memory_order_relaxed);
}

/* ---- labels -------------------------------------------------------------------------------- */

struct rth_labels {
    struct rth_pool_object pooled;
    /* As at a call site: what was current in the last call, and what that became. */
    _Atomic uint64_t known;
    unsigned count;
    struct rth_label_pair pairs[RTH_LABELS_MAX];
};

static struct rth_pool labels_pool = {.object_bytes = sizeof(struct rth_labels)};

int rth_labels_new(const char *const *keys_and_values, size_t count, struct rth_labels **ret_labels)
{
    if (count % 2 != 0 || (count > 0 && keys_and_values == NULL) || ret_labels == NULL)
        return -EINVAL;
    for (size_t i = 0; i < count; i += 2)
        if (keys_and_values[i] == NULL || keys_and_values[i][0] == '\0')
            return -EINVAL;
    if (count / 2 > RTH_LABELS_MAX)
        return -E2BIG;
    int saved_errno = errno;
    struct rth_labels *labels = NULL;
    int result = -ENOMEM;
    if (rth__label_sets_ready())
        labels = rth__pool_take_nomalloc(&labels_pool);
    if (labels != NULL)
        result = rth__label_pairs_intern(keys_and_values, count / 2, labels->pairs);
    errno = saved_errno;
    if (result < 0) {
        rth_labels_free(labels);
        return result;
    }
    labels->count = (unsigned)result;
    labels->known = RTH_LABEL_NOWHERE;
    *ret_labels = labels;
    return 0;
}

void rth_labels_free(struct rth_labels *labels)
{
    if (labels != NULL)
        rth__pool_give_nomalloc(&labels_pool, labels);
}

uint32_t rth_labels_enter(struct rth_labels *labels)
{
    uint32_t before = current_of_seen_thread();
    if (labels == NULL)
        return before;
    uint64_t known = atomic_load_explicit(&labels->known, memory_order_acquire);
    if ((uint32_t)known != before) {
        uint32_t after = rth__label_set_with(before, labels->pairs, labels->count);
        known = (uint64_t)after << 32 | before;
        atomic_store_explicit(&labels->known, known, memory_order_release);
    }
    set_current((uint32_t)(known >> 32));
    return before;
}

uint32_t rth_label_enter(uint64_t *site, const char *const *keys_and_values, size_t count)
{
    int saved_errno = errno;
    uint32_t before = current_of_seen_thread();
    uint32_t after = before;
    if (rth__label_sets_ready()) {
        struct rth_label_pair pairs[RTH_LABELS_MAX];
        int kept = rth__label_pairs_intern(keys_and_values, count / 2, pairs);
        after =
            kept < 0 ? RTH_LABEL_SET_OVERFLOW : rth__label_set_with(before, pairs, (unsigned)kept);
        /* Sets are never taken out and full tables stay full, so this holds for ever. */
        if (site != NULL)
            __atomic_store_n(site, (uint64_t)after << 32 | before, __ATOMIC_RELEASE);
    }
    errno = saved_errno;
    set_current(after);
    return before;
}

/* ---- contexts ------------------------------------------------------------------------------ */

struct rth_context_state rth__context_exchange(struct rth_context_state next)
{
    struct rth_context_state before = {current_of_seen_thread(), current_task};
    set_current(next.label_set);
    current_task = next.task;
    return before;
}

uint64_t rth__context_task_sigsafe(void)
{
    return current_task;
}

/* A span will stand beside the others; whoever holds a context need not know. */
struct rth_context {
    struct rth_pool_object pooled;
    _Atomic uint32_t references;
    struct rth_context_state state;
};

static struct rth_pool context_pool = {.object_bytes = sizeof(struct rth_context)};

struct rth_context *rth_context_current(void)
{
    struct rth_context_state state = {rth__context_label_set_sigsafe(), current_task};
    if (state.label_set == RTH_LABEL_SET_NONE && state.task == 0)
        return NULL;
    int saved_errno = errno;
    struct rth_context *context = rth__pool_take_nomalloc(&context_pool);
    errno = saved_errno;
    if (context == NULL)
        return NULL;
    context->references = 1;
    context->state = state;
    return context;
}

struct rth_context *rth_context_ref(struct rth_context *context)
{
    if (context != NULL)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void rth_context_unref(struct rth_context *context)
{
    if (context != NULL &&
        atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1)
        rth__pool_give_nomalloc(&context_pool, context);
}

int rth_context_attach(struct rth_context *context, struct rth_context_token *ret_token)
{
    if (ret_token == NULL)
        return -EINVAL;
    struct rth_context_state before =
        rth__context_exchange(context != NULL ? context->state : (struct rth_context_state){0});
    *ret_token = (struct rth_context_token){
        .context = rth_context_ref(context),
        .thread = &rth_label_current,
        .before = {before.label_set, before.task},
    };
    return 0;
}

int rth_context_detach(struct rth_context_token *token)
{
    if (token == NULL || token->thread == NULL)
        return -EINVAL;
    if (token->thread != &rth_label_current)
        return -EPERM;
    (void)rth__context_exchange(
        (struct rth_context_state){(uint32_t)token->before[0], token->before[1]});
    rth_context_unref(token->context);
    *token = (struct rth_context_token){0};
    return 0;
}

/* ---- the row ------------------------------------------------------------------------------- */

static void child_reset(void)
{
    rth__label_sets_child_reset();
    rth__context_child_forked_sigsafe();
}

static void status(struct rth_json *json)
{
    struct rth_label_counts counts;
    rth__label_counts_read(&counts);
    rth__json_member_uint(json, "sets", counts.sets);
    rth__json_member_uint(json, "strings", counts.strings);
    rth__json_member_uint(json, "lost_sets_full", counts.overflowed_sets);
    rth__json_member_uint(json, "lost_strings_full", counts.overflowed_strings);
    rth__json_member_uint(json, "lost_too_many", counts.too_many);
    rth__json_member_uint(json, "lost_without_key", counts.without_key);
    rth__json_member_uint(json, "keys_cut", counts.keys_cut);
    rth__json_member_uint(json, "values_cut", counts.values_cut);
    rth__json_member_uint(json, "threads_unseen", rth__context_unseen_count());
}

/* The tables are made before threads of the program can meet in making them. Without rth_start, or
 * without memory, the first label makes them. */
static int start(char *ret_reason, size_t reason_size)
{
    (void)ret_reason;
    (void)reason_size;
    (void)rth__label_sets_ready();
    return 0;
}

const struct rth_capability rth__labels_capability = {
    .name = "labels",
    .start = start,
    .child_reset = child_reset,
    .status = status,
};
