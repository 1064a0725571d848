/* SPDX-License-Identifier: MIT */
/*
 * rth_profile_new, _add, _remove and _count: see custom.c for the whole.
 *
 * Profiles are made without a lock, so that it may happen before the runtime starts and in a child
 * that nobody has adopted. A name is taken by putting a finished profile into the first free place
 * of a list: of two that want the same name, the second finds the first there.
 */
#include "profile/custom/values.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/capability.h"
#include "core/enable.h"
#include "profile/early.h"
#include "profile/stack_here.h"
#include "record/live.h"
#include "rthooks/profile.h"
#include "thread/context.h"

#define NAME_BYTES_MAX 64u
#define ROUTE_PREFIX   "/debug/pprof/"

struct rth_profile {
    _Atomic bool taken;
    char name[NAME_BYTES_MAX + 1]; /* before it is listed, constant then */
    /* Protected by the lock of the sites. */
    struct rth_live live;
    uint64_t refused_full, refused_memory;
};

/* Those of the program's own, then that of tasks. */
#define TASKS RTH_CUSTOM_PROFILES_MAX
static struct rth_profile storage[RTH_CUSTOM_PROFILES_MAX + 1] = {
    [TASKS] = {.taken = true, .name = "tasks", .live.entries_max = RTH_CUSTOM_TASKS_MAX},
};
/* Filled from the front. */
static struct rth_profile *_Atomic made[RTH_CUSTOM_PROFILES_MAX];

static struct rth_sites sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};
/* Protected by the lock of the sites. */
static size_t values_held; /* without tasks */
static bool forked;
static struct rth_early early;

/* ---- profiles ------------------------------------------------------------------------------ */

struct rth_profile *rth__custom_at(size_t index)
{
    return index < RTH_CUSTOM_PROFILES_MAX
               ? atomic_load_explicit(&made[index], memory_order_acquire)
               : NULL;
}

struct rth_profile *rth__custom_find(const char *name)
{
    struct rth_profile *profile;
    for (size_t i = 0; (profile = rth__custom_at(i)) != NULL; i++)
        if (strcmp(profile->name, name) == 0)
            return profile;
    return NULL;
}

const char *rth__custom_name(const struct rth_profile *profile)
{
    return profile->name;
}

uint32_t rth__custom_kind(const struct rth_profile *profile)
{
    return (uint32_t)(profile - storage);
}

struct rth_profile *rth__custom_tasks(void)
{
    return &storage[TASKS];
}

static bool is_name(const char *name)
{
    size_t length = strnlen(name, NAME_BYTES_MAX + 1);
    for (size_t i = 0; i < length; i++) {
        char byte = name[i];
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool is_digit = byte >= '0' && byte <= '9';
        if (!is_letter && !is_digit && byte != '_' && byte != '.' && byte != '-')
            return false;
    }
    /* What a client takes for a folder never arrives here. */
    return length > 0 && length <= NAME_BYTES_MAX && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The route is another's: of the table, or of a profile that Go's tools know by this name. */
static bool is_built_in(const char *name)
{
    static const char *const known[] = {
        "allocs", "block", "goroutine", "goroutineleak", "heap", "mmap",
        "mutex",  "tasks", "trace",     "threadcreate",  "wall",
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i], name) == 0)
            return true;
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        for (size_t k = 0; k < row->artefact_count; k++) {
            const char *path = row->artefacts[k].path;
            if (strncmp(path, ROUTE_PREFIX, sizeof(ROUTE_PREFIX) - 1) == 0 &&
                strcmp(path + sizeof(ROUTE_PREFIX) - 1, name) == 0)
                return true;
        }
    }
    return false;
}

static struct rth_profile *storage_take(void)
{
    for (size_t i = 0; i < RTH_CUSTOM_PROFILES_MAX; i++)
        if (!atomic_exchange_explicit(&storage[i].taken, true, memory_order_acquire))
            return &storage[i];
    return NULL;
}

