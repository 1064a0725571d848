/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_WALK_H
#define RTH_UNWIND_WALK_H

/* The state of one walk, shared by the files of the walker only. All of it lives on the walking
 * thread's stack: below 1 KiB with everything it calls. */

#include "unwind/rows.h"
#include "unwind/unwind.h"

#define CACHE_SLOTS (RTH_UNWIND_CACHE_BYTES / 16u)

struct rth_unwind_cache {
    struct {
        uint64_t key;   /* pc, and 17 bits of the ranges' generation above its 47 */
        uint64_t value; /* see walk_sigsafe.c */
    } slot[CACHE_SLOTS];
};
_Static_assert(sizeof(struct rth_unwind_cache) == RTH_UNWIND_CACHE_BYTES, "one size for all users");

#define PROBED_PAGES 2u

struct walk {
    struct rth_registers regs; /* of the frame in hand; [RA] is its pc */
    bool pc_is_exact;          /* leaf, or interrupted: pc is no return address */
    /* Callee-saved registers of the frames that the fast path took were not followed. */
    bool registers_skipped;
    bool follow_registers; /* second try, without the fast path */
    bool registers_missed; /* the second try is worth it */
    /* Where memory may be read without asking. */
    uint64_t low, limit; /* words that begin in [low, limit) */
    uint64_t copy_delta; /* added to an address there */
    bool probe;
    uint64_t readable_page[PROBED_PAGES]; /* 0: none yet */
    const struct rth_loaded_ranges *ranges;
    uint32_t range_hint; /* callers are often in the same file */
    struct rth_unwind_cache *cache;
    rth_frame *frames;
    unsigned count, capacity;
    enum rth_unwind_end end;
};

/* The stack belongs to a thread that runs on, and holds red zones: reading it is right whatever a
 * sanitizer thinks of it. */
#define READS_FOREIGN_STACKS __attribute__((no_sanitize("address", "thread")))

READS_FOREIGN_STACKS static inline uint64_t word_at(uint64_t address)
{
    typedef uint64_t __attribute__((may_alias, aligned(1))) any_word;
    return *(const any_word *)(uintptr_t)address;
}

/* A word of the stack; false where it may not be read. */
bool rth__walk_read_sigsafe(struct walk *walk, uint64_t address, uint64_t *ret_word);
/* Whether the page that holds the address is readable: asked of the kernel, and remembered. */
bool rth__walk_probe_sigsafe(struct walk *walk, uint64_t address);

/* The caller's registers by a rule; false with walk->end set when there is no caller. */
bool rth__step_by_rule_sigsafe(struct walk *walk, const struct rth_rows *rows,
                               const struct rth_rule *rule);
/* From a signal frame whose ucontext lies at rsp. */
bool rth__step_signal_sigsafe(struct walk *walk);
/* By the frame pointer, where there is no rule. */
bool rth__step_by_frame_pointer_sigsafe(struct walk *walk);

/* The value of a DWARF expression over the walk's registers; with initial pushed first. */
bool rth__expression_sigsafe(struct walk *walk, const uint8_t *expression, size_t size_bytes,
                             const uint64_t *initial, uint64_t *ret_value);
/* A register, when it is known; notes that a second try would know it. */
bool rth__walk_register_sigsafe(struct walk *walk, unsigned reg, uint64_t *ret_value);

#endif /* RTH_UNWIND_WALK_H */
