/* SPDX-License-Identifier: MIT */

/*
 * `rthooks run`: checks, sets the environment, execs. Nothing of this program stays: same pid,
 * same exit status, same standard streams. What cannot work is refused here, before exec, because
 * afterwards nobody can say it: the loader ignores or mangles a preload without our being there.
 *
 * The variables between this command and the interposer are described in src/interpose/abi.h.
 */

#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rthooks/rthooks.h>

#include "client/environment.h"
#include "client/libraries.h"
#include "client/program_check.h"
#include "interpose/abi.h"
#include "os/fd.h"
#include "os/procfs.h"

static const char help[] =
    "Usage: rthooks run [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
    "\n"
    "Starts PROGRAM with rthooks inside: same pid, same exit status, same output but for one\n"
    "line on standard error when it starts.\n"
    "\n"
    "  --service NAME   name of the service (RTHOOKS_SERVICE)\n"
    "  --admin ADDR     address of the admin endpoint, or off (RTHOOKS_ADMIN)\n"
    "  --match EXE      go through everything PROGRAM execs or starts until EXE, a path or a\n"
    "                   file name, and start there\n"
    "  --follow         hook the children too\n"
    "  --agent          start an agent beside the program (not in this build)\n"
    "  -e KEY=VALUE     set a variable for the program; may be repeated\n"
    "  -h, --help       this text\n"
    "\n"
    "Refused before anything is started (status 3): a program that is not found or not\n"
    "executable, setuid, setgid or with file capabilities, of another machine or another libc.\n"
    "A program linked statically is started with a warning: hooks start in what it execs.\n"
    "A malformed RTHOOKS_ variable is status 2. RTHOOKS=off starts the program without hooks.\n";

struct run_options {
    const char *match;
    bool follow;
    struct environment environment; /* what the program gets */
    char set_names[4096];           /* RTHOOKS_RUN_SET */
};

static bool is_reserved(const char *key)
{
    return strcmp(key, RTH_ENV_AUTOSTART) == 0 || strncmp(key, "RTHOOKS_RUN_", 12) == 0;
}

/* Whether a list of names separated by commas has this one. */
static bool is_noted(const char *names, const char *key)
{
    size_t key_bytes = strlen(key);
    for (const char *at = names; *at != '\0';) {
        size_t name_bytes = strcspn(at, ",");
        if (name_bytes == key_bytes && strncmp(at, key, key_bytes) == 0)
            return true;
        at += name_bytes + (at[name_bytes] == ',');
    }
    return false;
}

/* Sets a variable because an option says so, and notes the name when it is one of ours. */
static int set_variable(struct run_options *options, const char *key, const char *value)
{
    if (!environment_set(&options->environment, key, value))
        return fail(EXIT_UNREACHABLE, "out of memory");
    if (strncmp(key, "RTHOOKS_", 8) != 0 || is_noted(options->set_names, key))
        return -1;
    size_t used = strlen(options->set_names);
    int added = snprintf(options->set_names + used, sizeof(options->set_names) - used, "%s%s",
                         used > 0 ? "," : "", key);
    if (added >= (int)(sizeof(options->set_names) - used))
        return usage_error("too many RTHOOKS_ variables");
    return -1;
}

static int set_pair(struct run_options *options, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char key[256];
    if (equals == NULL || equals == pair)
        return usage_error("-e takes KEY=VALUE, not '%s'", pair);
    if ((size_t)(equals - pair) >= sizeof(key))
        return usage_error("the name in -e '%s' is too long", pair);
    snprintf(key, sizeof(key), "%.*s", (int)(equals - pair), pair);
    if (is_reserved(key))
        return usage_error("-e %s: this variable is internal to rthooks", key);
    return set_variable(options, key, equals + 1);
}

