/* SPDX-License-Identifier: MIT */
/*
 * Health, in the dialect of Kubernetes' own servers.
 *
 * Purpose: /livez says that the process answers; /readyz and /startupz run the checks of every
 * capability that runs; /healthz is the old name of /readyz. "ok", or 503 with one line per check.
 * ?verbose lists all, ?exclude=NAME leaves one out, /readyz/NAME asks one, ?format=json.
 * On the public listener the answer has no details.
 * Threads: rth-work, one request at a time. Cost: the checks'.
 */
#include "health/health.h"

#include <string.h>

#include "formats/json.h"

#define NAME_BYTES 64

struct outcome {
    bool all_good;
    unsigned ran;
};

/* Where the lines of checks go; json and text exclude each other, both NULL when only the outcome
 * is wanted. */
struct report {
    struct rth_sink *text;
    struct rth_json *json;
    bool failures_only;
};

static void report_check(const struct report *report, const char *name, bool good,
                         const char *reason)
{
    if (report->json != NULL) {
        rth__json_object_begin(report->json);
        rth__json_member_string(report->json, "name", name);
        rth__json_member_bool(report->json, "ok", good);
        if (!good)
            rth__json_member_string(report->json, "reason", reason);
        rth__json_object_end(report->json);
    } else if (report->text != NULL && (!good || !report->failures_only)) {
        (void)rth__sink_printf(report->text, "[%s]%s %s%s\n", good ? "+" : "-", name,
                               good ? "ok" : "failed: ", good ? "" : reason);
    }
}

/* Runs the checks; only: a single name, or NULL for all but `exclude`. */
static struct outcome run_checks(const char *only, const char *exclude, const struct report *report)
{
    struct outcome outcome = {.all_good = true};
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        if (rth__capability_runtime_at(i)->state != RTH_CAPABILITY_RUNNING)
            continue;
        for (size_t k = 0; k < row->check_count; k++) {
            const struct rth_check *check = &row->checks[k];
            if ((only != NULL && strcmp(only, check->name) != 0) ||
                strcmp(exclude, check->name) == 0)
                continue;
            char reason[RTH_REASON_BYTES] = "";
            bool good = check->run(reason, sizeof(reason));
            outcome.ran++;
            outcome.all_good = outcome.all_good && good;
            report_check(report, check->name, good, reason);
        }
    }
    return outcome;
}

static int write_json(struct rth_call *call, struct rth_sink *sink, const char *only,
                      const char *exclude, bool good)
{
    struct rth_json json;
    call->content_type = "application/json";
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_bool(&json, "ok", good);
    rth__json_key(&json, "checks");
    rth__json_array_begin(&json);
    (void)run_checks(only, exclude, &(struct report){.json = &json});
    rth__json_array_end(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

/* endpoint: "readyz". The status must be known before the first byte, so the checks run twice
 * where details are wanted; they are cheap and the second run is what is shown. */
static int write_checks(struct rth_call *call, struct rth_sink *sink, const char *endpoint,
                        const char *only)
{
    char exclude[NAME_BYTES] = "";
    char format[8] = "";
    if (!call->is_public) {
        (void)rth__params_get(&call->params, "exclude", exclude, sizeof(exclude));
        (void)rth__params_get(&call->params, "format", format, sizeof(format));
    }
    struct outcome outcome = run_checks(only, exclude, &(struct report){0});
    if (only != NULL && outcome.ran == 0)
        return rth__call_fail(call, 404, "no such check: %.64s", only);
    if (!outcome.all_good)
        call->status = 503;
    if (strcmp(format, "json") == 0)
        return write_json(call, sink, only, exclude, outcome.all_good);
    bool verbose = !call->is_public && rth__params_has(&call->params, "verbose");
    if (!call->is_public && (verbose || !outcome.all_good)) {
        (void)run_checks(only, exclude, &(struct report){.text = sink, .failures_only = !verbose});
        return rth__sink_printf(sink, "%s check %s\n", endpoint,
                                outcome.all_good ? "passed" : "failed");
    }
    return rth__sink_puts(sink, outcome.all_good ? "ok" : "failed");
}

/* As in Kubernetes' own servers: that it answers at all is the check. */
static bool check_ping(char *ret_reason, size_t reason_size)
{
    (void)ret_reason, (void)reason_size;
    return true;
}

static const struct rth_check checks[] = {{"ping", check_ping}};

static int write_livez(struct rth_call *call, struct rth_sink *sink)
{
    char format[8] = "";
    (void)rth__params_get(&call->params, "format", format, sizeof(format));
    if (!call->is_public && strcmp(format, "json") == 0)
        return write_json(call, sink, "ping", "", true);
    if (!call->is_public && rth__params_has(&call->params, "verbose"))
        return rth__sink_puts(sink, "[+]ping ok\nlivez check passed\n");
    return rth__sink_puts(sink, "ok");
}

static int write_readyz(struct rth_call *call, struct rth_sink *sink)
{
    return write_checks(call, sink, "readyz", NULL);
}

static int write_startupz(struct rth_call *call, struct rth_sink *sink)
{
    return write_checks(call, sink, "startupz", NULL);
}

static int write_healthz(struct rth_call *call, struct rth_sink *sink)
{
    return write_checks(call, sink, "healthz", NULL);
}

static int write_one_check(struct rth_call *call, struct rth_sink *sink)
{
    return write_checks(call, sink, "readyz", call->subpath);
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "livez",
        .path = "/livez",
        .content_type = "text/plain; charset=utf-8",
        .flags = RTH_ARTEFACT_PUBLIC,
        .write = write_livez,
    },
    {
        .name = "readyz",
        .path = "/readyz",
        .content_type = "text/plain; charset=utf-8",
        .flags = RTH_ARTEFACT_PUBLIC,
        .write = write_readyz,
    },
    {
        .name = "startupz",
        .path = "/startupz",
        .content_type = "text/plain; charset=utf-8",
        .flags = RTH_ARTEFACT_PUBLIC,
        .write = write_startupz,
    },
    {
        .name = "healthz",
        .path = "/healthz",
        .content_type = "text/plain; charset=utf-8",
        .write = write_healthz,
    },
    {
        .name = "readyz-check",
        .path = "/readyz/",
        .content_type = "text/plain; charset=utf-8",
        .flags = RTH_ARTEFACT_PREFIX,
        .write = write_one_check,
    },
};

const struct rth_capability rth__health_capability = {
    .name = "health",
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .checks = checks,
    .check_count = sizeof(checks) / sizeof(checks[0]),
};
