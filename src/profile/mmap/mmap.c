/* SPDX-License-Identifier: MIT */
/*
 * The profile of mappings.
 *
 * Purpose: /debug/pprof/mmap says who mapped the anonymous memory that is mapped now, in the shape
 * of a heap profile. It sees below every allocator that takes its memory through mmap by name, also
 * one that is linked into the program, where no allocation function can be wrapped. It is exact:
 * every such call is recorded. Space is length as mapped, with what is reserved and was never
 * touched; what is resident is less.
 * Threads: routes and the tick on rth-work; recording is recorder.c's, on the host's threads.
 * Failure: without the interposer the row is absent; what was lost, and what cannot be seen, is in
 * the comments. Cost: a copy of the rows per answer.
 */
#include "profile/mmap/mmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/enable.h"
#include "core/fork.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "os/procfs.h"
#include "profile/comments.h"
#include "profile/held.h"
#include "profile/labels.h"
#include "profile/mmap/recorder.h"
#include "profile/named.h"
#include "unwind/unwind.h"

/* ---- a profile ----------------------------------------------------------------------------- */

struct map_call {
    struct rth_named_request request;
    struct rth_sites_copy base; /* seconds=: as it was at the beginning */
    int64_t begun_unix_ns;
};
_Static_assert(sizeof(struct map_call) <= RTH_CALL_STATE_BYTES, "it fits into its call");

static struct map_call *map_call_of(struct rth_call *call)
{
    return (struct map_call *)(void *)call->state;
}

static void refresh(void)
{
    (void)rth__unwind_refresh(rth__root_fd());
    rth__map_recorder_resolve();
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct map_call *map = map_call_of(call);
    int error = rth__named_request_read(call, "mmap-delta", &map->request);
    if (error != 0)
        return error;
    map->begun_unix_ns = rth__clock_realtime_ns_sigsafe();
    if (map->request.seconds == 0)
        return 0;
    refresh();
    if (rth__sites_copy(&rth__map_sites, &map->base) != 0)
        return rth__call_fail(call, 503, "failed to collect profile: no memory");
    *ret_wait_ns = map->request.seconds * RTH_NS_PER_S;
    return 0;
}

static void cancel(struct rth_call *call)
{
    rth__sites_copy_free(&map_call_of(call)->base);
}

/* ---- what the profile says of itself ------------------------------------------------------- */

static void comment_losses(struct rth_comments *comments, const struct rth_map_counts *counts)
{
    struct rth_sites_counts sites = rth__sites_counts(&rth__map_sites);
    if (counts->lost_pieces > 0)
        rth__comments_add(comments,
                          "lost: %llu mappings, of %llu bytes, found no room to be followed; they "
                          "count as allocated, not as in use",
                          (unsigned long long)counts->lost_pieces,
                          (unsigned long long)counts->lost_pieces_bytes);
    if (counts->lost_nested > 0)
        rth__comments_add(comments,
                          "lost: %llu calls from signal handlers that interrupted another one; "
                          "what they unmapped may still be here",
                          (unsigned long long)counts->lost_nested);
    if (counts->lost_stacks > 0)
        rth__comments_add(comments, "%llu mappings have no stack",
                          (unsigned long long)counts->lost_stacks);
    if (sites.overflowed > 0)
        rth__comments_add(comments, "%llu mappings found no room for their stack (%u are kept)",
                          (unsigned long long)sites.overflowed, sites.rows);
    if (sites.evicted > 0)
        rth__comments_add(comments,
                          "%llu stacks of which nothing was mapped any more made room: what they "
                          "mapped is in the row without a stack",
                          (unsigned long long)sites.evicted);
}

static void write_comments(struct rth_comments *comments)
{
    struct rth_map_counts counts;
    struct rth_proc_status process;
    rth__map_counts_read(&counts);
    rth__comments_init(comments);
    rth__comments_add(comments, "mapped now: %llu bytes in %llu pieces, reserved space included",
                      (unsigned long long)counts.bytes, (unsigned long long)counts.pieces);
    if (rth__proc_status_read(rth__root_fd(), 0, 0, &process) == 0)
        rth__comments_add(comments,
                          "the process has %llu KiB of private writable space (VmData), %llu KiB "
                          "of anonymous memory are resident (RssAnon)",
                          (unsigned long long)process.vm_data_kib,
                          (unsigned long long)process.rss_anon_kib);
    rth__comments_add(comments,
                      "not seen: mappings from before %s; those of libc itself (its malloc, thread "
                      "stacks) and of the dynamic loader; raw system calls; files",
                      rth__enable_page()->generation > 1 ? "the fork or the last start"
                                                         : "rthooks started");
    comment_losses(comments, &counts);
    rth__profile_labels_comment(comments);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct map_call *map = map_call_of(call);
    struct rth_sites_copy now = {0};
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    refresh();
    int error = comments == NULL ? -ENOMEM : rth__sites_copy(&rth__map_sites, &now);
    if (error == 0) {
        write_comments(comments);
        bool is_delta = map->request.seconds != 0;
        struct rth_held_profile profile = {
            .period_bytes = 1,
            .time_ns = map->begun_unix_ns,
            .duration_ns = is_delta ? rth__clock_realtime_ns_sigsafe() - map->begun_unix_ns : 0,
            .debug = map->request.debug,
            .comments = comments,
            .naming = rth__named_naming(map->request.symbols, sink),
        };
        error = rth__held_profile_write(&profile, &now, is_delta ? &map->base : NULL, sink);
    }
    rth__sites_copy_free(&now);
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    cancel(call);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static uint64_t count_pieces(void)
{
    struct rth_map_counts counts;
    rth__map_counts_read(&counts);
    return counts.pieces;
}

static int start(char *ret_reason, size_t reason_size)
{
    if (!rth__fork_interposed()) {
        (void)snprintf(ret_reason, reason_size, "librthooks_interpose.so is not loaded");
        return -ENOTSUP;
    }
    return rth__map_recorder_start();
}

/* Rows for the code that stacks wait for. */
static void tick(void)
{
    struct rth_map_counts counts;
    rth__map_counts_read(&counts);
    if (counts.waiting > 0)
        refresh();
}

static void status(struct rth_json *json)
{
    struct rth_map_counts counts;
    rth__map_counts_read(&counts);
    rth__json_member_uint(json, "mapped", counts.mapped);
    rth__json_member_uint(json, "pieces", counts.pieces);
    rth__json_member_uint(json, "bytes", counts.bytes);
    rth__json_member_uint(json, "stacks", rth__sites_counts(&rth__map_sites).rows);
    rth__json_member_uint(json, "waiting", counts.waiting);
    rth__json_member_uint(json, "lost_nested", counts.lost_nested);
    rth__json_member_uint(json, "lost_stacks", counts.lost_stacks);
    rth__json_member_uint(json, "lost_pieces", counts.lost_pieces);
}

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "mmap",
        .path = "/debug/pprof/mmap",
        .content_type = "application/octet-stream",
        .description = "Anonymous memory that is mapped now, by the stack that mapped it; shows "
                       "also allocators that are linked into the program",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = count_pieces,
    },
};

const struct rth_capability rth__mmap_capability = {
    .name = "mmap",
    .needs = needs,
    .start = start,
    .stop = rth__map_recorder_stop,
    .child_reset = rth__map_recorder_child_reset,
    .tick = tick,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
