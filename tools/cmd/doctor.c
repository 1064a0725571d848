/* SPDX-License-Identifier: MIT */

/* `rthooks doctor`: looks, changes nothing, and says one line per thing it looked at. */

#include "cmd/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http.h"
#include "client/program_check.h"

static const char help[] =
    "Usage: rthooks doctor [--json] [TARGET]\n"
    "       rthooks doctor --collect DIR [--json] [PID]\n"
    "       rthooks doctor --root DIR [--pid N] [--json]\n"
    "\n"
    "Without TARGET: what this system offers to rthooks.\n"
    "With a process id: what /proc shows of the process, hooked or not.\n"
    "With a program file: whether `rthooks run` would hook it, and if not, why.\n"
    "With a Unix socket or a URL: whether it answers, and what its health checks say.\n"
    "\n"
    "One line per finding: ok, note (worth knowing) or problem. Status 1 when there is a problem.\n"
    "\n"
    "  --collect DIR        copies what this command and `rthooks budget` read of /proc and /sys "
    "into\n"
    "                       DIR, for a bug report: of process PID, or of the container this runs "
    "in.\n"
    "                       No command line, no environment, no data of a process. "
    "DIR/MANIFEST.txt\n"
    "                       lists what is there and what could not be read\n"
    "  --root DIR           examines such a copy\n"
    "  --pid N              the process of DIR, where there are several\n"
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
    doctor_budget(report, target, token_file);
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

struct doctor_options {
    struct common_options common;
    const char *collect, *root, *root_pid; /* as given, or NULL */
    pid_t pid;                             /* of the copy; 0: not given */
    const char *target;
};

/* What fits together. -1 or the status to leave with. */
static int settle(struct doctor_options *options)
{
    if (options->collect != NULL && options->root != NULL)
        return usage_error("--collect makes a copy, --root reads one: one at a time");
    if (options->root != NULL && options->target != NULL)
        return usage_error("--pid N says which process of %s, not '%s'", options->root,
                           options->target);
    if (options->root_pid == NULL)
        return -1;
    char *end;
    errno = 0;
    long pid = strtol(options->root_pid, &end, 10);
    if (options->root == NULL)
        return usage_error("--pid says which process of --root DIR");
    if (options->root_pid[0] < '0' || options->root_pid[0] > '9' || *end != '\0' || errno != 0 ||
        pid <= 0 || pid > INT_MAX)
        return usage_error("'%s' is no process id", options->root_pid);
    options->pid = (pid_t)pid;
    return -1;
}

static int parse(int argc, char **argv, struct doctor_options *options)
{
    static const struct option long_options[] = {
        {"collect", required_argument, NULL, 'c'},
        {"root", required_argument, NULL, 'r'},
        {"pid", required_argument, NULL, 'p'},
        COMMON_LONG_OPTIONS,
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        int status = -1;
        if (option == 'c')
            options->collect = optarg;
        else if (option == 'r')
            options->root = optarg;
        else if (option == 'p')
            options->root_pid = optarg;
        else
            status = common_option(option, argv, &options->common);
        if (status >= 0)
            return status;
    }
    if (argc - optind > 1)
        return usage_error("one target at a time, not '%s' as well", argv[optind + 1]);
    options->target = optind < argc ? argv[optind] : NULL;
    return settle(options);
}

static int collect(const struct doctor_options *options)
{
    char message[PATH_MAX + 256];
    struct target target;
    if (options->target == NULL)
        return doctor_collect(options->collect, NULL, NULL, options->common.json);
    int error = target_parse(options->target, &target, message, sizeof(message));
    if (error == 0 && target.kind != TARGET_PID)
        return usage_error("--collect copies what /proc has of a process id, not of '%s'",
                           options->target);
    if (error == 0)
        error = target_process(&target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    int status =
        doctor_collect(options->collect, &target, options->common.token_file, options->common.json);
    target_close(&target);
    return status;
}

static int examine_target(struct report *report, const struct doctor_options *options)
{
    char message[PATH_MAX + 256];
    struct target target;
    int error = target_parse(options->target, &target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    int status = examine(report, &target, &options->common);
    target_close(&target);
    return status;
}

static int doctor_main(int argc, char **argv)
{
    struct doctor_options options = {0};
    struct report report;
    const char *title = "this system";
    int status = parse(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.collect != NULL)
        return collect(&options);
    report_init(&report);
    if (options.root != NULL) {
        title = options.root;
        status = doctor_copy(&report, options.root, options.pid);
    } else if (options.target != NULL) {
        title = options.target;
        status = examine_target(&report, &options);
    } else {
        doctor_system(&report);
        status = EXIT_FINE;
    }
    if (status == EXIT_FINE)
        return report_print(&report, title, options.common.json);
    json_decref(report.findings);
    return status;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "examine this system, a process, a program or an endpoint",
    .help = help,
    .main = doctor_main,
};
