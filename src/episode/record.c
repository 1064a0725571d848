/* SPDX-License-Identifier: MIT */
#include "episode/record.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/identity.h"
#include "formats/json.h"
#include "formats/json_read.h"
#include "formats/sink.h"
#include "os/clock.h"
#include "rthooks/rthooks.h"

#define FORMAT_NAME "rthooks.episode"

void rth__episode_host(char ret_host[72])
{
    struct utsname system;
    (void)snprintf(ret_host, 72, "%.71s", uname(&system) == 0 ? system.nodename : "");
}

static void member_text(struct rth_json *json, const char *key, const char *text)
{
    rth__json_member_string(json, key, text[0] != '\0' ? text : NULL);
}

static void write_process(const struct rth_episode_record *record, struct rth_json *json)
{
    const struct rth_identity *identity = rth__identity();
    char host[72];
    rth__episode_host(host);
    rth__json_member_int(json, "pid", record->name.pid);
    rth__json_member_uint(json, "starttime_ticks", identity->starttime_ticks);
    rth__json_member_string(json, "service", identity->service);
    member_text(json, "version", identity->version);
    member_text(json, "revision", identity->revision);
    member_text(json, "build_id", identity->build_id);
    member_text(json, "executable", identity->executable);
    member_text(json, "host", host);
    rth__json_member_string(json, "rthooks_version", rth_version());
}

static void write_entry(const struct rth_episode_entry *entry, struct rth_json *json)
{
    const char *query = strchr(entry->spec, '?');
    size_t name_bytes = query != NULL ? (size_t)(query - entry->spec) : strlen(entry->spec);
    rth__json_object_begin(json);
    rth__json_key(json, "name");
    rth__json_string_n(json, entry->spec, name_bytes);
    if (query != NULL)
        rth__json_member_string(json, "query", query + 1);
    rth__json_member_string(json, "result", entry->file[0] != '\0' ? "written" : "left_out");
    if (entry->file[0] != '\0') {
        rth__json_member_string(json, "file", entry->file);
        rth__json_member_uint(json, "bytes", entry->bytes);
    } else {
        rth__json_member_string(json, "why", entry->why);
    }
    rth__json_member_double(json, "duration_ms", (double)entry->duration_ns / 1e6);
    rth__json_object_end(json);
}

static void write_entries(const struct rth_episode_record *record, struct rth_json *json)
{
    rth__json_key(json, "artefacts");
    rth__json_array_begin(json);
    for (size_t i = 0; i < record->entry_count; i++)
        write_entry(&record->entries[i], json);
    rth__json_array_end(json);
    rth__json_key(json, "planned");
    rth__json_array_begin(json);
    for (size_t i = record->entry_count; i < record->planned_count; i++)
        rth__json_string(json, record->entries[i].spec);
    rth__json_array_end(json);
}

int rth__episode_record_write(const struct rth_episode_record *record, struct rth_sink *sink)
{
    char time[RTH_RFC3339_BYTES];
    rth__clock_rfc3339_sigsafe(record->unix_ns, time);
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "format", FORMAT_NAME);
    rth__json_member_int(&json, "format_version", RTH_EPISODE_FORMAT_VERSION);
    rth__json_member_string(&json, "id", record->name.id);
    rth__json_member_string(&json, "state",
                            !record->is_over           ? "collecting"
                            : record->ended_by != NULL ? "stopped"
                                                       : "complete");
    if (record->ended_by != NULL)
        rth__json_member_string(&json, "stopped_by", record->ended_by);
    rth__json_member_string(&json, "trigger", record->name.trigger);
    rth__json_member_string(&json, "reason", record->reason);
    rth__json_member_string(&json, "time", time);
    write_process(record, &json);
    if (record->is_over) {
        rth__json_member_uint(&json, "duration_ms", (uint64_t)record->duration_ns / 1000000);
        rth__json_member_uint(&json, "bytes", record->bytes);
    }
    write_entries(record, &json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

/* ---- and back ------------------------------------------------------------------------------ */

struct document {
    const char *text;
    size_t size_bytes;
};

/* What is missing or of another kind is "". A text that does not fit is cut nowhere: it is "". */
static void read_text(const struct document *document, const char *key, char *ret_text,
                      size_t text_size)
{
    struct rth_json_value value;
    ret_text[0] = '\0';
    if (rth__json_read_member(document->text, document->size_bytes, key, &value) != 0 ||
        rth__json_read_text(&value, ret_text, text_size) != 0)
        ret_text[0] = '\0';
}

static uint64_t read_uint(const struct document *document, const char *key)
{
    struct rth_json_value value;
    uint64_t number = 0;
    if (rth__json_read_member(document->text, document->size_bytes, key, &value) == 0)
        (void)rth__json_read_uint(&value, &number);
    return number;
}

void rth__episode_summary_read(const char *text, size_t size_bytes,
                               struct rth_episode_summary *ret_summary)
{
    struct document document = {text, size_bytes};
    struct rth_episode_summary summary;
    memset(&summary, 0, sizeof(summary));
    char format[32];
    read_text(&document, "format", format, sizeof(format));
    read_text(&document, "state", summary.state, sizeof(summary.state));
    if (strcmp(format, FORMAT_NAME) != 0 ||
        read_uint(&document, "format_version") != RTH_EPISODE_FORMAT_VERSION ||
        summary.state[0] == '\0') {
        (void)snprintf(summary.state, sizeof(summary.state), "unreadable");
        *ret_summary = summary;
        return;
    }
    read_text(&document, "reason", summary.reason, sizeof(summary.reason));
    read_text(&document, "time", summary.time, sizeof(summary.time));
    read_text(&document, "service", summary.service, sizeof(summary.service));
    read_text(&document, "host", summary.host, sizeof(summary.host));
    summary.starttime_ticks = read_uint(&document, "starttime_ticks");
    summary.duration_ms = read_uint(&document, "duration_ms");
    *ret_summary = summary;
}
