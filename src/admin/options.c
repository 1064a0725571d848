/* SPDX-License-Identifier: MIT */
#include "admin/options.h"

#include <errno.h>
#include <stdio.h>

#include "admin/auth.h"
#include "rthooks/rthooks.h"

static struct rth_option_value admin_value, token_file_value, allow_value, readonly_value,
    public_value;

static int check_address(const char *text)
{
    struct rth_address address;
    return rth__address_parse(text, &address);
}

/* "" is the default: no token. */
static int check_token_file(const char *text)
{
    return text[0] == '\0' || text[0] == '/' ? 0 : -EINVAL;
}

const struct rth_option rth__admin_options[RTH_ADMIN_OPTION_COUNT] = {
    {
        .variable = "RTHOOKS_ADMIN",
        .grammar = RTH_ADDRESS_GRAMMAR,
        .default_text = "127.0.0.1:6060",
        .doc = "Where the admin endpoint listens; an address that is not loopback needs "
               "RTHOOKS_ADMIN_TOKEN_FILE; off also closes the Unix socket.",
        .opts_offset = offsetof(struct rth_opts, admin),
        .check = check_address,
        .value = &admin_value,
    },
    {
        .variable = "RTHOOKS_ADMIN_TOKEN_FILE",
        .grammar = "an absolute path",
        .default_text = "",
        .doc = "File with the bearer token that every admin request over TCP must carry; read "
               "again when it changes.",
        .opts_offset = offsetof(struct rth_opts, admin_token_file),
        .check = check_token_file,
        .value = &token_file_value,
    },
    {
        .variable = "RTHOOKS_ADMIN_ALLOW",
        .grammar = "absolute paths separated by commas, each may end in *",
        .default_text = "",
        .doc = "The only paths the admin endpoint answers, over TCP and the Unix socket; empty: "
               "all.",
        .opts_offset = offsetof(struct rth_opts, admin_allow),
        .check = rth__allow_list_check,
        .value = &allow_value,
    },
    {
        .variable = "RTHOOKS_ADMIN_READONLY",
        .grammar = "1, true, on, yes or 0, false, off, no",
        .default_text = "0",
        .doc = "Refuses every request that changes something.",
        .opts_offset = offsetof(struct rth_opts, admin_readonly),
        .check = rth__option_check_bool,
        .value = &readonly_value,
    },
    {
        .variable = "RTHOOKS_PUBLIC",
        .grammar = RTH_ADDRESS_GRAMMAR,
        .default_text = "off",
        .doc = "Where a second listener serves /metrics, /livez, /readyz and /startupz, GET only, "
               "without a token.",
        .opts_offset = offsetof(struct rth_opts, public_address),
        .check = check_address,
        .value = &public_value,
    },
};

static int check_row(const struct rth_option *row, char *ret_reason, size_t reason_size)
{
    if (!row->value->malformed)
        return 0;
    (void)snprintf(ret_reason, reason_size, "%s is malformed; it takes %s", row->variable,
                   row->grammar);
    return -EINVAL;
}

int rth__admin_options_check(char *ret_reason, size_t reason_size)
{
    for (size_t i = 0; i < RTH_ADMIN_OPTION_COUNT; i++) {
        const struct rth_option *row = &rth__admin_options[i];
        int error = row->value == &public_value ? 0 : check_row(row, ret_reason, reason_size);
        if (error != 0)
            return error;
    }
    return 0;
}

int rth__admin_public_check(char *ret_reason, size_t reason_size)
{
    return check_row(&rth__admin_options[RTH_ADMIN_OPTION_COUNT - 1], ret_reason, reason_size);
}

/* A value passed its check, or is the default, or was never read: then nothing may open. */
static void read_address(const struct rth_option_value *value, struct rth_address *ret_address)
{
    if (rth__address_parse(value->text, ret_address) != 0)
        *ret_address = (struct rth_address){.off = true};
}

void rth__admin_option_address(struct rth_address *ret_address)
{
    read_address(&admin_value, ret_address);
}

void rth__admin_option_public(struct rth_address *ret_address)
{
    read_address(&public_value, ret_address);
}

const char *rth__admin_option_token_file(void)
{
    return token_file_value.text;
}

const char *rth__admin_option_allow(void)
{
    return allow_value.text;
}

bool rth__admin_option_readonly(void)
{
    return rth__option_bool(&readonly_value);
}
