/* SPDX-License-Identifier: MIT */
#ifndef RTH_METRICS_EXPOSITION_H
#define RTH_METRICS_EXPOSITION_H

/*
 * The two text formats Prometheus reads: its own 0.0.4 and OpenMetrics 1.0. Writes straight into
 * a sink; the caller walks the families.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/capability.h"

#define RTH_METRIC_NAME_BYTES 128

enum rth_exposition_format {
    RTH_EXPOSITION_PROMETHEUS,
    RTH_EXPOSITION_OPENMETRICS,
};

/* Which format an Accept header wants: OpenMetrics where it is named with a q above 0 and not
 * below that of text/plain; Prometheus otherwise. */
enum rth_exposition_format rth__exposition_negotiate(const char *accept);
const char *rth__exposition_content_type(enum rth_exposition_format format);

/*
 * The Prometheus name of a metric, by client_golang's rules: "rthooks" + path with '/' and '-' as
 * '_' + unit with '-' and '*' as '_' and '/' as "_per_" + "_total" when cumulative.
 * Returns 0; -EINVAL for a key without unit or with a character Prometheus does not take;
 * -ENAMETOOLONG.
 */
int rth__exposition_name(const struct rth_metric *metric, char *ret_name, size_t name_size);

/* HELP and TYPE (and UNIT) lines of a family. */
void rth__exposition_head(struct rth_sink *sink, enum rth_exposition_format format,
                          const struct rth_metric *metric, const char *name);
/* One sample; labels like `pid="7"` or "". */
void rth__exposition_sample(struct rth_sink *sink, const char *name, const char *labels,
                            double value);
/* "# EOF" where the format has it. */
void rth__exposition_end(struct rth_sink *sink, enum rth_exposition_format format);

#endif /* RTH_METRICS_EXPOSITION_H */
