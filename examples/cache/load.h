/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLE_CACHE_LOAD_H
#define EXAMPLE_CACHE_LOAD_H

/* Threads that insert values of random sizes for a while: what clients would do. */

#include <stdint.h>

struct cache;

struct load {
    unsigned threads, seconds;
    uint64_t insert_bytes; /* all threads together; 0: until the time is over */
    uint64_t rate;         /* bytes a second, all threads together; 0: as fast as they can */
    uint64_t value_min_bytes, value_max_bytes;
};

/* Returns when the load is over. 0 or a negative errno. */
int load_run(struct cache *cache, const struct load *load);

#endif /* EXAMPLE_CACHE_LOAD_H */
