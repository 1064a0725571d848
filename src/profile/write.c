/* SPDX-License-Identifier: MIT */
/*
 * rth_profile_write: the bytes of a profile route for the program itself.
 *
 * Purpose: the same artefact as over the endpoint, through the same begin, step and write, into a
 * callback of the host's.
 * Threads: what an artefact does runs on rth-work as for any client (on rth-admin in an adopted
 * child), one piece at a time. The waits between are the caller's, and so is the callback, which
 * may expect its own descriptors and locks; hence the answer is collected first. Without an
 * endpoint there is no rth-work: then the first caller starts it and the last one ends it.
 * Locks: use_lock around that start and end, and around a cancellation that finds no rth-work. A
 * caller holds none while it waits. Stop: close ends the waits, and those who waited give up what
 * they had begun before the rows of the profiles stop.
 * Failure: a negative errno, what was wrong in the log. Cost: two thread switches a piece.
 */
#include "profile/write.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/capability.h"
#include "core/enable.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "os/clock.h"
#include "os/futex.h"
#include "profile/named.h"
#include "rthooks/log.h"
#include "rthooks/profile.h"

#define ROUTE_PREFIX  "/debug/pprof/"
#define CHUNK_BYTES   ((size_t)64 * 1024)
#define BYTES_MAX     ((size_t)32 * 1024 * 1024) /* as over the endpoint */
#define PATIENCE_NS   (2 * RTH_NS_PER_S)         /* for rth-work to come up, or to come back */
#define RETRY_NS      (5 * RTH_NS_PER_MS)
#define CLOSE_WAIT_NS (5 * RTH_NS_PER_S)

struct chunk {
    struct chunk *next;
    size_t used_bytes;
    unsigned char bytes[CHUNK_BYTES - 2 * sizeof(void *)];
};

/* One call of rth_profile_write, in the arena; the caller's but while a piece is submitted. */
struct request {
    struct rth_work_item item; /* first: the queue hands it back */
    _Atomic uint32_t is_back;  /* futex word: the piece is done */
    bool begun;                /* the artefact has something to give up, unless ended */
    bool ended;                /* error is final */
    int error;
    int64_t wait_ns;
    struct rth_call call;
    struct rth_sink sink;
    struct chunk *first, *last;
    char query[64];
};

static struct rth_lock use_lock = RTH_LOCK_INIT(RTH_RANK_WORK_USE);
/* Protected by use_lock. */
static unsigned own_users; /* of an rth-work of our own */
/* rth-work's. */
static bool own_table_is_private;

static _Atomic uint32_t closed = 1; /* futex word */
static _Atomic uint32_t writing;    /* callers between begin and end */

/* ---- on rth-work --------------------------------------------------------------------------- */

static struct request *of_sink(struct rth_sink *sink)
{
    return (struct request *)(void *)((char *)sink - offsetof(struct request, sink));
}

static int collect(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    struct request *request = of_sink(sink);
    if (size_bytes > BYTES_MAX - sink->written_bytes)
        return -EFBIG;
    const unsigned char *from = data;
    while (size_bytes > 0) {
        struct chunk *chunk = request->last;
        if (chunk == NULL || chunk->used_bytes == sizeof(chunk->bytes)) {
            chunk = rth__arena_alloc_nomalloc(sizeof(*chunk));
            if (chunk == NULL)
                return -ENOMEM;
            *(request->last != NULL ? &request->last->next : &request->first) = chunk;
            request->last = chunk;
        }
        size_t room = sizeof(chunk->bytes) - chunk->used_bytes;
        size_t taken = size_bytes < room ? size_bytes : room;
        memcpy(chunk->bytes + chunk->used_bytes, from, taken);
        chunk->used_bytes += taken;
        from += taken;
        size_bytes -= taken;
    }
    return 0;
}

static bool is_closed(void)
{
    return atomic_load_explicit(&closed, memory_order_acquire) != 0;
}

static bool is_cancelled(struct rth_sink *sink)
{
    (void)sink;
    return is_closed();
}

/* The last access: the request may be gone when the caller has seen it. */
static void give_back(struct request *request)
{
    _Atomic uint32_t *word = &request->is_back;
    atomic_store_explicit(word, 1, memory_order_release);
    rth__futex_wake_sigsafe(word, INT_MAX);
}

static void give_up(struct request *request, int error)
{
    const struct rth_artefact *artefact = request->call.artefact;
    if (request->begun && artefact->cancel != NULL)
        artefact->cancel(&request->call);
    request->error = error;
    request->ended = true;
}

/* A thread that we started ourselves has the host's descriptors until now. */
static int table_ready(void)
{
    if (own_table_is_private)
        return 0;
    int error = rth__service_thread_private_fds();
    own_table_is_private = error == 0;
    return error;
}

static void run_piece(struct request *request)
{
    const struct rth_artefact *artefact = request->call.artefact;
    int (*part)(struct rth_call *, int64_t *) = request->begun ? artefact->step : artefact->begin;
    request->wait_ns = 0;
    int error = part != NULL ? part(&request->call, &request->wait_ns) : 0;
    request->begun = true;
    if (error == 0 && request->wait_ns > 0)
        return;
    if (error == 0)
        error = artefact->write(&request->call, &request->sink);
    request->error = error != 0 ? error : request->sink.error;
    request->ended = true;
}

