/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_BUDGET_H
#define RTH_FORMATS_BUDGET_H

/*
 * The budget: what follows from the platform's limits and the settings, as one value that the
 * runtime and `rthooks budget` compute alike, and how it is written: the line (logfmt) and its
 * JSON.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/cgroup.h"

struct rth_json;

#define RTH_BUDGET_NO_LIMIT INT64_MAX

enum rth_cpu_round { RTH_CPU_ROUND_CEIL, RTH_CPU_ROUND_FLOOR, RTH_CPU_ROUND_GO };

/* What RTHOOKS_MEMORY_LIMIT, _RATIO, RTHOOKS_CPU_LIMIT, _ROUND say. */
struct rth_budget_settings {
    bool memory_is_off, memory_is_explicit;
    int64_t memory_limit_bytes;         /* explicit */
    const char *memory_explicit_source; /* who said so, static; NULL: "RTHOOKS_MEMORY_LIMIT" */
    double memory_ratio;                /* in (0, 1] */
    bool cpu_is_off, cpu_is_explicit;
    double cpu_limit; /* explicit, processors */
    enum rth_cpu_round cpu_round;
};

struct rth_budget {
    int64_t memory_limit_bytes; /* M; RTH_BUDGET_NO_LIMIT */
    int64_t memory_hard_bytes;  /* L: the tightest hard limit of the platform; an explicit limit
                                   above  it is not M but L, with explicit_is_above_hard set */
    int64_t memory_high_bytes;  /* where the kernel begins to slow the group down; or no limit */
    bool explicit_is_above_hard;
    bool is_throttled_below_limit; /* memory.high is below the share of L, so M is a share of it */
    double memory_ratio;           /* M is this share of L or memory.high; 0: not derived */
    char memory_source[RTH_CGROUP_PATH_BYTES]; /* "cgroup2:/…/memory.max", "RTHOOKS_MEMORY_LIMIT",
                                                  "rth_memory_limit_set", "off", "none",
                                                  "unreadable" */
    double cpu_limit;                          /* 0: none */
    char cpu_source[RTH_CGROUP_PATH_BYTES]; /* …/cpu.max, "affinity", "RTHOOKS_CPU_LIMIT", … */
    unsigned workers;
    unsigned affinity;
};

/* Settings of an environment that says nothing. */
#define RTH_BUDGET_SETTINGS_DEFAULT                                                                \
    {                                                                                              \
        .memory_ratio = 0.9, .cpu_round = RTH_CPU_ROUND_CEIL                                       \
    }

#define RTH_BUDGET_MEMORY_GRAMMAR "bytes, or a number with B, KiB, MiB, GiB or TiB; auto; off"
#define RTH_BUDGET_RATIO_GRAMMAR  "a number above 0 and up to 1"
#define RTH_BUDGET_CPU_GRAMMAR    "a number of processors above 0, fractions allowed; auto; off"
#define RTH_BUDGET_ROUND_GRAMMAR  "ceil, floor or go"

/* Grammars of the variables: 0 or -EINVAL/-ERANGE; nothing is written on failure. A memory limit of
 * INT64_MAX bytes is none, as in Go. */
int rth__budget_memory_limit_parse(const char *text, struct rth_budget_settings *settings);
int rth__budget_ratio_parse(const char *text, double *ret_ratio);
int rth__budget_cpu_limit_parse(const char *text, struct rth_budget_settings *settings);
int rth__budget_cpu_round_parse(const char *text, enum rth_cpu_round *ret_round);

/* A plain decimal number: digits, and a fraction where there is a point. 0, -EINVAL or -ERANGE
 * (from 1e9 on). */
int rth__budget_decimal_parse(const char *text, double *ret_number);

/* Where CRITICAL begins: halfway from M to L, 1.05 M where there is no L. */
int64_t rth__budget_critical_bytes(int64_t limit_bytes, int64_t hard_bytes);

/* Whole processors for a quota: ceil; floor, at least 1; go: ceil, at least 2. Never above
 * affinity, never 0. limit 0: the affinity. */
unsigned rth__budget_workers(double cpu_limit, unsigned affinity, enum rth_cpu_round round);
void rth__budget_compute(const struct rth_budget_settings *settings,
                         const struct rth_cgroup_memory_limits *memory,
                         const struct rth_cgroup_cpu_limits *cpu, struct rth_budget *ret_budget);

/* What the line and the JSON say beyond it; "" or NULL: "-" in the line, left out of the JSON. */
struct rth_budget_context {
    const char *service, *version, *revision, *build_id;
    const char *hooks;       /* "cpu,heap,…" */
    const char *extra;       /* " pid=…", as it is, at the end of the line; not in the JSON */
    const char *return_mode; /* "eager", "lazy" */
    int64_t rss_bytes;       /* -1: not known */
    /* Terms of expected_rss; -1: not known. */
    int64_t headroom_bytes, stacks_bytes, mappings_bytes;
};
/* CONTRACT: expected_rss = memory_limit + headroom + stacks + mappings; -1 where one is not known.
 */
int64_t rth__budget_expected_rss(const struct rth_budget *budget,
                                 const struct rth_budget_context *context);
/* "rthooks budget memory_limit=… …" without a newline. Values that hold a space, '"' or '=' are
 * quoted. Returns the length or -ENOSPC. */
int rth__budget_line(const struct rth_budget *budget, const struct rth_budget_context *context,
                     char *ret_line, size_t line_size);
/* Members of an object that the caller opened. */
void rth__budget_json(const struct rth_budget *budget, const struct rth_budget_context *context,
                      struct rth_json *json);

#endif /* RTH_FORMATS_BUDGET_H */
