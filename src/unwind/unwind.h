/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_UNWIND_H
#define RTH_UNWIND_UNWIND_H

/*
 * The walker: from a set of registers to the frames of a stack, in any context (signal handler,
 * allocator hook, another thread's stack), without a lock, an allocation or the loader. It reads
 * the stack it is given and rows that rth-work compiled from .eh_frame ahead of time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/module.h"
#include "unwind/arch.h"

#define RTH_UNWIND_FRAMES_MAX 256

/* Where the stack may be read. Addresses in [low, high) are read without a check: directly, or in
 * `copy`, which holds the bytes of [low, high). Elsewhere a page is probed by a system call before
 * it is read when probe is set; otherwise the walk ends. */
struct rth_unwind_stack {
    uint64_t low, high;
    const void *copy; /* NULL: the memory itself */
    bool probe;
};

/* Why a walk ended. */
enum rth_unwind_end {
    RTH_UNWIND_ROOT,       /* the thread's first function: the stack is complete */
    RTH_UNWIND_DEPTH,      /* capacity reached */
    RTH_UNWIND_NO_RULE,    /* code without unwind information, and no frame pointer to follow */
    RTH_UNWIND_UNREADABLE, /* the next frame lies outside what may be read */
    RTH_UNWIND_STUCK,      /* the next frame does not advance */
    RTH_UNWIND_END_COUNT,
};
const char *rth__unwind_end_name(enum rth_unwind_end end);

/* PC -> rule, direct-mapped, one per sampled thread; zeroed memory of this size is an empty one.
 * Used by one thread at a time. */
#define RTH_UNWIND_CACHE_BYTES (32u * 1024)
struct rth_unwind_cache;

/*
 * Fills ret_frames[0 … count) innermost first and returns count (at least 1: the leaf).
 * cache: NULL walks without one. capacity: at most RTH_UNWIND_FRAMES_MAX.
 * Signal: safe; under 1 KiB of stack, errno kept. Cost: 5 ns per frame with a warm cache.
 */
unsigned rth__unwind_sigsafe(const struct rth_registers *registers,
                             const struct rth_unwind_stack *stack, struct rth_unwind_cache *cache,
                             rth_frame *ret_frames, unsigned capacity,
                             enum rth_unwind_end *ret_end);

/* Whether the kernel can read the byte there now. Signal-safe; one system call. */
bool rth__unwind_can_read_sigsafe(uint64_t address);

/* rth__modules_refresh, then compiles the rows of modules that have none. Returns 1 when something
 * changed, 0, or a negative errno. Runs on rth-work. */
int rth__unwind_refresh(int root_fd);
/* True when a walk met an executable address in no known range since the last refresh. */
bool rth__unwind_refresh_wanted(void);

/* Whether a module has no rows yet and may get some at the next refresh. Signal-safe. */
bool rth__unwind_rows_may_come_sigsafe(uint32_t module_id);

struct rth_unwind_stats {
    uint64_t modules_compiled, modules_without_rows;
    uint64_t rows, row_bytes;
    uint64_t eh_frame_bytes; /* of the compiled modules */
    uint64_t fdes_refused;   /* entries that could not be understood */
};
void rth__unwind_stats(struct rth_unwind_stats *ret_stats);

void rth__unwind_child_reset(void);

#endif /* RTH_UNWIND_UNWIND_H */
