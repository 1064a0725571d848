/* SPDX-License-Identifier: MIT */
/*
 * What rthooks says of itself.
 *
 * Purpose: which service this is (/version), what runs and what does not and why
 * (/debug/runtime/status), and which settings are in force and where they come from
 * (/debug/runtime/config). All three are walks over the capability table.
 * Threads: rth-work. Failure: none of its own. Cost: microseconds.
 */
#include "runtime/runtime.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/enable.h"
#include "core/fork.h"
#include "core/identity.h"
#include "core/log.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "thread/host_signals.h"

static struct rth_runtime_facts facts;

void rth__runtime_facts_set(const struct rth_runtime_facts *new_facts)
{
    facts = *new_facts;
}

const struct rth_runtime_facts *rth__runtime_facts(void)
{
    return &facts;
}

/* The text, or null where nobody said. */
static void member_text(struct rth_json *json, const char *key, const char *text)
{
    rth__json_member_string(json, key, text[0] != '\0' ? text : NULL);
}

static void member_time(struct rth_json *json, const char *key, int64_t unix_ns)
{
    char text[RTH_RFC3339_BYTES];
    rth__clock_rfc3339_sigsafe(unix_ns, text);
    rth__json_member_string(json, key, text);
}

static int write_version(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    const struct rth_identity *identity = rth__identity();
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "name", identity->service);
    member_text(&json, "version", identity->version);
    member_text(&json, "revision", identity->revision);
    member_text(&json, "build_id", identity->build_id);
    member_text(&json, "compiler", identity->compiler);
    member_time(&json, "start_time", identity->start_unix_ns);
    member_text(&json, "executable", identity->executable);
    rth__json_member_int(&json, "pid", identity->pid);
    rth__json_key(&json, "rthooks");
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "version", rth_version());
    rth__json_member_string(&json, "compiler", __VERSION__);
    rth__json_object_end(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

static void write_capabilities(struct rth_json *json)
{
    rth__json_key(json, "capabilities");
    rth__json_array_begin(json);
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        const struct rth_capability_runtime *runtime = rth__capability_runtime_at(i);
        rth__json_object_begin(json);
        rth__json_member_string(json, "name", row->name);
        rth__json_member_string(json, "state", rth__capability_state_name(runtime->state));
        if (runtime->reason[0] != '\0')
            rth__json_member_string(json, "reason", runtime->reason);
        if (row->status != NULL && runtime->state == RTH_CAPABILITY_RUNNING)
            row->status(json);
        rth__json_object_end(json);
    }
    rth__json_array_end(json);
}

static void write_log(struct rth_json *json)
{
    rth__json_key(json, "log");
    rth__json_array_begin(json);
    struct rth_log_record record = {.sequence = 0};
    while (rth__log_next(record.sequence, &record)) {
        rth__json_object_begin(json);
        member_time(json, "time", record.realtime_ns);
        rth__json_member_string(json, "level", rth__log_level_name(record.level));
        rth__json_member_string(json, "event", record.event);
        rth__json_member_string(json, "message", record.message);
        rth__json_member_uint(json, "dropped", record.dropped);
        rth__json_object_end(json);
    }
    rth__json_array_end(json);
}

static void write_cost(struct rth_json *json)
{
    struct rth_arena_stats arena;
    rth__arena_stats(&arena);
    rth__json_key(json, "cost");
    rth__json_object_begin(json);
    rth__json_member_double(json, "cpu_seconds", (double)rth__service_thread_cpu_ns() / 1e9);
    rth__json_member_uint(json, "memory_mapped_bytes", arena.mapped_bytes);
    rth__json_member_uint(json, "memory_reserved_bytes", arena.reserved_bytes);
    rth__json_member_uint(json, "memory_used_bytes", arena.used_bytes);
    rth__json_member_uint(json, "memory_cap_bytes", arena.cap_bytes);
    rth__json_member_uint(json, "memory_refused", arena.refused);
    rth__json_member_uint(json, "stack_resident_bytes", rth__service_thread_stack_bytes());
    rth__json_object_end(json);
}

static void write_clock(struct rth_json *json)
{
    /* Measured for this answer: 2 ms on rth-work. */
    struct rth_tsc tsc;
    rth__clock_tsc_check(&tsc, 2 * RTH_NS_PER_MS);
    rth__json_key(json, "clock");
    rth__json_object_begin(json);
    rth__json_member_string(json, "source", tsc.usable ? "tsc" : "clock_gettime");
    if (!tsc.usable)
        rth__json_member_string(json, "reason", tsc.reason);
    rth__json_object_end(json);
}

