/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_CPU_H
#define RTH_PROFILE_CPU_CPU_H

#include "core/capability.h"

/* The row "cpu": /debug/pprof/profile. */
extern const struct rth_capability rth__cpu_capability;

struct rth_comments;
struct rth_cpu_coverage;
/* Says in a profile which threads the sampler does not sample. */
void rth__cpu_comment_on_coverage(struct rth_comments *comments,
                                  const struct rth_cpu_coverage *coverage);

#endif /* RTH_PROFILE_CPU_CPU_H */
