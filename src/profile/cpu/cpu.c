/* SPDX-License-Identifier: MIT */
/*
 * /debug/pprof/profile: a CPU capture.
 *
 * Purpose: what Go's route of that name gives, for any number of clients at once. A capture is a
 * snapshot of the sampler's counters at its begin and their difference at its end; between the two
 * it occupies no thread, and a short step now and then keeps the sampler's view of threads fresh.
 * Threads: rth-work. Locks: none of its own. Failure: what was lost, and why, is in the comments of
 * the profile. Cost: the sampler's while it runs; encoding at the end.
 */
#include "profile/cpu/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "formats/number.h"
#include "os/clock.h"
#include "os/fd.h"
#include "profile/comments.h"
#include "profile/cpu/sampler.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "rthooks/profile.h"
#include "rthooks/rthooks.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define SECONDS_DEFAULT 30
#define SECONDS_MAX     300
#define HZ_DEFAULT      100
#define HZ_DEFAULT_TEXT "100"
#define STEP_NS         (100 * RTH_NS_PER_MS)

/* ---- options ------------------------------------------------------------------------------- */

static struct rth_option_value hz_value;
static _Atomic int hz_set; /* by rth_cpu_hz_set; 0: not */

static int parse_hz(const char *text, int64_t *ret_hz)
{
    int64_t hz = 0;
    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || hz > RTH_CPU_HZ_MAX)
            return -EINVAL;
        hz = hz * 10 + (*digit - '0');
    }
    if (hz < 1 || hz > RTH_CPU_HZ_MAX)
        return -EINVAL;
    *ret_hz = hz;
    return 0;
}

static int check_hz(const char *text)
{
    int64_t hz;
    return parse_hz(text, &hz);
}

int rth_cpu_hz_set(int hz)
{
    if (hz < 1 || hz > RTH_CPU_HZ_MAX)
        return -EINVAL;
    atomic_store_explicit(&hz_set, hz, memory_order_relaxed);
    return 0;
}

/* Of a capture that does not ask. */
static int64_t default_hz(void)
{
    int64_t hz = atomic_load_explicit(&hz_set, memory_order_relaxed);
    if (hz == 0 && parse_hz(hz_value.text, &hz) != 0)
        hz = HZ_DEFAULT;
    return hz;
}

static const struct rth_option options[] = {
    {
        .variable = "RTHOOKS_CPU_HZ",
        .grammar = "1 to 1000",
        .default_text = HZ_DEFAULT_TEXT,
        .doc = "Samples per second of CPU time in a CPU profile that does not ask for a rate.",
        .opts_offset = SIZE_MAX,
        .check = check_hz,
        .value = &hz_value,
    },
};

/* ---- a capture ----------------------------------------------------------------------------- */

struct capture {
    struct rth_snapshot *snapshot;
    int hz;
    bool symbols;
    int64_t start_ns;      /* CLOCK_MONOTONIC */
    int64_t start_unix_ns; /* of the profile */
    int64_t end_ns;
    int64_t process_cpu_ns;       /* at the start */
    struct rth_cpu_counts counts; /* at the start */
};
_Static_assert(sizeof(struct capture) <= RTH_CALL_STATE_BYTES, "a capture fits into its call");

static struct capture *capture_of(struct rth_call *call)
{
    return (struct capture *)(void *)call->state;
}

