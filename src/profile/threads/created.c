/* SPDX-License-Identifier: MIT */
/*
 * Where threads are created.
 *
 * Purpose: /debug/pprof/threadcreate, by the stack and the labels of pthread_create's caller: how
 * many threads were created there (created) and how many of these live now (threadcreate); and the
 * creation site of each thread in the dumps. Threads: sites are recorded on the creator, and given
 * up on the thread that ends; the rest on rth-work. Locks: that of the sites (RTH_RANK_SITES), for
 * some 50 ns per thread.
 * Failure: a stack without room counts in the row without a stack. Without the interposer nobody
 * sees a creation, and the row is absent. Cost: less than a microsecond per thread.
 */
#include "profile/threads/created.h"

#include <errno.h>
#include <stdio.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/early.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/stack_here.h"
#include "profile/text.h"
#include "thread/context.h"
#include "thread/registry.h"
#include "unwind/unwind.h"

static struct rth_sites sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};
/* Protected by the lock of the sites. */
static struct rth_early early;
static uint64_t living;

/* ---- recording: a birth's site is the number of its row plus 1, 0 for none ------------------- */

static void hold_locked(struct rth_thread_birth *birth, const rth_frame *frames, unsigned count,
                        uint32_t label_set)
{
    uint32_t site = rth__site_intern_locked(&sites, 0, frames, count, label_set);
    rth__site_add_locked(&sites, site, 1, 0);
    birth->site = site + 1;
}

static void creating(struct rth_thread_birth *ret_birth, uintptr_t return_address)
{
    struct rth_early_value value = {
        .owner = ret_birth,
        .label_set = rth__context_label_set_sigsafe(),
        .return_address = return_address,
    };
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
    unsigned count = rth__stack_capture_nomalloc(return_address, frames, RTH_STACK_HERE_FRAMES_MAX);
    RTH__LOCK_SCOPE(&sites.lock);
    if (sites.table == NULL)
        return;
    if (count <= 1 || rth__stack_is_early_nomalloc(frames, count)) {
        ret_birth->early = rth__early_put_locked(&early, &value);
        count = 1; /* until its stack is walked, it counts in the row without one */
    }
    /* The first is the wrapper's own. */
    hold_locked(ret_birth, frames + 1, count - 1, value.label_set);
    living++;
}

static void gone(struct rth_thread_birth *birth, bool has_run)
{
    RTH__LOCK_SCOPE(&sites.lock);
    if (birth->site == 0)
        return;
    if (birth->early != 0)
        rth__early_drop_locked(&early, birth->early);
    if (has_run)
        rth__site_remove_locked(&sites, birth->site - 1, 1, 0);
    else
        rth__site_take_back_locked(&sites, birth->site - 1, 1, 0);
    *birth = (struct rth_thread_birth){0};
    living--;
}

static const struct rth_thread_birth_observer observer = {.creating = creating, .gone = gone};

static void found_locked(const struct rth_early_value *value, const rth_frame *frames,
                         unsigned count)
{
    struct rth_thread_birth *birth = value->owner;
    birth->early = 0;
    if (count <= 1)
        return;
    rth__site_take_back_locked(&sites, birth->site - 1, 1, 0);
    hold_locked(birth, frames + 1, count - 1, value->label_set);
}

/* ---- for the dumps --------------------------------------------------------------------------- */

int rth__created_sites_copy(struct rth_sites_copy *ret_copy)
{
    bool has_table;
    if (rth__early_count(&early) != 0)
        rth__early_resolve(&early, &sites.lock, found_locked);
    {
        RTH__LOCK_SCOPE(&sites.lock);
        has_table = sites.table != NULL;
    }
    *ret_copy = (struct rth_sites_copy){0};
    return has_table ? rth__sites_copy(&sites, ret_copy) : 0;
}

const struct rth_site_row *rth__created_site_of(const struct rth_sites_copy *copy,
                                                const struct rth_thread_info *info)
{
    uint64_t identity = 0;
    {
        RTH__LOCK_SCOPE(&sites.lock);
        if (info->birth->site != 0)
            identity = rth__site_identity_locked(&sites, info->birth->site - 1);
    }
    /* The thread's block may be another's by now. */
    struct rth_thread_info now;
    if (!rth__thread_find(info->tid, &now) || now.generation != info->generation)
        return NULL;
    const struct rth_site_row *row = rth__sites_copy_find(copy, identity);
    return row != NULL && row->frame_count != 0 ? row : NULL;
}

