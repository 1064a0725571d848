/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t max;
    const char *amount_wanted;
} verbs[] = {
    [VERB_WORK] = {"WORK", 10000, "cpu_ms is a whole number from 0 to 10000"},
    [VERB_ALLOC] = {"ALLOC", UINT64_C(1) << 30, "bytes is a whole number from 0 to 1073741824"},
    [VERB_QUEUE] = {"QUEUE", 10000, "cpu_ms is a whole number from 0 to 10000"},
};

const char *verb_name(enum verb verb)
{
    return verbs[verb].name;
}

/* The word at *line, which moves behind it and the blanks after it. */
static size_t next_word(const char **line, const char **ret_word)
{
    size_t length = strcspn(*line, " ");
    *ret_word = *line;
    *line += length;
    *line += strspn(*line, " ");
    return length;
}

static bool find_verb(const char *word, size_t length, enum verb *ret_verb)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strlen(verbs[i].name) == length && memcmp(verbs[i].name, word, length) == 0) {
            *ret_verb = (enum verb)i;
            return true;
        }
    }
    return false;
}

static bool is_printable(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (word[i] <= ' ' || word[i] > '~')
            return false;
    return true;
}

const char *command_parse(const char *line, struct command *ret_command)
{
    const char *verb, *handler, *amount;
    struct command command;
    size_t verb_length = next_word(&line, &verb);
    size_t handler_length = next_word(&line, &handler);
    size_t amount_length = next_word(&line, &amount);
    if (!find_verb(verb, verb_length, &command.verb))
        return "a line begins with WORK, ALLOC or QUEUE";
    if (handler_length == 0 || handler_length > HANDLER_BYTES_MAX ||
        !is_printable(handler, handler_length))
        return "a handler has 1 to 64 printable characters";
    memcpy(command.handler, handler, handler_length);
    command.handler[handler_length] = '\0';
    if (amount_length == 0 || strspn(amount, "0123456789") != amount_length)
        return verbs[command.verb].amount_wanted;
    errno = 0;
    command.amount = strtoull(amount, NULL, 10);
    if (errno != 0 || command.amount > verbs[command.verb].max)
        return verbs[command.verb].amount_wanted;
    if (*line != '\0')
        return "a line has three words";
    *ret_command = command;
    return NULL;
}
