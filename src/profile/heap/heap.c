/* SPDX-License-Identifier: MIT */
/*
 * The heap profile.
 *
 * Purpose: who holds the memory, and for which request: /debug/pprof/heap and, with another column
 * in front, /debug/pprof/allocs, over whatever allocator the program brings, as long as its calls
 * can be seen. Threads: routes and the tick on rth-work; recording is sampler.c's, on the host's
 * threads. Failure: where calls cannot be seen, or somebody else's malloc comes first, the routes
 * say so with 501; what the sampler lost is in the comments. Cost: a copy of the rows per answer.
 */
#include "profile/heap/heap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/artefact.h"
#include "core/enable.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "formats/size.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/held.h"
#include "profile/heap/sampler.h"
#include "profile/heap/static_allocator.h"
#include "profile/heap/waiting.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/stack_here.h"
#include "record/loader.h"
#include "rthooks/profile.h"
#include "unwind/unwind.h"

#define INTERVAL_DEFAULT_TEXT "512KiB"
#define INTERVAL_MAX          (INT64_C(1) << 40)

/* ---- options -------------------------------------------------------------------------------- */

static struct rth_option_value interval_value;

static int parse_interval(const char *text, int64_t *ret_bytes)
{
    if (strcmp(text, "off") == 0) {
        *ret_bytes = 0;
        return 0;
    }
    int64_t bytes;
    int error = rth__size_parse(text, &bytes);
    if (error != 0 || bytes < 1 || bytes > INTERVAL_MAX)
        return -EINVAL;
    *ret_bytes = bytes;
    return 0;
}

static int check_interval(const char *text)
{
    int64_t bytes;
    return parse_interval(text, &bytes);
}

static const struct rth_option options[] = {
    {
        .variable = "RTHOOKS_HEAP_INTERVAL",
        .grammar = "bytes with B, KiB, MiB or GiB, 1 to 1TiB, or off",
        .default_text = INTERVAL_DEFAULT_TEXT,
        .doc = "Bytes allocated per sample of the heap profile, on average; 1 records every block.",
        .opts_offset = SIZE_MAX,
        .check = check_interval,
        .value = &interval_value,
    },
};

/* ---- what can be seen ------------------------------------------------------------------------ */

/* Written at start. */
static bool has_interposer;
static struct rth_interpose_info seen;
/* rth-work's: looked for once. */
static bool allocator_sought;
static bool has_static_allocator;
static struct rth_static_allocator static_allocator;

void rth__heap_attach(const struct rth_interpose_info *info)
{
    has_interposer = info != NULL;
    if (info != NULL) {
        seen = *info;
        rth__stack_here_wrappers_set(info->heap_code_start, info->heap_code_limit);
    }
}

static const char *module_path_at(const void *address)
{
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)address);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    return module != NULL ? module->path : "an unknown file";
}

/* Whether the profile can be true; else the call is failed. */
static int check_visible(struct rth_call *call)
{
    if (!allocator_sought) {
        allocator_sought = true;
        has_static_allocator = rth__static_allocator_find(rth__root_fd(), &static_allocator) == 0;
    }
    /* One in a library serves that library, not the program. */
    if (has_static_allocator && static_allocator.in_executable)
        return rth__call_fail(call, 501,
                              "heap profile not available: %s is linked into %.100s (%.40s), where "
                              "its calls cannot be seen; /debug/pprof/mmap shows its mappings",
                              static_allocator.kind, static_allocator.module_path,
                              static_allocator.evidence);
    if (seen.first_malloc != seen.own_malloc)
        return rth__call_fail(call, 501,
                              "heap profile not available: malloc of %.150s comes before "
                              "librthooks_interpose.so; /debug/pprof/mmap shows its mappings",
                              module_path_at(seen.first_malloc));
    int64_t set_at_start;
    if (rth__heap_sampler_interval() == 0 &&
        parse_interval(interval_value.text, &set_at_start) == 0 && set_at_start != 0)
        return rth__call_fail(call, 503, "heap profile is off: rth_heap_interval_set(0)");
    if (rth__heap_sampler_interval() == 0)
        return rth__call_fail(call, 503, "heap profile is off: RTHOOKS_HEAP_INTERVAL=%.32s",
                              interval_value.text);
    return 0;
}

/* ---- a profile ------------------------------------------------------------------------------- */

