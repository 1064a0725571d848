/* SPDX-License-Identifier: MIT */
/*
 * The table of a family of processes.
 *
 * Shape: one shared mapping, made by the first process, with a slot per member. A slot is claimed
 * and released by compare-and-swap on its pid, so no lock is shared between processes: a member
 * that is killed at any instruction blocks nobody. Readers copy a slot and check that its pid did
 * not change meanwhile.
 * Trust: a member may have been taken over by an attacker after it dropped privileges. It can
 * write anything here; readers use the values only to look at /proc or to connect to a socket
 * whose owner they check, and sums saturate.
 */
#include "core/family.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/arena.h"

#define SLOT_FREE     0
#define SLOT_CLAIMING (-1)

struct slot {
    _Atomic pid_t pid; /* SLOT_FREE, SLOT_CLAIMING or the member */
    _Atomic uint32_t euid;
    _Atomic uint64_t starttime_ticks;
    _Atomic uint64_t cpu_ns; /* as last published */
    uint64_t reserved[5];    /* to a cache line: members write at their own pace */
};

struct table {
    _Atomic pid_t first_pid;
    _Atomic uint64_t dead_cpu_ns;
    _Atomic uint64_t overflow;
    uint64_t reserved[5];
    struct slot slots[RTH_FAMILY_SLOTS];
};

static struct table *table;   /* NULL before init; written before our threads exist */
static struct slot *own_slot; /* this process's, NULL when it has none */
static pid_t own_pid;

static struct slot *claim(pid_t pid, uint64_t starttime_ticks, uint32_t euid)
{
    for (size_t i = 0; i < RTH_FAMILY_SLOTS; i++) {
        struct slot *slot = &table->slots[i];
        pid_t expected = SLOT_FREE;
        if (slot->pid != SLOT_FREE ||
            !atomic_compare_exchange_strong_explicit(&slot->pid, &expected, SLOT_CLAIMING,
                                                     memory_order_acq_rel, memory_order_relaxed))
            continue;
        slot->euid = euid;
        slot->starttime_ticks = starttime_ticks;
        slot->cpu_ns = 0;
        atomic_store_explicit(&slot->pid, pid, memory_order_release);
        return slot;
    }
    table->overflow++;
    return NULL;
}

int rth__family_init(pid_t pid, uint64_t starttime_ticks, uint32_t euid)
{
    struct table *fresh = rth__arena_map_shared_nomalloc(sizeof(struct table));
    if (fresh == NULL)
        return -ENOMEM;
    table = fresh;
    table->first_pid = pid;
    own_pid = pid;
    own_slot = claim(pid, starttime_ticks, euid);
    return 0;
}

int rth__family_join(pid_t pid, uint64_t starttime_ticks, uint32_t euid)
{
    own_pid = pid;
    own_slot = NULL;
    if (table == NULL)
        return -ENOENT;
    own_slot = claim(pid, starttime_ticks, euid);
    return own_slot != NULL ? 0 : -ENOSPC;
}

static void add_dead_cpu(uint64_t cpu_ns)
{
    uint64_t sum;
    if (__builtin_add_overflow(table->dead_cpu_ns, cpu_ns, &sum))
        return;
    table->dead_cpu_ns += cpu_ns;
}

static void release(struct slot *slot, pid_t pid)
{
    pid_t expected = pid;
    if (!atomic_compare_exchange_strong_explicit(&slot->pid, &expected, SLOT_CLAIMING,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return; /* someone else buried it */
    add_dead_cpu(slot->cpu_ns);
    atomic_store_explicit(&slot->pid, SLOT_FREE, memory_order_release);
}

void rth__family_leave(uint64_t cpu_ns)
{
    if (own_slot == NULL)
        return;
    own_slot->cpu_ns = cpu_ns;
    release(own_slot, own_pid);
    own_slot = NULL;
}

void rth__family_set_euid(uint32_t euid)
{
    if (own_slot != NULL)
        own_slot->euid = euid;
}

bool rth__family_take_over(pid_t dead_first_pid)
{
    if (table == NULL)
        return false;
    pid_t expected = dead_first_pid;
    return atomic_compare_exchange_strong_explicit(&table->first_pid, &expected, own_pid,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

pid_t rth__family_first_pid(void)
{
    return table != NULL ? table->first_pid : 0;
}

bool rth__family_is_first(void)
{
    return table != NULL && table->first_pid == own_pid;
}

bool rth__family_next(size_t *cursor, struct rth_family_member *ret_member)
{
    while (table != NULL && *cursor < RTH_FAMILY_SLOTS) {
        const struct slot *slot = &table->slots[(*cursor)++];
        pid_t pid = atomic_load_explicit(&slot->pid, memory_order_acquire);
        if (pid <= 0)
            continue;
        struct rth_family_member member = {
            .pid = pid,
            .starttime_ticks = slot->starttime_ticks,
            .euid = slot->euid,
            .first = pid == table->first_pid,
        };
        if (atomic_load_explicit(&slot->pid, memory_order_acquire) != pid)
            continue;
        *ret_member = member;
        return true;
    }
    return false;
}

static struct slot *find(pid_t pid)
{
    for (size_t i = 0; table != NULL && i < RTH_FAMILY_SLOTS; i++)
        if (table->slots[i].pid == pid)
            return &table->slots[i];
    return NULL;
}

void rth__family_bury(pid_t pid, uint64_t starttime_ticks)
{
    struct slot *slot = find(pid);
    if (slot != NULL && slot->starttime_ticks == starttime_ticks)
        release(slot, pid);
}

void rth__family_publish_cpu(pid_t pid, uint64_t cpu_ns)
{
    struct slot *slot = find(pid);
    if (slot != NULL)
        slot->cpu_ns = cpu_ns;
}

uint64_t rth__family_dead_cpu_ns(void)
{
    return table != NULL ? table->dead_cpu_ns : 0;
}

uint64_t rth__family_overflow(void)
{
    return table != NULL ? table->overflow : 0;
}
