/* SPDX-License-Identifier: MIT */
#include "profile/threads/difference.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"

/* Chains of base's stacks by hash. Only such as are in no pair yet, so the same stack on many
 * threads is found at the head of its chain. */
struct index {
    size_t bytes, bucket_mask;
    uint32_t *bucket; /* number of the first, + 1; 0: none */
    uint32_t *next;   /* by number, the same */
};

static uint64_t hash_of(const struct rth_thread_stack *thread)
{
    uint64_t hash = thread->frame_count + ((uint64_t)thread->label_set << 32);
    for (unsigned i = 0; i < thread->frame_count; i++) {
        hash = (hash ^ thread->frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static bool same_stack(const struct rth_thread_stack *one, const struct rth_thread_stack *other)
{
    uint64_t created = one->created != NULL ? one->created->identity : 0;
    uint64_t other_created = other->created != NULL ? other->created->identity : 0;
    return one->frame_count == other->frame_count && one->label_set == other->label_set &&
           created == other_created &&
           memcmp(one->frames, other->frames, one->frame_count * sizeof(*one->frames)) == 0;
}

static int index_init(struct index *index, const struct rth_thread_stacks *base)
{
    size_t buckets = 64;
    while (buckets < base->count)
        buckets *= 2;
    index->bytes = (buckets + base->count) * sizeof(uint32_t);
    index->bucket_mask = buckets - 1;
    index->bucket = rth__arena_alloc_nomalloc(index->bytes);
    if (index->bucket == NULL)
        return -ENOMEM;
    index->next = index->bucket + buckets;
    for (size_t i = base->count; i-- > 0;) {
        if (!base->threads[i].answered)
            continue;
        uint32_t *first = &index->bucket[hash_of(&base->threads[i]) & index->bucket_mask];
        index->next[i] = *first;
        *first = (uint32_t)(i + 1);
    }
    return 0;
}

/* One of base with the same stack, which is in no pair after that; NULL when there is none left. */
static struct rth_thread_stack *index_take(struct index *index, struct rth_thread_stacks *base,
                                           const struct rth_thread_stack *thread)
{
    uint32_t *link = &index->bucket[hash_of(thread) & index->bucket_mask];
    while (*link != 0 && !same_stack(thread, &base->threads[*link - 1]))
        link = &index->next[*link - 1];
    if (*link == 0)
        return NULL;
    struct rth_thread_stack *found = &base->threads[*link - 1];
    *link = index->next[*link - 1];
    return found;
}

int rth__thread_stacks_cancel_out(struct rth_thread_stacks *stacks, struct rth_thread_stacks *base)
{
    struct index index;
    int error = index_init(&index, base);
    if (error != 0)
        return error;
    for (size_t i = 0; i < stacks->count; i++) {
        struct rth_thread_stack *thread = &stacks->threads[i];
        struct rth_thread_stack *before =
            thread->answered ? index_take(&index, base, thread) : NULL;
        if (before == NULL)
            continue;
        before->answered = false;
        thread->answered = false;
    }
    rth__arena_free_nomalloc(index.bucket, index.bytes);
    return 0;
}
