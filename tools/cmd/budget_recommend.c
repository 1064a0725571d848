/* SPDX-License-Identifier: MIT */

/* `rthooks budget --recommend`: watches, and says what to ask the platform for. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "budget/recommend.h"
#include "budget/watch.h"
#include "cmd/budget.h"

#define SHORT_LOOK_SECONDS (24 * 3600)
#define NEAR_LIMIT_SHARE   0.85

struct proposal {
    double memory_p50, memory_p95, memory_max; /* bytes; NaN: nothing was seen */
    double cpu_p50, cpu_p95, cpu_max;          /* processors; NaN: not known */
    int64_t peak_bytes;
    const char *peak_source; /* "seen", "VmHWM", "cgroup": the kernel's, which VmHWM is above */
    int64_t memory_request_bytes, memory_limit_bytes;
    int64_t cpu_request_millis; /* -1: not known */
};

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void compute(struct watch *watch, struct proposal *ret_proposal)
{
    struct proposal proposal = {
        .memory_p50 = recommend_percentile(watch->memory, watch->memory_count, 0.5),
        .memory_p95 = recommend_percentile(watch->memory, watch->memory_count, 0.95),
        .memory_max = recommend_percentile(watch->memory, watch->memory_count, 1),
        .cpu_p50 = recommend_percentile(watch->cpu, watch->cpu_count, 0.5),
        .cpu_p95 = recommend_percentile(watch->cpu, watch->cpu_count, 0.95),
        .cpu_max = recommend_percentile(watch->cpu, watch->cpu_count, 1),
        .peak_source = "seen",
    };
    proposal.peak_bytes = (int64_t)proposal.memory_max;
    /* Before we looked it may have been more; what the cgroup never held cannot count. */
    int64_t before_bytes = watch->life_peak_bytes;
    const char *before_source = "VmHWM";
    if (watch->group_peak_bytes >= 0 && before_bytes > watch->group_peak_bytes) {
        before_bytes = watch->group_peak_bytes;
        before_source = "cgroup";
    }
    if (before_bytes > proposal.peak_bytes) {
        proposal.peak_bytes = before_bytes;
        proposal.peak_source = before_source;
    }
    proposal.memory_limit_bytes = recommend_memory_limit(proposal.peak_bytes);
    proposal.memory_request_bytes =
        recommend_memory_request((int64_t)proposal.memory_p95, proposal.memory_limit_bytes);
    proposal.cpu_request_millis = recommend_cpu_request(proposal.cpu_p95);
    *ret_proposal = proposal;
}

static void add_notes(json_t *notes, const struct watch *watch, const struct proposal *proposal)
{
    char text[512];
    const struct look *look = watch->look;
    if (watch->has_ended) {
        snprintf(text, sizeof(text), "it ended, or its cgroup was removed, after %.0f s",
                 watch->seconds);
        json_array_append_new(notes, json_text(text));
    }
    if (watch->seconds < SHORT_LOOK_SECONDS) {
        snprintf(
            text, sizeof(text),
            "%.0f s is a short look and a weak basis: what it does at its busiest hour may not "
            "have been in it; --for 24h looks over a day",
            watch->seconds);
        json_array_append_new(notes, json_text(text));
    }
    if (watch->memory_is_cgroup && watch->processes > 1) {
        snprintf(text, sizeof(text),
                 "%u processes are in the cgroup: its numbers are those of all of them",
                 watch->processes);
        json_array_append_new(notes, json_text(text));
    }
    if (look->budget.memory_hard_bytes != RTH_BUDGET_NO_LIMIT &&
        (double)proposal->peak_bytes >= NEAR_LIMIT_SHARE * (double)look->budget.memory_hard_bytes)
        json_array_append_new(notes,
                              json_string("the peak is close to the limit it has now: without that "
                                          "limit it might use more, or keep more in its caches"));
    json_array_append_new(
        notes,
        json_string("no CPU limit is proposed: a quota stops all threads of a burst, and the "
                    "request already shares the machine fairly; without one, set "
                    "RTHOOKS_CPU_LIMIT so that pools are not sized for the whole machine"));
}

static void set_real(json_t *object, const char *key, double value)
{
    if (!isnan(value))
        json_object_set_new(object, key, json_real(value));
}

