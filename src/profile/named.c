/* SPDX-License-Identifier: MIT */
#include "profile/named.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/service_thread.h"

#define BAD_SECONDS "invalid value for \"seconds\" - must be a positive integer"

/* 0 with *ret_seconds 0 when there is no such parameter; -EINVAL for a bad one. */
static int read_seconds(struct rth_call *call, int64_t *ret_seconds)
{
    int64_t seconds;
    int error = rth__params_int64(&call->params, "seconds", &seconds);
    if (error == -ENOENT) {
        *ret_seconds = 0;
        return 0;
    }
    if (error != 0 || seconds <= 0)
        return -EINVAL;
    if (seconds > RTH_NAMED_SECONDS_MAX) {
        seconds = RTH_NAMED_SECONDS_MAX;
        (void)snprintf(call->clamped, sizeof(call->clamped), "seconds=%d", RTH_NAMED_SECONDS_MAX);
    }
    *ret_seconds = seconds;
    return 0;
}

int rth__named_request_read(struct rth_call *call, const char *delta_filename,
                            struct rth_named_request *ret_request)
{
    struct rth_named_request request = {.symbols = true};
    int64_t debug = 0;
    if (rth__params_int64(&call->params, "debug", &debug) != 0)
        debug = 0;
    /* Every higher level is 2, as in Go. */
    request.debug = debug > 2 ? 2 : debug < INT_MIN ? INT_MIN : (int)debug;
    if (read_seconds(call, &request.seconds) != 0)
        return rth__call_fail(call, 400, BAD_SECONDS);
    if (request.seconds != 0 && delta_filename == NULL)
        return rth__call_fail(call, 400,
                              "\"seconds\" parameter is not supported for this profile type");
    if (request.seconds != 0 && request.debug != 0)
        return rth__call_fail(call, 400, "seconds and debug params are incompatible");
    char symbols[16] = "";
    (void)rth__params_get(&call->params, "symbols", symbols, sizeof(symbols));
    request.symbols = strcmp(symbols, "none") != 0;
    if (request.seconds != 0)
        call->filename = delta_filename;
    if (request.debug != 0) {
        call->content_type = "text/plain; charset=utf-8";
        call->filename = NULL; /* no attachment */
    }
    *ret_request = request;
    return 0;
}

static bool is_cancelled(void *userdata)
{
    return rth__sink_cancelled(userdata);
}

struct rth_profile_naming rth__named_naming(bool symbols, struct rth_sink *sink)
{
    return (struct rth_profile_naming){
        .root_fd = rth__root_fd(),
        .symbols = symbols,
        .cancelled = is_cancelled,
        .userdata = sink,
    };
}
