/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_STACKS_H
#define RTH_LIMITS_STACKS_H

#include <stdint.h>

/*
 * Resident bytes of the stacks of the host's threads: of the main one as the kernel counts it, of
 * the others from where their stack pointer is to the end of the mapping, 8 MiB at most each. -1
 * when a thread cannot be seen: it runs at this moment, or the kernel keeps it from us.
 * On rth-work, or the starting thread. Cost: about 15 us per thread, and a read of the maps.
 */
int64_t rth__stacks_resident_bytes(int root_fd);

#endif /* RTH_LIMITS_STACKS_H */
