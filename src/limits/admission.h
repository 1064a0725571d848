/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_ADMISSION_H
#define RTH_LIMITS_ADMISSION_H

/*
 * The room of admission: how much may still be taken before the limit. One number that both who
 * asks and who reclaims work on between two looks at the real usage, so that nobody gives up
 * anything twice for one and the same shortage.
 *
 *     room = target - usage - outstanding + credit
 *
 * target is a little below the limit. outstanding was admitted and is not there yet. credit is what
 * shrinkers freed and what the kernel has not got back: the allocator will use it again, so usage
 * does not show it and it is room all the same. What was released (is there now) uses credit up, a
 * fall of usage does, and so does growth that nobody asked for.
 */

#include <stdbool.h>
#include <stdint.h>

/* What a look found, for the arithmetic. */
struct rth_room_look {
    int64_t target_bytes, usage_bytes;
    int64_t outstanding_bytes;
    uint64_t freed_bytes, released_bytes; /* since the last look */
};
/* What is remembered from one look to the next. */
struct rth_room_ledger {
    int64_t usage_bytes;  /* at the last look; -1: there was none */
    int64_t credit_bytes; /* as above */
    int64_t free_bytes; /* a guess at what the allocator holds: credit, and what it failed to use */
};
/* Takes the look over; returns the room. */
int64_t rth__room_look(struct rth_room_ledger *ledger, const struct rth_room_look *look);
/* A purge is over: what is free still cannot be given back. */
void rth__room_purged(struct rth_room_ledger *ledger);

/* Where growth is stopped: a little below the limit, so that a full cache is not above it. */
int64_t rth__admission_target_bytes(int64_t limit_bytes);

struct rth_memory_now;
/* rth-collect, after each look. */
void rth__admission_look(const struct rth_memory_now *now);
/* Below 0: what is to be shrunk. */
int64_t rth__admission_room_bytes(void);
/* rth-reclaim: shrinkers freed that much. */
void rth__admission_freed(uint64_t size_bytes);
/* rth-reclaim: a purge is over, whose effect the next look will see. distrust: credit too turned
 * out to be of no use. */
void rth__admission_purged(bool distrust);

struct rth_admission_counts {
    uint64_t admitted, refused, direct_reclaims;
    uint64_t direct_cpu_ns, direct_freed_bytes;
    uint64_t released_bytes;
    int64_t room_bytes, outstanding_bytes, credit_bytes, free_bytes;
};
void rth__admission_counts_read(struct rth_admission_counts *ret_counts);
struct rth_latency;
/* How long direct reclaim kept threads of the program. */
const struct rth_latency *rth__admission_pauses(void);
void rth__admission_child_reset(void);
/* Nobody looks any more: everything is admitted. */
void rth__admission_stop(void);

#endif /* RTH_LIMITS_ADMISSION_H */