static int write_status_line(struct rth_sink *sink)
{
    const struct rth_identity *identity = rth__identity();
    (void)rth__sink_printf(sink, "rthooks status service=%.256s pid=%d version=%s interposed=%s",
                           identity->service, identity->pid, rth_version(),
                           facts.interposed ? "yes" : "no");
    for (size_t i = 0; i < rth__capability_count(); i++)
        (void)rth__sink_printf(sink, " %s=%s", rth__capability_at(i)->name,
                               rth__capability_state_name(rth__capability_runtime_at(i)->state));
    return rth__sink_puts(sink, "\n");
}

static int write_status(struct rth_call *call, struct rth_sink *sink)
{
    char format[8] = "";
    (void)rth__params_get(&call->params, "format", format, sizeof(format));
    if (strcmp(format, "text") == 0) {
        call->content_type = "text/plain; charset=utf-8";
        return write_status_line(sink);
    }
    const struct rth_identity *identity = rth__identity();
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "service", identity->service);
    rth__json_member_int(&json, "pid", identity->pid);
    rth__json_member_string(&json, "version", rth_version());
    rth__json_member_bool(&json, "autostarted", facts.autostarted);
    rth__json_member_bool(&json, "adopted_child", facts.adopted_child);
    rth__json_member_bool(&json, "interposed", facts.interposed);
    if (!facts.interposed)
        rth__json_member_string(&json, "interposed_reason", facts.interposer_reason);
    rth__json_member_uint(&json, "generation", rth__enable_page()->generation);
    write_capabilities(&json);
    write_cost(&json);
    write_clock(&json);
    write_log(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

static const char *source_name(uint8_t source)
{
    static const char *const names[] = {
        [RTH_OPTION_DEFAULT] = "default",
        [RTH_OPTION_OPTS] = "rth_opts",
        [RTH_OPTION_ENVIRONMENT] = "environment",
        [RTH_OPTION_SETTER] = "setter",
    };
    return source < sizeof(names) / sizeof(names[0]) ? names[source] : "unknown";
}

static void write_option(struct rth_json *json, const char *capability,
                         const struct rth_option *option)
{
    bool secret = (option->flags & RTH_OPTION_SECRET) != 0 && option->value->text[0] != '\0';
    rth__json_object_begin(json);
    rth__json_member_string(json, "variable", option->variable);
    rth__json_member_string(json, "capability", capability);
    rth__json_member_string(json, "value", secret ? "***" : option->value->text);
    rth__json_member_string(json, "source", source_name(option->value->source));
    rth__json_member_string(json, "default", option->default_text);
    rth__json_member_string(json, "grammar", option->grammar);
    if (option->value->malformed)
        rth__json_member_bool(json, "malformed", true);
    rth__json_object_end(json);
}

static int write_config(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_key(&json, "options");
    rth__json_array_begin(&json);
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        for (size_t k = 0; k < row->option_count; k++)
            write_option(&json, row->name, &row->options[k]);
    }
    rth__json_array_end(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "version",
        .path = "/version",
        .content_type = "application/json",
        .description = "service, version, revision, build-id, compiler, start time",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = write_version,
    },
    {
        .name = "status",
        .path = "/debug/runtime/status",
        .content_type = "application/json",
        .description = "what runs, what does not and why, own cost, own log",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = write_status,
    },
    {
        .name = "config",
        .path = "/debug/runtime/config",
        .content_type = "application/json",
        .description = "every setting, its value and where it comes from",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = write_config,
    },
};

/* Layers below the capabilities whose options need a row to be read, shown and documented. */
const struct rth_capability rth__log_capability = {
    .name = "log",
    .options = rth__log_options,
    .option_count = RTH_LOG_OPTION_COUNT,
};

const struct rth_capability rth__fork_capability = {
    .name = "fork",
    .options = rth__fork_options,
    .option_count = RTH_FORK_OPTION_COUNT,
};

const struct rth_capability rth__runtime_capability = {
    .name = "runtime",
    .options = rth__identity_options,
    .option_count = RTH_IDENTITY_OPTION_COUNT,
    .status = rth__host_signals_write,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
};
