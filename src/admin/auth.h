/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_AUTH_H
#define RTH_ADMIN_AUTH_H

/*
 * Who may ask what. Plain functions over text, and the token file's small state machine; rth-admin
 * only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/address.h"
#include "admin/http_request.h"

#define RTH_TOKEN_BYTES_MAX 4096

struct rth_token_file {
    const char *path; /* NULL or "": no token asked for */
    bool has_token;   /* token holds the last good one */
    bool looked;
    int64_t looked_ns;
    struct { /* of the file the token (or the refusal) came from */
        ino_t inode;
        dev_t device;
        off_t size_bytes;
        int64_t mtime_ns;
    } identity;
    size_t token_bytes;
    char reason[128]; /* why the file can't be used now, "" while it is fine */
    char token[RTH_TOKEN_BYTES_MAX];
};

/*
 * Looks at the file, at most once a second, and reads it when it changed. The last good token
 * stays in force while the file is bad. Returns true when the reason changed.
 */
bool rth__token_refresh(struct rth_token_file *file, int64_t now_ns);
/* `Bearer TOKEN` against the file's; takes as long for a wrong one as for the right one. */
bool rth__token_matches(const struct rth_token_file *file, struct rth_http_text authorization);

/*
 * Host: a loopback name or address, or the bound address, with any port. Bound to every address,
 * any address literal passes: what the check stops is a name that was pointed at us.
 */
bool rth__host_allowed(struct rth_http_text host, const struct rth_address *bound);
/* Absent, or the very host and port that Host names. */
bool rth__origin_allowed(struct rth_http_text origin, struct rth_http_text host);

/* Comma-separated absolute paths, a trailing '*' allows what begins so; "" allows everything. */
int rth__allow_list_check(const char *text);
bool rth__path_allowed(const char *allow_list, const char *path);

/* The peer of a Unix socket: our effective uid as of now, or root. */
bool rth__peer_allowed(int fd);

struct rth_auth_context {
    bool is_unix;                       /* whose peer passed rth__peer_allowed at accept */
    const struct rth_address *bound;    /* what the TCP listener is bound to */
    const struct rth_token_file *token; /* refreshed by the caller; NULL when none is asked for */
    const char *allow_list;             /* "" allows everything */
};

/*
 * Everything above, for one request on the admin endpoint (never the public listener). Over TCP:
 * Host, Origin, token, path; over the Unix socket the path alone. Returns 0, or the HTTP status to
 * answer (401, 403, 503) with ret_message filled.
 */
int rth__auth_check(const struct rth_auth_context *context, const struct rth_http_request *request,
                    char *ret_message, size_t message_size);

#endif /* RTH_ADMIN_AUTH_H */
