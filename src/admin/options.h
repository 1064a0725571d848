/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_OPTIONS_H
#define RTH_ADMIN_OPTIONS_H

/* The settings of both listeners. The values are constant once core/env.c has read them. */

#include <stdbool.h>
#include <stddef.h>

#include "admin/address.h"
#include "core/option.h"

#define RTH_ADMIN_OPTION_COUNT 5
extern const struct rth_option rth__admin_options[RTH_ADMIN_OPTION_COUNT];

/*
 * 0, or -EINVAL with ret_reason when a setting of the admin endpoint was malformed. Its value is
 * then a default that could open more than was meant, so the endpoint must stay closed.
 */
int rth__admin_options_check(char *ret_reason, size_t reason_size);
/* The same for RTHOOKS_PUBLIC: the public listener stays closed. */
int rth__admin_public_check(char *ret_reason, size_t reason_size);

/* off when RTHOOKS_ADMIN=off; also the Unix socket then. */
void rth__admin_option_address(struct rth_address *ret_address);
void rth__admin_option_public(struct rth_address *ret_address);
/* "" when no token is asked for. */
const char *rth__admin_option_token_file(void);
/* "" allows every path. */
const char *rth__admin_option_allow(void);
bool rth__admin_option_readonly(void);

#endif /* RTH_ADMIN_OPTIONS_H */
