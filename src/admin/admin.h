/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_ADMIN_H
#define RTH_ADMIN_ADMIN_H

/*
 * The admin endpoint as the rest of the system sees it. What it serves are the artefacts and
 * actions of the capability table; nothing here knows any of them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/capability.h"

extern const struct rth_capability rth__admin_capability;

struct rth_admin_addresses {
    char tcp[64];         /* "127.0.0.1:6060"; "" while there is none */
    char tcp_reason[128]; /* why there is none, "" otherwise */
    char public_tcp[64];
    char public_reason[128];
    char unix_path[256]; /* "" while there is none */
    char unix_reason[128];
    uint16_t tcp_port;
};
/* Any thread. */
void rth__admin_addresses(struct rth_admin_addresses *ret_addresses);

/* RTHOOKS_ADMIN as read at start. */
const struct rth_option_value *rth__admin_option(void);
/* Whether the admin address can be bound now: tried for an instant on the starting thread, so that
 * the start line can say it. True when there is nothing to bind. */
bool rth__admin_port_is_free(void);

/* Ends our threads' use of the endpoint and opens it again (unshare, setns): host threads. */
void rth__admin_quiesce(void);
void rth__admin_resume(void);
/* At exit: removes the socket file, nothing else. Host threads. */
void rth__admin_unlink_at_exit(void);

#endif /* RTH_ADMIN_ADMIN_H */
