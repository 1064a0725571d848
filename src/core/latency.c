/* SPDX-License-Identifier: MIT */
#include "core/latency.h"

#include <stdatomic.h>
#include <stdio.h>

#include "formats/json.h"
#include "os/clock.h"

const int64_t rth__latency_bounds_ns[RTH_LATENCY_BUCKETS - 1] = {
    10 * RTH_NS_PER_US,  50 * RTH_NS_PER_US,  100 * RTH_NS_PER_US, 500 * RTH_NS_PER_US,
    1 * RTH_NS_PER_MS,   5 * RTH_NS_PER_MS,   10 * RTH_NS_PER_MS,  50 * RTH_NS_PER_MS,
    100 * RTH_NS_PER_MS, 500 * RTH_NS_PER_MS, 1 * RTH_NS_PER_S,    5 * RTH_NS_PER_S,
    10 * RTH_NS_PER_S,
};

static struct rth_latency_shard *own_shard(struct rth_latency *latency)
{
    /* Threads lie apart by their stacks' sizes, which are multiples of pages. */
    uintptr_t thread = (uintptr_t)__builtin_thread_pointer() >> 12;
    return &latency->shards[(thread ^ thread >> 3 ^ thread >> 9) % RTH_LATENCY_SHARDS];
}

void rth__latency_observe_sigsafe(struct rth_latency *latency, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    unsigned bucket = 0;
    while (bucket < RTH_LATENCY_BUCKETS - 1 && ns > rth__latency_bounds_ns[bucket])
        bucket++;
    struct rth_latency_shard *shard = own_shard(latency);
    atomic_fetch_add_explicit(&shard->sum_ns, (uint64_t)ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->buckets[bucket], 1, memory_order_relaxed);
}

void rth__latency_read(const struct rth_latency *latency, struct rth_latency_values *ret_values)
{
    *ret_values = (struct rth_latency_values){0};
    for (unsigned i = 0; i < RTH_LATENCY_SHARDS; i++) {
        const struct rth_latency_shard *shard = &latency->shards[i];
        for (unsigned bucket = 0; bucket < RTH_LATENCY_BUCKETS; bucket++) {
            uint64_t count = atomic_load_explicit(&shard->buckets[bucket], memory_order_relaxed);
            ret_values->buckets[bucket] += count;
            ret_values->count += count;
        }
        ret_values->sum_ns += atomic_load_explicit(&shard->sum_ns, memory_order_relaxed);
    }
}

void rth__latency_json(const struct rth_latency *latency, const char *key, struct rth_json *json)
{
    struct rth_latency_values values;
    rth__latency_read(latency, &values);
    rth__json_key(json, key);
    rth__json_object_begin(json);
    rth__json_member_uint(json, "count", values.count);
    rth__json_member_uint(json, "sum_ns", values.sum_ns);
    rth__json_key(json, "buckets");
    rth__json_object_begin(json);
    for (unsigned i = 0; i < RTH_LATENCY_BUCKETS; i++) {
        char bound[24] = "inf";
        if (i < RTH_LATENCY_BUCKETS - 1)
            (void)snprintf(bound, sizeof(bound), "%lld", (long long)rth__latency_bounds_ns[i]);
        rth__json_member_uint(json, bound, values.buckets[i]);
    }
    rth__json_object_end(json);
    rth__json_object_end(json);
}

void rth__latency_clear(struct rth_latency *latency)
{
    for (unsigned i = 0; i < RTH_LATENCY_SHARDS; i++) {
        struct rth_latency_shard *shard = &latency->shards[i];
        for (unsigned bucket = 0; bucket < RTH_LATENCY_BUCKETS; bucket++)
            atomic_store_explicit(&shard->buckets[bucket], 0, memory_order_relaxed);
        atomic_store_explicit(&shard->sum_ns, 0, memory_order_relaxed);
    }
}
