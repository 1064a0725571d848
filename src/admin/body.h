/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_BODY_H
#define RTH_ADMIN_BODY_H

/*
 * A response body on its way from the thread that writes it (the producer: rth-work, or rth-admin
 * for relayed answers and in adopted children) to rth-admin, which sends it. Arena segments, handed
 * over whole through one atomic pointer: no lock, no copy.
 *
 * The producer never waits for a slow reader: what is not sent yet is kept, up to
 * RTH_BODY_MAX_BYTES per answer and RTH_BODY_TOTAL_BYTES in all.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_BODY_MAX_BYTES   (UINT64_C(32) << 20)
#define RTH_BODY_TOTAL_BYTES (UINT64_C(64) << 20)
#define RTH_BODY_FIRST_BYTES ((size_t)16 << 10)
/* Above 64 KiB the arena gives a block back to the kernel as soon as it was sent. */
#define RTH_BODY_SEGMENT_BYTES ((size_t)128 << 10)

/* Room around the data for chunk framing, so that a segment is sent in one piece. */
#define RTH_BODY_CHUNK_HEAD_BYTES 8 /* up to 6 hex digits and CRLF */
#define RTH_BODY_CHUNK_TAIL_BYTES 2

struct rth_body_segment {
    struct rth_body_segment *next;
    uint32_t allocated_bytes; /* with this header */
    uint32_t capacity_bytes;  /* of data */
    uint32_t used_bytes;
    uint32_t start, end; /* of what is to be sent, from text; set by frame */
    char text[];         /* chunk head, data, chunk tail */
};

struct rth_body {
    /* Producer. */
    struct rth_body_segment *filling;
    uint64_t total_bytes; /* accepted; read by the consumer after the producer is done */
    bool discard;         /* HEAD: only counted */
    bool streaming;       /* something was handed over */
    /* Shared: newest first. */
    struct rth_body_segment *_Atomic published;
    /* Consumer: oldest first. */
    struct rth_body_segment *first, *last;
    uint64_t queued_bytes;
};

/*
 * Producer: takes all of data. -EFBIG beyond the cap of one answer, -ENOBUFS beyond the total or
 * when memory is refused. ret_handed_over: a full segment became visible to the consumer.
 * before_first_hand_over runs once, before that.
 */
int rth__body_write(struct rth_body *body, const void *data, size_t size_bytes,
                    void (*before_first_hand_over)(void *userdata), void *userdata,
                    bool *ret_handed_over);
/* Producer: hands over what is left. */
void rth__body_finish(struct rth_body *body);
/* Producer, nothing handed over yet: forgets what was written. */
void rth__body_rewind(struct rth_body *body);

/* Consumer: moves what was handed over into first…last. */
void rth__body_collect(struct rth_body *body);
/* Consumer: sets start and end of a segment, with chunk framing or without. */
void rth__body_frame(struct rth_body_segment *segment, bool chunked);
/* Consumer: drops the first segment. */
void rth__body_pop(struct rth_body *body);
/* With no producer at work: frees everything. */
void rth__body_free(struct rth_body *body);

/* Held by all bodies of this process. */
uint64_t rth__body_held_bytes(void);
void rth__body_child_reset(void);

#endif /* RTH_ADMIN_BODY_H */
