/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_ARCH_H
#define RTH_UNWIND_ARCH_H

/*
 * What the walker must know of the processor. Another architecture is another arch_*.h with the
 * same names.
 */

#if defined(__x86_64__)
#include "unwind/arch_x86_64.h"
#else
#error "no unwinder for this processor yet"
#endif

#endif /* RTH_UNWIND_ARCH_H */