/* ---- the profile ----------------------------------------------------------------------------- */

enum { CREATED, LIVING, COLUMNS };

static const struct rth_profile_value_type column_types[COLUMNS] = {
    {"created", "count"},
    {"threadcreate", "count"},
};

struct created_call {
    struct rth_named_request request;
    struct rth_sites_copy base; /* seconds=: as it was at the beginning */
    int64_t begun_unix_ns;
};
_Static_assert(sizeof(struct created_call) <= RTH_CALL_STATE_BYTES, "it fits into its call");

static struct created_call *created_of(struct rth_call *call)
{
    return (struct created_call *)(void *)call->state;
}

struct created_row {
    int64_t values[COLUMNS];
    struct rth_pprof_label labels[RTH_LABELS_MAX];
};

struct created_rows {
    struct created_row *memory;
    struct rth_profile_row *rows;
    size_t memory_bytes, rows_bytes, count;
    int64_t total[COLUMNS], without_stack;
};

static bool rows_take(struct created_rows *rows, size_t count)
{
    *rows = (struct created_rows){
        .memory_bytes = (count + 1) * sizeof(*rows->memory),
        .rows_bytes = (count + 1) * sizeof(*rows->rows),
    };
    rows->memory = rth__arena_alloc_nomalloc(rows->memory_bytes);
    rows->rows = rth__arena_alloc_nomalloc(rows->rows_bytes);
    return rows->memory != NULL && rows->rows != NULL;
}

static void rows_give(struct created_rows *rows)
{
    rth__arena_free_nomalloc(rows->memory, rows->memory_bytes);
    rth__arena_free_nomalloc(rows->rows, rows->rows_bytes);
}

static void add_values(int64_t values[COLUMNS], const struct rth_site_row *row, int64_t sign)
{
    values[CREATED] += sign * (int64_t)row->values.added_count;
    values[LIVING] += sign * (int64_t)(row->values.added_count - row->values.removed_count);
}

/* Rows of the base that have made room since: the row without a stack counts what they counted. */
static void take_evicted(int64_t values[COLUMNS], const struct rth_sites_copy *now,
                         const struct rth_sites_copy *base)
{
    for (size_t i = 0; i < base->count; i++)
        if (rth__sites_copy_find(now, base->rows[i].identity) == NULL)
            add_values(values, &base->rows[i], -1);
}

/* values[0] of a row is what text shows: the living. */
static void fill(struct created_rows *rows, const struct rth_sites_copy *now,
                 const struct rth_sites_copy *base, bool for_text)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct rth_site_row *row = &now->rows[i];
        struct created_row *mine = &rows->memory[rows->count];
        int64_t values[COLUMNS] = {0};
        add_values(values, row, 1);
        const struct rth_site_row *before = rth__sites_copy_find(base, row->identity);
        if (before != NULL)
            add_values(values, before, -1);
        if (row->frame_count == 0)
            take_evicted(values, now, base);
        for (int k = 0; k < COLUMNS; k++)
            rows->total[k] += values[k];
        rows->without_stack += row->frame_count == 0 ? values[CREATED] : 0;
        if (for_text ? values[LIVING] == 0 : values[LIVING] == 0 && values[CREATED] == 0)
            continue;
        mine->values[0] = for_text ? values[LIVING] : values[CREATED];
        mine->values[1] = values[LIVING];
        rows->rows[rows->count++] = (struct rth_profile_row){
            .frames = row->frames,
            .frame_count = row->frame_count,
            .values = mine->values,
            .labels = mine->labels,
            .label_count = rth__profile_labels_read(row->label_set, mine->labels),
        };
    }
}

static void write_comments(struct rth_comments *comments, const struct created_rows *rows)
{
    rth__comments_init(comments);
    rth__comments_add(comments, "threads created: %lld, of which %lld live",
                      (long long)rows->total[CREATED], (long long)rows->total[LIVING]);
    rth__comments_add(comments, "not in it: the first thread, raw clones, and threads that were "
                                "created before rthooks started");
    if (rows->without_stack > 0)
        rth__comments_add(comments,
                          "created without a stack: %lld: it could not be read, or there "
                          "was no room for it",
                          (long long)rows->without_stack);
    if (rth__thread_unseen_count() > 0)
        rth__comments_add(comments, "threads that found no room to be followed: %llu",
                          (unsigned long long)rth__thread_unseen_count());
    rth__profile_labels_comment(comments);
}

