/* SPDX-License-Identifier: MIT */
#include "metrics/exposition.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "formats/number.h"

#define PREFIX "rthooks"

/* q of a media range as thousandths, -1 when the header does not name the type. */
static int quality_of(const char *accept, const char *type)
{
    size_t type_bytes = strlen(type);
    for (const char *range = accept; *range != '\0';) {
        size_t length = strcspn(range, ",");
        size_t skipped = strspn(range, " \t");
        const char *name = range + skipped;
        size_t name_bytes = strcspn(name, ",; \t");
        if (name_bytes == type_bytes && strncasecmp(name, type, type_bytes) == 0) {
            const char *q = memmem(range, length, "q=", 2);
            if (q == NULL)
                return 1000;
            /* "0.75": at most three decimals, no locale. */
            int thousandths = q[2] == '1' ? 1000 : 0;
            int weight = 100;
            for (const char *digit = q + 4;
                 q[3] == '.' && isdigit((unsigned char)*digit) && weight > 0 && thousandths < 1000;
                 digit++, weight /= 10)
                thousandths += (*digit - '0') * weight;
            return thousandths;
        }
        range += length + (range[length] == ',' ? 1 : 0);
    }
    return -1;
}

enum rth_exposition_format rth__exposition_negotiate(const char *accept)
{
    int openmetrics = quality_of(accept, "application/openmetrics-text");
    int text = quality_of(accept, "text/plain");
    return openmetrics > 0 && openmetrics >= text ? RTH_EXPOSITION_OPENMETRICS
                                                  : RTH_EXPOSITION_PROMETHEUS;
}

const char *rth__exposition_content_type(enum rth_exposition_format format)
{
    return format == RTH_EXPOSITION_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

struct text {
    char *data;
    size_t size, length;
    int error;
};

static void append(struct text *text, char c)
{
    if (text->length + 1 < text->size)
        text->data[text->length++] = c;
    else
        text->error = -ENAMETOOLONG;
}

static void append_all(struct text *text, const char *word)
{
    while (*word != '\0')
        append(text, *word++);
}

static void append_part(struct text *text, const char *part, size_t part_bytes, bool is_unit)
{
    for (size_t i = 0; i < part_bytes; i++) {
        if (is_unit && part[i] == '/')
            append_all(text, "_per_");
        else if (part[i] == '/' || part[i] == '-' || part[i] == '*')
            append(text, '_');
        else if (isalnum((unsigned char)part[i]) || part[i] == '_')
            append(text, part[i]);
        else
            text->error = -EINVAL;
    }
}

int rth__exposition_name(const struct rth_metric *metric, char *ret_name, size_t name_size)
{
    struct text text = {ret_name, name_size, 0, 0};
    if (metric->fixed_name != NULL) {
        append_all(&text, metric->fixed_name);
    } else {
        const char *unit = strchr(metric->key, ':');
        if (unit == NULL || metric->key[0] != '/')
            return -EINVAL;
        append_all(&text, PREFIX);
        append_part(&text, metric->key, (size_t)(unit - metric->key), false);
        append(&text, '_');
        append_part(&text, unit + 1, strlen(unit + 1), true);
        if ((metric->flags & RTH_METRIC_CUMULATIVE) != 0)
            append_all(&text, "_total");
    }
    ret_name[text.length] = '\0';
    return text.error;
}

void rth__exposition_head(struct rth_sink *sink, enum rth_exposition_format format,
                          const struct rth_metric *metric, const char *name)
{
    bool cumulative = (metric->flags & RTH_METRIC_CUMULATIVE) != 0;
    /* OpenMetrics names the family without the suffix of its samples. */
    size_t length = strlen(name);
    if (format == RTH_EXPOSITION_OPENMETRICS && cumulative && length > 6)
        length -= 6;
    (void)rth__sink_printf(sink, "# HELP %.*s %s", (int)length, name, metric->help);
    if (metric->key != NULL)
        (void)rth__sink_printf(sink, " Sourced from %s.", metric->key);
    (void)rth__sink_printf(sink, "\n# TYPE %.*s %s\n", (int)length, name,
                           cumulative ? "counter" : "gauge");
}

void rth__exposition_sample(struct rth_sink *sink, const char *name, const char *labels,
                            double value)
{
    char number[RTH_NUMBER_BYTES];
    (void)rth__number_double_go(value, number);
    if (labels[0] != '\0')
        (void)rth__sink_printf(sink, "%s{%s} %s\n", name, labels, number);
    else
        (void)rth__sink_printf(sink, "%s %s\n", name, number);
}

void rth__exposition_end(struct rth_sink *sink, enum rth_exposition_format format)
{
    if (format == RTH_EXPOSITION_OPENMETRICS)
        (void)rth__sink_puts(sink, "# EOF\n");
}
