/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_FACTS_H
#define RTH_RECORD_FACTS_H

/*
 * The facts region: one mapping that holds what is needed to read our evidence after death,
 * addressed by offsets from its start, so that a core file or a copy of it can be read elsewhere.
 * It begins with the directory below. Anonymous; reads as zero in a forked child, but for what was
 * reserved to be inherited.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_FACTS_MAGIC         UINT64_C(0x3173746361666872) /* "rhfacts1" in memory */
#define RTH_FACTS_BYTES         ((size_t)32 * 1024 * 1024)
#define RTH_FACTS_ENTRIES_MAX   31
#define RTH_FACTS_INHERITED_MAX 4

struct rth_facts_entry {
    char name[16];   /* "stacks.0", NUL-terminated */
    uint64_t offset; /* from the start of the region */
    uint64_t size_bytes;
};

struct rth_facts_header {
    uint64_t magic;
    uint64_t size_bytes;  /* of the region */
    uint32_t entry_count; /* released after the entry is filled */
    uint32_t reserved;
    struct rth_facts_entry entries[RTH_FACTS_ENTRIES_MAX];
};

/* Takes page-aligned zeroed memory from the region and names it in the directory; maps the region
 * at the first call. NULL when it cannot be mapped or is used up. Any thread; takes RTH_RANK_FACTS.
 * Nothing is ever given back. */
void *rth__facts_reserve(const char *name, size_t size_bytes);
/* The same for what a forked child keeps: it has a copy, at the same address, from its first
 * instruction on, and after rth__facts_child_reset too. At most RTH_FACTS_INHERITED_MAX. */
void *rth__facts_reserve_inherited(const char *name, size_t size_bytes);
/* Makes memory of the region zero again and gives its pages to the kernel. */
void rth__facts_clear(void *memory, size_t size_bytes);
/* Bytes reserved so far; what is touched of them is less. */
size_t rth__facts_reserved_bytes(void);
/* In an adopted child: everything but what is inherited is free again, and reads as zero. */
void rth__facts_child_reset(void);

#endif /* RTH_RECORD_FACTS_H */