static int hz_of(struct rth_call *call)
{
    int64_t asked;
    int error = rth__params_int64(&call->params, "hz", &asked);
    if (error == -ERANGE || (error == 0 && asked > RTH_CPU_HZ_MAX)) {
        size_t used = strlen(call->clamped);
        (void)snprintf(call->clamped + used, sizeof(call->clamped) - used, "%shz=%d",
                       used > 0 ? "," : "", RTH_CPU_HZ_MAX);
        return RTH_CPU_HZ_MAX;
    }
    return (int)(error == 0 && asked > 0 ? asked : default_hz());
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct capture *capture = capture_of(call);
    int64_t seconds = rth__call_seconds(call, SECONDS_DEFAULT, SECONDS_MAX);
    capture->hz = hz_of(call);
    char symbols[16] = "";
    (void)rth__params_get(&call->params, "symbols", symbols, sizeof(symbols));
    capture->symbols = strcmp(symbols, "none") != 0;
    int error = rth__cpu_sampler_acquire(rth__root_fd(), capture->hz);
    if (error == -EBUSY)
        return rth__call_fail(call, 503, "Could not enable CPU profiling: %s",
                              rth__sigmux_signal() == 0 ? "the program uses every signal we could"
                                                        : "too many captures run");
    if (error != 0)
        return rth__call_fail(call, 503, "Could not enable CPU profiling: errno %d", -error);
    rth__cpu_counts_read(&capture->counts);
    capture->process_cpu_ns = rth__clock_process_cpu_ns_sigsafe(0);
    capture->start_unix_ns = rth__clock_realtime_ns_sigsafe();
    capture->start_ns = rth__clock_monotonic_ns_sigsafe();
    capture->end_ns = capture->start_ns + seconds * RTH_NS_PER_S;
    capture->snapshot = rth__snapshot_take(&rth__cpu_counted);
    if (capture->snapshot == NULL) {
        rth__cpu_sampler_release(capture->hz);
        return rth__call_fail(call, 503, "no memory for a snapshot");
    }
    *ret_wait_ns = STEP_NS;
    return 0;
}

static int step(struct rth_call *call, int64_t *ret_wait_ns)
{
    int64_t left_ns = capture_of(call)->end_ns - rth__clock_monotonic_ns_sigsafe();
    if (left_ns <= 0)
        return 0;
    rth__cpu_sampler_sweep(rth__root_fd());
    *ret_wait_ns = left_ns < STEP_NS ? left_ns : STEP_NS;
    return 0;
}

static void end(struct capture *capture)
{
    rth__snapshot_free(capture->snapshot);
    capture->snapshot = NULL;
}

static void cancel(struct rth_call *call)
{
    rth__cpu_sampler_release(capture_of(call)->hz);
    end(capture_of(call));
}

/* ---- what the profile says of itself ------------------------------------------------------- */

struct totals {
    uint64_t ns, overflow_ns;
};

static struct totals total_of(const struct rth_counted_delta *rows, size_t count)
{
    struct totals totals = {0};
    for (size_t i = 0; i < count; i++) {
        totals.ns += rows[i].values[1];
        totals.overflow_ns += rows[i].frame_count == 0 ? rows[i].values[1] : 0;
    }
    return totals;
}

static void comment_on_rate(struct rth_comments *comments, const struct capture *capture,
                            const struct rth_cpu_coverage *coverage, uint64_t samples,
                            uint64_t cpu_ns)
{
    int64_t tick_ns = rth__cpu_timer_tick_ns();
    double effective = cpu_ns > 0 ? (double)samples * 1e9 / (double)cpu_ns : 0;
    rth__comments_add(comments,
                      "requested_hz=%d sampler_hz=%d tick_hz=%d effective_hz=%.1f (stacks per "
                      "second of CPU; the rest is weight)",
                      capture->hz, coverage->hz, (int)(RTH_NS_PER_S / tick_ns), effective);
}

void rth__cpu_comment_on_coverage(struct rth_comments *comments,
                                  const struct rth_cpu_coverage *coverage)
{
    /* Threads whose mask holds our signal back are not sampled, which nothing else shows. */
    rth__comments_add(comments,
                      "threads with_timer=%u sharing_a_timer=%u blocking_the_signal=%u "
                      "under_a_filter=%u without_a_place=%u",
                      coverage->threads, coverage->threads_waiting, coverage->threads_masked,
                      coverage->threads_filtered, coverage->threads_unplaced);
    if (coverage->threads_waiting > 0)
        rth__comments_add(comments, "not every thread has a timer: %s; %s",
                          coverage->waiting_reason != NULL ? coverage->waiting_reason : "unknown",
                          coverage->threads > 0
                              ? "they take turns, and a sample stands for all who wait"
                              : "none is sampled");
    if (coverage->threads_unplaced > 0)
        rth__comments_add(comments, "%u threads are not sampled: %s", coverage->threads_unplaced,
                          coverage->unplaced_reason);
    if (coverage->threads_filtered > 0)
        rth__comments_add(comments,
                          "%u threads are not sampled: they are under a seccomp filter that the "
                          "program put on them alone",
                          coverage->threads_filtered);
    int signal_number = rth__sigmux_signal();
    if (signal_number != SIGPROF && signal_number != 0)
        rth__comments_add(comments, "SIGPROF belongs to the program: signal %d is used",
                          signal_number);
    if (signal_number != 0 && !rth__sigmux_installed())
        rth__comments_add(comments,
                          "the program ignores signal %d, or replaced its handler by a raw system "
                          "call: samples are missing",
                          signal_number);
}

