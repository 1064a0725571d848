/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_IN_FORCE_H
#define RTH_LIMITS_IN_FORCE_H

/*
 * The budget in force: what the platform said last and what the settings say, put together. The
 * looking thread brings the former, any thread may change the latter.
 */

#include <stdbool.h>
#include <stdint.h>

#include "formats/budget.h"

/* What the platform said, for who shows it. */
struct rth_platform {
    struct rth_cgroup_memory_limits memory;
    struct rth_cgroup_cpu_limits cpu;
    int memory_version, cpu_version;
    const char *memory_note;                    /* static, or NULL */
    char unified_folder[RTH_CGROUP_PATH_BYTES]; /* of memory.pressure; "": none */
    char own_folder[RTH_CGROUP_PATH_BYTES];     /* of the memory controller; "": none */
    int error;                                  /* 0, or why nothing is known of cgroups */
};

/* From the options; before any thread of ours. */
void rth__in_force_configure(void);
/* The looking thread's: takes over what it has found. True when the budget is another one. */
bool rth__in_force_platform(const struct rth_cgroup_watch *watch);
/* Sets or (negative) only reads the memory limit; returns the one before. source: static. */
int64_t rth__in_force_set_memory(int64_t limit_bytes, const char *source);
/* As the variable's text; source where it is a number: static. 0, -EINVAL or -ERANGE. */
int rth__in_force_set_memory_text(const char *text, const char *source, int64_t *ret_before_bytes,
                                  int64_t *ret_after_bytes);

void rth__in_force_read(struct rth_budget *ret_budget);
void rth__in_force_platform_read(struct rth_platform *ret_platform);
/* Without the lock, each for itself. */
int64_t rth__in_force_memory_limit(void);
int64_t rth__in_force_memory_hard(void);
unsigned rth__in_force_workers(void); /* 0: not known yet */
void rth__in_force_child_reset(void);

/* Options, of limits/options.c. */
struct rth_manifest {
    int64_t memory_request_bytes, memory_limit_bytes; /* -1: not said */
    double cpu_request, cpu_limit;                    /* 0: not said */
};
void rth__limits_settings(struct rth_budget_settings *ret_settings);
void rth__limits_manifest(struct rth_manifest *ret_manifest);
bool rth__limits_return_is_lazy(void);
int64_t rth__limits_saturation_ns(void); /* RTHOOKS_MEMORY_SATURATION; 0: off */
/* Whether a limit is what the manifest has: memory within 64 KiB, as kernels round it; CPU exactly,
 * or rounded up to whole processors, as Kubernetes writes it into variables. */
bool rth__manifest_memory_matches(int64_t manifest_bytes, int64_t limit_bytes);
bool rth__manifest_cpu_matches(double manifest, double limit);

#endif /* RTH_LIMITS_IN_FORCE_H */
