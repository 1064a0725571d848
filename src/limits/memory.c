/* SPDX-License-Identifier: MIT */
/*
 * Two copies, written in turn. A reader copies the one that the sequence names, and looks at the
 * sequence again: only a writer that came round to the same copy meanwhile makes it try again, so
 * that nobody ever waits for a writer that is not running.
 */
#include "limits/memory.h"

#include <stdatomic.h>
#include <string.h>

#include "limits/publish.h"
#include "rthooks/limits.h"

#define WORDS ((sizeof(struct rth_memory_now) + sizeof(uint64_t) - 1) / sizeof(uint64_t))

static const struct rth_memory_now nothing = {
    .limit_bytes = INT64_MAX,
    .hard_bytes = INT64_MAX,
    .critical_bytes = INT64_MAX,
    .usage_bytes = -1,
    .rss_bytes = -1,
};

static _Atomic uint64_t copies[2][WORDS];
static _Atomic uint32_t sequence; /* of what was published last; 0: nothing */
static _Atomic int state_now;

void rth__memory_now_publish(const struct rth_memory_now *now)
{
    uint64_t words[WORDS] = {0};
    memcpy(words, now, sizeof(*now));
    uint32_t next = atomic_load_explicit(&sequence, memory_order_relaxed) + 1;
    if (next == 0)
        next = 2; /* of the same parity, and not 0 */
    /* Nobody takes new words for those of the copy's former number. */
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&copies[next & 1][i], words[i], memory_order_release);
    atomic_store_explicit(&sequence, next, memory_order_release);
    atomic_store_explicit(&state_now, now->state, memory_order_release);
}

void rth__memory_now_read_sigsafe(struct rth_memory_now *ret_now)
{
    uint64_t words[WORDS];
    uint32_t seen;
    do {
        seen = atomic_load_explicit(&sequence, memory_order_acquire);
        for (size_t i = 0; i < WORDS; i++)
            words[i] = atomic_load_explicit(&copies[seen & 1][i], memory_order_acquire);
    } while (atomic_load_explicit(&sequence, memory_order_relaxed) != seen);
    if (seen == 0)
        *ret_now = nothing;
    else
        memcpy(ret_now, words, sizeof(*ret_now));
}

int rth__memory_state_sigsafe(void)
{
    return atomic_load_explicit(&state_now, memory_order_acquire);
}

const char *rth__memory_state_name(int state)
{
    switch (state) {
    case RTH_MEMORY_OK:
        return "ok";
    case RTH_MEMORY_ELEVATED:
        return "elevated";
    case RTH_MEMORY_SHED:
        return "shed";
    case RTH_MEMORY_CRITICAL:
        return "critical";
    case RTH_MEMORY_EXHAUSTED:
        return "exhausted";
    default:
        return "unknown";
    }
}

void rth__memory_now_reset(void)
{
    sequence = 0;
    state_now = RTH_MEMORY_OK;
}
