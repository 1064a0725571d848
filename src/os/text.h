/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_TEXT_H
#define RTH_OS_TEXT_H

/*
 * A cursor over text that need not end in NUL: what the /proc parsers are made of. Each function
 * returns true and moves on when the text is as asked, and otherwise false with the cursor
 * unmoved. ASCII only; no locale.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rth_text {
    const char *at, *limit;
};

static inline struct rth_text rth__text(const char *text, size_t size_bytes)
{
    return (struct rth_text){.at = text, .limit = text + size_bytes};
}

static inline bool rth__text_at_end(const struct rth_text *text)
{
    return text->at == text->limit;
}

/* Over spaces and tabs, however many. */
void rth__text_skip_blanks(struct rth_text *text);
bool rth__text_char(struct rth_text *text, char character);
bool rth__text_prefix(struct rth_text *text, const char *prefix);
/* Decimal digits without a sign, at most max. */
bool rth__text_uint(struct rth_text *text, uint64_t max, uint64_t *ret_value);
/* Decimal digits after an optional '-'. */
bool rth__text_int(struct rth_text *text, int64_t min, int64_t max, int64_t *ret_value);
/* Hexadecimal digits without "0x", at most max. */
bool rth__text_hex(struct rth_text *text, uint64_t max, uint64_t *ret_value);

#endif /* RTH_OS_TEXT_H */
