/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_STRINGS_H
#define RTH_RECORD_STRINGS_H

/*
 * The string table: every distinct string once, by a number that never means another string in
 * this process or a child of it. Fixed memory, kept over a fork; inserting is lock-free; nothing
 * is ever taken out.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_STRING_NONE      0u
#define RTH_STRING_BYTES_MAX 1024u

/* Reserves the memory; nothing when it is there. 0 or -ENOMEM. One caller at a time. */
int rth__strings_init(void);

/* The number of a string of at most RTH_STRING_BYTES_MAX bytes without a NUL; RTH_STRING_NONE when
 * there is no room, or no memory yet. Any thread, signal handlers too. Cost: 10 ns, and as long as
 * the string is to read. */
uint32_t rth__string_intern_sigsafe(const char *text, size_t length);

/* NUL-terminated, valid for ever; NULL for a number never given. */
const char *rth__string_text(uint32_t id);

uint32_t rth__strings_count(void);

#endif /* RTH_RECORD_STRINGS_H */
