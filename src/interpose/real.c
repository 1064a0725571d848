/* SPDX-License-Identifier: MIT */
#include "interpose/real.h"

#include "interpose/dl.h"

RTH__HOT_DATA struct rth__real rth__real_table;
RTH__HOT_DATA bool rth__real_resolved;

/*
 * RTLD_NEXT is relative to the object that holds dlsym's return address: a dlsym in tail position
 * would make the caller of this function that object. So: never inlined, and every result is used
 * after its call.
 */
__attribute__((noinline)) void rth__real_resolve(void)
{
#define RTH__REAL_FIND(name)                                                                       \
    rth__real_table.name = (__typeof__(rth__real_table.name))dlsym(RTLD_NEXT, #name);
    RTH__REAL_NAMES(RTH__REAL_FIND)
    RTH__REAL_FIND(sigset)
    RTH__REAL_FIND(sigignore)
    RTH__REAL_FIND(siginterrupt)
#undef RTH__REAL_FIND
    rth__dl_real_dlopen = dlsym(RTLD_NEXT, "dlopen");
    rth__dl_real_dlmopen = dlsym(RTLD_NEXT, "dlmopen");
    __atomic_store_n(&rth__real_resolved, true, __ATOMIC_RELEASE);
}
