/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_PARAMS_H
#define RTH_CORE_PARAMS_H

/*
 * Query parameters of a request, read as Go's ParseForm does: "a=1&b=2", percent-decoded, '+' is
 * a space, the first value of a key wins. Points into the caller's text; owns nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rth_params {
    const char *query; /* raw text after '?', not NUL-terminated, may be NULL */
    size_t query_bytes;
    const char *form; /* body of a form POST, same grammar; looked at first; may be NULL */
    size_t form_bytes;
};

/*
 * Copies the decoded value of key. Returns its length; -ENOENT when absent; -EINVAL for a broken
 * percent escape or a NUL byte; -ENAMETOOLONG when it does not fit.
 */
int rth__params_get(const struct rth_params *params, const char *key, char *ret_value,
                    size_t value_size);
/* True when the key is there, with any value ("?verbose"). */
bool rth__params_has(const struct rth_params *params, const char *key);
/* Base-10 int64, whole value. -ENOENT absent or empty, -EINVAL not a number, -ERANGE overflow. */
int rth__params_int64(const struct rth_params *params, const char *key, int64_t *ret_value);

#endif /* RTH_CORE_PARAMS_H */