static void comment_on_kernel(struct rth_comments *comments)
{
    struct utsname name;
    if (uname(&name) == 0 && rth__cpu_timer_may_interrupt(name.release))
        rth__comments_add(comments,
                          "kernel %.60s: before 5.9 a sample may end a wait of the program with "
                          "EINTR",
                          name.release);
}

static void write_comments(struct rth_comments *comments, const struct capture *capture,
                           const struct rth_cpu_coverage *coverage, const struct totals *totals)
{
    struct rth_cpu_counts now;
    rth__cpu_counts_read(&now);
    const struct rth_cpu_counts *before = &capture->counts;
    uint64_t samples = now.samples - before->samples;
    rth__comments_init(comments);
    comment_on_rate(comments, capture, coverage, samples, totals->ns);
    uint64_t period_ns = (uint64_t)(RTH_NS_PER_S / capture->hz);
    uint64_t late_ns = now.lost_late_ns > before->lost_late_ns
                           ? now.lost_late_ns - before->lost_late_ns
                           : 0; /* what was owed before has found its sample */
    rth__comments_add(comments, "samples kept=%llu lost: late=%llu overflow=%llu",
                      (unsigned long long)samples, (unsigned long long)(late_ns / period_ns),
                      (unsigned long long)(totals->overflow_ns / period_ns));
    for (int i = 0; i < RTH_UNWIND_END_COUNT; i++)
        if (now.ends[i] != before->ends[i])
            rth__comments_add(comments, "stacks that ended at %s: %llu",
                              rth__unwind_end_name((enum rth_unwind_end)i),
                              (unsigned long long)(now.ends[i] - before->ends[i]));
    rth__cpu_comment_on_coverage(comments, coverage);
    comment_on_kernel(comments);
    rth__profile_labels_comment(comments);
    int64_t process_ns = rth__clock_process_cpu_ns_sigsafe(0) - capture->process_cpu_ns;
    rth__comments_add(comments, "cpu of the process in this window: %lld ns, rthooks included",
                      (long long)process_ns);
    if (totals->ns == 0)
        rth__comments_add(comments, "empty: no thread used a period of CPU time");
}

/* ---- the answer ---------------------------------------------------------------------------- */

