/* SPDX-License-Identifier: MIT */

/*
 * `rthooks budget`: how much memory and CPU a process may use, and who says so. A hooked process is
 * asked. For any other, for a container before anything runs in it, and for a copied /proc and
 * /sys, the same answer is computed by the same code.
 */

#include "cmd/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/recommend.h"
#include "client/http.h"
#include "client/process.h"
#include "client/target.h"
#include "os/fd.h"

static const char help[] =
    "Usage: rthooks budget [--json] TARGET\n"
    "       rthooks budget --dry-run [--json] [PID]\n"
    "       rthooks budget --root DIR [--pid N] [--json]\n"
    "       rthooks budget --recommend [--for DURATION] [--json] [PID]\n"
    "\n"
    "Shows how much memory and CPU TARGET may use, and who says so, as one line: a process id, a\n"
    "Unix socket or a URL is asked; a file saved from /debug/runtime/budget is read. Of a process\n"
    "without rthooks inside, what its container would give it is shown instead.\n"
    "\n"
    "  --dry-run            what this container, or that of process PID, would give a process: "
    "the\n"
    "                       line, who decided, and what every level of the cgroups says. The\n"
    "                       variables RTHOOKS_MEMORY_LIMIT, RTHOOKS_MEMORY_RATIO,\n"
    "                       RTHOOKS_CPU_LIMIT, RTHOOKS_CPU_ROUND and RTHOOKS_RETURN count as they\n"
    "                       are here, not as process PID has them\n"
    "  --root DIR           the same of a copied /proc and /sys: `rthooks doctor --collect DIR`\n"
    "                       makes one\n"
    "  --pid N              the process of DIR, where there are several\n"
    "  --recommend          watches, and proposes requests and limits; without PID the cgroup "
    "that\n"
    "                       this runs in. Ctrl-C ends the look early\n"
    "  --for DURATION       how long: 45s, 10m, 24h, 7d; default 60s\n"
    "  --json               as JSON; what a process answers, and what was read to get there\n"
    "  --token-file FILE    token for a URL (else RTHOOKS_ADMIN_TOKEN_FILE)\n"
    "  -h, --help           this text\n";

#define DEFAULT_SECONDS 60

enum mode { MODE_ASK, MODE_DRY_RUN, MODE_ROOT, MODE_RECOMMEND };

struct budget_options {
    struct common_options common;
    enum mode mode;
    bool dry_run;
    const char *root;
    const char *duration, *root_pid; /* as given, or NULL */
    unsigned seconds;
    pid_t pid;          /* of the copied tree; 0: not given */
    const char *target; /* NULL: none */
};

/* What to read, and what it is called. */
struct subject {
    struct look_place place;
    struct look *look;
    char name[RTH_COMM_BYTES + 32];
};

static int parse_pid(const char *text, pid_t *ret_pid)
{
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || pid <= 0 || pid > INT_MAX)
        return usage_error("'%s' is no process id", text);
    *ret_pid = (pid_t)pid;
    return -1;
}

/* What fits together. -1 or the status to leave with. */
static int settle(struct budget_options *options, bool recommend)
{
    int status = -1;
    if ((options->root != NULL || options->dry_run) && recommend)
        return usage_error("--recommend watches a process that runs: not with %s",
                           options->root != NULL ? "--root" : "--dry-run");
    if (options->root_pid != NULL && options->root == NULL)
        return usage_error("--pid says which process of --root DIR");
    if (options->root_pid != NULL && (status = parse_pid(options->root_pid, &options->pid)) >= 0)
        return status;
    if (options->duration != NULL && !recommend)
        return usage_error("--for says how long --recommend looks");
    if (options->duration != NULL &&
        recommend_duration_parse(options->duration, &options->seconds) != 0)
        return usage_error("--for takes 1s to 7d, as 45s, 10m, 24h or 7d, not '%s'",
                           options->duration);
    options->mode = options->root != NULL ? MODE_ROOT
                    : options->dry_run    ? MODE_DRY_RUN
                    : recommend           ? MODE_RECOMMEND
                                          : MODE_ASK;
    if (options->mode == MODE_ROOT && options->target != NULL)
        return usage_error("--pid N says which process of %s, not '%s'", options->root,
                           options->target);
    if (options->mode == MODE_ASK && options->target == NULL)
        return usage_error(
            "which process, socket or URL? --dry-run says what this container gives");
    pid_t pid;
    if (options->mode != MODE_ASK && options->target != NULL)
        return parse_pid(options->target, &pid);
    return -1;
}

static int parse(int argc, char **argv, struct budget_options *options)
{
    static const struct option long_options[] = {
        {"dry-run", no_argument, NULL, 'd'},
        {"root", required_argument, NULL, 'r'},
        {"pid", required_argument, NULL, 'p'},
        {"recommend", no_argument, NULL, 'R'},
        {"for", required_argument, NULL, 'f'},
        COMMON_LONG_OPTIONS,
        {0},
    };
    bool recommend = false;
    int option;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        int status = -1;
        if (option == 'd')
            options->dry_run = true;
        else if (option == 'r')
            options->root = optarg;
        else if (option == 'p')
            options->root_pid = optarg;
        else if (option == 'R')
            recommend = true;
        else if (option == 'f')
            options->duration = optarg;
        else
            status = common_option(option, argv, &options->common);
        if (status >= 0)
            return status;
    }
    if (argc - optind > 1)
        return usage_error("one target at a time, not '%s' as well", argv[optind + 1]);
    options->target = optind < argc ? argv[optind] : NULL;
    return settle(options, recommend);
}