static json_t *proposal_json(const struct watch *watch, const struct proposal *proposal,
                             const char *name)
{
    json_t *document = json_object(), *memory = json_object(), *cpu = json_object();
    json_t *requests = json_object(), *limits = json_object(), *notes = json_array();
    char quantity[RECOMMEND_QUANTITY_BYTES];
    add_notes(notes, watch, proposal);
    if (watch->pid > 0)
        json_object_set_new(document, "pid", json_integer(watch->pid));
    json_object_set_new(document, "name", json_text(name));
    json_object_set_new(document, "seconds", json_real(watch->seconds));
    json_object_set_new(document, "looks", json_integer((json_int_t)watch->memory_count));
    json_object_set_new(memory, "of", json_string(watch->memory_is_cgroup ? "cgroup" : "process"));
    json_object_set_new(memory, "p50_bytes", json_integer((json_int_t)proposal->memory_p50));
    json_object_set_new(memory, "p95_bytes", json_integer((json_int_t)proposal->memory_p95));
    json_object_set_new(memory, "max_bytes", json_integer((json_int_t)proposal->memory_max));
    if (watch->life_peak_bytes >= 0)
        json_object_set_new(memory, "life_peak_bytes", json_integer(watch->life_peak_bytes));
    if (watch->group_peak_bytes >= 0)
        json_object_set_new(memory, "cgroup_peak_bytes", json_integer(watch->group_peak_bytes));
    json_object_set_new(memory, "peak_bytes", json_integer(proposal->peak_bytes));
    json_object_set_new(memory, "peak_source", json_string(proposal->peak_source));
    json_object_set_new(document, "memory", memory);
    if (watch->cpu_is_known) {
        json_object_set_new(cpu, "of", json_string(watch->cpu_is_cgroup ? "cgroup" : "process"));
        set_real(cpu, "p50", proposal->cpu_p50);
        set_real(cpu, "p95", proposal->cpu_p95);
        set_real(cpu, "max", proposal->cpu_max);
    }
    json_object_set_new(document, "cpu", cpu);
    recommend_memory_quantity(proposal->memory_request_bytes, quantity);
    json_object_set_new(requests, "memory", json_string(quantity));
    if (proposal->cpu_request_millis >= 0) {
        recommend_cpu_quantity(proposal->cpu_request_millis, quantity);
        json_object_set_new(requests, "cpu", json_string(quantity));
    }
    recommend_memory_quantity(proposal->memory_limit_bytes, quantity);
    json_object_set_new(limits, "memory", json_string(quantity));
    json_object_set_new(document, "resources",
                        json_pack("{s:o, s:o}", "requests", requests, "limits", limits));
    json_object_set_new(document, "notes", notes);
    return document;
}

static void print_seen(const struct watch *watch, const struct proposal *proposal)
{
    char p50[LOOK_BYTES_TEXT], p95[LOOK_BYTES_TEXT], most[LOOK_BYTES_TEXT];
    printf("memory  p50 %s, p95 %s, max %s (%s)\n",
           look_bytes_text((uint64_t)proposal->memory_p50, p50),
           look_bytes_text((uint64_t)proposal->memory_p95, p95),
           look_bytes_text((uint64_t)proposal->memory_max, most),
           watch->memory_is_cgroup ? "its cgroup, without what can be reclaimed"
                                   : "its resident set: it has no cgroup of its own");
    if (watch->life_peak_bytes >= 0)
        printf("        since it started at most %s resident (VmHWM)\n",
               look_bytes_text((uint64_t)watch->life_peak_bytes, most));
    if (watch->group_peak_bytes >= 0)
        printf("        the cgroup since it was made at most %s, page cache included\n",
               look_bytes_text((uint64_t)watch->group_peak_bytes, most));
    if (watch->cpu_count > 0)
        printf("cpu     p50 %.2f, p95 %.2f, max %.2f processors (%s)\n", proposal->cpu_p50,
               proposal->cpu_p95, proposal->cpu_max,
               watch->cpu_is_cgroup ? "its cgroup" : "the process");
    else
        printf("cpu     not known\n");
}

static void print_proposal(const struct watch *watch, const struct proposal *proposal,
                           const char *name)
{
    char request[RECOMMEND_QUANTITY_BYTES], limit[RECOMMEND_QUANTITY_BYTES];
    char cpu[RECOMMEND_QUANTITY_BYTES] = "", clean[128];
    printf("%s: looked at %zu times in %.0f s\n", printable(name, clean, sizeof(clean)),
           watch->memory_count, watch->seconds);
    print_seen(watch, proposal);
    recommend_memory_quantity(proposal->memory_request_bytes, request);
    recommend_memory_quantity(proposal->memory_limit_bytes, limit);
    printf("\nmemory request  %s: p95, up to the next 16 MiB\n", request);
    printf("memory limit    %s: 1.25 x the peak (%s), up to the next 16 MiB\n", limit,
           strcmp(proposal->peak_source, "seen") == 0    ? "seen"
           : strcmp(proposal->peak_source, "VmHWM") == 0 ? "since it started"
                                                         : "of the cgroup since it was made");
    if (proposal->cpu_request_millis >= 0) {
        recommend_cpu_quantity(proposal->cpu_request_millis, cpu);
        printf("CPU request     %s: p95, up to the next 10m\n", cpu);
    }
    printf("\nresources:\n  requests:\n    memory: %s\n", request);
    if (cpu[0] != '\0')
        printf("    cpu: %s\n", cpu);
    printf("  limits:\n    memory: %s\n\n", limit);
    json_t *notes = json_array(), *note;
    size_t at;
    add_notes(notes, watch, proposal);
    json_array_foreach(notes, at, note) printf("note: %s\n", json_string_value(note));
    json_decref(notes);
}

int budget_recommend(const struct look_place *place, const struct look *look, const char *name,
                     unsigned seconds, bool json)
{
    char message[256];
    struct watch watch;
    struct proposal proposal;
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESETHAND};
    int error = watch_open(&watch, place, look, seconds, message, sizeof(message));
    if (error != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    (void)sigaction(SIGINT, &action, NULL);
    error = watch_run(&watch, seconds, &stopped, isatty(STDERR_FILENO) != 0);
    int status = EXIT_FINE;
    if (error != 0) {
        status = fail(EXIT_UNREACHABLE, "%s: %s", name,
                      error == -ESRCH || error == -ENOENT ? "it has ended" : strerror(-error));
    } else if (watch.memory_count == 0) {
        status = fail(EXIT_UNREACHABLE, "%s: nothing was seen", name);
    } else {
        compute(&watch, &proposal);
        if (!json)
            print_proposal(&watch, &proposal, name);
        else if (!print_json(proposal_json(&watch, &proposal, name)))
            status = EXIT_UNREACHABLE;
    }
    watch_close(&watch);
    return status;
}
