/* SPDX-License-Identifier: MIT */
#include "limits/options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "formats/budget.h"
#include "formats/quantity.h"
#include "limits/in_force.h"
#include "limits/saturation.h"

#define MEMORY_QUANTITY_GRAMMAR "bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T; or empty"
#define CPU_QUANTITY_GRAMMAR    "a number of processors, fractions allowed, or with m; or empty"
/* As the kernel rounds limits where pages are largest. */
#define MEMORY_SLACK_BYTES (INT64_C(64) * 1024)

static struct rth_option_value memory_limit, memory_ratio, memory_saturation, return_mode;
static struct rth_option_value cpu_limit, cpu_round;
static struct rth_option_value manifest_memory_request, manifest_memory_limit;
static struct rth_option_value manifest_cpu_request, manifest_cpu_limit;

static int check_memory_limit(const char *text)
{
    struct rth_budget_settings ignored;
    return rth__budget_memory_limit_parse(text, &ignored) != 0 ? -EINVAL : 0;
}

static int check_ratio(const char *text)
{
    double ignored;
    return rth__budget_ratio_parse(text, &ignored) != 0 ? -EINVAL : 0;
}

static int check_saturation(const char *text)
{
    int64_t ignored;
    return rth__saturation_parse(text, &ignored);
}

static int check_return(const char *text)
{
    return strcmp(text, "eager") == 0 || strcmp(text, "lazy") == 0 ? 0 : -EINVAL;
}

static int check_cpu_limit(const char *text)
{
    struct rth_budget_settings ignored;
    return rth__budget_cpu_limit_parse(text, &ignored) != 0 ? -EINVAL : 0;
}

static int check_round(const char *text)
{
    enum rth_cpu_round ignored;
    return rth__budget_cpu_round_parse(text, &ignored);
}

static int check_memory_quantity(const char *text)
{
    int64_t ignored;
    return text[0] != '\0' && rth__quantity_bytes_parse(text, &ignored) != 0 ? -EINVAL : 0;
}

static int check_cpu_quantity(const char *text)
{
    double ignored;
    return text[0] != '\0' && rth__quantity_cpus_parse(text, &ignored) != 0 ? -EINVAL : 0;
}

