/* SPDX-License-Identifier: MIT */
#include "core/option.h"

#include <errno.h>
#include <strings.h>

/* 1, 0, or -1 for a word that is neither. */
static int bool_word(const char *text)
{
    static const char *const words[][2] = {
        {"0", "1"}, {"false", "true"}, {"off", "on"}, {"no", "yes"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i][0]) == 0)
            return 0;
        if (strcasecmp(text, words[i][1]) == 0)
            return 1;
    }
    return -1;
}

int rth__option_check_bool(const char *text)
{
    return bool_word(text) < 0 ? -EINVAL : 0;
}

bool rth__option_bool(const struct rth_option_value *value)
{
    return bool_word(value->text) == 1;
}
