/* SPDX-License-Identifier: MIT */
#include "record/facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"

#define PAGE_BYTES ((size_t)4096)

static struct rth_facts_header *header;
static size_t used_bytes;

static size_t round_to_page(size_t size_bytes)
{
    return (size_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

void *rth__facts_reserve(const char *name, size_t size_bytes)
{
    if (header == NULL) {
        header = rth__arena_map_wipeonfork_nomalloc(RTH_FACTS_BYTES);
        if (header == NULL)
            return NULL;
        header->magic = RTH_FACTS_MAGIC;
        header->size_bytes = RTH_FACTS_BYTES;
        used_bytes = round_to_page(sizeof(*header));
    }
    size_t taken_bytes = round_to_page(size_bytes);
    if (header->entry_count == RTH_FACTS_ENTRIES_MAX || taken_bytes < size_bytes ||
        taken_bytes > RTH_FACTS_BYTES - used_bytes)
        return NULL;
    struct rth_facts_entry *entry = &header->entries[header->entry_count];
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->offset = used_bytes;
    entry->size_bytes = size_bytes;
    __atomic_store_n(&header->entry_count, header->entry_count + 1, __ATOMIC_RELEASE);
    used_bytes += taken_bytes;
    return (char *)header + entry->offset;
}

void rth__facts_clear(void *memory, size_t size_bytes)
{
    if (madvise(memory, round_to_page(size_bytes), MADV_DONTNEED) != 0)
        memset(memory, 0, size_bytes); /* locked memory (mlockall) cannot be given back */
}

size_t rth__facts_reserved_bytes(void)
{
    return used_bytes;
}

void rth__facts_child_reset(void)
{
    header = NULL;
    used_bytes = 0;
}
