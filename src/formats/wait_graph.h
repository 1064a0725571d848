/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_WAIT_GRAPH_H
#define RTH_FORMATS_WAIT_GRAPH_H

/*
 * Who waits for whom: threads, the lock each of them waits for, and who holds it. A thread waits
 * for one lock at a time, which one thread holds, so whoever follows the holders comes to a thread
 * that waits for nobody, or goes round: that is a deadlock. No memory of its own, no lock; time in
 * proportion to the threads.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_WAIT_NOBODY UINT32_MAX

struct rth_wait_node {
    int tid;         /* above 0, each once */
    int holder_tid;  /* of the lock it waits for; 0: not known */
    uint64_t object; /* the lock; 0: it waits for none */
};

/* A lock that threads wait for. */
struct rth_wait_object {
    uint32_t first;   /* one of the waiting nodes; the others: next_waiter */
    uint32_t waiters; /* how many */
    uint32_t holder;  /* a node, RTH_WAIT_NOBODY: not known, or not among the nodes */
};

struct rth_wait_graph {
    const struct rth_wait_node *nodes;
    size_t count;
    uint32_t *holder; /* by node: the node it waits for, or RTH_WAIT_NOBODY */
    uint32_t *cycle;  /* by node: the number of its cycle, from 1 on; 0: in none */
    uint32_t cycle_count;
    uint32_t *next_waiter;           /* by node: another that waits for the same; RTH_WAIT_NOBODY */
    struct rth_wait_object *objects; /* most waiters first; of as many, by lock */
    size_t object_count;
};

/* Bytes that a graph of so many nodes needs. */
size_t rth__wait_graph_bytes(size_t count);
/* memory: that many bytes, 16-byte aligned, kept as long as the graph; what is in it does not
 * matter. count: below 2^30. */
void rth__wait_graph_make(const struct rth_wait_node *nodes, size_t count, void *memory,
                          struct rth_wait_graph *ret_graph);

/* The nodes of a cycle in the order of the waits: the first one, which is the lowest, and whom each
 * waits for is graph->holder, until the first one is back. */
uint32_t rth__wait_graph_cycle_first(const struct rth_wait_graph *graph, uint32_t cycle);
size_t rth__wait_graph_cycle_length(const struct rth_wait_graph *graph, uint32_t first);

#endif /* RTH_FORMATS_WAIT_GRAPH_H */
