/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_HEAP_SAMPLER_H
#define RTH_PROFILE_HEAP_SAMPLER_H

/* The recording side of the heap profile; heap.c is what is shown of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interpose/abi.h"
#include "record/sites.h"

/* Site counts are objects in units of 2^-10: a sampled block of nearly an interval stands for a
 * little more than one. */
#define RTH_HEAP_COUNT_SHIFT 10u

/* What is shown: rows of kind 0. */
extern struct rth_sites rth__heap_sites;

/* Begins with nothing recorded. filter_place: where the wrappers look for the filter. 0 or a
 * negative errno. */
int rth__heap_sampler_start(const struct rth_heap_filter **filter_place);
/* Nothing is recorded any more; what was, stays to be read. */
void rth__heap_sampler_stop(void);
void rth__heap_sampler_child_reset(void);

/* Mean bytes between samples; 0: none are taken. Any thread; every thread takes it over at its next
 * allocation. */
void rth__heap_sampler_set_interval(uint64_t interval_bytes);
uint64_t rth__heap_sampler_interval(void);

struct rth_heap_counts {
    uint64_t samples;        /* blocks sampled */
    uint64_t lost_nested;    /* in a signal handler on top of another sample */
    uint64_t lost_live;      /* counted as allocated, but there was no room to follow them */
    uint64_t missed_frees;   /* addresses sampled again before they were seen to be freed */
    uint64_t waiting;        /* stacks that wait for unwind rows */
    uint64_t without_stack;  /* no room to wait, or nothing could be read */
    size_t live, live_bytes; /* blocks followed now; what following them takes */
};
void rth__heap_counts_read(struct rth_heap_counts *ret_counts);

/* Allocations of all threads so far, exact but for those that failed. Any thread. */
struct rth_heap_totals {
    uint64_t allocs, frees, bytes;
};
void rth__heap_totals_read(struct rth_heap_totals *ret_totals);

/* Finds the stacks that wait, now that there may be rows for them. rth-work. */
void rth__heap_sampler_resolve(void);

/* For struct rth_interpose_ops. */
void rth__heap_allocated_nomalloc(struct rth_thread_heap *heap, const void *block,
                                  size_t size_bytes);
void rth__heap_freed_unseen_nomalloc(void);
bool rth__heap_forget_nomalloc(const void *block, struct rth_heap_sample *ret_sample);
void rth__heap_remember_nomalloc(const struct rth_heap_sample *sample);

#endif /* RTH_PROFILE_HEAP_SAMPLER_H */