/* Returns -1 to go on, or a status. ret_program: index of PROGRAM in argv. */
static int parse(int argc, char **argv, struct run_options *options, int *ret_program)
{
    enum { SERVICE = 256, ADMIN, MATCH, FOLLOW, AGENT };
    static const struct option long_options[] = {
        {"service", required_argument, NULL, SERVICE},
        {"admin", required_argument, NULL, ADMIN},
        {"match", required_argument, NULL, MATCH},
        {"follow", no_argument, NULL, FOLLOW},
        {"agent", no_argument, NULL, AGENT},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+:e:h", long_options, NULL)) != -1) {
        int status = -1;
        switch (option) {
        case SERVICE:
            status = set_variable(options, "RTHOOKS_SERVICE", optarg);
            break;
        case ADMIN:
            status = set_variable(options, "RTHOOKS_ADMIN", optarg);
            break;
        case 'e':
            status = set_pair(options, optarg);
            break;
        case MATCH:
            if (optarg[0] == '\0')
                return usage_error("--match takes a path or a file name");
            options->match = optarg;
            break;
        case FOLLOW:
            options->follow = true;
            break;
        case AGENT:
            return usage_error("--agent: this build has no agent");
        default:
            status = common_option(option, argv, NULL);
        }
        if (status >= 0)
            return status;
    }
    if (optind >= argc)
        return usage_error("which program?");
    *ret_program = optind;
    return -1;
}

/* Is this entry of LD_PRELOAD one of our two libraries, with or without a version? */
static bool is_our_preload(const char *entry, size_t entry_bytes)
{
    static const char *const names[] = {RTH_LIB_INTERPOSE, RTH_LIB_RUNTIME};
    const char *name = entry;
    for (size_t i = 0; i < entry_bytes; i++) {
        if (entry[i] == '/')
            name = entry + i + 1;
    }
    size_t name_bytes = entry_bytes - (size_t)(name - entry);
    for (size_t i = 0; i < 2; i++) {
        size_t wanted = strlen(names[i]);
        if (name_bytes >= wanted && strncmp(name, names[i], wanted) == 0 &&
            (name_bytes == wanted || name[wanted] == '.'))
            return true;
    }
    return false;
}

/* LD_PRELOAD without the entries of an outer `rthooks run`: ours (may be NULL), then the user's. */
static bool set_preload(struct environment *environment, const char *ours)
{
    const char *existing = environment_get(environment, "LD_PRELOAD");
    size_t ours_bytes = ours != NULL ? strlen(ours) : 0;
    char *value = malloc(ours_bytes + (existing != NULL ? strlen(existing) : 0) + 2);
    if (value == NULL)
        return false;
    memcpy(value, ours != NULL ? ours : "", ours_bytes);
    size_t used = ours_bytes;
    for (const char *at = existing; at != NULL && *at != '\0';) {
        size_t entry_bytes = strcspn(at, ": ");
        if (entry_bytes > 0 && !is_our_preload(at, entry_bytes)) {
            if (used > 0)
                value[used++] = ':';
            memcpy(value + used, at, entry_bytes);
            used += entry_bytes;
        }
        at += entry_bytes + (at[entry_bytes] != '\0');
    }
    value[used] = '\0';
    bool done = true;
    if (used > 0)
        done = environment_set(environment, "LD_PRELOAD", value);
    else
        environment_remove(environment, "LD_PRELOAD");
    free(value);
    return done;
}

/* The variables of an outer `rthooks run` are not for this one. */
static void drop_internal(struct environment *environment)
{
    environment_remove(environment, RTH_ENV_AUTOSTART);
    environment_remove_prefix(environment, "RTHOOKS_RUN_");
}

/* Returns -1 when the RTHOOKS_ variables are right, or EXIT_USAGE. ret_off: RTHOOKS=off. */
static int check_environment(const struct environment *environment, bool *ret_off)
{
    const char *master = environment_get(environment, "RTHOOKS");
    *ret_off = master != NULL && strcmp(master, "off") == 0;
    if (*ret_off)
        return -1;
    if (master != NULL && master[0] != '\0' && strcmp(master, "on") != 0)
        return fail(EXIT_USAGE, "RTHOOKS: malformed value \"%.200s\"; it takes on or off", master);
    char message[1024] = "";
    int error =
        rth_environment_check((const char *const *)environment->entries, message, sizeof(message));
    if (error == -EINVAL)
        return fail(EXIT_USAGE, "%s", message);
    /* An orchestrator may invent names (RTHOOKS_PORT for a service called rthooks): no reason to
     * keep the program from starting. */
    if (error != 0)
        warning("warning: %s", message);
    return -1;
}

