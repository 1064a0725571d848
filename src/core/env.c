/* SPDX-License-Identifier: MIT */
#include "core/env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/capability.h"
#include "interpose/abi.h"

#define PREFIX "RTHOOKS_"

const char *rth__env_get(const char *const *environment, const char *variable)
{
    size_t length = strlen(variable);
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        if (strncmp(environment[i], variable, length) == 0 && environment[i][length] == '=')
            return environment[i] + length + 1;
    return NULL;
}

/* Fits its storage and its grammar. */
static bool is_good(const struct rth_option *option, const char *text)
{
    return strlen(text) < RTH_OPTION_TEXT_BYTES &&
           (option->check == NULL || option->check(text) == 0);
}

static const char *given_text(const struct rth_option *option, const struct rth_opts *opts,
                              const char *const *environment, const char *const *saved,
                              enum rth_option_source *ret_source)
{
    const char *const names[] = {option->variable, option->fallback_variable};
    *ret_source = RTH_OPTION_ENVIRONMENT;
    for (size_t i = 0; i < 2; i++) {
        const char *text = names[i] != NULL ? rth__env_get(environment, names[i]) : NULL;
        if (text == NULL && names[i] != NULL)
            text = rth__env_get(saved, names[i]);
        if (text != NULL && text[0] != '\0')
            return text;
        /* rth_opts says more about this program than a variable meant for another library. */
        if (i == 0 && opts != NULL && option->opts_offset != SIZE_MAX) {
            const char *const *field =
                (const char *const *)(const void *)((const char *)opts + option->opts_offset);
            *ret_source = RTH_OPTION_OPTS;
            if (*field != NULL)
                return *field;
            *ret_source = RTH_OPTION_ENVIRONMENT;
        }
    }
    *ret_source = RTH_OPTION_DEFAULT;
    return option->default_text;
}

static int read_option(const struct rth_option *option, const struct rth_opts *opts,
                       const char *const *environment, const char *const *saved, char *ret_message,
                       size_t message_size)
{
    enum rth_option_source source;
    const char *text = given_text(option, opts, environment, saved, &source);
    struct rth_option_value *value = option->value;
    value->source = (uint8_t)source;
    value->malformed = !is_good(option, text);
    (void)snprintf(value->text, sizeof(value->text), "%s",
                   value->malformed ? option->default_text : text);
    if (!value->malformed)
        return 0;
    (void)snprintf(ret_message, message_size, "%s: malformed value \"%.200s\"; it takes %s",
                   option->variable, option->flags & RTH_OPTION_SECRET ? "***" : text,
                   option->grammar);
    return -EINVAL;
}

/* Visits every option row; stops when fn returns non-zero and returns that. */
static int each_option(int (*fn)(const struct rth_option *option, void *userdata), void *userdata)
{
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        for (size_t k = 0; k < row->option_count; k++) {
            int result = fn(&row->options[k], userdata);
            if (result != 0)
                return result;
        }
    }
    return 0;
}

struct reading {
    const struct rth_opts *opts;
    const char *const *environment;
    const char *const *saved;
    char *message;
    size_t message_size;
    int result;
};

static int read_row(const struct rth_option *option, void *userdata)
{
    struct reading *reading = userdata;
    char message[512];
    int error = read_option(option, reading->opts, reading->environment, reading->saved, message,
                            sizeof(message));
    if (error != 0 && reading->result == 0) {
        reading->result = error;
        (void)snprintf(reading->message, reading->message_size, "%s", message);
    }
    return 0;
}

int rth__env_read(const struct rth_opts *opts, const char *const *environment,
                  const char *const *saved, char *ret_message, size_t message_size)
{
    struct reading reading = {opts, environment, saved, ret_message, message_size, 0};
    (void)each_option(read_row, &reading);
    return reading.result;
}

struct looking {
    const char *name; /* not NUL-terminated */
    size_t name_bytes;
    const struct rth_option *found;
};

static int match_row(const struct rth_option *option, void *userdata)
{
    struct looking *looking = userdata;
    if (strlen(option->variable) != looking->name_bytes ||
        strncmp(option->variable, looking->name, looking->name_bytes) != 0)
        return 0;
    looking->found = option;
    return 1;
}

/* Variables between `rthooks run` and us, not settings. */
static bool is_internal(const char *entry)
{
    return strncmp(entry, RTH_ENV_AUTOSTART "=", sizeof(RTH_ENV_AUTOSTART)) == 0 ||
           strncmp(entry, PREFIX "RUN_", sizeof(PREFIX "RUN_") - 1) == 0;
}

static const char *get_from(const char *variable, const void *userdata)
{
    return rth__env_get(userdata, variable);
}

/* Settings that contradict each other. */
static int check_conflicts(const char *const *environment, char *ret_message, size_t message_size)
{
    for (size_t i = 0; environment != NULL && i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        const char *conflict = row->conflict != NULL ? row->conflict(get_from, environment) : NULL;
        if (conflict == NULL)
            continue;
        (void)snprintf(ret_message, message_size, "%s", conflict);
        return -EINVAL;
    }
    return 0;
}

int rth_environment_check(const char *const *environment, char *ret_message, size_t message_size)
{
    int unknown = 0;
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        const char *entry = environment[i];
        const char *equals = strchr(entry, '=');
        if (equals == NULL || strncmp(entry, PREFIX, sizeof(PREFIX) - 1) != 0 || is_internal(entry))
            continue;
        struct looking looking = {entry, (size_t)(equals - entry), NULL};
        (void)each_option(match_row, &looking);
        if (looking.found == NULL && unknown == 0) {
            unknown = -ENOENT;
            (void)snprintf(ret_message, message_size,
                           "%.*s: no such variable in rthooks " RTH_VERSION,
                           (int)looking.name_bytes, entry);
        }
        if (looking.found == NULL || equals[1] == '\0' || is_good(looking.found, equals + 1))
            continue;
        (void)snprintf(ret_message, message_size, "%s: malformed value \"%.200s\"; it takes %s",
                       looking.found->variable,
                       looking.found->flags & RTH_OPTION_SECRET ? "***" : equals + 1,
                       looking.found->grammar);
        return -EINVAL;
    }
    int conflict = check_conflicts(environment, ret_message, message_size);
    return conflict != 0 ? conflict : unknown;
}

struct visiting {
    int (*fn)(const char *, const char *, const char *, const char *, void *);
    void *userdata;
};

static int visit_row(const struct rth_option *option, void *userdata)
{
    const struct visiting *visiting = userdata;
    return visiting->fn(option->variable, option->grammar, option->default_text, option->doc,
                        visiting->userdata);
}

int rth_environment_each(int (*fn)(const char *variable, const char *grammar,
                                   const char *default_text, const char *doc, void *userdata),
                         void *userdata)
{
    struct visiting visiting = {fn, userdata};
    return each_option(visit_row, &visiting);
}
