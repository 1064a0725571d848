/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_BUDGET_RECOMMEND_H
#define RTH_TOOLS_BUDGET_RECOMMEND_H

/*
 * From what a process was seen to use to what it should ask for: arithmetic alone, nothing is read
 * here.
 *
 *   memory limit    peak x 1.25, up to the next 16 MiB
 *   memory request  p95, up to the next 16 MiB, never above the limit
 *   CPU request     p95, up to the next hundredth of a processor
 */

#include <stddef.h>
#include <stdint.h>

#define RECOMMEND_MEMORY_STEP_BYTES (16LL << 20)
#define RECOMMEND_CPU_STEP_MILLIS   10
#define RECOMMEND_QUANTITY_BYTES    32

/* -1 for a peak that is negative: not known. INT64_MAX at most. */
int64_t recommend_memory_limit(int64_t peak_bytes);
/* -1 for a p95 that is negative. */
int64_t recommend_memory_request(int64_t p95_bytes, int64_t limit_bytes);
/* Thousandths of a processor, at least one step; -1 for a negative p95 or none (NaN). */
int64_t recommend_cpu_request(double p95_processors);

/* The smallest value that at least that share of all do not exceed; values are put in order. NaN
 * where there are none. */
double recommend_percentile(double *values, size_t count, double share);

/* "45", "45s", "10m", "24h", "7d": whole, from 1 s to 7 d. 0, -EINVAL or -ERANGE. */
int recommend_duration_parse(const char *text, unsigned *ret_seconds);

/* As Kubernetes writes quantities: "160Mi", "2Gi"; "250m", "2". */
void recommend_memory_quantity(int64_t bytes, char ret_text[RECOMMEND_QUANTITY_BYTES]);
void recommend_cpu_quantity(int64_t millis, char ret_text[RECOMMEND_QUANTITY_BYTES]);

#endif /* RTH_TOOLS_BUDGET_RECOMMEND_H */
