/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_OPTION_H
#define RTH_CORE_OPTION_H

/*
 * Option rows. Each capability lists its own; core/env.c walks them once at start; the config
 * route, `rthooks run`'s check and docs/environment.md derive from them. Precedence: setter >
 * environment > rth_opts > default.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_OPTION_TEXT_BYTES 512

#define RTH_OPTION_SECRET 1u /* shown as "***" */

enum rth_option_source {
    RTH_OPTION_DEFAULT,
    RTH_OPTION_OPTS,
    RTH_OPTION_ENVIRONMENT,
    RTH_OPTION_SETTER,
};

struct rth_option {
    const char *variable;          /* "RTHOOKS_ADMIN" */
    const char *fallback_variable; /* "OTEL_SERVICE_NAME", used when the first is unset; or NULL */
    const char *grammar;           /* "ADDRESS:PORT or off" */
    const char *default_text;
    const char *doc;    /* one sentence */
    size_t opts_offset; /* of the `const char *` in struct rth_opts; SIZE_MAX when not there */
    uint32_t flags;
    /* Checks the text: 0 or -EINVAL. No side effect. NULL accepts everything. */
    int (*check)(const char *text);
    /* The value read at start, written by core/env.c before any thread of ours exists. */
    struct rth_option_value *value;
};

struct rth_option_value {
    char text[RTH_OPTION_TEXT_BYTES]; /* the text in force */
    uint8_t source;                   /* enum rth_option_source */
    bool malformed;                   /* the given text was refused: text is the default */
};

/* Booleans: "1", "true", "on", "yes" and their opposites; anything else is -EINVAL. */
int rth__option_check_bool(const char *text);
bool rth__option_bool(const struct rth_option_value *value);

#endif /* RTH_CORE_OPTION_H */
