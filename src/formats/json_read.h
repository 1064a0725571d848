/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_JSON_READ_H
#define RTH_FORMATS_JSON_READ_H

/*
 * A JSON reader for what we wrote ourselves and find again later: small documents, one member at a
 * time, no memory of its own. The text may have been cut or changed meanwhile: all of it is checked
 * before any of it is believed. Other JSON is the tools' business (jansson).
 */

#include <stddef.h>
#include <stdint.h>

/* Arrays and objects within each other. */
#define RTH_JSON_READ_DEPTH_MAX 16

/* The text of one value; points into the document. */
struct rth_json_value {
    const char *text;
    size_t size_bytes;
};

/*
 * Finds the first member `key` of a document that is an object. Keys with escapes are never found.
 * 0; -ENOENT; -EINVAL when the document is no JSON object, or nested deeper than the maximum.
 */
int rth__json_read_member(const char *document, size_t size_bytes, const char *key,
                          struct rth_json_value *ret_value);
/* A string, NUL-terminated; what C cannot hold (NUL, half a pair) becomes U+FFFD. 0; -EINVAL when
 * it is no string; -ENAMETOOLONG. */
int rth__json_read_text(const struct rth_json_value *value, char *ret_text, size_t text_size);
/* A whole number from 0 on. 0; -EINVAL when it is something else; -ERANGE. */
int rth__json_read_uint(const struct rth_json_value *value, uint64_t *ret_number);

#endif /* RTH_FORMATS_JSON_READ_H */
