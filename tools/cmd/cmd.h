/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_CMD_H
#define RTH_TOOLS_CMD_CMD_H

/*
 * What a sub-command is. Adding one: its file in cmd/, its `extern` here, its row in the table of
 * main.c. Everything on standard output is the answer; everything else goes to standard error and
 * starts with "rthooks".
 */

#include <rthooks/base.h>

#include <stdbool.h>

#include <jansson.h>

/* Exit statuses, the same for every command. */
enum exit_status {
    EXIT_FINE = 0,        /* asked and answered */
    EXIT_BAD_NEWS = 1,    /* answered, and the answer is bad news */
    EXIT_USAGE = 2,       /* the command line or the environment is wrong */
    EXIT_UNREACHABLE = 3, /* the target cannot be reached, or cannot be hooked */
};

struct command {
    const char *name;
    const char *summary; /* one line of `rthooks --help` */
    const char *help;    /* the whole of `rthooks NAME --help` */
    /* argv[0] is the name of the command. Returns the exit status. */
    int (*main)(int argc, char **argv);
};

extern const struct command command_run;
extern const struct command command_doctor;
extern const struct command command_budget;
extern const struct command command_threads;
extern const struct command command_pprof;
extern const struct command command_version;

/* The command main is running, for messages. */
extern const struct command *current_command;

/* The options that every asking command knows: --json and --token-file. */
struct common_options {
    bool json;
    const char *token_file; /* NULL: RTHOOKS_ADMIN_TOKEN_FILE of the environment, if any */
};
#define COMMON_LONG_OPTIONS                                                                        \
    {"json", no_argument, NULL, 'j'}, {"token-file", required_argument, NULL, 't'},                \
    {                                                                                              \
        "help", no_argument, NULL, 'h'                                                             \
    }

/*
 * Handles what getopt_long returned when the command itself does not know it: the common options,
 * --help and mistakes. Returns -1 to go on, or the status to leave with. getopt's own messages are
 * off (opterr = 0) and the option string starts with ':'.
 */
int common_option(int option, char **argv, struct common_options *options);

/* For a command with the common options alone and at most one target: goes through all of them.
 * Returns as common_option. */
int parse_common_options(int argc, char **argv, struct common_options *ret_options);

/* "rthooks: COMMAND: …" and a pointer to --help. Returns EXIT_USAGE. */
int usage_error(const char *format, ...) RTH_PRINTF(1, 2);
/* "rthooks: …" Returns status. */
int fail(int status, const char *format, ...) RTH_PRINTF(2, 3);
/* "rthooks: …", and the program goes on. */
void warning(const char *format, ...) RTH_PRINTF(1, 2);

/* Prints a JSON document with a newline and drops the reference. Returns false when standard
 * output takes no more. */
bool print_json(json_t *document);
/* A JSON string of any bytes: what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);

/* The text with everything that a terminal could take as an order replaced by '?', cut to fit.
 * Returns ret_text. */
const char *printable(const char *text, char *ret_text, size_t text_size);

#endif /* RTH_TOOLS_CMD_CMD_H */
