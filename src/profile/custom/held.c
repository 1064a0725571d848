/* SPDX-License-Identifier: MIT */
#include "profile/custom/held.h"

#include <errno.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/labels.h"
#include "profile/row_list.h"
#include "profile/text.h"
#include "unwind/unwind.h"

void rth__held_refresh(void)
{
    (void)rth__unwind_refresh(rth__root_fd());
    rth__custom_resolve();
}

/* ---- rows ---------------------------------------------------------------------------------- */

static int64_t held_at(const struct rth_site_row *site)
{
    return site == NULL ? 0 : (int64_t)(site->values.added_count - site->values.removed_count);
}

static int add_row(struct rth_row_list *list, const struct rth_site_row *site, int64_t count)
{
    if (count == 0)
        return 0;
    int64_t *value =
        rth__row_list_add(list, site->frames, site->frame_count, site->label_set, NULL, 0);
    if (value == NULL)
        return -ENOMEM;
    *value = count;
    return 0;
}

static int add_rows(struct rth_row_list *list, const struct rth_held *held,
                    const struct rth_sites_copy *copy)
{
    static const struct rth_sites_copy nothing;
    const struct rth_sites_copy *base = held->base != NULL ? held->base : &nothing;
    uint32_t kind = rth__custom_kind(held->profile);
    int error = 0;
    for (size_t i = 0; i < copy->count && error == 0; i++) {
        const struct rth_site_row *site = &copy->rows[i];
        if (site->kind == kind)
            error = add_row(list, site,
                            held_at(site) - held_at(rth__sites_copy_find(base, site->identity)));
    }
    for (size_t i = 0; i < base->count && error == 0; i++) {
        const struct rth_site_row *site = &base->rows[i];
        if (site->kind == kind && rth__sites_copy_find(copy, site->identity) == NULL)
            error = add_row(list, site, -held_at(site));
    }
    return error;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static int64_t without_stack(const struct rth_row_list *list)
{
    int64_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += list->rows[i].frame_count == 0 ? list->rows[i].values[0] : 0;
    return count;
}

static void write_comments(struct rth_comments *comments, const struct rth_held *held,
                           int64_t stackless)
{
    struct rth_custom_counts counts;
    rth__custom_counts(held->profile, &counts);
    rth__comments_init(comments);
    if (stackless > 0)
        rth__comments_add(comments,
                          "%s without a stack: %lld: there was no room for their stacks, or "
                          "these could not be read",
                          held->noun, (long long)stackless);
    if (counts.refused_full > 0)
        rth__comments_add(comments, "refused: %llu %s, because %llu were held at a time",
                          (unsigned long long)counts.refused_full, held->noun,
                          (unsigned long long)counts.values_max);
    if (counts.refused_memory > 0)
        rth__comments_add(comments, "refused: %llu %s, for want of memory",
                          (unsigned long long)counts.refused_memory, held->noun);
    if (counts.forked)
        rth__comments_add(comments,
                          "a forked process: %s that were added before the fork are in its "
                          "parent's profile alone",
                          held->noun);
    rth__profile_labels_comment(comments);
}

static int write_rows(const struct rth_held *held, const struct rth_row_list *list,
                      const struct rth_comments *comments, struct rth_sink *sink)
{
    const char *name = rth__custom_name(held->profile);
    struct rth_profile_rows rows = {list->rows, list->count};
    struct rth_profile_naming naming = rth__named_naming(held->request->symbols, sink);
    if (held->request->debug != 0)
        return rth__profile_text_counts(name, &rows, &naming, comments->lines, comments->count,
                                        sink);
    struct rth_profile_value_type type = {name, "count"};
    struct rth_profile_description description = {
        .sample_types = &type,
        .sample_type_count = 1,
        .period_type = type,
        .period = 1,
        .time_ns = rth__clock_realtime_ns_sigsafe(),
        .duration_ns = held->duration_ns,
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    return rth__profile_encode(&description, &rows, &naming, sink);
}

int rth__held_write(const struct rth_held *held, struct rth_sink *sink)
{
    struct rth_sites_copy copy;
    int error = rth__custom_sites_copy(&copy);
    if (error != 0)
        return error;
    struct rth_row_list list;
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    size_t base_count = held->base != NULL ? held->base->count : 0;
    error = rth__row_list_init(&list, copy.count + base_count, 1);
    if (error == 0 && comments == NULL)
        error = -ENOMEM;
    if (error == 0)
        error = add_rows(&list, held, &copy);
    if (error == 0) {
        write_comments(comments, held, without_stack(&list));
        error = write_rows(held, &list, comments, sink);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    rth__row_list_free(&list);
    rth__sites_copy_free(&copy);
    return error;
}