/* 0, or -EEXIST: the name is listed. There are as many places as profiles. */
static int list(struct rth_profile *profile)
{
    for (size_t i = 0; i < RTH_CUSTOM_PROFILES_MAX; i++) {
        struct rth_profile *there = NULL;
        if (atomic_compare_exchange_strong_explicit(&made[i], &there, profile, memory_order_acq_rel,
                                                    memory_order_acquire))
            return 0;
        if (strcmp(there->name, profile->name) == 0)
            return -EEXIST;
    }
    return -ENOSPC;
}

int rth_profile_new(const char *name, struct rth_profile **ret_profile)
{
    if (name == NULL || ret_profile == NULL || !is_name(name))
        return -EINVAL;
    if (is_built_in(name) || rth__custom_find(name) != NULL)
        return -EEXIST;
    struct rth_profile *profile = storage_take();
    if (profile == NULL)
        return -ENOSPC;
    memcpy(profile->name, name, strlen(name) + 1);
    profile->live.entries_max = RTH_CUSTOM_VALUES_MAX;
    int error = list(profile);
    if (error != 0) {
        atomic_store_explicit(&profile->taken, false, memory_order_release);
        return error;
    }
    *ret_profile = profile;
    return 0;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool is_full(const struct rth_profile *profile)
{
    return profile == &storage[TASKS] ? profile->live.count >= RTH_CUSTOM_TASKS_MAX
                                      : values_held >= RTH_CUSTOM_VALUES_MAX;
}

/* An entry's amount is the number of its early stack, 0 when it has none; until that is known, the
 * value is held by the overflow row of its profile. */
static int add_locked(const struct rth_early_value *value, const rth_frame *frames,
                      unsigned frame_count)
{
    struct rth_profile *profile = value->owner;
    if (sites.table == NULL)
        return -EAGAIN;
    if (rth__live_has_locked(&profile->live, value->key))
        return -EEXIST;
    if (is_full(profile)) {
        profile->refused_full++;
        return -ENOSPC;
    }
    struct rth_live_entry entry = {.key = value->key, .count = 1}, before;
    if (frame_count == 0 || rth__stack_is_early_nomalloc(frames, frame_count)) {
        entry.amount = rth__early_put_locked(&early, value);
        frame_count = 0; /* what could be walked is mostly our own code */
    }
    entry.site = rth__site_intern_locked(&sites, rth__custom_kind(profile), frames, frame_count,
                                         value->label_set);
    bool replaced;
    if (!rth__live_put_locked(&profile->live, &entry, &before, &replaced)) {
        if (entry.amount != 0)
            rth__early_drop_locked(&early, (uint32_t)entry.amount);
        profile->refused_memory++;
        return -ENOMEM;
    }
    rth__site_add_locked(&sites, entry.site, 1, 0);
    values_held += profile != &storage[TASKS];
    return 0;
}

static void end_locked(const struct rth_live_entry *entry)
{
    if (entry->amount != 0)
        rth__early_drop_locked(&early, (uint32_t)entry->amount);
    rth__site_remove_locked(&sites, entry->site, 1, 0);
}

int rth__custom_add(struct rth_profile *profile, uintptr_t key, uint32_t label_set,
                    uintptr_t return_address)
{
    /* First: in a child that was not adopted, somebody who is not here may hold the lock. */
    if (!rth__enabled())
        return -EAGAIN;
    int saved_errno = errno;
    struct rth_early_value added = {
        .owner = profile,
        .key = key,
        .label_set = label_set,
        .return_address = return_address,
    };
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
    unsigned frame_count =
        rth__stack_capture_nomalloc(added.return_address, frames, RTH_STACK_HERE_FRAMES_MAX);
    int error;
    {
        RTH__LOCK_SCOPE(&sites.lock);
        error = add_locked(&added, frames, frame_count);
    }
    errno = saved_errno;
    return error;
}

int rth_profile_add(struct rth_profile *profile, const void *value)
{
    if (profile == NULL || value == NULL)
        return -EINVAL;
    return rth__custom_add(profile, (uintptr_t)value, rth__context_label_set_sigsafe(),
                           (uintptr_t)__builtin_return_address(0));
}

uint64_t rth__custom_site_of(struct rth_profile *profile, uintptr_t key)
{
    RTH__LOCK_SCOPE(&sites.lock);
    const struct rth_live_entry *entry = rth__live_find_locked(&profile->live, key);
    return entry != NULL ? rth__site_identity_locked(&sites, entry->site) : 0;
}

void rth_profile_remove(struct rth_profile *profile, const void *value)
{
    if (profile == NULL || !rth__enabled())
        return;
    RTH__LOCK_SCOPE(&sites.lock);
    struct rth_live_entry entry;
    if (!rth__live_take_locked(&profile->live, (uintptr_t)value, &entry))
        return;
    end_locked(&entry);
    values_held -= profile != &storage[TASKS];
}

size_t rth_profile_count(struct rth_profile *profile)
{
    if (profile == NULL || !rth__enabled())
        return 0;
    RTH__LOCK_SCOPE(&sites.lock);
    return profile->live.count;
}

/* ---- for the row --------------------------------------------------------------------------- */

/* What is left of a time when the runtime ran before: removes went unseen since. */
static void forget_locked(struct rth_profile *profile)
{
    struct rth_live *live = &profile->live;
    size_t capacity = live->entries != NULL ? (size_t)1 << live->capacity_log2 : 0;
    for (size_t i = 0; i < capacity; i++)
        if (live->entries[i].key != 0)
            end_locked(&live->entries[i]);
    rth__live_clear_locked(live);
}

int rth__custom_start(void)
{
    int error = rth__sites_init(&sites, "custom");
    if (error != 0)
        return error;
    RTH__LOCK_SCOPE(&sites.lock);
    for (size_t i = 0; i <= TASKS; i++)
        forget_locked(&storage[i]);
    values_held = 0;
    return 0;
}

void rth__custom_child_reset(void)
{
    rth__sites_child_reset(&sites);
    rth__early_child_reset(&early);
    for (size_t i = 0; i <= TASKS; i++) {
        rth__live_child_reset(&storage[i].live);
        storage[i].refused_full = storage[i].refused_memory = 0;
    }
    values_held = 0;
    forked = true;
}

/* From the overflow row to its own. */
static void found_locked(const struct rth_early_value *value, const rth_frame *frames,
                         unsigned count)
{
    struct rth_profile *profile = value->owner;
    struct rth_live_entry entry, before;
    bool replaced;
    if (!rth__live_take_locked(&profile->live, value->key, &entry))
        return;
    rth__site_remove_locked(&sites, entry.site, 1, 0);
    entry.site =
        rth__site_intern_locked(&sites, rth__custom_kind(profile), frames, count, value->label_set);
    entry.amount = 0;
    rth__site_add_locked(&sites, entry.site, 1, 0);
    (void)rth__live_put_locked(&profile->live, &entry, &before, &replaced); /* it was there */
}

uint32_t rth__custom_early_count(void)
{
    return rth__early_count(&early);
}

void rth__custom_resolve(void)
{
    rth__early_resolve(&early, &sites.lock, found_locked);
}

int rth__custom_sites_copy(struct rth_sites_copy *ret_copy)
{
    return rth__sites_copy(&sites, ret_copy);
}

void rth__custom_counts(struct rth_profile *profile, struct rth_custom_counts *ret_counts)
{
    RTH__LOCK_SCOPE(&sites.lock);
    *ret_counts = (struct rth_custom_counts){
        .values = profile->live.count,
        .values_max = profile == &storage[TASKS] ? RTH_CUSTOM_TASKS_MAX : RTH_CUSTOM_VALUES_MAX,
        .refused_full = profile->refused_full,
        .refused_memory = profile->refused_memory,
        .forked = forked,
    };
}

uint64_t rth__custom_bytes(void)
{
    uint64_t bytes = 0;
    RTH__LOCK_SCOPE(&sites.lock);
    for (size_t i = 0; i <= TASKS; i++)
        bytes += rth__live_bytes(&storage[i].live);
    return bytes;
}
