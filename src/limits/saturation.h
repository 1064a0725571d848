/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_SATURATION_H
#define RTH_LIMITS_SATURATION_H

/*
 * A service that refuses everything for minutes is alive and of no use. With
 * RTHOOKS_MEMORY_SATURATION it is asked to end, once, as its platform would do it: SIGTERM. The
 * looking thread's.
 */

#include <stdbool.h>
#include <stdint.h>

#define RTH_SATURATION_GRAMMAR "off, or a whole number with s or m, up to 1440m"

/* 0 for off. 0, or -EINVAL and nothing is written. */
int rth__saturation_parse(const char *text, int64_t *ret_limit_ns);

/* Zero at the beginning. */
struct rth_saturation {
    int64_t since_ns; /* of CRITICAL or worse without a break; 0: not now */
    bool is_over;     /* it was asked already */
};
/* After a look: true at the one at which the process is to be asked. seed: of the process; those
 * that came under pressure together do not end together, but up to a fifth of limit_ns later. */
bool rth__saturation_look(struct rth_saturation *saturation, int state, int64_t limit_ns,
                          uint64_t seed, int64_t now_ns);

#endif /* RTH_LIMITS_SATURATION_H */
