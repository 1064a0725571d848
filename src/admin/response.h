/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_RESPONSE_H
#define RTH_ADMIN_RESPONSE_H

/* The head of an answer as text. Pure but for the date. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_RESPONSE_HEAD_BYTES 1024
#define RTH_RESPONSE_TEXT_PLAIN "text/plain; charset=utf-8"

enum rth_response_framing {
    RTH_FRAMING_LENGTH,  /* Content-Length */
    RTH_FRAMING_CHUNKED, /* HTTP/1.1, length unknown */
    RTH_FRAMING_CLOSE,   /* HTTP/1.0, length unknown: ends with the connection */
};

struct rth_answer {
    int status;
    char content_type[96];
    char filename[64]; /* of an attachment, "" for none */
    char clamped[64];
    const char *allow;    /* static text or NULL */
    const char *location; /* static text or NULL */
    bool go_pprof_error;  /* X-Go-Pprof: 1, what makes `go tool pprof` print the text */
    bool ask_for_token;
};

/* Standard phrase, "Error" for a status we have none for. */
const char *rth__response_phrase(int status);
/* Status a negative errno stands for: what the caller may fix is 4xx, what can't be done 501, what
 * may work later 503, the rest 500. */
int rth__response_status_of(int error);
/* Writes the head with its empty line. Control characters in texts become '?'. Returns its length;
 * it always fits. */
size_t rth__response_head(char ret_head[RTH_RESPONSE_HEAD_BYTES], const struct rth_answer *answer,
                          enum rth_response_framing framing, uint64_t content_length,
                          bool keep_alive);

#endif /* RTH_ADMIN_RESPONSE_H */
