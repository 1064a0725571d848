/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_ARTEFACT_H
#define RTH_CORE_ARTEFACT_H

/*
 * An artefact is something a capability can write: a profile, a metrics page, a status document.
 * The same row serves a GET route, an episode file and a bundle entry; only the sink differs.
 *
 * Life of a call: begin (parse, take the first snapshot, say how long to wait) -> the wait, which
 * occupies no thread, so any number of captures run at once -> step, which may ask for another
 * wait -> write (the body). cancel instead of what would come next when the client hung up or the
 * process stops. All of them run on rth-work (on rth-admin in an adopted child, which has no other
 * thread), one at a time, never concurrently.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/params.h"
#include "formats/sink.h"

/* Flags of an artefact or action. */
#define RTH_ARTEFACT_PUBLIC     1u  /* also served by the public listener */
#define RTH_ARTEFACT_PROFILE    2u  /* listed in the /debug/pprof/ index, pprof error headers */
#define RTH_ARTEFACT_POST       4u  /* POST answers like GET (Go does so for /symbol) */
#define RTH_ARTEFACT_PREFIX     8u  /* path is a prefix ending in '/'; the rest is call->subpath */
#define RTH_ARTEFACT_BY_PID     16u /* ?pid=N is passed on to that process of the family */
#define RTH_ARTEFACT_ATTACHMENT 32u /* Content-Disposition: attachment; filename="name" */

#define RTH_CALL_STATE_BYTES   256
#define RTH_CALL_MESSAGE_BYTES 240

struct rth_artefact;

struct rth_call {
    /* What is asked; set by the caller, constant. */
    const struct rth_artefact *artefact;
    struct rth_params params;
    const char *subpath; /* after the prefix, decoded, "" otherwise */
    const char *accept;  /* Accept header, "" when absent */
    const void *body;    /* POST body, NULL when none */
    size_t body_bytes;
    bool peer_is_local_uid; /* asked over the Unix socket: redaction may be lifted */
    bool is_public;         /* asked on the public listener: no details */

    /* The answer's head; set by begin or write before the first byte. */
    int status;                           /* HTTP status, 200 at first */
    const char *content_type;             /* artefact->content_type at first */
    const char *filename;                 /* artefact->name at first */
    char message[RTH_CALL_MESSAGE_BYTES]; /* error text for status >= 400 without a body */
    char clamped[64]; /* "seconds=300": becomes X-Rthooks-Clamped; "" when nothing was */

    /* The artefact's own, zeroed before begin, kept between begin and write. */
    _Alignas(16) unsigned char state[RTH_CALL_STATE_BYTES];
};

struct rth_artefact {
    const char *name; /* "profile", "status": file name in an episode */
    const char *path; /* "/debug/runtime/status" */
    const char *content_type;
    const char *description; /* one line for the index, NULL when not listed */
    uint32_t flags;
    /* Optional. Returns 0 or a negative errno (see rth__call_fail). ret_wait_ns starts as 0. */
    int (*begin)(struct rth_call *call, int64_t *ret_wait_ns);
    /* Optional. After each wait: what a capture has to do meanwhile. ret_wait_ns starts as 0, which
     * goes on to write. Returns 0 or a negative errno, which ends the call as begin's does. */
    int (*step)(struct rth_call *call, int64_t *ret_wait_ns);
    /* Writes the body. Returns 0 or a negative errno. */
    int (*write)(struct rth_call *call, struct rth_sink *sink);
    /* Optional: releases what begin took. */
    void (*cancel)(struct rth_call *call);
    /* Optional: the count shown in the /debug/pprof/ index. */
    uint64_t (*count)(void);
    /* Optional, for RTH_ARTEFACT_PREFIX: the names there are below it, by index from 0 on; NULL
     * behind the last. Without it every name is one. Any thread. */
    const char *(*name_below)(size_t index);
    /* Optional, beside it: the count shown for that name. */
    uint64_t (*count_below)(size_t index);
};

/* A change: POST only, refused in read-only mode. */
struct rth_action {
    const char *name;
    const char *path;
    const char *description;
    int (*run)(struct rth_call *call, struct rth_sink *sink);
};

/* Whether a prefix has that name, which is not "", below it. */
bool rth__artefact_has_below(const struct rth_artefact *prefix, const char *name);

/* Sets status and message; returns -EBADMSG, so that `return rth__call_fail(…)` reads well. */
int rth__call_fail(struct rth_call *call, int status, const char *format, ...) RTH_PRINTF(3, 4);

/* Seconds of a capture, as Go reads them: a missing, bad or non-positive value gives the default;
 * above the maximum gives the maximum and fills call->clamped. */
int64_t rth__call_seconds(struct rth_call *call, int64_t default_seconds, int64_t max_seconds);

#endif /* RTH_CORE_ARTEFACT_H */
