/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_BASE_H
#define RTHOOKS_BASE_H

/*
 * What every public header needs: visibility, C++ linkage, printf checking. Installed headers
 * include this one first; it declares no function.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define RTH_BEGIN_DECLS extern "C" {
#define RTH_END_DECLS   }
#else
#define RTH_BEGIN_DECLS
#define RTH_END_DECLS
#endif

#if defined(__GNUC__)
#define RTH_API                         __attribute__((visibility("default")))
#define RTH_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define RTH_API
#define RTH_PRINTF(format_index, first)
#endif

#endif /* RTHOOKS_BASE_H */
