/* SPDX-License-Identifier: MIT */
#ifndef EVENTLOOP_COMMAND_H
#define EVENTLOOP_COMMAND_H

#include <stdint.h>

#define HANDLER_BYTES_MAX 64

enum verb {
    VERB_WORK,  /* amount: CPU milliseconds on the loop's thread, in slices */
    VERB_ALLOC, /* amount: bytes, kept until a timer comes */
    VERB_QUEUE, /* amount: CPU milliseconds on libuv's thread pool */
};

struct command {
    enum verb verb;
    char handler[HANDLER_BYTES_MAX + 1];
    uint64_t amount;
};

const char *verb_name(enum verb verb);

/* Reads "VERB handler amount". Returns NULL, or what is wrong with the line. */
const char *command_parse(const char *line, struct command *ret_command);

#endif
