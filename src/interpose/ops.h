/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_OPS_H
#define RTH_INTERPOSE_OPS_H

/* The attached runtime, as the wrappers ask for it. All signal-safe. */

#include "interpose/abi.h"
#include "os/rawsys.h"

/* Written by rth_interpose_attach alone; release there pairs with acquire here. */
extern const struct rth_interpose_ops *rth__ops_current;

/* NULL: nobody is attached, pass through. */
static inline const struct rth_interpose_ops *rth__ops(void)
{
    return __atomic_load_n(&rth__ops_current, __ATOMIC_ACQUIRE);
}

/* Attached, in a child with copied memory that was not adopted (yet). */
static inline const struct rth_interpose_ops *rth__ops_unadopted(void)
{
    const struct rth_interpose_ops *ops = rth__ops();
    return ops != NULL && *ops->enabled == 0 ? ops : NULL;
}

/* Attached, live, and not a child that only borrows the owner's memory (vfork). One system call,
 * so for rare calls only. */
static inline const struct rth_interpose_ops *rth__ops_of_owner(void)
{
    const struct rth_interpose_ops *ops = rth__ops();
    if (ops == NULL || *ops->enabled == 0 || rth__raw_getpid_sigsafe() != *ops->owner_pid)
        return NULL;
    return ops;
}

#endif /* RTH_INTERPOSE_OPS_H */
