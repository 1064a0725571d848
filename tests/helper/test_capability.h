/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_TEST_CAPABILITY_H
#define RTH_TESTS_HELPER_TEST_CAPABILITY_H

/*
 * A capability whose artefacts behave in every way the server must cope with: at once, after a
 * wait, endlessly, large, too large, failing early, failing late.
 */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/capability.h"
#include "formats/sink.h"
#include "os/clock.h"

#define TEST_WAIT_NS (30 * RTH_NS_PER_S) /* of /test/wait: no test may need it to end */

static struct {
    _Atomic int begun, stepped, cancelled, saw_cancelled, actions;
    _Atomic int computing;
} test_seen;

static int write_hello(struct rth_call *call, struct rth_sink *sink)
{
    return rth__sink_printf(sink, "hello from %d%s%s\n", (int)getpid(),
                            call->peer_is_local_uid ? " local" : "",
                            call->is_public ? " public" : "");
}

static int begin_wait(struct rth_call *call, int64_t *ret_wait_ns)
{
    int64_t wait_ms = 0;
    *ret_wait_ns = rth__params_int64(&call->params, "ms", &wait_ms) == 0 ? wait_ms * RTH_NS_PER_MS
                                                                         : TEST_WAIT_NS;
    call->state[0] = 'w';
    test_seen.begun++;
    return 0;
}

static int write_wait(struct rth_call *call, struct rth_sink *sink)
{
    return rth__sink_puts(sink, call->state[0] == 'w' ? "waited\n" : "state lost\n");
}

/* ?steps=N: N more waits of a millisecond, or of ?ms=; state[1] counts them. fail=1: the last one
 * fails. */
static int step_wait(struct rth_call *call, int64_t *ret_wait_ns)
{
    int64_t steps = 0, wait_ms = 1;
    (void)rth__params_int64(&call->params, "steps", &steps);
    (void)rth__params_int64(&call->params, "ms", &wait_ms);
    if (call->state[1] < steps) {
        call->state[1]++;
        *ret_wait_ns = wait_ms * RTH_NS_PER_MS;
        test_seen.stepped++;
        return 0;
    }
    return rth__params_has(&call->params, "fail") ? rth__call_fail(call, 503, "no more") : 0;
}

static int write_steps(struct rth_call *call, struct rth_sink *sink)
{
    return rth__sink_printf(sink, "steps=%d\n", call->state[1]);
}

static void cancel_wait(struct rth_call *call)
{
    if (call->state[0] == 'w')
        test_seen.cancelled++;
}

/* Computes for ever, unless somebody says stop. */
static int write_compute(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    test_seen.computing = 1;
    int64_t end_ns = rth__clock_monotonic_ns_sigsafe() + TEST_WAIT_NS;
    while (rth__clock_monotonic_ns_sigsafe() < end_ns) {
        if (rth__sink_cancelled(sink)) {
            test_seen.saw_cancelled++;
            return -ECANCELED;
        }
        rth__clock_sleep_until(rth__clock_monotonic_ns_sigsafe() + RTH_NS_PER_MS);
    }
    return 0;
}

/* ?kib=N: N lines of 1 KiB, each with its number. */
static int write_large(struct rth_call *call, struct rth_sink *sink)
{
    int64_t kib = 1024;
    (void)rth__params_int64(&call->params, "kib", &kib);
    char line[1024];
    memset(line, '.', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int64_t i = 0; i < kib; i++) {
        char number[16];
        int length = snprintf(number, sizeof(number), "%08d", (int)i);
        memcpy(line, number, (size_t)length);
        int error = rth__sink_write(sink, line, sizeof(line));
        if (error != 0)
            return error;
    }
    return 0;
}

static int write_early_error(struct rth_call *call, struct rth_sink *sink)
{
    (void)rth__sink_puts(sink, "half an answer");
    return rth__call_fail(call, 503, "not today");
}

static int write_late_error(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    (void)write_large(call, sink);
    /* Long enough for the first part to be sent. */
    rth__clock_sleep_until(rth__clock_monotonic_ns_sigsafe() + 50 * RTH_NS_PER_MS);
    return rth__call_fail(call, 500, "broke in the middle");
}

