/* SPDX-License-Identifier: MIT */
#include "core/artefact.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool rth__artefact_has_below(const struct rth_artefact *prefix, const char *name)
{
    if (prefix->name_below == NULL)
        return name[0] != '\0';
    const char *known;
    for (size_t i = 0; (known = prefix->name_below(i)) != NULL; i++)
        if (strcmp(known, name) == 0)
            return true;
    return false;
}

int rth__call_fail(struct rth_call *call, int status, const char *format, ...)
{
    call->status = status;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(call->message, sizeof(call->message), format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

int64_t rth__call_seconds(struct rth_call *call, int64_t default_seconds, int64_t max_seconds)
{
    int64_t seconds = 0;
    int error = rth__params_int64(&call->params, "seconds", &seconds);
    if (error != 0 || seconds <= 0)
        return default_seconds; /* as Go: what does not parse, or is too large to, is absent */
    if (seconds > max_seconds) {
        (void)snprintf(call->clamped, sizeof(call->clamped), "seconds=%lld",
                       (long long)max_seconds);
        return max_seconds;
    }
    return seconds;
}
