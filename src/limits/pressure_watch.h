/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_PRESSURE_WATCH_H
#define RTH_LIMITS_PRESSURE_WATCH_H

/*
 * $MEMORY_PRESSURE_WATCH and $MEMORY_PRESSURE_WRITE, as systemd hands them to a service: a file, a
 * FIFO or a socket that becomes ready when memory is short. A hint to look more closely, never a
 * state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At start, on the host's thread: takes the variables over. */
void rth__pressure_watch_configure(const char *const *environment);
/* On the looking thread, whose table it is then in. */
void rth__pressure_watch_open(void);
/* Whether it has fired since the last call. The looking thread. */
bool rth__pressure_watch_fired(void);
/* What there is to say: the path ("" when not given), "" or why it is not watched. Any thread. */
const char *rth__pressure_watch_path(void);
const char *rth__pressure_watch_reason(void);
/* Base64 without line breaks. Returns the length, -EINVAL, or -ENOSPC. */
int rth__base64_decode(const char *text, unsigned char *ret_data, size_t capacity_bytes);

#endif /* RTH_LIMITS_PRESSURE_WATCH_H */