/* A process that runs, or this one. -1 or the status to leave with. */
static int open_process(const char *text, struct subject *subject)
{
    char message[PATH_MAX + 256];
    struct target target = {.folder_fd = -1};
    int error = text != NULL ? target_parse(text, &target, message, sizeof(message)) : 0;
    if (error == 0 && text != NULL)
        error = target_process(&target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    if (text != NULL)
        snprintf(subject->name, sizeof(subject->name), "%s (pid %d)", target.status.name,
                 (int)target.pid);
    else
        snprintf(subject->name, sizeof(subject->name), "this container");
    error = look_place_open(target.pid, &subject->place);
    if (error != 0)
        return fail(EXIT_UNREACHABLE, "cannot open /: %s", strerror(-error));
    return -1;
}

static int open_copy(const struct budget_options *options, struct subject *subject)
{
    char message[PATH_MAX + 256];
    snprintf(subject->name, sizeof(subject->name), "the copy");
    if (look_place_open_copy(options->root, options->pid, &subject->place, message,
                             sizeof(message)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    return -1;
}

static int show(const struct subject *subject, bool json)
{
    bool done;
    if (json) {
        json_t *document = look_json(subject->look);
        done = document != NULL && print_json(document);
    } else {
        done = look_print(subject->look);
    }
    return done ? EXIT_FINE : fail(EXIT_UNREACHABLE, "out of memory, or of room for the line");
}

/* Everything that is computed here rather than asked for. */
static int examine(const struct budget_options *options)
{
    char message[1024];
    struct subject subject = {.look = calloc(1, sizeof(*subject.look))};
    if (subject.look == NULL)
        return fail(EXIT_UNREACHABLE, "out of memory");
    subject.place.root_fd = -1;
    int status = -1;
    if (look_settings_read(&subject.look->settings, &subject.look->is_lazy, message,
                           sizeof(message)) != 0)
        status = fail(EXIT_USAGE, "%s", message);
    if (status < 0)
        status = options->mode == MODE_ROOT ? open_copy(options, &subject)
                                            : open_process(options->target, &subject);
    if (status < 0) {
        look_take(&subject.place, subject.look);
        status = options->mode == MODE_RECOMMEND
                     ? budget_recommend(&subject.place, subject.look, subject.name,
                                        options->seconds, options->common.json)
                     : show(&subject, options->common.json);
    }
    look_place_close(&subject.place);
    free(subject.look);
    return status;
}

/* Whether there is rthooks inside to ask. *ret_status: to leave with where that cannot be done. */
static bool is_hooked(struct target *target, int *ret_status)
{
    char message[PATH_MAX + 256];
    *ret_status = -1;
    if (target_process(target, message, sizeof(message)) != 0) {
        *ret_status = fail(EXIT_UNREACHABLE, "%s", message);
        return false;
    }
    int error = target_find_socket(target, message, sizeof(message));
    if (error == 0)
        return true;
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    if (error == -ENOENT && root_fd >= 0 && process_maps(root_fd, target->pid).runtime)
        *ret_status = fail(EXIT_UNREACHABLE,
                           "rthooks is inside process %d and does not answer (RTHOOKS_ADMIN=off, "
                           "or not adopted yet); --dry-run says what its container gives",
                           (int)target->pid);
    else if (error != -ENOENT)
        *ret_status = fail(EXIT_UNREACHABLE, "%s", message);
    return false;
}

static int ask(const struct budget_options *options)
{
    char message[PATH_MAX + 256];
    struct target target;
    json_t *document;
    int status = -1;
    int error = target_parse(options->target, &target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    bool is_looked_at = target.kind == TARGET_PID && !is_hooked(&target, &status);
    target_close(&target);
    if (status >= 0)
        return status;
    if (is_looked_at) {
        warning("rthooks is not inside process %d: this is what its container would give it; "
                "nothing of it is active",
                (int)target.pid);
        return examine(options);
    }
    status = fetch_json(options->target, BUDGET_ROUTE, &options->common, &document);
    if (status != EXIT_FINE)
        return status;
    if (options->common.json)
        return print_json(document) ? EXIT_FINE : EXIT_UNREACHABLE;
    status = budget_show_document(document, options->target);
    json_decref(document);
    return status;
}

static int budget_main(int argc, char **argv)
{
    struct budget_options options = {.seconds = DEFAULT_SECONDS};
    int status = parse(argc, argv, &options);
    if (status >= 0)
        return status;
    return options.mode == MODE_ASK ? ask(&options) : examine(&options);
}

const struct command command_budget = {
    .name = "budget",
    .summary = "say how much memory and CPU a process may use, and who says so",
    .help = help,
    .main = budget_main,
};
