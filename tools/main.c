/* SPDX-License-Identifier: MIT */

/*
 * rthooks, the command: a table of sub-commands and what they share. Each command is a file of
 * its own in cmd/; what several of them need is in client/.
 */

#include "cmd/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *const commands[] = {
    &command_run,     &command_doctor, &command_budget,
    &command_threads, &command_pprof,  &command_version,
};

const struct command *current_command;

static void print_usage(FILE *out)
{
    fputs("rthooks: the operational interface of a managed runtime, for native services\n"
          "\n"
          "Usage: rthooks COMMAND [ARGUMENTS]\n"
          "\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n"
        "`rthooks COMMAND --help` describes a command. Where one takes a TARGET, that is a\n"
        "process id, a Unix socket, a URL such as http://127.0.0.1:6060 or HOST:PORT, or a file.\n"
        "\n"
        "Exit status: 0 fine, 1 the answer is bad news, 2 usage, 3 target out of reach.\n",
        out);
}

/* Edits between two words, swaps of neighbours counting once; words longer than the table differ
 * completely. */
static size_t word_distance(const char *left, const char *right)
{
    enum { LONGEST = 24 };
    size_t rows = strlen(left), columns = strlen(right);
    size_t cost[LONGEST + 1][LONGEST + 1];
    if (rows > LONGEST || columns > LONGEST)
        return LONGEST;
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            bool same = left[i - 1] == right[j - 1];
            size_t best = cost[i - 1][j - 1] + !same;
            if (cost[i - 1][j] + 1 < best)
                best = cost[i - 1][j] + 1;
            if (cost[i][j - 1] + 1 < best)
                best = cost[i][j - 1] + 1;
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] &&
                cost[i - 2][j - 2] + 1 < best)
                best = cost[i - 2][j - 2] + 1;
            cost[i][j] = best;
        }
    }
    return cost[rows][columns];
}

static const char *suggestion_for(const char *word)
{
    const char *best = NULL;
    size_t best_distance = 3;
    for (size_t i = 0; i < COMMANDS; i++) {
        const char *name = commands[i]->name;
        if (strlen(word) >= 2 && strncasecmp(name, word, strlen(word)) == 0)
            return name;
        size_t distance = word_distance(word, name);
        if (distance < best_distance && distance < strlen(name)) {
            best = name;
            best_distance = distance;
        }
    }
    return best;
}

static const struct command *command_by_name(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int unknown_command(const char *word)
{
    const char *suggestion = suggestion_for(word);
    if (suggestion != NULL)
        return fail(EXIT_USAGE, "unknown command '%s'; did you mean '%s'?", word, suggestion);
    return fail(EXIT_USAGE, "unknown command '%s'; `rthooks --help` lists them", word);
}

/* A full disk or a closed pipe must not look like success. */
static int flush_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno == EPIPE)
            return status;
        return fail(EXIT_UNREACHABLE, "cannot write the answer: %s", strerror(errno));
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_usage(stdout);
        return flush_output(EXIT_FINE);
    }
    if (strcmp(word, "help") == 0) {
        if (argc == 2) {
            print_usage(stdout);
            return flush_output(EXIT_FINE);
        }
        const struct command *command = command_by_name(argv[2]);
        if (command == NULL)
            return unknown_command(argv[2]);
        fputs(command->help, stdout);
        return flush_output(EXIT_FINE);
    }
    if (strcmp(word, "--version") == 0)
        word = "version";
    current_command = command_by_name(word);
    if (current_command == NULL)
        return unknown_command(word);
    opterr = 0;
    return flush_output(current_command->main(argc - 1, argv + 1));
}

int common_option(int option, char **argv, struct common_options *options)
{
    /* For a long option getopt leaves optind behind it; a short one inside a group it names. */
    const char *text = argv[optind - 1];
    switch (option) {
    case 'j':
        options->json = true;
        return -1;
    case 't':
        options->token_file = optarg;
        return -1;
    case 'h':
        fputs(current_command->help, stdout);
        return EXIT_FINE;
    case ':':
        return usage_error("option '%s' needs a value", text);
    default:
        if (optopt != 0 && strncmp(text, "--", 2) != 0)
            return usage_error("unknown option '-%c'", optopt);
        if (optopt != 0)
            return usage_error("option '%s' takes no value", text);
        return usage_error("unknown option '%s'", text);
    }
}

int parse_common_options(int argc, char **argv, struct common_options *ret_options)
{
    static const struct option long_options[] = {COMMON_LONG_OPTIONS, {0}};
    int option;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        int status = common_option(option, argv, ret_options);
        if (status >= 0)
            return status;
    }
    if (argc - optind > 1)
        return usage_error("one target at a time, not '%s' as well", argv[optind + 1]);
    return -1;
}

int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "rthooks: %s: ", current_command->name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nrthooks: `rthooks %s --help` shows how it is used\n", current_command->name);
    va_end(arguments);
    return EXIT_USAGE;
}

static void RTH_PRINTF(1, 0) say(const char *format, va_list arguments)
{
    char line[2048];
    vsnprintf(line, sizeof(line), format, arguments);
    fprintf(stderr, "rthooks: %s\n", line);
}

int fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return status;
}

void warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

bool print_json(json_t *document)
{
    bool written = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 &&
                   fputc('\n', stdout) != EOF;
    json_decref(document);
    return written;
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *copy = strdup(text);
    if (copy == NULL)
        return json_string("");
    for (char *at = copy; *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    }
    value = json_string(copy);
    free(copy);
    return value;
}

const char *printable(const char *text, char *ret_text, size_t text_size)
{
    size_t used = 0;
    for (; text[used] != '\0' && used + 1 < text_size; used++) {
        unsigned char byte = (unsigned char)text[used];
        ret_text[used] = byte >= 0x20 && byte < 0x7f ? text[used] : '?';
    }
    ret_text[used] = '\0';
    return ret_text;
}
