/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_SIZE_H
#define RTH_FORMATS_SIZE_H

#include <stdint.h>

/*
 * Sizes as settings have them, GOMEMLIMIT's grammar: digits, then nothing or B, KiB, MiB, GiB or
 * TiB; no sign, space or fraction. Returns 0, -EINVAL, or -ERANGE above INT64_MAX.
 */
int rth__size_parse(const char *text, int64_t *ret_bytes);

#endif /* RTH_FORMATS_SIZE_H */
