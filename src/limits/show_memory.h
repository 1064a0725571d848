/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_SHOW_MEMORY_H
#define RTH_LIMITS_SHOW_MEMORY_H

#include <stdbool.h>

struct rth_call;
struct rth_sink;

int rth__limits_write_memlimit(struct rth_call *call, struct rth_sink *sink);
/* ?format=text: sets the content type, too. */
bool rth__limits_wants_text(struct rth_call *call);

#endif /* RTH_LIMITS_SHOW_MEMORY_H */
