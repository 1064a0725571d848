/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_SYMBOL_H
#define RTH_PROFILE_SYMBOL_H

#include "core/artefact.h"

/* The body of /debug/pprof/symbol. */
int rth__symbol_write(struct rth_call *call, struct rth_sink *sink);

/* A number as Go's strconv reads it with base 0: 0x, 0o, 0b, 0 and decimal, '_' between digits.
 * False when it is none or does not fit. */
bool rth__symbol_number_parse(const char *text, size_t size_bytes, uint64_t *ret_number);

#endif /* RTH_PROFILE_SYMBOL_H */