static int begin_refuse(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    return rth__call_fail(call, 400, "invalid value for \"seconds\"");
}

static int write_status_body(struct rth_call *call, struct rth_sink *sink)
{
    call->status = 503;
    return rth__sink_puts(sink, "[-]ping failed\n");
}

static int write_subpath(struct rth_call *call, struct rth_sink *sink)
{
    return rth__sink_printf(sink, "subpath=%s accept=%s\n", call->subpath, call->accept);
}

static int write_clamped(struct rth_call *call, struct rth_sink *sink)
{
    return rth__sink_printf(sink, "%d\n", (int)rth__call_seconds(call, 5, 300));
}

static int write_body(struct rth_call *call, struct rth_sink *sink)
{
    char value[32] = "-";
    (void)rth__params_get(&call->params, "set", value, sizeof(value));
    (void)rth__sink_printf(sink, "set=%s body=", value);
    return rth__sink_write(sink, call->body != NULL ? call->body : "", call->body_bytes);
}

static int run_action(struct rth_call *call, struct rth_sink *sink)
{
    test_seen.actions++;
    return write_body(call, sink);
}

#define TEST_TEXT "text/plain; charset=utf-8"

static const struct rth_artefact test_artefacts[] = {
    {.name = "hello",
     .path = "/test/hello",
     .content_type = TEST_TEXT,
     .flags = RTH_ARTEFACT_PUBLIC | RTH_ARTEFACT_BY_PID,
     .write = write_hello},
    {.name = "wait",
     .path = "/test/wait",
     .content_type = TEST_TEXT,
     .flags = RTH_ARTEFACT_BY_PID,
     .begin = begin_wait,
     .write = write_wait,
     .cancel = cancel_wait},
    {.name = "steps",
     .path = "/test/steps",
     .content_type = TEST_TEXT,
     .begin = begin_wait,
     .step = step_wait,
     .write = write_steps,
     .cancel = cancel_wait},
    {.name = "compute", .path = "/test/compute", .content_type = TEST_TEXT, .write = write_compute},
    {.name = "large",
     .path = "/test/large",
     .content_type = "application/octet-stream",
     .flags = RTH_ARTEFACT_ATTACHMENT | RTH_ARTEFACT_BY_PID,
     .write = write_large},
    {.name = "early",
     .path = "/test/early-error",
     .content_type = "application/octet-stream",
     .flags = RTH_ARTEFACT_ATTACHMENT,
     .write = write_early_error},
    {.name = "late",
     .path = "/test/late-error",
     .content_type = TEST_TEXT,
     .flags = RTH_ARTEFACT_BY_PID,
     .write = write_late_error},
    {.name = "refuse",
     .path = "/debug/pprof/refuse",
     .content_type = TEST_TEXT,
     .begin = begin_refuse,
     .write = write_hello},
    {.name = "unready",
     .path = "/test/unready",
     .content_type = TEST_TEXT,
     .write = write_status_body},
    {.name = "below",
     .path = "/test/below/",
     .content_type = TEST_TEXT,
     .flags = RTH_ARTEFACT_PREFIX,
     .write = write_subpath},
    {.name = "clamped", .path = "/test/clamped", .content_type = TEST_TEXT, .write = write_clamped},
    {.name = "symbol",
     .path = "/test/symbol",
     .content_type = TEST_TEXT,
     .flags = RTH_ARTEFACT_POST | RTH_ARTEFACT_BY_PID,
     .write = write_body},
};

static const struct rth_action test_actions[] = {
    {.name = "change", .path = "/test/change", .run = run_action},
};

static const struct rth_capability test_capability = {
    .name = "test",
    .artefacts = test_artefacts,
    .artefact_count = sizeof(test_artefacts) / sizeof(test_artefacts[0]),
    .actions = test_actions,
    .action_count = sizeof(test_actions) / sizeof(test_actions[0]),
};

#endif /* RTH_TESTS_HELPER_TEST_CAPABILITY_H */
