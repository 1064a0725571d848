/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_REDACT_H
#define RTH_CORE_REDACT_H

/*
 * Secrets in what operators see: command lines and settings. By pattern, so neither complete nor
 * exact; what it finds becomes "***".
 */

#include <stdbool.h>
#include <stddef.h>

struct rth_sink;

/* True for "--requirepass", "DB_PASSWORD", "api-key" and the like (length name_bytes). */
bool rth__redact_is_secret_name(const char *name, size_t name_bytes);
/* Writes argv joined by NUL (as /proc gives it, without the last NUL) to the sink:
 * the value after a secret name ("--password=x", "--password x") and the password of a URL
 * ("scheme://user:x@host") are replaced. */
void rth__redact_cmdline(const char *cmdline, size_t size_bytes, struct rth_sink *sink);

#endif /* RTH_CORE_REDACT_H */
