/* SPDX-License-Identifier: MIT */
#include "formats/wait_graph.h"

#include <string.h>

/* Tables by tid and by lock, open addressed: number of a node or object, plus 1. */
static size_t slot_count(size_t count)
{
    size_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    return slots;
}

size_t rth__wait_graph_bytes(size_t count)
{
    return count * sizeof(struct rth_wait_object) +
           (3 * count + slot_count(count)) * sizeof(uint32_t);
}

static size_t slot_of(uint64_t key, size_t slots)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slots - 1);
}

static void find_holders(struct rth_wait_graph *graph, uint32_t *slots, size_t size)
{
    memset(slots, 0, size * sizeof(*slots));
    for (uint32_t i = 0; i < graph->count; i++) {
        size_t slot = slot_of((uint64_t)graph->nodes[i].tid, size);
        while (slots[slot] != 0)
            slot = (slot + 1) & (size - 1);
        slots[slot] = i + 1;
    }
    for (uint32_t i = 0; i < graph->count; i++) {
        const struct rth_wait_node *node = &graph->nodes[i];
        graph->holder[i] = RTH_WAIT_NOBODY;
        if (node->object == 0 || node->holder_tid <= 0)
            continue;
        size_t slot = slot_of((uint64_t)node->holder_tid, size);
        while (slots[slot] != 0 && graph->nodes[slots[slot] - 1].tid != node->holder_tid)
            slot = (slot + 1) & (size - 1);
        if (slots[slot] != 0)
            graph->holder[i] = slots[slot] - 1;
    }
}

/* Numbers cycles. seen[]: in which round a node was met, 0: not yet. */
static void find_cycles(struct rth_wait_graph *graph, uint32_t *seen)
{
    memset(seen, 0, graph->count * sizeof(*seen));
    memset(graph->cycle, 0, graph->count * sizeof(*graph->cycle));
    for (uint32_t i = 0; i < graph->count; i++) {
        uint32_t at = i, round = i + 1;
        while (at != RTH_WAIT_NOBODY && seen[at] == 0) {
            seen[at] = round;
            at = graph->holder[at];
        }
        if (at == RTH_WAIT_NOBODY || seen[at] != round)
            continue;
        graph->cycle_count++;
        for (; graph->cycle[at] == 0; at = graph->holder[at])
            graph->cycle[at] = graph->cycle_count;
    }
}

/* Of one lock: the holder that any of its waiters saw. */
static void find_objects(struct rth_wait_graph *graph, uint32_t *slots, size_t size)
{
    memset(slots, 0, size * sizeof(*slots));
    for (uint32_t i = 0; i < graph->count; i++) {
        uint64_t object = graph->nodes[i].object;
        graph->next_waiter[i] = RTH_WAIT_NOBODY;
        if (object == 0)
            continue;
        size_t slot = slot_of(object, size);
        while (slots[slot] != 0 &&
               graph->nodes[graph->objects[slots[slot] - 1].first].object != object)
            slot = (slot + 1) & (size - 1);
        if (slots[slot] == 0) {
            graph->objects[graph->object_count++] =
                (struct rth_wait_object){.first = i, .waiters = 1, .holder = graph->holder[i]};
            slots[slot] = (uint32_t)graph->object_count;
            continue;
        }
        struct rth_wait_object *found = &graph->objects[slots[slot] - 1];
        graph->next_waiter[i] = graph->next_waiter[found->first];
        graph->next_waiter[found->first] = i;
        found->waiters++;
        if (found->holder == RTH_WAIT_NOBODY)
            found->holder = graph->holder[i];
    }
}

static int comes_before(const struct rth_wait_graph *graph, const struct rth_wait_object *left,
                        const struct rth_wait_object *right)
{
    if (left->waiters != right->waiters)
        return left->waiters > right->waiters;
    return graph->nodes[left->first].object < graph->nodes[right->first].object;
}

/* Heap sort: the library's may allocate. The root is what comes last. */
static void sift(const struct rth_wait_graph *graph, size_t root, size_t count)
{
    struct rth_wait_object *objects = graph->objects, object = objects[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && comes_before(graph, &objects[child], &objects[child + 1]))
            child++;
        if (!comes_before(graph, &object, &objects[child]))
            break;
        objects[root] = objects[child];
    }
    objects[root] = object;
}

static void sort_objects(const struct rth_wait_graph *graph)
{
    for (size_t i = graph->object_count / 2; i-- > 0;)
        sift(graph, i, graph->object_count);
    for (size_t i = graph->object_count; i-- > 1;) {
        struct rth_wait_object last = graph->objects[i];
        graph->objects[i] = graph->objects[0];
        graph->objects[0] = last;
        sift(graph, 0, i);
    }
}

void rth__wait_graph_make(const struct rth_wait_node *nodes, size_t count, void *memory,
                          struct rth_wait_graph *ret_graph)
{
    struct rth_wait_graph graph = {.nodes = nodes, .count = count, .objects = memory};
    uint32_t *words = (uint32_t *)(void *)(graph.objects + count);
    size_t size = slot_count(count);
    graph.holder = words;
    graph.cycle = words + count;
    graph.next_waiter = words + 2 * count;
    uint32_t *slots = words + 3 * count;
    find_holders(&graph, slots, size);
    find_cycles(&graph, slots);
    find_objects(&graph, slots, size);
    sort_objects(&graph);
    *ret_graph = graph;
}

uint32_t rth__wait_graph_cycle_first(const struct rth_wait_graph *graph, uint32_t cycle)
{
    for (uint32_t i = 0; i < graph->count; i++)
        if (graph->cycle[i] == cycle)
            return i;
    return RTH_WAIT_NOBODY;
}

size_t rth__wait_graph_cycle_length(const struct rth_wait_graph *graph, uint32_t first)
{
    size_t length = 1;
    for (uint32_t at = graph->holder[first]; at != first; at = graph->holder[at])
        length++;
    return length;
}