static void run(struct rth_work_item *item)
{
    struct request *request = (struct request *)(void *)item;
    if (is_closed())
        give_up(request, -ECANCELED);
    else
        run_piece(request);
    give_back(request);
}

static void run_on_own(struct rth_work_item *item)
{
    struct request *request = (struct request *)(void *)item;
    int error = table_ready();
    if (error != 0) {
        give_up(request, error);
        give_back(request);
    } else {
        run(item);
    }
}

static void drop(struct rth_work_item *item)
{
    struct request *request = (struct request *)(void *)item;
    give_up(request, -ECANCELED);
    give_back(request);
}

/* ---- on the caller ------------------------------------------------------------------------- */

/* Until the deadline, or close. */
static void wait_until(int64_t deadline_ns)
{
    while (!is_closed() && rth__futex_wait_sigsafe(&closed, 0, deadline_ns) != -ETIMEDOUT)
        ;
}

/* Runs the next piece; returns when it is done. */
static void next_piece(struct request *request)
{
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + PATIENCE_NS;
    atomic_store_explicit(&request->is_back, 0, memory_order_relaxed);
    int error;
    while ((error = rth__work_submit_from_host(&request->item)) != 0) {
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        if (is_closed() || now_ns >= deadline_ns)
            break;
        wait_until(now_ns + RETRY_NS);
    }
    if (error != 0) {
        RTH__LOCK_SCOPE(&use_lock); /* one at a time, as on rth-work */
        give_up(request, is_closed() ? -ECANCELED : error);
        return;
    }
    while (atomic_load_explicit(&request->is_back, memory_order_acquire) == 0)
        (void)rth__futex_wait_sigsafe(&request->is_back, 0, -1);
}

static void make(struct request *request)
{
    next_piece(request);
    while (!request->ended) {
        wait_until(rth__clock_monotonic_ns_sigsafe() + request->wait_ns);
        next_piece(request);
    }
}

/* rth-work for callers where there is no endpoint. */
static int own_work_begin(void)
{
    RTH__LOCK_SCOPE(&use_lock);
    if (own_users == 0) {
        own_table_is_private = false;
        int error = rth__work_start();
        if (error != 0)
            return error;
    }
    own_users++;
    return 0;
}

static void own_work_end(void)
{
    RTH__LOCK_SCOPE(&use_lock);
    if (--own_users == 0)
        rth__work_stop(drop);
}

static void make_somewhere(struct request *request)
{
    bool has_own = !rth__capability_is_running("admin");
    request->item.run = has_own ? run_on_own : run;
    request->item.drop = drop;
    int error = has_own ? own_work_begin() : 0;
    if (error != 0) {
        give_up(request, error);
        return;
    }
    make(request);
    if (has_own)
        own_work_end();
}

/* ---- which artefact, and with what --------------------------------------------------------- */

static bool is_profile(const struct rth_artefact *artefact, const char *name)
{
    size_t length = sizeof(ROUTE_PREFIX) - 1;
    if ((artefact->flags & RTH_ARTEFACT_PROFILE) == 0 ||
        strncmp(artefact->path, ROUTE_PREFIX, length) != 0)
        return false;
    if ((artefact->flags & RTH_ARTEFACT_PREFIX) != 0)
        return artefact->path[length] == '\0' && rth__artefact_has_below(artefact, name);
    return strcmp(artefact->path + length, name) == 0;
}

/* One of a row that runs comes before others. */
static const struct rth_artefact *find(const char *name, bool *ret_runs)
{
    const struct rth_artefact *found = NULL;
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        bool runs = rth__capability_runtime_at(i)->state == RTH_CAPABILITY_RUNNING;
        for (size_t k = 0; k < row->artefact_count; k++) {
            if (!is_profile(&row->artefacts[k], name) || (found != NULL && (*ret_runs || !runs)))
                continue;
            found = &row->artefacts[k];
            *ret_runs = runs;
        }
    }
    return found;
}

