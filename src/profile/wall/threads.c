/* SPDX-License-Identifier: MIT */
#include "profile/wall/threads.h"

#include <string.h>

#include "core/arena.h"

#define BUCKETS     4096u
#define THREADS_MAX 32768u

static struct rth_wall_thread *buckets[BUCKETS];
static uint32_t thread_count;

static unsigned bucket_of(int tid)
{
    return (unsigned)tid % BUCKETS;
}

struct rth_wall_thread *rth__wall_thread_find(int tid)
{
    struct rth_wall_thread *thread = buckets[bucket_of(tid)];
    while (thread != NULL && thread->tid != tid)
        thread = thread->next;
    return thread;
}

struct rth_wall_thread *rth__wall_thread_new(int tid)
{
    if (thread_count == THREADS_MAX)
        return NULL;
    struct rth_wall_thread *thread = rth__arena_alloc_nomalloc(sizeof(*thread));
    if (thread == NULL)
        return NULL;
    thread->tid = tid;
    thread->next = buckets[bucket_of(tid)];
    buckets[bucket_of(tid)] = thread;
    thread_count++;
    return thread;
}

void rth__wall_thread_free(struct rth_wall_thread *thread)
{
    struct rth_wall_thread **link = &buckets[bucket_of(thread->tid)];
    while (*link != thread)
        link = &(*link)->next;
    *link = thread->next;
    thread_count--;
    rth__arena_free_nomalloc(thread->frames, thread->frame_capacity * sizeof(*thread->frames));
    rth__arena_free_nomalloc(thread, sizeof(*thread));
}

struct rth_wall_thread *rth__wall_thread_next(const struct rth_wall_thread *thread)
{
    if (thread != NULL && thread->next != NULL)
        return thread->next;
    for (unsigned i = thread != NULL ? bucket_of(thread->tid) + 1 : 0; i < BUCKETS; i++)
        if (buckets[i] != NULL)
            return buckets[i];
    return NULL;
}

bool rth__wall_thread_frames(struct rth_wall_thread *thread, unsigned count)
{
    if (count <= thread->frame_capacity)
        return true;
    rth_frame *frames = rth__arena_alloc_nomalloc(count * sizeof(*frames));
    if (frames == NULL)
        return false;
    rth__arena_free_nomalloc(thread->frames, thread->frame_capacity * sizeof(*frames));
    thread->frames = frames;
    thread->frame_capacity = count;
    return true;
}

uint32_t rth__wall_thread_count(void)
{
    return thread_count;
}

void rth__wall_threads_child_reset(void)
{
    memset(buckets, 0, sizeof(buckets));
    thread_count = 0;
}