struct heap_call {
    struct rth_named_request request;
    struct rth_sites_copy base; /* seconds=: as it was at the beginning */
    int64_t begun_unix_ns;
    bool is_allocs;
};
_Static_assert(sizeof(struct heap_call) <= RTH_CALL_STATE_BYTES, "it fits into its call");

static struct heap_call *heap_call_of(struct rth_call *call)
{
    return (struct heap_call *)(void *)call->state;
}

static void refresh(void)
{
    (void)rth__unwind_refresh(rth__root_fd());
    rth__heap_sampler_resolve();
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct heap_call *heap = heap_call_of(call);
    heap->is_allocs = strcmp(call->artefact->name, "allocs") == 0;
    /* What waits for code that is loaded by now shall be in it. */
    (void)rth__loader_changed();
    refresh();
    int error = check_visible(call);
    if (error == 0)
        error = rth__named_request_read(call, heap->is_allocs ? "allocs-delta" : "heap-delta",
                                        &heap->request);
    if (error != 0)
        return error;
    heap->begun_unix_ns = rth__clock_realtime_ns_sigsafe();
    if (heap->request.seconds == 0)
        return 0;
    if (rth__sites_copy(&rth__heap_sites, &heap->base) != 0)
        return rth__call_fail(call, 503, "failed to collect profile: no memory");
    *ret_wait_ns = heap->request.seconds * RTH_NS_PER_S;
    return 0;
}

static void cancel(struct rth_call *call)
{
    rth__sites_copy_free(&heap_call_of(call)->base);
}

static void comment_losses(struct rth_comments *comments)
{
    struct rth_heap_counts counts;
    rth__heap_counts_read(&counts);
    struct rth_sites_counts sites = rth__sites_counts(&rth__heap_sites);
    rth__comments_add(comments, "blocks sampled so far: %llu; followed now: %zu, in %zu bytes",
                      (unsigned long long)counts.samples, counts.live, counts.live_bytes);
    if (counts.samples == 0)
        rth__comments_add(comments, "empty: no allocation was sampled yet");
    if (counts.lost_live > 0)
        rth__comments_add(comments,
                          "lost: %llu samples found no room to be followed; they count as "
                          "allocated, not as in use",
                          (unsigned long long)counts.lost_live);
    if (counts.lost_nested > 0)
        rth__comments_add(comments, "lost: %llu samples in signal handlers",
                          (unsigned long long)counts.lost_nested);
    if (counts.missed_frees > 0)
        rth__comments_add(comments, "%llu sampled blocks went without a call that is seen",
                          (unsigned long long)counts.missed_frees);
    if (counts.without_stack > 0)
        rth__comments_add(comments, "%llu samples have no stack",
                          (unsigned long long)counts.without_stack);
    if (sites.overflowed > 0)
        rth__comments_add(comments, "%llu samples found no room for their stack (%u are kept)",
                          (unsigned long long)sites.overflowed, sites.rows);
    if (sites.evicted > 0)
        rth__comments_add(comments,
                          "%llu stacks of which nothing was in use any more made room: their "
                          "allocations are in the row without a stack",
                          (unsigned long long)sites.evicted);
}

static void write_comments(struct rth_comments *comments)
{
    struct rth_heap_totals totals;
    rth__heap_totals_read(&totals);
    rth__comments_init(comments);
    rth__comments_add(comments,
                      "sampled every %llu bytes on average, values scaled to stand for all",
                      (unsigned long long)rth__heap_sampler_interval());
    rth__comments_add(comments, "allocator: %s", module_path_at(seen.real_malloc));
    if (has_static_allocator)
        rth__comments_add(comments, "not seen: what %s allocates from the %s inside it (%s)",
                          static_allocator.module_path, static_allocator.kind,
                          static_allocator.evidence);
    rth__comments_add(comments, "counted, all threads: %llu allocations of %llu bytes, %llu frees",
                      (unsigned long long)totals.allocs, (unsigned long long)totals.bytes,
                      (unsigned long long)totals.frees);
    rth__comments_add(comments, "%s are not in this profile",
                      rth__enable_page()->generation > 1
                          ? "blocks from before the fork or the last start"
                          : "blocks from before rthooks started");
    comment_losses(comments);
    rth__profile_labels_comment(comments);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct heap_call *heap = heap_call_of(call);
    refresh();
    struct rth_sites_copy now = {0};
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    int error = comments == NULL ? -ENOMEM : rth__sites_copy(&rth__heap_sites, &now);
    if (error == 0) {
        write_comments(comments);
        bool is_delta = heap->request.seconds != 0;
        struct rth_held_profile profile = {
            .count_shift = RTH_HEAP_COUNT_SHIFT,
            .default_sample_type = heap->is_allocs ? "alloc_space" : NULL,
            .period_bytes = (int64_t)rth__heap_sampler_interval(),
            .time_ns = heap->begun_unix_ns,
            .duration_ns = is_delta ? rth__clock_realtime_ns_sigsafe() - heap->begun_unix_ns : 0,
            .debug = heap->request.debug,
            .comments = comments,
            .naming = rth__named_naming(heap->request.symbols, sink),
        };
        error = rth__held_profile_write(&profile, &now, is_delta ? &heap->base : NULL, sink);
    }
    rth__sites_copy_free(&now);
    rth__sites_copy_free(&heap->base);
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    return error;
}

