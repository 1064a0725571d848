/* SPDX-License-Identifier: MIT */
/*
 * Profiles of the program's own: what it holds, by the stack and the labels with which it was
 * taken.
 *
 * Purpose: /debug/pprof/NAME for each rth_profile_new, as Go has it: an ordinary count profile.
 * Shape: a set of values per profile, which says for each at which site it was added (record/
 * live.h), and one table of sites for all profiles, where each is a kind (record/sites.h). A value
 * that is added before the code on its stack has unwind rows gets its site later (early.h).
 * Threads: add and remove run on any thread of the host, the rest on rth-work. Locks: that of the
 * sites (RTH_RANK_SITES), for some 50 ns per add or remove and while a copy is made; profiles are
 * made without one (values.c).
 * Fork: a child knows the profiles, so handles stay good, and begins without values: its memory of
 * them is a copy, and what they stood for may be the parent's alone. It says so in its profiles.
 * Failure: what is refused is counted and said in the profile; a stack without room is counted in a
 * row without a stack, so the total is the number of values. Cost: a microsecond per add, 50 ns per
 * remove; 64 to 128 bytes per value, 4 MiB at most for the sites.
 */
#include "profile/custom/custom.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/custom/values.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/text.h"
#include "profile/write.h"
#include "rthooks/profile.h"
#include "unwind/unwind.h"

struct custom {
    struct rth_named_request request;
    struct rth_profile *profile;
};
_Static_assert(sizeof(struct custom) <= RTH_CALL_STATE_BYTES, "the state fits into its call");

static struct custom *custom_of(struct rth_call *call)
{
    return (struct custom *)(void *)call->state;
}

/* Unwind rows for the code that values wait for, and for what was loaded since. */
static void refresh(void)
{
    (void)rth__unwind_refresh(rth__root_fd());
    rth__custom_resolve();
}

