/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_ENV_H
#define RTH_CORE_ENV_H

/*
 * Reads the option rows of every capability, once, at start, from three places in this order:
 * the environment, rth_opts, the default. Nothing else in rthooks looks at the environment.
 */

#include <stddef.h>

#include "rthooks/rthooks.h"

/*
 * environment and saved: NULL-terminated "KEY=VALUE" arrays, either may be NULL; saved (what the
 * interposer took out) is looked at second. opts: NULL for none.
 * Every value is filled, a malformed one with its default and the mark. Returns 0, or -EINVAL when
 * at least one was malformed: ret_message then names the first (variable, value, grammar).
 */
int rth__env_read(const struct rth_opts *opts, const char *const *environment,
                  const char *const *saved, char *ret_message, size_t message_size);
/* Value of a variable, NULL when it is not there. */
const char *rth__env_get(const char *const *environment, const char *variable);

#endif /* RTH_CORE_ENV_H */