static int encode(const struct capture *capture, const struct rth_profile_rows *rows,
                  const struct rth_comments *comments, int64_t duration_ns, struct rth_sink *sink)
{
    static const struct rth_profile_value_type types[] = {{"samples", "count"},
                                                          {"cpu", "nanoseconds"}};
    struct rth_profile_description description = {
        .sample_types = types,
        .sample_type_count = 2,
        .period_type = {"cpu", "nanoseconds"},
        .period = RTH_NS_PER_S / capture->hz,
        .time_ns = capture->start_unix_ns,
        .duration_ns = duration_ns,
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    struct rth_profile_naming naming = rth__named_naming(capture->symbols, sink);
    return rth__profile_encode(&description, rows, &naming, sink);
}

/* What the rows of a profile point to. */
struct row_memory {
    struct rth_profile_row *rows;
    int64_t *values;
    struct rth_pprof_label *labels;
    size_t rows_bytes, values_bytes, labels_bytes;
};

static bool row_memory_take(struct row_memory *memory, const struct rth_counted_delta *deltas,
                            size_t count)
{
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    size_t label_count = 0;
    for (size_t i = 0; i < count; i++)
        label_count += rth__profile_labels_read(deltas[i].label_set, labels);
    memory->rows_bytes = (count + 1) * sizeof(*memory->rows);
    memory->values_bytes = (count + 1) * RTH_COUNTED_VALUES * sizeof(*memory->values);
    memory->labels_bytes = (label_count + 1) * sizeof(*memory->labels);
    memory->rows = rth__arena_alloc_nomalloc(memory->rows_bytes);
    memory->values = rth__arena_alloc_nomalloc(memory->values_bytes);
    memory->labels = rth__arena_alloc_nomalloc(memory->labels_bytes);
    return memory->rows != NULL && memory->values != NULL && memory->labels != NULL;
}

static void row_memory_give(struct row_memory *memory)
{
    rth__arena_free_nomalloc(memory->labels, memory->labels_bytes);
    rth__arena_free_nomalloc(memory->values, memory->values_bytes);
    rth__arena_free_nomalloc(memory->rows, memory->rows_bytes);
}

static int write_rows(const struct capture *capture, const struct rth_counted_delta *deltas,
                      size_t count, const struct rth_comments *comments, int64_t duration_ns,
                      struct rth_sink *sink)
{
    struct row_memory memory;
    int error = row_memory_take(&memory, deltas, count) ? 0 : -ENOMEM;
    size_t labels_used = 0;
    /* The sampler's rate may be a multiple of ours, or no multiple: what a row has over whole
     * periods goes to the next, and the sum is right to a period. */
    uint64_t period_ns = (uint64_t)(RTH_NS_PER_S / capture->hz), carried_ns = period_ns / 2;
    for (size_t i = 0; i < count && error == 0; i++) {
        int64_t *row_values = &memory.values[i * RTH_COUNTED_VALUES];
        carried_ns += deltas[i].values[1];
        row_values[0] = (int64_t)(carried_ns / period_ns);
        row_values[1] = (int64_t)deltas[i].values[1];
        carried_ns %= period_ns;
        struct rth_pprof_label labels[RTH_LABELS_MAX];
        struct rth_pprof_label *row_labels = &memory.labels[labels_used];
        unsigned label_count = rth__profile_labels_read(deltas[i].label_set, labels);
        memcpy(row_labels, labels, label_count * sizeof(*labels));
        labels_used += label_count;
        memory.rows[i] = (struct rth_profile_row){
            .frames = deltas[i].frames,
            .frame_count = deltas[i].frame_count,
            .values = row_values,
            .labels = row_labels,
            .label_count = label_count,
        };
    }
    if (error == 0)
        error = encode(capture, &(struct rth_profile_rows){memory.rows, count}, comments,
                       duration_ns, sink);
    row_memory_give(&memory);
    return error;
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct capture *capture = capture_of(call);
    struct rth_counted_delta *deltas = NULL;
    size_t count = 0;
    struct rth_cpu_coverage coverage;
    rth__cpu_coverage_read(&coverage);
    int error = rth__snapshot_difference(capture->snapshot, &deltas, &count);
    int64_t duration_ns = rth__clock_monotonic_ns_sigsafe() - capture->start_ns;
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    if (error == 0 && comments == NULL)
        error = -ENOMEM;
    if (error == 0) {
        struct totals totals = total_of(deltas, count);
        write_comments(comments, capture, &coverage, &totals);
    }
    rth__cpu_sampler_release(capture->hz);
    if (error == 0)
        error = write_rows(capture, deltas, count, comments, duration_ns, sink);
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    rth__counted_deltas_free(deltas);
    end(capture);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static void status(struct rth_json *json)
{
    struct rth_cpu_coverage coverage;
    struct rth_cpu_counts counts;
    rth__cpu_coverage_read(&coverage);
    rth__cpu_counts_read(&counts);
    rth__json_member_int(json, "default_hz", default_hz());
    rth__json_member_int(json, "hz", coverage.hz);
    rth__json_member_uint(json, "threads_with_timer", coverage.threads);
    rth__json_member_uint(json, "threads_sharing_a_timer", coverage.threads_waiting);
    rth__json_member_uint(json, "threads_blocking_the_signal", coverage.threads_masked);
    rth__json_member_uint(json, "threads_under_a_filter", coverage.threads_filtered);
    rth__json_member_uint(json, "threads_without_a_place", coverage.threads_unplaced);
    rth__json_member_uint(json, "samples", counts.samples);
    rth__json_member_uint(json, "lost_late_ns", counts.lost_late_ns);
}

static void stop(void)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    if (root_fd >= 0)
        rth__cpu_sampler_stop(root_fd);
}

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "profile",
        .path = "/debug/pprof/profile",
        .content_type = "application/octet-stream",
        .description = "CPU profile. You can specify the duration in the seconds GET parameter. "
                       "After you get the profile file, use the go tool pprof or rthooks pprof "
                       "command to investigate the profile.",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .step = step,
        .write = write_profile,
        .cancel = cancel,
    },
};

const struct rth_capability rth__cpu_capability = {
    .name = "cpu",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .needs = needs,
    .stop = stop,
    .child_reset = rth__cpu_sampler_child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
