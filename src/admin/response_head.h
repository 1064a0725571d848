/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_RESPONSE_HEAD_H
#define RTH_ADMIN_RESPONSE_HEAD_H

/* The head of an answer, into a buffer: a pure function but for the clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_RESPONSE_HEAD_BYTES 2048 /* holds every head whose strings are ours */
#define RTH_RESPONSE_ERROR_TYPE "text/plain; charset=utf-8"

enum rth_response_framing {
    RTH_RESPONSE_LENGTH,      /* Content-Length: body_bytes */
    RTH_RESPONSE_CHUNKED,     /* HTTP/1.1 only */
    RTH_RESPONSE_UNTIL_CLOSE, /* HTTP/1.0 without a length; implies closes */
};

struct rth_response_head {
    int status;
    bool http10;   /* the request was: a connection that stays open says keep-alive */
    bool closes;   /* Connection: close */
    bool is_pprof; /* status >= 400 then carries X-Go-Pprof: 1 */
    enum rth_response_framing framing;
    uint64_t body_bytes;
    int64_t unix_seconds;     /* of Date */
    const char *content_type; /* NULL: RTH_RESPONSE_ERROR_TYPE */
    /* Each left out when NULL or "". CR, LF and other control characters become '_'. */
    const char *attachment; /* file name of Content-Disposition; left out when status >= 400 */
    const char *clamped;    /* X-Rthooks-Clamped */
    const char *allow;
    const char *location;
};

/*
 * Writes the head with its empty line. Returns its length or -ENOBUFS (then buffer is of no use).
 * A 401 says WWW-Authenticate: Bearer.
 */
int rth__response_head(const struct rth_response_head *head, char *buffer, size_t size_bytes);

/* "Not Found"; "Status" for a number we have no text for. */
const char *rth__response_reason(int status);

#endif /* RTH_ADMIN_RESPONSE_HEAD_H */