static int set_hooks(struct run_options *options, const struct program_check *check,
                     const struct libraries *libraries)
{
    char preload[2 * PATH_MAX + 2], identity[64] = "any";
    if (check->has_facts && check->facts.has_rthooks_note)
        snprintf(preload, sizeof(preload), "%s", libraries->interposer);
    else
        snprintf(preload, sizeof(preload), "%s:%s", libraries->interposer, libraries->runtime);
    if (options->match == NULL && !options->follow) {
        RTH__AUTO_CLOSE int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct rth_proc_stat stat;
        int error = root_fd < 0 ? -errno : rth__proc_stat_read(root_fd, 0, 0, &stat);
        if (error != 0)
            return fail(EXIT_UNREACHABLE, "cannot read /proc/self/stat: %s", strerror(-error));
        snprintf(identity, sizeof(identity), "%d:%" PRIu64, (int)getpid(), stat.starttime_ticks);
    }
    struct environment *environment = &options->environment;
    bool done = set_preload(environment, preload) &&
                environment_set(environment, RTH_ENV_AUTOSTART, identity);
    if (done && options->match != NULL)
        done = environment_set(environment, RTH_ENV_RUN_MATCH, options->match);
    if (done && options->follow)
        done = environment_set(environment, RTH_ENV_RUN_FOLLOW, "1");
    if (done && options->set_names[0] != '\0')
        done = environment_set(environment, RTH_ENV_RUN_SET, options->set_names);
    return done ? -1 : fail(EXIT_UNREACHABLE, "out of memory");
}

/* Replaces this process as execvp would; returns only when that fails. */
static int replace(const char *path, char **arguments, const struct environment *environment)
{
    execve(path, arguments, environment->entries);
    int error = errno;
    if (error == ENOEXEC) {
        size_t count = 0;
        while (arguments[count] != NULL)
            count++;
        char **shell = calloc(count + 2, sizeof(*shell));
        if (shell != NULL) {
            char shell_path[] = "/bin/sh";
            char *script = strdup(path);
            shell[0] = shell_path;
            shell[1] = script;
            memcpy(shell + 2, arguments + 1, count * sizeof(*shell)); /* with its NULL */
            execve(shell_path, shell, environment->entries);
            error = errno;
            free(script);
            free(shell);
        }
    }
    return fail(EXIT_UNREACHABLE, "cannot start %s: %s", path, strerror(error));
}

/* RTHOOKS=off: what options of run would have told the runtime is told to nobody. */
static void forget_options(struct run_options *options)
{
    char names[sizeof(options->set_names)];
    memcpy(names, options->set_names, sizeof(names));
    char *rest = names;
    for (char *name; (name = strsep(&rest, ",")) != NULL;)
        if (name[0] != '\0')
            environment_remove(&options->environment, name);
}

static int run(struct run_options *options, char **arguments)
{
    bool is_off;
    int status = check_environment(&options->environment, &is_off);
    if (status >= 0)
        return status;
    drop_internal(&options->environment);
    char path[PATH_MAX];
    int error = program_find(arguments[0], environment_get(&options->environment, "PATH"), path,
                             sizeof(path));
    if (error != 0) {
        return fail(EXIT_UNREACHABLE, "%s: %s", arguments[0],
                    error == -ENOENT   ? "not found"
                    : error == -EACCES ? "not executable"
                                       : strerror(-error));
    }
    if (is_off) {
        forget_options(options);
        if (!set_preload(&options->environment, NULL))
            return fail(EXIT_UNREACHABLE, "out of memory");
        return replace(path, arguments, &options->environment);
    }
    struct program_check check;
    program_check(path, &check);
    if (check.verdict == PROGRAM_REFUSED)
        return fail(EXIT_UNREACHABLE, "%s", check.reason);
    struct libraries libraries;
    char message[PATH_MAX + 256];
    if (libraries_find(&libraries, message, sizeof(message)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    if (check.verdict == PROGRAM_STATIC)
        warning("warning: %s", check.reason);
    status = set_hooks(options, &check, &libraries);
    if (status >= 0)
        return status;
    return replace(path, arguments, &options->environment);
}

static int run_main(int argc, char **argv)
{
    struct run_options options = {0};
    int program = 0;
    if (!environment_copy(&options.environment, environ))
        return fail(EXIT_UNREACHABLE, "out of memory");
    int status = parse(argc, argv, &options, &program);
    if (status < 0)
        status = run(&options, argv + program);
    environment_free(&options.environment);
    return status;
}

const struct command command_run = {
    .name = "run",
    .summary = "start a program with rthooks inside",
    .help = help,
    .main = run_main,
};
