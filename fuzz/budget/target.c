/* SPDX-License-Identifier: MIT */
/*
 * The settings of limits. What is accepted is in range, what is refused changes nothing, and a
 * budget of whatever text makes a line that is one line, with quotes that close.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/budget.h"
#include "formats/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check(int is_fine)
{
    if (!is_fine)
        abort();
}

static void check_settings(const char *text)
{
    struct rth_budget_settings settings = RTH_BUDGET_SETTINGS_DEFAULT;
    struct rth_budget_settings before = settings;
    double ratio = 0.5, cpus = -1;
    int64_t bytes = -1;
    if (rth__budget_memory_limit_parse(text, &settings) == 0)
        check(!settings.memory_is_explicit || settings.memory_limit_bytes >= 0);
    else
        check(memcmp(&settings, &before, sizeof(settings)) == 0);
    before = settings;
    if (rth__budget_cpu_limit_parse(text, &settings) == 0)
        check(!settings.cpu_is_explicit || (settings.cpu_limit > 0 && settings.cpu_limit < 1e9));
    else
        check(memcmp(&settings, &before, sizeof(settings)) == 0);
    check((rth__budget_ratio_parse(text, &ratio) == 0 || ratio == 0.5) && ratio > 0 && ratio <= 1);
    check(rth__quantity_bytes_parse(text, &bytes) == 0 ? bytes >= 0 : bytes == -1);
    check(rth__quantity_cpus_parse(text, &cpus) == 0 ? cpus >= 0 : cpus == -1);
    for (int round = RTH_CPU_ROUND_CEIL; round <= RTH_CPU_ROUND_GO; round++) {
        unsigned workers = rth__budget_workers(settings.cpu_limit, 16, (enum rth_cpu_round)round);
        check(workers >= 1 && workers <= 16);
    }
}

static void check_line(const char *text)
{
    static char line[16384];
    struct rth_budget budget = {.memory_limit_bytes = 5, .workers = 1, .affinity = 1};
    struct rth_budget_context context = {.service = text, .version = text, .rss_bytes = -1};
    int length = rth__budget_line(&budget, &context, line, sizeof(line));
    check(length > 0 && (size_t)length == strlen(line));
    int is_quoted = 0;
    for (const char *at = line; *at != '\0'; at++) {
        check((unsigned char)*at >= ' ');
        if (is_quoted && *at == '\\')
            at++;
        else if (*at == '"')
            is_quoted = !is_quoted;
    }
    check(!is_quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char text[1024];
    if (size_bytes >= sizeof(text))
        return 0;
    memcpy(text, data, size_bytes);
    text[size_bytes] = '\0';
    check_settings(text);
    check_line(text);
    return 0;
}