static int write_rows(const struct created_call *created, const struct created_rows *rows,
                      const struct rth_comments *comments, struct rth_sink *sink)
{
    struct rth_profile_rows shown = {rows->rows, rows->count};
    struct rth_profile_naming naming = rth__named_naming(created->request.symbols, sink);
    if (created->request.debug != 0)
        return rth__profile_text_counts("threadcreate", &shown, &naming, comments->lines,
                                        comments->count, sink);
    bool is_delta = created->request.seconds != 0;
    struct rth_profile_description description = {
        .sample_types = column_types,
        .sample_type_count = COLUMNS,
        .period_type = column_types[LIVING],
        .period = 1,
        .time_ns = created->begun_unix_ns,
        .duration_ns = is_delta ? rth__clock_realtime_ns_sigsafe() - created->begun_unix_ns : 0,
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    return rth__profile_encode(&description, &shown, &naming, sink);
}

static int copy_now(struct rth_sites_copy *ret_copy)
{
    (void)rth__unwind_refresh(rth__root_fd());
    return rth__created_sites_copy(ret_copy);
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct created_call *created = created_of(call);
    int error = rth__named_request_read(call, "threadcreate-delta", &created->request);
    if (error != 0)
        return error;
    created->begun_unix_ns = rth__clock_realtime_ns_sigsafe();
    if (created->request.seconds == 0)
        return 0;
    if (copy_now(&created->base) != 0)
        return rth__call_fail(call, 503, "failed to collect profile: no memory");
    *ret_wait_ns = created->request.seconds * RTH_NS_PER_S;
    return 0;
}

static void cancel(struct rth_call *call)
{
    rth__sites_copy_free(&created_of(call)->base);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct created_call *created = created_of(call);
    struct rth_sites_copy now;
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    int error = comments == NULL ? -ENOMEM : copy_now(&now);
    if (error == 0) {
        struct created_rows rows;
        error = rows_take(&rows, now.count) ? 0 : -ENOMEM;
        if (error == 0) {
            fill(&rows, &now, &created->base, created->request.debug != 0);
            write_comments(comments, &rows);
            error = write_rows(created, &rows, comments, sink);
        }
        rows_give(&rows);
        rth__sites_copy_free(&now);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    cancel(call);
    return error;
}

/* ---- the row --------------------------------------------------------------------------------- */

static int start(char *ret_reason, size_t reason_size)
{
    if (!rth__thread_registry_has_interposer()) {
        (void)snprintf(ret_reason, reason_size, "librthooks_interpose.so is not loaded");
        return -ENOTSUP;
    }
    int error = rth__sites_init(&sites, "threads");
    if (error == 0)
        rth__thread_observe_births(&observer);
    else
        (void)snprintf(ret_reason, reason_size, "no memory for the sites of threads");
    return error;
}

static void tick(void)
{
    if (rth__early_count(&early) == 0)
        return;
    (void)rth__unwind_refresh(rth__root_fd());
    rth__early_resolve(&early, &sites.lock, found_locked);
}

static void child_reset(void)
{
    rth__sites_child_reset(&sites);
    rth__early_child_reset(&early);
    living = 0;
}

static void status(struct rth_json *json)
{
    struct rth_sites_counts counts = rth__sites_counts(&sites);
    rth__json_member_uint(json, "sites", counts.rows);
    rth__json_member_uint(json, "overflowed", counts.overflowed);
    rth__json_member_uint(json, "waiting", rth__early_count(&early));
}

static uint64_t count_living(void)
{
    RTH__LOCK_SCOPE(&sites.lock);
    return living;
}

static const char *const needs[] = {"threads", "capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "threadcreate",
        .path = "/debug/pprof/threadcreate",
        .content_type = "application/octet-stream",
        .description = "Stack traces that led to the creation of threads: how many were created, "
                       "how many of them live",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .write = write_profile,
        .cancel = cancel,
        .count = count_living,
    },
};

const struct rth_capability rth__threadcreate_capability = {
    .name = "threadcreate",
    .needs = needs,
    .start = start,
    .tick = tick,
    .child_reset = child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
