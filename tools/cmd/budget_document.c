/* SPDX-License-Identifier: MIT */

/* What a process says of its budget: the document of /debug/runtime/budget, as the line. */

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cmd/budget.h"

static const char *text_of(const json_t *document, const char *key)
{
    return json_string_value(json_object_get(document, key));
}

/* null: there is no limit; absent: not known. */
static int64_t bytes_of(const json_t *document, const char *key)
{
    const json_t *value = json_object_get(document, key);
    if (json_is_null(value))
        return RTH_BUDGET_NO_LIMIT;
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
}

static unsigned count_of(const json_t *document, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(document, key));
    return value > 0 && value <= INT_MAX ? (unsigned)value : 0;
}

static double number_of(const json_t *document, const char *key)
{
    return json_number_value(json_object_get(document, key));
}

static void read_budget(const json_t *document, struct rth_budget *budget)
{
    const char *memory_source = text_of(document, "memory_source");
    const char *cpu_source = text_of(document, "cpu_source");
    *budget = (struct rth_budget){
        .memory_limit_bytes = bytes_of(document, "memory_limit_bytes"),
        .memory_hard_bytes = bytes_of(document, "memory_hard_limit_bytes"),
        .memory_high_bytes = bytes_of(document, "memory_high_bytes"),
        .memory_ratio = number_of(document, "memory_ratio"),
        .cpu_limit = number_of(document, "cpu_limit"),
        .workers = count_of(document, "workers"),
        .affinity = count_of(document, "cpu_affinity"),
    };
    snprintf(budget->memory_source, sizeof(budget->memory_source), "%s",
             memory_source != NULL ? memory_source : "");
    snprintf(budget->cpu_source, sizeof(budget->cpu_source), "%s",
             cpu_source != NULL ? cpu_source : "");
}

bool budget_document_line(const json_t *document, char *ret_line, size_t line_size)
{
    struct rth_budget budget;
    char line[BUDGET_LINE_BYTES];
    const json_t *terms = json_object_get(document, "expected_rss_terms");
    struct rth_budget_context context = {
        .service = text_of(document, "service"),
        .version = text_of(document, "version"),
        .revision = text_of(document, "revision"),
        .build_id = text_of(document, "build_id"),
        .hooks = text_of(document, "hooks"),
        .return_mode = text_of(document, "return"),
        .rss_bytes = bytes_of(document, "rss_bytes"),
        .headroom_bytes = bytes_of(terms, "headroom_bytes"),
        .stacks_bytes = bytes_of(terms, "stacks_bytes"),
        .mappings_bytes = bytes_of(terms, "mappings_bytes"),
    };
    read_budget(document, &budget);
    if (budget.memory_source[0] == '\0' || budget.workers == 0 ||
        rth__budget_line(&budget, &context, line, sizeof(line)) < 0)
        return false;
    (void)printable(line, ret_line, line_size);
    return true;
}

int budget_show_document(const json_t *document, const char *target)
{
    char line[BUDGET_LINE_BYTES];
    if (!budget_document_line(document, line, sizeof(line)))
        return fail(EXIT_UNREACHABLE, "%s: the document is no budget", target);
    printf("%s\n", line);
    return EXIT_FINE;
}