static int copy_opts(const struct rth_profile_opts *given, struct rth_profile_opts *ret_opts)
{
    *ret_opts = (struct rth_profile_opts)RTH_PROFILE_OPTS_INIT;
    if (given == NULL)
        return 0;
    if (given->struct_size < sizeof(given->struct_size))
        return -EINVAL;
    for (size_t i = sizeof(*ret_opts); i < given->struct_size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return -E2BIG;
    memcpy(ret_opts, given,
           given->struct_size < sizeof(*ret_opts) ? given->struct_size : sizeof(*ret_opts));
    bool is_known = ret_opts->symbols == NULL || strcmp(ret_opts->symbols, "none") == 0;
    bool fits = ret_opts->debug >= 0 && ret_opts->debug <= 2 && ret_opts->seconds >= 0 &&
                ret_opts->seconds <= RTH_NAMED_SECONDS_MAX;
    return is_known && fits ? 0 : -EINVAL;
}

static void fill(struct request *request, const struct rth_artefact *artefact, const char *name,
                 const struct rth_profile_opts *opts)
{
    int length = snprintf(request->query, sizeof(request->query), "debug=%d", opts->debug);
    if (opts->seconds > 0)
        length += snprintf(request->query + length, sizeof(request->query) - (size_t)length,
                           "&seconds=%d", opts->seconds);
    if (opts->symbols != NULL)
        length += snprintf(request->query + length, sizeof(request->query) - (size_t)length,
                           "&symbols=%s", opts->symbols);
    request->call.artefact = artefact;
    request->call.params.query = request->query;
    request->call.params.query_bytes = (size_t)length;
    request->call.subpath = (artefact->flags & RTH_ARTEFACT_PREFIX) != 0 ? name : "";
    request->call.accept = "";
    request->call.status = 200;
    request->call.content_type = artefact->content_type;
    request->call.filename = artefact->name;
    request->sink.write = collect;
    request->sink.cancelled = is_cancelled;
}

/* The call's own errno, or what its status says. */
static int error_of(const struct request *request)
{
    int error = request->error;
    if (error == 0 && request->call.status < 400)
        return 0;
    if (error != 0 && error != -EBADMSG)
        return error;
    switch (request->call.status) {
    case 400:
        return -EINVAL;
    case 404:
        return -ENOENT;
    case 501:
        return -ENOTSUP;
    case 503:
        return is_closed() ? -ECANCELED : -EBUSY;
    default:
        return -EIO;
    }
}

/* ---- the call ------------------------------------------------------------------------------ */

static int deliver(const struct request *request, const struct rth_sink_callback *sink)
{
    for (const struct chunk *chunk = request->first; chunk != NULL; chunk = chunk->next) {
        int error = sink->write(sink->userdata, chunk->bytes, chunk->used_bytes);
        if (error != 0)
            return error;
    }
    return 0;
}

static void free_request(struct request *request)
{
    for (struct chunk *chunk = request->first; chunk != NULL;) {
        struct chunk *next = chunk->next;
        rth__arena_free_nomalloc(chunk, sizeof(*chunk));
        chunk = next;
    }
    rth__arena_free_nomalloc(request, sizeof(*request));
}

/* Makes the answer; *ret_request is to be freed. */
static int answer(const char *name, const struct rth_profile_opts *opts,
                  struct request **ret_request)
{
    bool runs = false;
    const struct rth_artefact *artefact = find(name, &runs);
    if (artefact == NULL)
        return -ENOENT;
    if (!runs)
        return -ENOTSUP;
    struct request *request = rth__arena_alloc_nomalloc(sizeof(*request));
    if (request == NULL)
        return -ENOMEM;
    fill(request, artefact, name, opts);
    make_somewhere(request);
    int error = error_of(request);
    if (error != 0) {
        if (request->call.message[0] != '\0')
            rth_log(RTH_LOG_WARN, "profile.write", "name=%.64s reason=\"%.160s\"", name,
                    request->call.message);
        free_request(request);
        return error;
    }
    *ret_request = request;
    return 0;
}

static void writing_ends(void)
{
    if (atomic_fetch_sub_explicit(&writing, 1, memory_order_release) == 1)
        rth__futex_wake_sigsafe(&writing, INT_MAX);
}

int rth_profile_write(const char *name, const struct rth_profile_opts *opts,
                      const struct rth_sink_callback *sink)
{
    struct rth_profile_opts copy;
    if (name == NULL || sink == NULL || sink->write == NULL)
        return -EINVAL;
    int error = copy_opts(opts, &copy);
    if (error != 0)
        return error;
    if (rth__service_thread_is_self())
        return -EDEADLK;
    if (!rth__enabled())
        return -EAGAIN;
    int saved_errno = errno;
    struct request *request = NULL;
    /* Counted before the look at `closed`, as close looks the other way round. */
    atomic_fetch_add_explicit(&writing, 1, memory_order_seq_cst);
    error = atomic_load_explicit(&closed, memory_order_seq_cst) != 0
                ? -EAGAIN
                : answer(name, &copy, &request);
    writing_ends();
    errno = saved_errno;
    if (error != 0)
        return error;
    error = deliver(request, sink);
    free_request(request);
    return error;
}

/* ---- start and stop ------------------------------------------------------------------------ */

void rth__profile_writes_open(void)
{
    atomic_store_explicit(&closed, 0, memory_order_release);
}

void rth__profile_writes_close(void)
{
    atomic_store_explicit(&closed, 1, memory_order_seq_cst);
    rth__futex_wake_sigsafe(&closed, INT_MAX);
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + CLOSE_WAIT_NS;
    uint32_t left;
    while ((left = atomic_load_explicit(&writing, memory_order_seq_cst)) != 0)
        if (rth__futex_wait_sigsafe(&writing, left, deadline_ns) == -ETIMEDOUT) {
            rth_log(RTH_LOG_ERROR, "profile.stuck", "calls=%u waited_s=5", left);
            return;
        }
}

void rth__profile_writes_child_reset(void)
{
    rth__lock_reset(&use_lock);
    own_users = 0;
    writing = 0;
    closed = 1;
}
