/* SPDX-License-Identifier: MIT */
/*
 * The region fills from both ends: what a child starts anew from the beginning, what it inherits
 * from the end, so that a child can start over in the same place. The whole is WIPEONFORK but for
 * the inherited part.
 */
#include "record/facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"
#include "core/lock.h"

#define PAGE_BYTES ((size_t)4096)

static struct rth_lock facts_lock = RTH_LOCK_INIT(RTH_RANK_FACTS);
/* Protected by facts_lock. Ordinary memory, so a child knows them. */
static struct rth_facts_header *header;
static size_t used_bytes;                    /* from the start; 0: the directory is not written */
static size_t limit_bytes = RTH_FACTS_BYTES; /* where the inherited part begins */
static struct rth_facts_entry inherited[RTH_FACTS_INHERITED_MAX];
static unsigned inherited_count;

static size_t round_to_page(size_t size_bytes)
{
    return (size_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static bool has_room_locked(size_t size_bytes)
{
    size_t taken_bytes = round_to_page(size_bytes);
    return header->entry_count < RTH_FACTS_ENTRIES_MAX && taken_bytes >= size_bytes &&
           taken_bytes <= limit_bytes - used_bytes;
}

static void add_entry_locked(const struct rth_facts_entry *entry)
{
    header->entries[header->entry_count] = *entry;
    __atomic_store_n(&header->entry_count, header->entry_count + 1, __ATOMIC_RELEASE);
}

/* The region, with its directory. */
static bool ready_locked(void)
{
    if (header == NULL)
        header = rth__arena_map_wipeonfork_nomalloc(RTH_FACTS_BYTES);
    if (header == NULL)
        return false;
    if (used_bytes == 0) {
        header->magic = RTH_FACTS_MAGIC;
        header->size_bytes = RTH_FACTS_BYTES;
        used_bytes = round_to_page(sizeof(*header));
        for (unsigned i = 0; i < inherited_count; i++)
            add_entry_locked(&inherited[i]);
    }
    return true;
}

static struct rth_facts_entry entry_of(const char *name, uint64_t offset, size_t size_bytes)
{
    struct rth_facts_entry entry = {.offset = offset, .size_bytes = size_bytes};
    (void)snprintf(entry.name, sizeof(entry.name), "%s", name);
    return entry;
}

void *rth__facts_reserve(const char *name, size_t size_bytes)
{
    RTH__LOCK_SCOPE(&facts_lock);
    if (!ready_locked() || !has_room_locked(size_bytes))
        return NULL;
    struct rth_facts_entry entry = entry_of(name, used_bytes, size_bytes);
    used_bytes += round_to_page(size_bytes);
    add_entry_locked(&entry);
    return (char *)header + entry.offset;
}

void *rth__facts_reserve_inherited(const char *name, size_t size_bytes)
{
    RTH__LOCK_SCOPE(&facts_lock);
    if (!ready_locked() || !has_room_locked(size_bytes) ||
        inherited_count == RTH_FACTS_INHERITED_MAX)
        return NULL;
    size_t taken_bytes = round_to_page(size_bytes);
    struct rth_facts_entry entry = entry_of(name, limit_bytes - taken_bytes, size_bytes);
    if (madvise((char *)header + entry.offset, taken_bytes, MADV_KEEPONFORK) != 0)
        return NULL;
    limit_bytes -= taken_bytes;
    inherited[inherited_count++] = entry;
    add_entry_locked(&entry);
    return (char *)header + entry.offset;
}

void rth__facts_clear(void *memory, size_t size_bytes)
{
    if (madvise(memory, round_to_page(size_bytes), MADV_DONTNEED) != 0)
        memset(memory, 0, size_bytes); /* locked memory (mlockall) cannot be given back */
}

size_t rth__facts_reserved_bytes(void)
{
    RTH__LOCK_SCOPE(&facts_lock);
    return used_bytes + RTH_FACTS_BYTES - limit_bytes;
}

void rth__facts_child_reset(void)
{
    rth__lock_reset(&facts_lock);
    /* Wiped by the fork; cleared as well, for what wrote there before the child was adopted. */
    if (header != NULL && used_bytes > 0)
        rth__facts_clear(header, used_bytes);
    used_bytes = 0;
}
