/* SPDX-License-Identifier: MIT */
#include "core/redact.h"

#include <string.h>
#include <strings.h>

#include "formats/sink.h"

#define MASK "***"

bool rth__redact_is_secret_name(const char *name, size_t name_bytes)
{
    static const char *const words[] = {
        "password", "passwd",  "passphrase", "requirepass", "masterauth",  "secret",     "token",
        "apikey",   "api-key", "api_key",    "credential",  "private-key", "private_key"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);
        for (size_t at = 0; at + length <= name_bytes; at++)
            if (strncasecmp(name + at, words[i], length) == 0)
                return true;
    }
    return false;
}

/* "scheme://user:password@host": the password's place, NULL when there is none. */
static const char *url_password(const char *text, size_t size_bytes, size_t *ret_bytes)
{
    const char *scheme_end = memmem(text, size_bytes, "://", 3);
    if (scheme_end == NULL)
        return NULL;
    const char *authority = scheme_end + 3;
    size_t left = size_bytes - (size_t)(authority - text);
    const char *path = memchr(authority, '/', left);
    size_t authority_bytes = path != NULL ? (size_t)(path - authority) : left;
    const char *at = memrchr(authority, '@', authority_bytes);
    const char *colon = at != NULL ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon == NULL)
        return NULL;
    *ret_bytes = (size_t)(at - colon - 1);
    return colon + 1;
}

static void write_masked(struct rth_sink *sink, const char *text, size_t size_bytes,
                         const char *secret, size_t secret_bytes)
{
    (void)rth__sink_write(sink, text, (size_t)(secret - text));
    (void)rth__sink_puts(sink, MASK);
    const char *rest = secret + secret_bytes;
    (void)rth__sink_write(sink, rest, size_bytes - (size_t)(rest - text));
}

/* Writes one argument; true when the next one is the secret. */
static bool write_argument(struct rth_sink *sink, const char *text, size_t size_bytes)
{
    const char *equals = memchr(text, '=', size_bytes);
    size_t name_bytes = equals != NULL ? (size_t)(equals - text) : size_bytes;
    bool is_option = size_bytes > 0 && text[0] == '-';
    bool secret_name = rth__redact_is_secret_name(text, name_bytes);
    size_t secret_bytes;
    const char *secret = url_password(text, size_bytes, &secret_bytes);
    if (equals != NULL && secret_name)
        write_masked(sink, text, size_bytes, equals + 1, size_bytes - name_bytes - 1);
    else if (secret != NULL)
        write_masked(sink, text, size_bytes, secret, secret_bytes);
    else
        (void)rth__sink_write(sink, text, size_bytes);
    return is_option && equals == NULL && secret_name;
}

void rth__redact_cmdline(const char *cmdline, size_t size_bytes, struct rth_sink *sink)
{
    bool next_is_secret = false;
    for (size_t at = 0; at < size_bytes;) {
        const char *end = memchr(cmdline + at, '\0', size_bytes - at);
        size_t length = end != NULL ? (size_t)(end - cmdline) - at : size_bytes - at;
        if (next_is_secret) {
            (void)rth__sink_puts(sink, MASK);
            next_is_secret = false;
        } else {
            next_is_secret = write_argument(sink, cmdline + at, length);
        }
        at += length;
        if (at < size_bytes)
            (void)rth__sink_write(sink, "", 1); /* the NUL between arguments */
        at++;
    }
}
