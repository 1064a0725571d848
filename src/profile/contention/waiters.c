/* SPDX-License-Identifier: MIT */
/*
 * An entry knows its number of waiters and the sum of the times from which on they are charged, so
 * what they have waited at a time t is waiters * t - sum, whoever they are. A charge moves all of
 * them to its time. Entries stay when the last waiter leaves, with what is not charged yet: short
 * waits would otherwise be charged to nobody. They make room for others when they are needed.
 */
#include "profile/contention/waiters.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/lock.h"

struct entry {
    int64_t charged_at_ns; /* at first the time when the entry was made */
    uint32_t waiters;
    uint32_t fresh;          /* waits that began since the last charge */
    int64_t newest_since_ns; /* no charge is of before it */
    uint64_t since_sum;      /* wraps around, as the product that it is taken from does */
    uint64_t left_ns;        /* of those that left, not charged yet */
};

/* What all look at first shares a line; also read without the lock, but for the entries. */
static struct bucket {
    _Alignas(64) struct rth_lock lock;
    _Atomic uintptr_t locks[RTH_WAITERS_PER_BUCKET]; /* whose the entry is; 0: nobody's */
    struct entry entries[RTH_WAITERS_PER_BUCKET];
} buckets[RTH_WAITERS_BUCKETS] = {
    [0 ... RTH_WAITERS_BUCKETS - 1] = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)},
};

static _Atomic uint64_t refused, uncharged_ns;

static struct bucket *bucket_of(uintptr_t lock)
{
    uint64_t hash = (uint64_t)lock * UINT64_C(0x9e3779b97f4a7c15);
    return &buckets[(hash >> 40) % RTH_WAITERS_BUCKETS];
}

static struct entry *find(struct bucket *bucket, uintptr_t lock)
{
    for (unsigned i = 0; i < RTH_WAITERS_PER_BUCKET; i++)
        if (atomic_load_explicit(&bucket->locks[i], memory_order_relaxed) == lock)
            return &bucket->entries[i];
    return NULL;
}

/* A free entry, or the one without waiters that was charged longest ago. */
static struct entry *make_room_locked(struct bucket *bucket)
{
    struct entry *oldest = NULL;
    for (unsigned i = 0; i < RTH_WAITERS_PER_BUCKET; i++) {
        struct entry *entry = &bucket->entries[i];
        if (entry->waiters == 0 && (oldest == NULL || entry->charged_at_ns < oldest->charged_at_ns))
            oldest = entry;
    }
    if (oldest != NULL)
        atomic_fetch_add_explicit(&uncharged_ns, oldest->left_ns, memory_order_relaxed);
    return oldest;
}

uint64_t rth__waiters_enter(uintptr_t lock, int64_t since_ns)
{
    struct bucket *bucket = bucket_of(lock);
    rth__lock(&bucket->lock);
    struct entry *entry = find(bucket, lock);
    if (entry == NULL) {
        entry = make_room_locked(bucket);
        if (entry == NULL) {
            rth__unlock(&bucket->lock);
            atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
            return 0;
        }
        entry->fresh = 0;
        entry->since_sum = entry->left_ns = 0;
        entry->newest_since_ns = since_ns;
        entry->charged_at_ns = since_ns;
        atomic_store_explicit(&bucket->locks[entry - bucket->entries], lock, memory_order_relaxed);
    }
    /* A charge may have come after the caller looked at the clock. */
    entry->since_sum +=
        (uint64_t)(since_ns > entry->charged_at_ns ? since_ns : entry->charged_at_ns);
    if (since_ns > entry->newest_since_ns)
        entry->newest_since_ns = since_ns;
    entry->waiters++;
    entry->fresh++;
    rth__unlock(&bucket->lock);
    return (uint64_t)(entry - bucket->entries) + 1;
}

void rth__waiters_leave(uint64_t number, uintptr_t lock, int64_t since_ns, int64_t now_ns)
{
    struct bucket *bucket = bucket_of(lock);
    if (number == 0 || number > RTH_WAITERS_PER_BUCKET)
        return;
    struct entry *entry = &bucket->entries[number - 1];
    rth__lock(&bucket->lock);
    /* Anything else is of before a reset. */
    if (atomic_load_explicit(&bucket->locks[number - 1], memory_order_relaxed) == lock &&
        entry->waiters > 0) {
        int64_t from_ns = entry->charged_at_ns;
        if (since_ns > from_ns)
            from_ns = since_ns;
        entry->waiters--;
        entry->since_sum -= (uint64_t)from_ns;
        if (now_ns > from_ns)
            entry->left_ns += (uint64_t)(now_ns - from_ns);
    }
    rth__unlock(&bucket->lock);
}

struct rth_waiters_charge rth__waiters_charge(uintptr_t lock, int64_t now_ns)
{
    struct rth_waiters_charge charge = {0};
    struct bucket *bucket = bucket_of(lock);
    if (find(bucket, lock) == NULL)
        return charge;
    RTH__LOCK_SCOPE(&bucket->lock);
    struct entry *entry = find(bucket, lock);
    if (entry == NULL)
        return charge;
    if (now_ns < entry->newest_since_ns)
        now_ns = entry->newest_since_ns;
    if (now_ns < entry->charged_at_ns)
        return charge;
    uint64_t waiters_until = entry->waiters * (uint64_t)now_ns;
    charge.delay_ns = entry->left_ns + waiters_until - entry->since_sum;
    charge.count = entry->fresh;
    entry->left_ns = 0;
    entry->fresh = 0;
    entry->since_sum = waiters_until;
    entry->charged_at_ns = now_ns;
    return charge;
}

struct rth_waiters_counts rth__waiters_counts(void)
{
    return (struct rth_waiters_counts){
        .refused = atomic_load_explicit(&refused, memory_order_relaxed),
        .uncharged_ns = atomic_load_explicit(&uncharged_ns, memory_order_relaxed),
    };
}

static void forget_counts(void)
{
    atomic_store_explicit(&refused, 0, memory_order_relaxed);
    atomic_store_explicit(&uncharged_ns, 0, memory_order_relaxed);
}

static void bucket_clear(struct bucket *bucket)
{
    for (unsigned i = 0; i < RTH_WAITERS_PER_BUCKET; i++)
        atomic_store_explicit(&bucket->locks[i], 0, memory_order_relaxed);
    memset(bucket->entries, 0, sizeof(bucket->entries));
}

void rth__waiters_clear(void)
{
    for (unsigned i = 0; i < RTH_WAITERS_BUCKETS; i++) {
        RTH__LOCK_SCOPE(&buckets[i].lock);
        bucket_clear(&buckets[i]);
    }
    forget_counts();
}

void rth__waiters_child_reset(void)
{
    for (unsigned i = 0; i < RTH_WAITERS_BUCKETS; i++) {
        rth__lock_reset(&buckets[i].lock);
        bucket_clear(&buckets[i]);
    }
    forget_counts();
}