static uint64_t live_count(void)
{
    struct rth_heap_counts counts;
    rth__heap_counts_read(&counts);
    return counts.live;
}

/* ---- the row --------------------------------------------------------------------------------- */

static int start(char *ret_reason, size_t reason_size)
{
    if (!has_interposer) {
        (void)snprintf(ret_reason, reason_size, "librthooks_interpose.so is not loaded");
        return -ENOTSUP;
    }
    int64_t interval;
    int error = parse_interval(interval_value.text, &interval);
    if (error == 0)
        error = rth__heap_sampler_start(seen.heap_filter);
    if (error != 0)
        return error;
    rth__heap_sampler_set_interval((uint64_t)interval);
    return 0;
}

/* Rows for the code that samples wait for, and for what was loaded since. */
static void tick(void)
{
    if (rth__module_count() == 0 || rth__waiting_count() != 0 || rth__loader_changed())
        refresh();
}

static void status(struct rth_json *json)
{
    struct rth_heap_counts counts;
    struct rth_heap_totals totals;
    rth__heap_counts_read(&counts);
    rth__heap_totals_read(&totals);
    rth__json_member_uint(json, "interval_bytes", rth__heap_sampler_interval());
    rth__json_member_bool(json, "malloc_is_ours", seen.first_malloc == seen.own_malloc);
    rth__json_member_uint(json, "samples", counts.samples);
    rth__json_member_uint(json, "live_samples", counts.live);
    rth__json_member_uint(json, "live_table_bytes", counts.live_bytes);
    rth__json_member_uint(json, "lost_nested", counts.lost_nested);
    rth__json_member_uint(json, "lost_live", counts.lost_live);
    rth__json_member_uint(json, "missed_frees", counts.missed_frees);
    rth__json_member_uint(json, "waiting", counts.waiting);
    rth__json_member_uint(json, "without_stack", counts.without_stack);
    rth__json_member_uint(json, "stacks", rth__sites_counts(&rth__heap_sites).rows);
    rth__json_member_uint(json, "allocs", totals.allocs);
    rth__json_member_uint(json, "frees", totals.frees);
    rth__json_member_uint(json, "alloc_bytes", totals.bytes);
}

static void child_reset(void)
{
    rth__heap_sampler_child_reset();
    allocator_sought = false;
}

int rth_heap_interval_set(int64_t interval_bytes)
{
    if (interval_bytes < 0 || interval_bytes > INTERVAL_MAX)
        return -EINVAL;
    if (!rth__enabled() || !rth__capability_is_running("heap"))
        return -ENOTSUP;
    rth__heap_sampler_set_interval((uint64_t)interval_bytes);
    return 0;
}

static const char *const needs[] = {"capture", NULL};

#define FLAGS (RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT)

static const struct rth_artefact artefacts[] = {
    {
        .name = "heap",
        .path = "/debug/pprof/heap",
        .content_type = "application/octet-stream",
        .description = "A sampling of memory allocations of live objects. The gc GET parameter is "
                       "accepted; what was freed is never in the sample.",
        .flags = FLAGS,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = live_count,
    },
    {
        .name = "allocs",
        .path = "/debug/pprof/allocs",
        .content_type = "application/octet-stream",
        .description = "A sampling of all past memory allocations",
        .flags = FLAGS,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = live_count,
    },
};

const struct rth_capability rth__heap_capability = {
    .name = "heap",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .needs = needs,
    .start = start,
    .stop = rth__heap_sampler_stop,
    .child_reset = child_reset,
    .tick = tick,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
