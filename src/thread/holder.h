/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_HOLDER_H
#define RTH_THREAD_HOLDER_H

/* Who holds a lock of the C library, as the lock itself says. rth-work. */

#include <stdbool.h>
#include <stdint.h>

#include "record/image.h"

enum rth_holder_kind {
    RTH_HOLDER_UNKNOWN, /* nobody at this moment, or the lock does not say */
    RTH_HOLDER_THREAD,
    RTH_HOLDER_READERS,
};

struct rth_lock_holder {
    enum rth_holder_kind kind;
    bool may_be_shared; /* by processes: then the thread may be another's */
    int tid;            /* RTH_HOLDER_THREAD */
    uint32_t readers;   /* RTH_HOLDER_READERS: how many */
};

/*
 * wait_kind: RTH_WAIT_MUTEX, _RDLOCK or _WRLOCK of interpose/abi.h, which says what lies at object;
 * of anything else the holder is unknown. The memory may be gone: it is read by the reader alone.
 */
struct rth_lock_holder rth__lock_holder_read(struct rth_image_reader *reader, uint32_t wait_kind,
                                             uint64_t object);

#endif /* RTH_THREAD_HOLDER_H */
