/* SPDX-License-Identifier: MIT */
/*
 * The log.
 *
 * Purpose: say once, in a stable form, what went wrong, without I/O on the thread that noticed.
 * Shape: a ring of the last records, and one thread (rth-call, in the host's descriptor table) that
 * hands them to a sink: the application's, or standard error under RTHOOKS_LOG=stderr:LEVEL.
 * Threads: any thread may log. Locks: log_lock guards the ring and the rate limits, innermost;
 * sink_lock guards which sink is set. The sink runs under neither.
 * Failure: a full ring overwrites its oldest record; the reader sees the gap in the sequence.
 * Cost: one formatting into 240 bytes; nothing at all above the level.
 */
#include "core/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/lock.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/futex.h"

#define EVENT_SLOTS         32u
#define EVENTS_PER_WINDOW   10u
#define WINDOW_NS           (10 * RTH_NS_PER_S)
#define SINK_DRAIN_LIMIT_NS (5 * RTH_NS_PER_S)

/* How often an event may be kept; an event beyond EVENT_SLOTS shares the slot of its hash. */
struct event_limit {
    uint32_t hash;
    uint32_t kept;
    uint64_t dropped;
    int64_t window_start_ns;
};

static struct rth_lock log_lock = RTH_LOCK_INIT(RTH_RANK_LOG);
/* Protected by log_lock. */
static struct rth_log_record ring[RTH_LOG_RING_RECORDS];
static uint64_t last_sequence;
static struct event_limit limits[EVENT_SLOTS];

/* Level in force; written by rth__log_configure before our threads exist. */
static int level_limit = RTH_LOG_WARN;

static struct rth_lock sink_lock = RTH_LOCK_INIT(RTH_RANK_LOG_SINK);
/* Protected by sink_lock. */
static rth_log_sink current_sink;
static void *current_userdata;
static struct rth_service_thread call_thread;

/* Futex words: bumped at each record; 1 while a sink runs; 1 to end the thread. */
static _Atomic uint32_t record_signal;
static _Atomic uint32_t sink_running;
static _Atomic uint32_t stopping;

static int check_log(const char *text);
static struct rth_option_value log_value;

const struct rth_option rth__log_options[RTH_LOG_OPTION_COUNT] = {
    {
        .variable = "RTHOOKS_LOG",
        .grammar = "off, LEVEL or stderr:LEVEL; LEVEL is error, warn, info or debug",
        .default_text = "warn",
        .doc = "Which of its own records rthooks keeps for /debug/runtime/status and the log sink; "
               "stderr: also prints them.",
        .opts_offset = offsetof(struct rth_opts, log),
        .check = check_log,
        .value = &log_value,
    },
};

/* Level of a word, 0 for "off", -1 for an unknown word. */
static int level_of(const char *word)
{
    static const char *const names[] = {"off", "error", "warn", "info", "debug"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    return -1;
}

static bool wants_stderr(const char *text)
{
    return strncmp(text, "stderr:", 7) == 0;
}

static int check_log(const char *text)
{
    int level = level_of(wants_stderr(text) ? text + 7 : text);
    return level < 0 || (level == 0 && wants_stderr(text)) ? -EINVAL : 0;
}

const char *rth__log_level_name(int level)
{
    switch (level) {
    case RTH_LOG_ERROR:
        return "error";
    case RTH_LOG_WARN:
        return "warn";
    case RTH_LOG_INFO:
        return "info";
    default:
        return "debug";
    }
}

static uint32_t hash_event(const char *event)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *event != '\0'; event++)
        hash = (hash ^ (unsigned char)*event) * 16777619u;
    return hash;
}

/* True when the record may be kept; ret_dropped: how many were not, since the last kept one. */
static bool take_turn_locked(const char *event, int64_t now_ns, uint64_t *ret_dropped)
{
    uint32_t hash = hash_event(event);
    struct event_limit *limit = &limits[hash % EVENT_SLOTS];
    if (limit->hash != hash) {
        memset(limit, 0, sizeof(*limit));
        limit->hash = hash;
    }
    if (limit->kept == 0 || now_ns - limit->window_start_ns >= WINDOW_NS) {
        limit->window_start_ns = now_ns;
        limit->kept = 0;
    }
    if (limit->kept == EVENTS_PER_WINDOW) {
        limit->dropped++;
        return false;
    }
    limit->kept++;
    *ret_dropped = limit->dropped;
    limit->dropped = 0;
    return true;
}

static bool keep_record(int level, const char *event, const char *format, va_list arguments)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    RTH__LOCK_SCOPE(&log_lock);
    uint64_t dropped = 0;
    if (!take_turn_locked(event, now_ns, &dropped))
        return false;
    struct rth_log_record *record = &ring[last_sequence % RTH_LOG_RING_RECORDS];
    record->realtime_ns = rth__clock_realtime_ns_sigsafe();
    record->sequence = ++last_sequence;
    record->dropped = dropped;
    record->level = level;
    (void)snprintf(record->event, sizeof(record->event), "%s", event);
    (void)vsnprintf(record->message, sizeof(record->message), format, arguments);
    return true;
}

void rth_log(int level, const char *event, const char *format, ...)
{
    if (level > level_limit || level < RTH_LOG_ERROR)
        return;
    int saved_errno = errno;
    va_list arguments;
    va_start(arguments, format);
    bool kept = keep_record(level, event, format, arguments);
    va_end(arguments);
    if (kept) {
        atomic_fetch_add_explicit(&record_signal, 1, memory_order_release);
        rth__futex_wake_sigsafe(&record_signal, 1);
    }
    errno = saved_errno;
}

