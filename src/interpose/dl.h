/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_DL_H
#define RTH_INTERPOSE_DL_H

#include <stdint.h>

/* Bumped before each dlopen, dlmopen and dlclose; info.loader_generation points at it. */
extern volatile uint64_t rth__dl_generation;

/* The originals of dlopen and dlmopen, for the jumps in dl.c; set by rth__real_resolve. */
extern void *rth__dl_real_dlopen;
extern void *rth__dl_real_dlmopen;

#endif /* RTH_INTERPOSE_DL_H */