const struct rth_option rth__limits_options[RTH_LIMITS_OPTION_COUNT] = {
    {
        .variable = "RTHOOKS_MEMORY_LIMIT",
        .grammar = RTH_BUDGET_MEMORY_GRAMMAR,
        .default_text = "auto",
        .doc = "The soft memory limit. auto: a share of the tightest limit among the cgroup and "
               "all above it.",
        .opts_offset = SIZE_MAX,
        .check = check_memory_limit,
        .value = &memory_limit,
    },
    {
        .variable = "RTHOOKS_MEMORY_RATIO",
        .grammar = RTH_BUDGET_RATIO_GRAMMAR,
        .default_text = "0.9",
        .doc = "That share.",
        .opts_offset = SIZE_MAX,
        .check = check_ratio,
        .value = &memory_ratio,
    },
    {
        .variable = "RTHOOKS_MEMORY_SATURATION",
        .grammar = RTH_SATURATION_GRAMMAR,
        .default_text = "off",
        .doc = "After so long at critical the process is sent SIGTERM, once; up to a fifth later, "
               "so that replicas do not end together.",
        .opts_offset = SIZE_MAX,
        .check = check_saturation,
        .value = &memory_saturation,
    },
    {
        .variable = "RTHOOKS_RETURN",
        .grammar = "eager or lazy",
        .default_text = "eager",
        .doc = "How freed memory goes back to the system: early and in small portions, or not "
               "before it is short.",
        .opts_offset = SIZE_MAX,
        .check = check_return,
        .value = &return_mode,
    },
    {
        .variable = "RTHOOKS_CPU_LIMIT",
        .grammar = RTH_BUDGET_CPU_GRAMMAR,
        .default_text = "auto",
        .doc = "How many processors the process may use. auto: the tightest quota among the "
               "cgroup and all above it.",
        .opts_offset = SIZE_MAX,
        .check = check_cpu_limit,
        .value = &cpu_limit,
    },
    {
        .variable = "RTHOOKS_CPU_ROUND",
        .grammar = RTH_BUDGET_ROUND_GRAMMAR,
        .default_text = "ceil",
        .doc = "How a fraction of a processor becomes workers; go: up, and two at least, as Go "
               "does.",
        .opts_offset = SIZE_MAX,
        .check = check_round,
        .value = &cpu_round,
    },
    {
        .variable = "RTHOOKS_MANIFEST_MEMORY_REQUEST",
        .grammar = MEMORY_QUANTITY_GRAMMAR,
        .default_text = "",
        .doc = "The memory request of the manifest, shown beside what is in force.",
        .opts_offset = SIZE_MAX,
        .check = check_memory_quantity,
        .value = &manifest_memory_request,
    },
    {
        .variable = "RTHOOKS_MANIFEST_MEMORY_LIMIT",
        .grammar = MEMORY_QUANTITY_GRAMMAR,
        .default_text = "",
        .doc = "The memory limit of the manifest; a warning when the platform has another one.",
        .opts_offset = SIZE_MAX,
        .check = check_memory_quantity,
        .value = &manifest_memory_limit,
    },
    {
        .variable = "RTHOOKS_MANIFEST_CPU_REQUEST",
        .grammar = CPU_QUANTITY_GRAMMAR,
        .default_text = "",
        .doc = "The CPU request of the manifest, shown beside what is in force.",
        .opts_offset = SIZE_MAX,
        .check = check_cpu_quantity,
        .value = &manifest_cpu_request,
    },
    {
        .variable = "RTHOOKS_MANIFEST_CPU_LIMIT",
        .grammar = CPU_QUANTITY_GRAMMAR,
        .default_text = "",
        .doc = "The CPU limit of the manifest; a warning when the platform has another one.",
        .opts_offset = SIZE_MAX,
        .check = check_cpu_quantity,
        .value = &manifest_cpu_limit,
    },
};

/* The texts were checked when they were read: what fails here keeps the default. */
void rth__limits_settings(struct rth_budget_settings *ret_settings)
{
    *ret_settings = (struct rth_budget_settings)RTH_BUDGET_SETTINGS_DEFAULT;
    (void)rth__budget_memory_limit_parse(memory_limit.text, ret_settings);
    (void)rth__budget_ratio_parse(memory_ratio.text, &ret_settings->memory_ratio);
    (void)rth__budget_cpu_limit_parse(cpu_limit.text, ret_settings);
    (void)rth__budget_cpu_round_parse(cpu_round.text, &ret_settings->cpu_round);
}

bool rth__limits_return_is_lazy(void)
{
    return strcmp(return_mode.text, "lazy") == 0;
}

int64_t rth__limits_saturation_ns(void)
{
    int64_t limit_ns = 0;
    (void)rth__saturation_parse(memory_saturation.text, &limit_ns);
    return limit_ns;
}

void rth__limits_manifest(struct rth_manifest *ret_manifest)
{
    *ret_manifest = (struct rth_manifest){.memory_request_bytes = -1, .memory_limit_bytes = -1};
    (void)rth__quantity_bytes_parse(manifest_memory_request.text,
                                    &ret_manifest->memory_request_bytes);
    (void)rth__quantity_bytes_parse(manifest_memory_limit.text, &ret_manifest->memory_limit_bytes);
    (void)rth__quantity_cpus_parse(manifest_cpu_request.text, &ret_manifest->cpu_request);
    (void)rth__quantity_cpus_parse(manifest_cpu_limit.text, &ret_manifest->cpu_limit);
}

bool rth__manifest_memory_matches(int64_t manifest_bytes, int64_t limit_bytes)
{
    int64_t more =
        manifest_bytes > limit_bytes ? manifest_bytes - limit_bytes : limit_bytes - manifest_bytes;
    return more < MEMORY_SLACK_BYTES;
}

bool rth__manifest_cpu_matches(double manifest, double limit)
{
    bool is_whole = manifest == (double)(uint64_t)manifest;
    return manifest == limit || (is_whole && limit > manifest - 1 && limit <= manifest);
}
