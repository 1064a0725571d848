/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CAPTURE_H
#define RTH_PROFILE_CAPTURE_H

#include "core/capability.h"

/* The row "capture": what every profile stands on (modules, unwinder, recorded stacks, our signal).
 */
extern const struct rth_capability rth__capture_capability;

#endif /* RTH_PROFILE_CAPTURE_H */
