/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_LIMITS_H
#define RTH_LIMITS_LIMITS_H

/* The row "limits": /debug/runtime/{memlimit,cpulimit,budget}, rthooks/limits.h. */

#include <stddef.h>

#include "core/capability.h"

extern const struct rth_capability rth__limits_capability;

/* What hooks there are: "cpu,heap,…", static; said once, by src/rthooks.c. */
void rth__limits_hooks_set(const char *hooks);
/* The budget line with ` extra` as it is at its end. Any thread. The length or a negative errno. */
int rth__limits_line(const char *extra, char *ret_line, size_t line_size);

#endif /* RTH_LIMITS_LIMITS_H */
