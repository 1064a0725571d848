/* SPDX-License-Identifier: MIT */
#include "core/artefact.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

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
