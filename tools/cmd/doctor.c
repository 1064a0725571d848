/* SPDX-License-Identifier: MIT */

/* `rthooks doctor`: looks, changes nothing, and says one line per thing it looked at. */

#include "cmd/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "client/http.h"
#include "client/program_check.h"

static const char help[] =
    "Usage: rthooks doctor [--json] [TARGET]\n"
    "\n"
    "Without TARGET: what this system offers to rthooks.\n"
    "With a process id: what /proc shows of the process, hooked or not.\n"
    "With a program file: whether `rthooks run` would hook it, and if not, why.\n"
    "With a Unix socket or a URL: whether it answers, and what its health checks say.\n"
    "\n"
    "One line per finding: ok, note (worth knowing) or problem. Status 1 when there is a problem.\n"
    "\n"
    "  --json               as JSON\n"
    "  --token-file FILE    token for a URL (else RTHOOKS_ADMIN_TOKEN_FILE)\n"
    "  -h, --help           this text\n";

void doctor_file(struct report *report, const char *path)
{
    struct program_check check;
    program_check(path, &check);
    if (check.scripts > 0 && strcmp(check.program, path) != 0)
        report_add(report, FINDING_OK, "script", "read by %s%s", check.program,
                   check.through_shell ? " (no #! line: the shell, as execvp does)" : "");
    if (check.has_facts) {
        const struct rth_elf_facts *facts = &check.facts;
        char build_id[2 * RTH_ELF_BUILD_ID_BYTES + 1] = "";
        (void)rth__elf_build_id_text(facts, build_id, sizeof(build_id));
        report_add(report, FINDING_OK, "format", "%u-bit %s, %s", facts->class_bits,
                   rth__elf_machine_name(facts->machine),
                   rth__elf_is_static(facts) ? "linked statically" : facts->interpreter);
        if (build_id[0] != '\0')
            report_add(report, FINDING_OK, "build-id", "%s", build_id);
        else
            report_add(report, FINDING_NOTE, "build-id",
                       "none: profiles cannot be matched to its debug information");
        if (facts->has_rthooks_note)
            report_add(report, FINDING_OK, "rthooks",
                       "linked in statically: run adds the interposer alone");
    }
    if (check.verdict == PROGRAM_HOOKABLE)
        report_add(report, FINDING_OK, "run", "rthooks run hooks it");
    else if (check.verdict == PROGRAM_STATIC)
        report_add(report, FINDING_NOTE, "run", "%s", check.reason);
    else
        report_add(report, FINDING_PROBLEM, "run", "refused: %s", check.reason);
}

/* The text of a short answer on one line. */
static void one_line(const struct http_answer *answer, char *ret_text, size_t text_size)
{
    char text[1024];
    snprintf(text, sizeof(text), "%s", answer->body != NULL ? answer->body : "");
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '\n')
            *at = ';';
    }
    (void)printable(text, ret_text, text_size);
}

/* What /version says, or that this is something else. */
static void check_version(struct report *report, const struct http_answer *answer)
{
    json_t *document =
        json_loadb(answer->body != NULL ? answer->body : "", answer->body_bytes, 0, NULL);
    const char *rthooks =
        json_string_value(json_object_get(json_object_get(document, "rthooks"), "version"));
    const char *name = json_string_value(json_object_get(document, "name"));
    const char *version = json_string_value(json_object_get(document, "version"));
    if (answer->status != 200 || rthooks == NULL)
        report_add(report, FINDING_PROBLEM, "/version", "status %ld, not the answer of rthooks",
                   answer->status);
    else
        report_add(report, FINDING_OK, "/version", "%s %s, rthooks %s",
                   name != NULL ? name : "(no name)", version != NULL ? version : "(no version)",
                   rthooks);
    json_decref(document);
}

bool doctor_endpoint(struct report *report, const struct target *target, const char *token_file,
                     char *ret_message, size_t message_size)
{
    static const char *const routes[] = {"/version", "/livez", "/readyz"};
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        struct http_answer answer;
        char text[512];
        if (http_get(target, routes[i], token_file, &answer, ret_message, message_size) != 0) {
            if (i == 0)
                return false;
            report_add(report, FINDING_PROBLEM, routes[i], "%s", ret_message);
            continue;
        }
        one_line(&answer, text, sizeof(text));
        if (i == 0)
            check_version(report, &answer);
        else if (answer.status == 200)
            report_add(report, FINDING_OK, routes[i], "%s", text);
        else
            report_add(report, FINDING_PROBLEM, routes[i], "status %ld: %s", answer.status, text);
        http_answer_free(&answer);
    }
    return true;
}

static int examine(struct report *report, struct target *target,
                   const struct common_options *options)
{
    char message[PATH_MAX + 256];
    switch (target->kind) {
    case TARGET_FILE:
        doctor_file(report, target->text);
        return EXIT_FINE;
    case TARGET_PID:
        if (target_process(target, message, sizeof(message)) != 0)
            return fail(EXIT_UNREACHABLE, "%s", message);
        doctor_process(report, target);
        return EXIT_FINE;
    case TARGET_SOCKET:
        if (target_find_socket(target, message, sizeof(message)) != 0)
            return fail(EXIT_UNREACHABLE, "%s", message);
        break;
    case TARGET_URL:
        break;
    }
    if (!doctor_endpoint(report, target, options->token_file, message, sizeof(message)))
        return fail(EXIT_UNREACHABLE, "%s", message);
    return EXIT_FINE;
}

static int doctor_main(int argc, char **argv)
{
    struct common_options options = {0};
    int parsed = parse_common_options(argc, argv, &options);
    if (parsed >= 0)
        return parsed;
    struct report report;
    report_init(&report);
    if (optind == argc) {
        doctor_system(&report);
        return report_print(&report, "this system", options.json);
    }
    char message[PATH_MAX + 256];
    struct target target;
    int error = target_parse(argv[optind], &target, message, sizeof(message));
    int status = error == 0         ? examine(&report, &target, &options)
                 : error == -EINVAL ? fail(EXIT_USAGE, "%s", message)
                                    : fail(EXIT_UNREACHABLE, "%s", message);
    if (error == 0)
        target_close(&target);
    if (status == EXIT_FINE)
        return report_print(&report, argv[optind], options.json);
    json_decref(report.findings);
    return status;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "examine this system, a process, a program or an endpoint",
    .help = help,
    .main = doctor_main,
};
