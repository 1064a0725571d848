/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_LOG_H
#define RTHOOKS_LOG_H

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/* Levels, most severe first. */
#define RTH_LOG_ERROR 1
#define RTH_LOG_WARN  2
#define RTH_LOG_INFO  3
#define RTH_LOG_DEBUG 4

/*
 * Receives log records.
 *
 * level: RTH_LOG_*. event: a stable name such as "admin.port_taken". message: logfmt text,
 * NUL-terminated, without a newline. dropped: records of this event left out since the last one
 * by the rate limit. userdata: as given to rth_log_sink_set.
 * Runs on the rth-call thread, never under a lock of ours; it may call rth_log (kept, delivered
 * later) and any function of the application.
 */
typedef void (*rth_log_sink)(int level, const char *event, const char *message, uint64_t dropped,
                             void *userdata);

#ifndef RTHOOKS_DISABLE
/*
 * Logs one structured record.
 *
 * level: RTH_LOG_*. event: a stable dotted name, static storage. format: printf format of logfmt
 * key=value pairs; the text is cut at 240 bytes.
 * Records above the level of RTHOOKS_LOG are dropped; each event is limited to 10 records in 10 s,
 * the rest counted. The last records can be read in /debug/runtime/status.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: about a microsecond, never blocks on
 * input or output. Since: 0.1.
 */
RTH_API void rth_log(int level, const char *event, const char *format, ...) RTH_PRINTF(3, 4);

/*
 * Sets where log records go; NULL puts them nowhere but into the status.
 *
 * Returns 0, or -EAGAIN when the delivering thread could not be created (then nothing changed).
 *
 * Thread: any; the last call wins. When it returns the old sink is not running and will not be
 * called again, unless it is called from that sink. Signal: unsafe. Fork: a child that rthooks has
 * adopted delivers to the same sink. Cost: creates one thread at the first call. Since: 0.1.
 */
RTH_API int rth_log_sink_set(rth_log_sink sink, void *userdata);
#else
static inline void rth_log(int level, const char *event, const char *format, ...)
{
    (void)level, (void)event, (void)format;
}
static inline int rth_log_sink_set(rth_log_sink sink, void *userdata)
{
    (void)sink, (void)userdata;
    return 0;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_LOG_H */