static void tick(void)
{
    if (rth__custom_early_count() != 0)
        refresh();
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    struct custom *custom = custom_of(call);
    custom->profile = rth__custom_find(call->subpath);
    if (custom->profile == NULL)
        return rth__call_fail(call, 404, "Unknown profile");
    refresh();
    call->filename = rth__custom_name(custom->profile);
    return rth__named_request_read(call, NULL, &custom->request);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* What the rows of a profile point to. */
struct row_memory {
    struct rth_profile_row *rows;
    int64_t *values;
    struct rth_pprof_label *labels;
    size_t rows_bytes, values_bytes, labels_bytes;
    size_t count;
    int64_t without_stack; /* values */
};

static int64_t held_of(const struct rth_site_row *site)
{
    return (int64_t)(site->values.added_count - site->values.removed_count);
}

static bool is_shown(const struct rth_site_row *site, uint32_t kind)
{
    return site->kind == kind && held_of(site) != 0;
}

static bool row_memory_take(struct row_memory *memory, const struct rth_sites_copy *copy,
                            uint32_t kind)
{
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    size_t count = 0, label_count = 0;
    for (size_t i = 0; i < copy->count; i++) {
        if (!is_shown(&copy->rows[i], kind))
            continue;
        count++;
        label_count += rth__profile_labels_read(copy->rows[i].label_set, labels);
    }
    memory->rows_bytes = (count + 1) * sizeof(*memory->rows);
    memory->values_bytes = (count + 1) * sizeof(*memory->values);
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

static void fill_rows(struct row_memory *memory, const struct rth_sites_copy *copy, uint32_t kind)
{
    struct rth_pprof_label *labels_left = memory->labels;
    for (size_t i = 0; i < copy->count; i++) {
        const struct rth_site_row *site = &copy->rows[i];
        if (!is_shown(site, kind))
            continue;
        struct rth_pprof_label labels[RTH_LABELS_MAX];
        unsigned label_count = rth__profile_labels_read(site->label_set, labels);
        memcpy(labels_left, labels, label_count * sizeof(*labels));
        memory->values[memory->count] = held_of(site);
        memory->without_stack += site->frame_count == 0 ? held_of(site) : 0;
        memory->rows[memory->count] = (struct rth_profile_row){
            .frames = site->frames,
            .frame_count = site->frame_count,
            .values = &memory->values[memory->count],
            .labels = labels_left,
            .label_count = label_count,
        };
        labels_left += label_count;
        memory->count++;
    }
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void write_comments(struct rth_comments *comments, struct rth_profile *profile,
                           int64_t without_stack)
{
    struct rth_custom_counts counts;
    rth__custom_counts(profile, &counts);
    rth__comments_init(comments);
    if (without_stack > 0)
        rth__comments_add(comments,
                          "values without a stack: %lld: there was no room for their stacks, or "
                          "these could not be read",
                          (long long)without_stack);
    if (counts.refused_full > 0)
        rth__comments_add(comments,
                          "refused: %llu values, because the program's profiles held %u together",
                          (unsigned long long)counts.refused_full, RTH_CUSTOM_VALUES_MAX);
    if (counts.refused_memory > 0)
        rth__comments_add(comments, "refused: %llu values, for want of memory",
                          (unsigned long long)counts.refused_memory);
    if (counts.forked)
        rth__comments_add(comments, "a forked process: values that were added before the fork are "
                                    "in its parent's profile alone");
    rth__profile_labels_comment(comments);
}

static int write_rows(const struct custom *custom, const struct row_memory *memory,
                      const struct rth_comments *comments, struct rth_sink *sink)
{
    const char *name = rth__custom_name(custom->profile);
    struct rth_profile_rows rows = {memory->rows, memory->count};
    struct rth_profile_naming naming = rth__named_naming(custom->request.symbols, sink);
    if (custom->request.debug != 0)
        return rth__profile_text_counts(name, &rows, &naming, comments->lines, comments->count,
                                        sink);
    struct rth_profile_value_type type = {name, "count"};
    struct rth_profile_description description = {
        .sample_types = &type,
        .sample_type_count = 1,
        .period_type = type,
        .period = 1,
        .time_ns = rth__clock_realtime_ns_sigsafe(),
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    return rth__profile_encode(&description, &rows, &naming, sink);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct custom *custom = custom_of(call);
    uint32_t kind = rth__custom_kind(custom->profile);
    struct rth_sites_copy copy;
    int error = rth__custom_sites_copy(&copy);
    if (error != 0)
        return error;
    struct row_memory memory = {0};
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    error = row_memory_take(&memory, &copy, kind) && comments != NULL ? 0 : -ENOMEM;
    if (error == 0) {
        fill_rows(&memory, &copy, kind);
        write_comments(comments, custom->profile, memory.without_stack);
        error = write_rows(custom, &memory, comments, sink);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    row_memory_give(&memory);
    rth__sites_copy_free(&copy);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static const char *name_below(size_t index)
{
    struct rth_profile *profile = rth__custom_at(index);
    return profile != NULL ? rth__custom_name(profile) : NULL;
}

static uint64_t count_below(size_t index)
{
    return rth_profile_count(rth__custom_at(index));
}

static int start(char *ret_reason, size_t reason_size)
{
    rth__profile_writes_open();
    int error = rth__custom_start();
    if (error != 0)
        (void)snprintf(ret_reason, reason_size, "no memory for the sites of values");
    return error;
}

static void child_reset(void)
{
    rth__custom_child_reset();
    rth__profile_writes_child_reset();
}

static void status(struct rth_json *json)
{
    rth__json_member_uint(json, "values_max", RTH_CUSTOM_VALUES_MAX);
    rth__json_member_uint(json, "bytes", rth__custom_bytes());
    rth__json_member_uint(json, "waiting", rth__custom_early_count());
    rth__json_key(json, "profiles");
    rth__json_object_begin(json);
    struct rth_profile *profile;
    for (size_t i = 0; (profile = rth__custom_at(i)) != NULL; i++) {
        struct rth_custom_counts counts;
        rth__custom_counts(profile, &counts);
        rth__json_key(json, rth__custom_name(profile));
        rth__json_object_begin(json);
        rth__json_member_uint(json, "values", counts.values);
        rth__json_member_uint(json, "refused", counts.refused_full + counts.refused_memory);
        rth__json_object_end(json);
    }
    rth__json_object_end(json);
}

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "custom",
        .path = "/debug/pprof/",
        .content_type = "application/octet-stream",
        .description = "A profile of the program's own: what it holds, by the stack that took it",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_PREFIX | RTH_ARTEFACT_BY_PID |
                 RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .write = write_profile,
        .name_below = name_below,
        .count_below = count_below,
    },
};

const struct rth_capability rth__custom_capability = {
    .name = "custom",
    .needs = needs,
    .start = start,
    .stop = rth__profile_writes_close,
    .tick = tick,
    .child_reset = child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
