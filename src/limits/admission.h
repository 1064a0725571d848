/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_ADMISSION_H
#define RTH_LIMITS_ADMISSION_H

/*
 * The room of admission: how much may still be taken before the limit. One number that both who
 * asks and who reclaims work on between two looks at the real usage, so that nobody gives up
 * anything twice for one and the same shortage.
 *
 *     room = target - (usage - usable) - outstanding
 *
 * target is a little below the limit. outstanding was admitted and is not there yet. usable is what
 * lies in the allocator, guessed: shrinkers freed it, and the kernel has not got it back. It is
 * room, since the allocator will use it again, or a purge gives it back; where it does neither,
 * usage rises to the brake: then requests are refused until a purge has shown what is true.
 */

#include <stdbool.h>
#include <stdint.h>

/* What a look found, for the arithmetic. */
struct rth_room_look {
    int64_t target_bytes, usage_bytes;
    int64_t outstanding_bytes;
    uint64_t freed_bytes, released_bytes; /* since the last look */
};
/* What is remembered from one look to the next. Zero is the beginning. */
struct rth_room_ledger {
    bool has_usage, has_freed;
    int64_t usage_bytes; /* at the last look */
    int64_t free_bytes;  /* the guess at what lies in the allocator */
    int64_t stuck_bytes; /* of it: what the last purge left */
    int64_t waste_bytes; /* of it: what does not count as usable */
    /* How much usage grew for what was admitted, while nothing had been freed yet: what the
     * allocator puts on top of each byte. */
    double filled_usage_bytes, filled_bytes;
};
/* Takes the look over; returns the room. */
int64_t rth__room_look(struct rth_room_ledger *ledger, const struct rth_room_look *look);
/* A purge has given back what it can: what still seems to be free is not to be given back, but for
 * what was freed since it began. is_telling: it gave back a good part; then it is no use either.
 * (Of an allocator that never gives anything back, free memory is of use all the same.) */
void rth__room_purged(struct rth_room_ledger *ledger, uint64_t freed_since_bytes, bool is_telling);
/* There is no purge that would tell: nothing counts as usable. */
void rth__room_distrusted(struct rth_room_ledger *ledger);

/* Where growth is stopped: a little below the limit, so that a full cache is not above it. */
int64_t rth__admission_target_bytes(int64_t limit_bytes);
/* Usage at which all but health is refused, whatever the room: halfway from the limit to where
 * CRITICAL begins. */
int64_t rth__admission_brake_bytes(int64_t limit_bytes, int64_t critical_bytes);

struct rth_memory_now;
/* rth-collect, after each look. */
void rth__admission_look(const struct rth_memory_now *now);
/* Below 0: what is to be shrunk. */
int64_t rth__admission_room_bytes(void);
/* Around a call of shrinkers. begin: says for how much the caller is to call them: for what is
 * missing and nobody else is about already, between batch_bytes and most_bytes; if nothing is, and
 * anyhow, for least_bytes. end: what they freed, of what begin said. */
uint64_t rth__admission_shrink_begin(uint64_t least_bytes, uint64_t batch_bytes,
                                     uint64_t most_bytes);
void rth__admission_shrink_end(uint64_t begun_bytes, uint64_t freed_bytes);
/* rth-reclaim: the next look takes note of a purge, or of distrust in what is free. freed_before:
 * of the counts, when the purge began. */
void rth__admission_purged(uint64_t freed_before_bytes);
void rth__admission_distrusted(void);
/* rth-reclaim: whether the allocator gives anything back. If it does not, refusing at the brake
 * would not lower usage: what is used again in its place goes on. */
void rth__admission_gives_back(bool gives_back);

struct rth_admission_counts {
    uint64_t admitted, health_admitted, refused, direct_reclaims;
    uint64_t direct_cpu_ns, direct_freed_bytes;
    uint64_t freed_bytes, released_bytes;
    int64_t room_bytes, outstanding_bytes;
    int64_t usable_bytes, purgeable_bytes; /* as the last look guessed */
};
void rth__admission_counts_read(struct rth_admission_counts *ret_counts);
struct rth_latency;
/* How long direct reclaim kept threads of the program. */
const struct rth_latency *rth__admission_pauses(void);
void rth__admission_child_reset(void);
/* Nobody looks any more: everything is admitted. */
void rth__admission_stop(void);

#endif /* RTH_LIMITS_ADMISSION_H */
