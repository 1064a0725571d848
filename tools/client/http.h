/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_HTTP_H
#define RTH_TOOLS_CLIENT_HTTP_H

/* Asking a process that answers: libcurl over its Unix socket or a URL. */

#include <stddef.h>

#include "client/target.h"
#include "cmd/cmd.h"

struct http_answer {
    long status; /* 200, 404, … */
    char *body;  /* NUL-terminated, may hold others; NULL when empty */
    size_t body_bytes;
};

/*
 * GET of path (it starts with '/'). For a process or a socket, target_find_socket came before.
 * token_file: NULL means RTHOOKS_ADMIN_TOKEN_FILE; used for URLs, a Unix socket knows its peer.
 * Returns 0 with whatever status the server gave, or -1 with a line in ret_message when it cannot
 * be reached or the answer broke off.
 */
int http_get(const struct target *target, const char *path, const char *token_file,
             struct http_answer *ret_answer, char *ret_message, size_t message_size);
/* As http_get for an answer that takes its time: up to timeout_s in all. tick is called about once
 * a second meanwhile. */
int http_get_slow(const struct target *target, const char *path, const char *token_file,
                  long timeout_s, void (*tick)(void *userdata), void *userdata,
                  struct http_answer *ret_answer, char *ret_message, size_t message_size);
void http_answer_free(struct http_answer *answer);

/*
 * The JSON document a target answers for path, or that a file holds. Prints what is wrong.
 * Returns EXIT_FINE with a new reference in ret_document, or EXIT_UNREACHABLE or EXIT_BAD_NEWS.
 */
int fetch_json(const char *target_text, const char *path, const struct common_options *options,
               json_t **ret_document);

#endif /* RTH_TOOLS_CLIENT_HTTP_H */
