/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_HTTP_REQUEST_H
#define RTH_ADMIN_HTTP_REQUEST_H

/*
 * One HTTP/1.1 request out of a buffer: a pure function, no state, no allocation. Strict on
 * purpose: whatever two readers could understand differently (bare LF, folded lines, a space
 * before the colon, two lengths) is refused, so nothing can be smuggled through us or past us.
 */

#include <stdbool.h>
#include <stddef.h>

#define RTH_HTTP_REQUEST_LINE_MAX 8192  /* longer: 414 */
#define RTH_HTTP_HEAD_MAX         16384 /* longer: 431 */
#define RTH_HTTP_HEADERS_MAX      100   /* more: 431 */
#define RTH_HTTP_BODY_MAX         65536 /* longer: 413; but for the next */
#define RTH_HTTP_PATH_BYTES       1024  /* decoded, with the NUL; longer: 414 */
/* pprof asks for the names of a whole profile at once: some ten thousand addresses. */
#define RTH_HTTP_LARGE_BODY_PATH "/debug/pprof/symbol"
#define RTH_HTTP_LARGE_BODY_MAX  (192 * 1024)

enum rth_http_method { RTH_HTTP_GET, RTH_HTTP_HEAD, RTH_HTTP_POST };

struct rth_http_text {
    const char *data; /* into the parsed buffer, not NUL-terminated; NULL when absent */
    size_t size_bytes;
};

struct rth_http_request {
    enum rth_http_method method;
    bool http10;
    bool keep_alive;
    bool expects_continue; /* the client waits for "100 Continue" before it sends the body */
    bool head_complete;    /* also set on RTH_HTTP_MORE once only the body is missing */
    char path[RTH_HTTP_PATH_BYTES]; /* percent-decoded, no NUL inside */
    struct rth_http_text raw_path;  /* as sent, without the query */
    struct rth_http_text query;     /* after '?', raw */
    struct rth_http_text host, authorization, origin, accept, content_type, forwarded;
    struct rth_http_text body;
    size_t head_bytes;
    size_t body_bytes;  /* Content-Length */
    size_t total_bytes; /* what the request occupies in the buffer */
    int error_status;   /* on RTH_HTTP_BAD */
    const char *error_text;
};

enum rth_http_result {
    RTH_HTTP_BAD = -1, /* error_status and error_text are set; the connection must be closed */
    RTH_HTTP_MORE = 0, /* the buffer holds the start of a request that is good so far */
    RTH_HTTP_DONE = 1,
};

/* Parses what is at data. *request is overwritten; its texts point into data. */
enum rth_http_result rth__http_request_parse(const char *data, size_t size_bytes,
                                             struct rth_http_request *request);

/* Case-insensitive comparison with a lower-case literal. */
bool rth__http_text_is(struct rth_http_text text, const char *lower);

#endif /* RTH_ADMIN_HTTP_REQUEST_H */
