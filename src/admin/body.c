/* SPDX-License-Identifier: MIT */
#include "admin/body.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"

static _Atomic uint64_t held_bytes;

static struct rth_body_segment *segment_new(size_t size_bytes)
{
    uint64_t before_bytes =
        atomic_fetch_add_explicit(&held_bytes, size_bytes, memory_order_relaxed);
    if (before_bytes + size_bytes > RTH_BODY_TOTAL_BYTES) {
        atomic_fetch_sub_explicit(&held_bytes, size_bytes, memory_order_relaxed);
        return NULL;
    }
    struct rth_body_segment *segment = rth__arena_alloc_nomalloc(size_bytes);
    if (segment == NULL) {
        atomic_fetch_sub_explicit(&held_bytes, size_bytes, memory_order_relaxed);
        return NULL;
    }
    segment->allocated_bytes = (uint32_t)size_bytes;
    segment->capacity_bytes = (uint32_t)(size_bytes - sizeof(*segment) - RTH_BODY_CHUNK_HEAD_BYTES -
                                         RTH_BODY_CHUNK_TAIL_BYTES);
    return segment;
}

static void segment_free(struct rth_body_segment *segment)
{
    size_t size_bytes = segment->allocated_bytes;
    rth__arena_free_nomalloc(segment, size_bytes);
    atomic_fetch_sub_explicit(&held_bytes, size_bytes, memory_order_relaxed);
}

static void hand_over(struct rth_body *body)
{
    struct rth_body_segment *segment = body->filling;
    body->filling = NULL;
    body->streaming = true;
    struct rth_body_segment *newest = atomic_load_explicit(&body->published, memory_order_relaxed);
    do {
        segment->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&body->published, &newest, segment,
                                                    memory_order_release, memory_order_relaxed));
}

int rth__body_write(struct rth_body *body, const void *data, size_t size_bytes,
                    void (*before_first_hand_over)(void *userdata), void *userdata,
                    bool *ret_handed_over)
{
    const char *bytes = data;
    *ret_handed_over = false;
    if (size_bytes > RTH_BODY_MAX_BYTES - body->total_bytes)
        return -EFBIG;
    body->total_bytes += size_bytes;
    while (size_bytes > 0 && !body->discard) {
        struct rth_body_segment *filling = body->filling;
        if (filling == NULL || filling->used_bytes == filling->capacity_bytes) {
            /* Memory first: what was not handed over can still become a proper error answer. */
            bool is_first = filling == NULL && !body->streaming;
            struct rth_body_segment *fresh =
                segment_new(is_first ? RTH_BODY_FIRST_BYTES : RTH_BODY_SEGMENT_BYTES);
            if (fresh == NULL)
                return -ENOBUFS;
            if (filling != NULL) {
                if (!body->streaming && before_first_hand_over != NULL)
                    before_first_hand_over(userdata);
                hand_over(body);
                *ret_handed_over = true;
            }
            body->filling = filling = fresh;
        }
        size_t room = filling->capacity_bytes - filling->used_bytes;
        size_t piece = size_bytes < room ? size_bytes : room;
        memcpy(filling->text + RTH_BODY_CHUNK_HEAD_BYTES + filling->used_bytes, bytes, piece);
        filling->used_bytes += (uint32_t)piece;
        bytes += piece;
        size_bytes -= piece;
    }
    return 0;
}

void rth__body_finish(struct rth_body *body)
{
    if (body->filling != NULL)
        hand_over(body);
}

void rth__body_rewind(struct rth_body *body)
{
    if (body->filling != NULL)
        segment_free(body->filling);
    body->filling = NULL;
    body->total_bytes = 0;
}

void rth__body_collect(struct rth_body *body)
{
    struct rth_body_segment *newest =
        atomic_exchange_explicit(&body->published, NULL, memory_order_acquire);
    struct rth_body_segment *oldest = NULL, *last = newest;
    while (newest != NULL) {
        struct rth_body_segment *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        body->queued_bytes += newest->used_bytes;
        newest = next;
    }
    if (oldest == NULL)
        return;
    if (body->last != NULL)
        body->last->next = oldest;
    else
        body->first = oldest;
    body->last = last;
}

void rth__body_frame(struct rth_body_segment *segment, bool chunked)
{
    segment->start = RTH_BODY_CHUNK_HEAD_BYTES;
    segment->end = RTH_BODY_CHUNK_HEAD_BYTES + segment->used_bytes;
    if (!chunked)
        return;
    char head[RTH_BODY_CHUNK_HEAD_BYTES + 1];
    int length = snprintf(head, sizeof(head), "%x\r\n", segment->used_bytes);
    segment->start -= (uint32_t)length;
    memcpy(segment->text + segment->start, head, (size_t)length);
    memcpy(segment->text + segment->end, "\r\n", 2);
    segment->end += 2;
}

void rth__body_pop(struct rth_body *body)
{
    struct rth_body_segment *segment = body->first;
    body->first = segment->next;
    if (body->first == NULL)
        body->last = NULL;
    body->queued_bytes -= segment->used_bytes;
    segment_free(segment);
}

void rth__body_free(struct rth_body *body)
{
    rth__body_collect(body);
    while (body->first != NULL)
        rth__body_pop(body);
    if (body->filling != NULL)
        segment_free(body->filling);
    body->filling = NULL;
}

uint64_t rth__body_held_bytes(void)
{
    return atomic_load_explicit(&held_bytes, memory_order_relaxed);
}

void rth__body_child_reset(void)
{
    held_bytes = 0;
}
