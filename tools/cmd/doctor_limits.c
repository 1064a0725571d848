/* SPDX-License-Identifier: MIT */

/* The limits of this system, of a process, or of a copied /proc and /sys. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http.h"
#include "cmd/budget.h"
#include "cmd/doctor.h"
#include "os/fd.h"
#include "os/procfs.h"

static void limits_of_place(struct report *report, const struct look_place *place)
{
    char message[1024];
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL)
        return;
    /* A malformed variable is a finding of its own ("environment"). */
    if (look_settings_read(&look->settings, &look->is_lazy, message, sizeof(message)) != 0)
        look->settings = (struct rth_budget_settings)RTH_BUDGET_SETTINGS_DEFAULT;
    look_take(place, look);
    limits_findings(report, look);
    free(look);
}

void doctor_limits(struct report *report, pid_t pid)
{
    struct look_place place;
    int error = look_place_open(pid, &place);
    if (error != 0) {
        report_add(report, FINDING_NOTE, "memory limit", "cannot open /: %s", strerror(-error));
        return;
    }
    limits_of_place(report, &place);
    look_place_close(&place);
}

/* What the manifest says beside what the platform does. */
static void manifest_finding(struct report *report, const json_t *document)
{
    const json_t *manifest = json_object_get(document, "manifest");
    const json_t *memory = json_object_get(manifest, "memory_limit_drifts");
    const json_t *cpu = json_object_get(manifest, "cpu_limit_drifts");
    char wanted[LOOK_BYTES_TEXT], found[LOOK_BYTES_TEXT] = "no limit";
    const json_t *hard = json_object_get(document, "memory_hard_limit_bytes");
    const json_t *limit = json_object_get(document, "cpu_limit");
    (void)look_bytes_text(
        (uint64_t)json_integer_value(json_object_get(manifest, "memory_limit_bytes")), wanted);
    if (json_is_integer(hard))
        (void)look_bytes_text((uint64_t)json_integer_value(hard), found);
    if (json_is_true(memory))
        report_add(report, FINDING_NOTE, "manifest",
                   "RTHOOKS_MANIFEST_MEMORY_LIMIT is %s, the platform has %s", wanted, found);
    if (json_is_true(cpu)) {
        snprintf(found, sizeof(found), "no limit");
        if (json_is_number(limit))
            snprintf(found, sizeof(found), "%.4g", json_number_value(limit));
        report_add(report, FINDING_NOTE, "manifest",
                   "RTHOOKS_MANIFEST_CPU_LIMIT is %.4g processors, the platform has %s",
                   json_number_value(json_object_get(manifest, "cpu_limit")), found);
    }
    if (!json_is_true(memory) && !json_is_true(cpu) && (memory != NULL || cpu != NULL))
        report_add(report, FINDING_OK, "manifest", "its limits are those of the platform");
}

void doctor_budget(struct report *report, const struct target *target, const char *token_file)
{
    char text[PATH_MAX + 256];
    struct http_answer answer;
    if (http_get(target, BUDGET_ROUTE, token_file, &answer, text, sizeof(text)) != 0) {
        report_add(report, FINDING_PROBLEM, "budget", "%s", text);
        return;
    }
    json_t *document =
        answer.status == 200 && answer.body != NULL
            ? json_loadb(answer.body, answer.body_bytes, JSON_REJECT_DUPLICATES, NULL)
            : NULL;
    if (document != NULL && budget_document_line(document, text, sizeof(text))) {
        static const char start[] = "rthooks budget ";
        report_add(report, FINDING_OK, "budget", "%s",
                   strncmp(text, start, sizeof(start) - 1) == 0 ? text + sizeof(start) - 1 : text);
        manifest_finding(report, document);
    } else {
        report_add(report, FINDING_NOTE, "budget", "status %ld: it says nothing of its limits",
                   answer.status);
    }
    http_answer_free(&answer);
    json_decref(document);
}

/* The first line of a file below the copy. */
static bool first_line(const struct look_place *place, const char *path, char *ret_text,
                       size_t text_size)
{
    if (rth__read_file_at(place->root_fd, path, ret_text, text_size) <= 0)
        return false;
    ret_text[strcspn(ret_text, "\n")] = '\0';
    return true;
}

static void copied_process(struct report *report, const struct look_place *place)
{
    struct rth_proc_status status;
    int error = rth__proc_status_read(place->root_fd, place->pid, 0, &status);
    if (error != 0) {
        report_add(report, FINDING_NOTE, "process", "its status is not in the copy: %s",
                   strerror(-error));
        return;
    }
    report_add(report, FINDING_OK, "process", "%s (pid %d), uid %u, %d thread%s", status.name,
               status.tgid, (unsigned)status.uid[0], status.threads,
               status.threads == 1 ? "" : "s");
    report_add(report, FINDING_OK, "memory", "%" PRIu64 " MiB resident, %" PRIu64 " MiB mapped",
               status.vm_rss_kib / 1024, status.vm_size_kib / 1024);
}

int doctor_copy(struct report *report, const char *folder, pid_t pid)
{
    char text[PATH_MAX + 256];
    struct look_place place;
    if (look_place_open_copy(folder, pid, &place, text, sizeof(text)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", text);
    if (first_line(&place, "proc/version", text, sizeof(text)))
        report_add(report, FINDING_OK, "kernel", "%s", text);
    if (first_line(&place, "sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)))
        report_add(report, FINDING_OK, "huge pages", "%s", text);
    copied_process(report, &place);
    limits_of_place(report, &place);
    look_place_close(&place);
    return EXIT_FINE;
}
