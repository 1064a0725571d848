/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_CPU_H
#define RTH_LIMITS_CPU_H

struct rth_call;
struct rth_sink;

/* /debug/runtime/cpulimit. On rth-work. */
int rth__limits_write_cpulimit(struct rth_call *call, struct rth_sink *sink);

#endif /* RTH_LIMITS_CPU_H */
