/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_LOG_H
#define RTH_CORE_LOG_H

/*
 * The inside of include/rthooks/log.h: records go into a small ring, from any thread of ours or
 * the host's, without I/O; the rth-call thread delivers them to the sink, if one is set; the
 * status route shows the last ones. Must not be called from _sigsafe or _nomalloc code.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "core/option.h"
#include "rthooks/rthooks.h"

#define RTH_LOG_EVENT_BYTES   40
#define RTH_LOG_MESSAGE_BYTES 240
#define RTH_LOG_RING_RECORDS  64

struct rth_log_record {
    int64_t realtime_ns;
    uint64_t sequence; /* 1, 2, …; 0 = empty */
    uint64_t dropped;  /* of this event, since its last kept record */
    int level;
    char event[RTH_LOG_EVENT_BYTES];
    char message[RTH_LOG_MESSAGE_BYTES];
};

#define RTH_LOG_OPTION_COUNT 1
extern const struct rth_option rth__log_options[RTH_LOG_OPTION_COUNT];

/* Applies RTHOOKS_LOG after the options were read. */
void rth__log_configure(void);
/* Copies the record with the smallest sequence > after. Returns 0 when there is none, else 1. */
int rth__log_next(uint64_t after_sequence, struct rth_log_record *ret_record);
const char *rth__log_level_name(int level);
/* Ends and restarts the delivering thread (quiesce), forgets it (child). */
void rth__log_thread_stop(void);
int rth__log_thread_start(void);
void rth__log_child_reset(void);

#endif /* RTH_CORE_LOG_H */
