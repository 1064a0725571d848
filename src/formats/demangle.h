/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_DEMANGLE_H
#define RTH_FORMATS_DEMANGLE_H

/*
 * C++ names as people wrote them, for text. Profiles keep the mangled name: pprof demangles.
 */

#include <stddef.h>

/* Longer names are not tried. */
#define RTH_DEMANGLE_MANGLED_BYTES_MAX 2048
/* Holds nearly every name that is short enough to be tried. */
#define RTH_DEMANGLED_BYTES 4096

/*
 * Writes the demangled name, NUL-terminated. Returns 0; -ENOENT when this is no mangled C++ name,
 * or one with parts that are not understood; -E2BIG when it is too long or too deep; -ENOSPC when
 * the result is too long for ret_name. After an error ret_name is not to be read: show the name as
 * it is. Any thread, with up to 48 KiB of its stack; allocates nothing. Cost: a microsecond.
 */
int rth__demangle(const char *mangled, char *ret_name, size_t size_bytes);

#endif /* RTH_FORMATS_DEMANGLE_H */
