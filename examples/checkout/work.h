/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_WORK_H
#define CHECKOUT_WORK_H

/* Work in measured amounts: what a profile says can be held against what was asked for. */

#include <stddef.h>
#include <stdint.h>

/* Uses so much CPU time of the calling thread, however long that takes. */
void burn_cpu(uint64_t cpu_ms);

/* Allocates and frees count blocks, one after the other. Returns 0 or -ENOMEM. */
int allocate_and_free(size_t block_bytes, uint64_t count);

#endif
