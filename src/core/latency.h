/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_LATENCY_H
#define RTH_CORE_LATENCY_H

/*
 * How long something took, each time it happened: a count, a true sum and fixed buckets. Every
 * observation counts; nothing is sampled.
 */

#include <stdint.h>

#define RTH_LATENCY_BUCKETS 14u
#define RTH_LATENCY_SHARDS  8u

/* Upper bounds of all buckets but the last, which has none. */
extern const int64_t rth__latency_bounds_ns[RTH_LATENCY_BUCKETS - 1];

/* Static storage, zero. Threads write to different shards, mostly. */
struct rth_latency {
    struct rth_latency_shard {
        _Atomic uint64_t buckets[RTH_LATENCY_BUCKETS];
        _Atomic uint64_t sum_ns;
    } shards[RTH_LATENCY_SHARDS];
};

struct rth_latency_values {
    uint64_t count, sum_ns;
    uint64_t buckets[RTH_LATENCY_BUCKETS]; /* each for itself, not cumulative */
};

struct rth_json;

/* Less than nothing counts as nothing. Any thread, lock-free. Cost: 10 ns. */
void rth__latency_observe_sigsafe(struct rth_latency *latency, int64_t ns);
/* The count is that of the buckets; the sum may be of a moment later. */
void rth__latency_read(const struct rth_latency *latency, struct rth_latency_values *ret_values);
/* The member `key`: {"count":…,"sum_ns":…,"buckets":{"10000":…,…,"inf":…}}, keys in ns. */
void rth__latency_json(const struct rth_latency *latency, const char *key, struct rth_json *json);
/* In an adopted child: nothing was observed. */
void rth__latency_clear(struct rth_latency *latency);

#endif /* RTH_CORE_LATENCY_H */
