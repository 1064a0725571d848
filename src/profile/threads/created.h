/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_CREATED_H
#define RTH_PROFILE_THREADS_CREATED_H

/* Where threads are created. */

#include "core/capability.h"
#include "record/sites.h"

/* The row "threadcreate": /debug/pprof/threadcreate. */
extern const struct rth_capability rth__threadcreate_capability;

/* All sites at this moment; without any when the row does not run. 0 or -ENOMEM. rth-work, after
 * rth__unwind_refresh. */
int rth__created_sites_copy(struct rth_sites_copy *ret_copy);

struct rth_thread_info; /* thread/registry.h */
/* That of a thread; NULL when it is not known, or not in the copy. */
const struct rth_site_row *rth__created_site_of(const struct rth_sites_copy *copy,
                                                const struct rth_thread_info *info);

#endif /* RTH_PROFILE_THREADS_CREATED_H */
