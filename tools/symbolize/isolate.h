/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_SYMBOLIZE_ISOLATE_H
#define RTH_TOOLS_SYMBOLIZE_ISOLATE_H

/*
 * Work on files that anybody may have made, in a process of its own: it may crash, loop or eat
 * memory there, and all that is lost is its answer. What it answers is as little to be trusted as
 * what it read.
 */

#include <stddef.h>
#include <stdio.h>

struct isolated_answer {
    char *bytes; /* free gives them back */
    size_t size_bytes;
    int signal; /* that ended it, 0: none */
};

/*
 * Forks, runs work(userdata, out) there and collects what it writes to out. Returns 0, also when it
 * ended early; -ETIMEDOUT; -E2BIG when it wrote too much; another negative errno. Only with 0 is
 * there an answer.
 */
int isolated_run(void (*work)(void *userdata, FILE *out), void *userdata, unsigned timeout_ms,
                 struct isolated_answer *ret_answer);

#endif /* RTH_TOOLS_SYMBOLIZE_ISOLATE_H */