int rth__log_next(uint64_t after_sequence, struct rth_log_record *ret_record)
{
    RTH__LOCK_SCOPE(&log_lock);
    uint64_t oldest =
        last_sequence > RTH_LOG_RING_RECORDS ? last_sequence - RTH_LOG_RING_RECORDS + 1 : 1;
    uint64_t wanted = after_sequence + 1 > oldest ? after_sequence + 1 : oldest;
    if (wanted > last_sequence)
        return 0;
    *ret_record = ring[(wanted - 1) % RTH_LOG_RING_RECORDS];
    return 1;
}

/* The sink to call, marked as running, or NULL. */
static rth_log_sink sink_enter(void **ret_userdata)
{
    RTH__LOCK_SCOPE(&sink_lock);
    if (current_sink != NULL)
        atomic_store_explicit(&sink_running, 1, memory_order_release);
    *ret_userdata = current_userdata;
    return current_sink;
}

static void sink_leave(void)
{
    atomic_store_explicit(&sink_running, 0, memory_order_release);
    rth__futex_wake_sigsafe(&sink_running, INT_MAX);
}

static void deliver(uint64_t *sequence)
{
    struct rth_log_record record;
    while (!atomic_load_explicit(&stopping, memory_order_acquire) &&
           rth__log_next(*sequence, &record)) {
        uint64_t skipped = record.sequence - *sequence - 1; /* overwritten before we came */
        *sequence = record.sequence;
        void *userdata;
        rth_log_sink sink = sink_enter(&userdata);
        if (sink == NULL)
            continue;
        sink(record.level, record.event, record.message, record.dropped + skipped, userdata);
        sink_leave();
    }
}

static void call_main(void *userdata)
{
    (void)userdata;
    uint64_t sequence = 0;
    while (!atomic_load_explicit(&stopping, memory_order_acquire)) {
        uint32_t seen = atomic_load_explicit(&record_signal, memory_order_acquire);
        deliver(&sequence);
        if (!atomic_load_explicit(&stopping, memory_order_acquire))
            (void)rth__futex_wait_sigsafe(&record_signal, seen, -1);
    }
}

int rth__log_thread_start(void)
{
    RTH__LOCK_SCOPE(&sink_lock);
    if (call_thread.started || current_sink == NULL)
        return 0;
    stopping = 0;
    call_thread.name = "rth-call";
    call_thread.main = call_main;
    return rth__service_thread_start(&call_thread);
}

void rth__log_thread_stop(void)
{
    atomic_store_explicit(&stopping, 1, memory_order_release);
    atomic_fetch_add_explicit(&record_signal, 1, memory_order_release);
    rth__futex_wake_sigsafe(&record_signal, INT_MAX);
    /* A sink that does not come back keeps its thread; it ends when the sink returns. */
    if (call_thread.started)
        (void)rth__service_thread_join(&call_thread,
                                       rth__clock_monotonic_ns_sigsafe() + RTH_NS_PER_S);
}

void rth__log_child_reset(void)
{
    rth__lock_reset(&log_lock);
    rth__lock_reset(&sink_lock);
    rth__service_thread_child_reset(&call_thread);
    sink_running = 0;
    stopping = 0;
}

int rth_log_sink_set(rth_log_sink sink, void *userdata)
{
    rth__lock(&sink_lock);
    rth_log_sink old_sink = current_sink;
    void *old_userdata = current_userdata;
    current_sink = sink;
    current_userdata = userdata;
    rth__unlock(&sink_lock);

    int error = rth__log_thread_start();
    if (error != 0) {
        RTH__LOCK_SCOPE(&sink_lock);
        current_sink = old_sink;
        current_userdata = old_userdata;
        return -EAGAIN;
    }
    /* The old sink may be in the middle of a call; it must not be after we return. Called from
     * the sink itself, waiting would be for ever. */
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + SINK_DRAIN_LIMIT_NS;
    while (!rth__service_thread_is_self() &&
           atomic_load_explicit(&sink_running, memory_order_acquire) &&
           rth__futex_wait_sigsafe(&sink_running, 1, deadline_ns) != -ETIMEDOUT)
        ;
    return 0;
}

/* Standard error as it was at start. A daemon that closes everything may reuse number 2 for a
 * file of its own, which must never receive our lines. */
static struct stat stderr_identity;

static void stderr_sink(int level, const char *event, const char *message, uint64_t dropped,
                        void *userdata)
{
    (void)userdata;
    struct stat now;
    if (fstat(STDERR_FILENO, &now) != 0 || now.st_dev != stderr_identity.st_dev ||
        now.st_ino != stderr_identity.st_ino)
        return;
    char line[RTH_LOG_EVENT_BYTES + RTH_LOG_MESSAGE_BYTES + 64];
    int length = snprintf(line, sizeof(line), "rthooks %s event=%s %s", rth__log_level_name(level),
                          event, message);
    if (dropped > 0 && length > 0 && (size_t)length < sizeof(line))
        length += snprintf(line + length, sizeof(line) - (size_t)length, " dropped=%llu",
                           (unsigned long long)dropped);
    if (length <= 0)
        return;
    size_t end = (size_t)length < sizeof(line) - 1 ? (size_t)length : sizeof(line) - 2;
    line[end] = '\n';
    (void)rth__write_full(STDERR_FILENO, line, end + 1);
}

void rth__log_configure(void)
{
    const char *text = log_value.text;
    level_limit = level_of(wants_stderr(text) ? text + 7 : text);
    if (wants_stderr(text) && current_sink == NULL && fstat(STDERR_FILENO, &stderr_identity) == 0)
        (void)rth_log_sink_set(stderr_sink, NULL);
}
