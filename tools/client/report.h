/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_REPORT_H
#define RTH_TOOLS_CLIENT_REPORT_H

/*
 * A list of findings: what was looked at, what it says, and whether that is bad. One line each on
 * a terminal, one object each in JSON.
 */

#include <stdbool.h>

#include <jansson.h>

#include <rthooks/base.h>

enum finding_level {
    FINDING_OK,      /* as it should be */
    FINDING_NOTE,    /* worth knowing; nothing is broken */
    FINDING_PROBLEM, /* something does not work, or will not */
};

struct report {
    json_t *findings;
    unsigned problems;
};

void report_init(struct report *report);
void report_add(struct report *report, enum finding_level level, const char *check,
                const char *format, ...) RTH_PRINTF(4, 5);
/* Prints and frees the report. Returns the exit status: EXIT_BAD_NEWS when there are problems. */
int report_print(struct report *report, const char *target, bool json);

#endif /* RTH_TOOLS_CLIENT_REPORT_H */
