/* SPDX-License-Identifier: MIT */
/*
 * The tasks are copied first, one by one, then the sites of all; a task whose last of its kind has
 * ended in between has no stack any more.
 */
#include "profile/tasks/text.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "os/clock.h"
#include "profile/custom/values.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/tasks/task.h"
#include "profile/text.h"

struct listed {
    struct rth_task_info *tasks;
    size_t count, capacity;
    int64_t now_ns;
    struct rth_sites_copy sites;
};

static int list_tasks(struct listed *listed)
{
    uint32_t places = rth__task_places();
    listed->now_ns = rth__clock_monotonic_ns_sigsafe();
    listed->capacity = rth__task_count() + 256; /* and some that come meanwhile */
    listed->tasks = rth__arena_alloc_nomalloc(listed->capacity * sizeof(*listed->tasks));
    if (listed->tasks == NULL)
        return -ENOMEM;
    for (uint32_t place = 1; place <= places && listed->count < listed->capacity; place++)
        listed->count += rth__task_read(place, listed->now_ns, &listed->tasks[listed->count]);
    return rth__custom_sites_copy(&listed->sites);
}

static void list_free(struct listed *listed)
{
    rth__sites_copy_free(&listed->sites);
    rth__arena_free_nomalloc(listed->tasks, listed->capacity * sizeof(*listed->tasks));
}

/* ---- a block ------------------------------------------------------------------------------- */

static void write_seconds(struct rth_sink *sink, int64_t ns)
{
    int64_t ms = ns > 0 ? ns / RTH_NS_PER_MS : 0;
    (void)rth__sink_printf(sink, "%lld.%03lld s", (long long)(ms / 1000), (long long)(ms % 1000));
}

static void write_head(struct rth_sink *sink, const struct rth_task_info *task, int64_t now_ns)
{
    static const char *const states[] = {
        [RTH_TASK_QUEUED] = "queued", [RTH_TASK_RUNNING] = "running", [RTH_TASK_PAUSED] = "paused"};
    (void)rth__sink_printf(sink, "task %llu \"%s\" [%s", (unsigned long long)task->number,
                           task->name, states[task->state]);
    if (task->state == RTH_TASK_RUNNING && task->tid != 0)
        (void)rth__sink_printf(sink, " on thread %d", task->tid);
    (void)rth__sink_puts(sink, ", ");
    write_seconds(sink, now_ns - task->created_ns);
    (void)rth__sink_puts(sink, " old, in queue ");
    write_seconds(sink, task->queued_ns);
    if (task->maker != 0)
        (void)rth__sink_printf(sink, ", made by task %llu", (unsigned long long)task->maker);
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    unsigned label_count = rth__profile_labels_read(task->label_set, labels);
    if (label_count != 0) {
        (void)rth__sink_puts(sink, ", labels:");
        rth__profile_text_labels(sink, labels, label_count);
    }
    (void)rth__sink_puts(sink, "]:\n");
}

static void write_stack(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                        const struct rth_site_row *site)
{
    for (unsigned i = 0; site != NULL && i < site->frame_count; i++) {
        const struct rth_module *module =
            rth__module_by_id_sigsafe(rth__frame_module_id(site->frames[i]));
        rth__profile_text_name(sink, symbols, site->frames[i]);
        (void)rth__sink_printf(sink, "\n\t%.512s\n", module != NULL ? module->path : "?");
    }
    if (site == NULL || site->frame_count == 0)
        (void)rth__sink_puts(sink, "\t(no stack: there was no room for it, or it could not be "
                                   "read)\n");
}

static int write_blocks(const struct listed *listed, const struct rth_symbol_set *symbols,
                        struct rth_sink *sink)
{
    size_t in_state[RTH_TASK_STATES] = {0};
    for (size_t i = 0; i < listed->count && !rth__sink_cancelled(sink); i++) {
        const struct rth_task_info *task = &listed->tasks[i];
        in_state[task->state]++;
        write_head(sink, task, listed->now_ns);
        write_stack(sink, symbols, rth__sites_copy_find(&listed->sites, task->site));
        (void)rth__sink_puts(sink, "\n");
    }
    (void)rth__sink_printf(sink, "# %zu tasks: %zu queued, %zu running, %zu paused\n",
                           listed->count, in_state[RTH_TASK_QUEUED], in_state[RTH_TASK_RUNNING],
                           in_state[RTH_TASK_PAUSED]);
    return sink->error;
}

/* ---- names --------------------------------------------------------------------------------- */

/* All sites of tasks, not only those of the listed: there are far fewer than tasks. */
static int write_named(const struct listed *listed, bool with_symbols, struct rth_sink *sink)
{
    struct rth_profile_naming naming = rth__named_naming(with_symbols, sink);
    if (!naming.symbols)
        return write_blocks(listed, NULL, sink);
    uint32_t kind = rth__custom_kind(rth__custom_tasks());
    size_t total = 0, used = 0;
    for (size_t i = 0; i < listed->sites.count; i++)
        total += listed->sites.rows[i].kind == kind ? listed->sites.rows[i].frame_count : 0;
    size_t frames_bytes = (total + 1) * sizeof(rth_frame);
    rth_frame *frames = rth__arena_alloc_nomalloc(frames_bytes);
    if (frames == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < listed->sites.count; i++) {
        const struct rth_site_row *site = &listed->sites.rows[i];
        if (site->kind != kind || site->frame_count == 0)
            continue;
        memcpy(frames + used, site->frames, site->frame_count * sizeof(*frames));
        used += site->frame_count;
    }
    struct rth_symbol_set *symbols = rth__symbol_set_new(frames, used);
    int error = 0;
    if (symbols != NULL)
        error = rth__symbol_set_resolve(symbols, naming.root_fd, naming.cancelled, naming.userdata);
    if (error == 0)
        error = write_blocks(listed, symbols, sink);
    rth__symbol_set_free(symbols);
    rth__arena_free_nomalloc(frames, frames_bytes);
    return error;
}

int rth__tasks_text(bool symbols, struct rth_sink *sink)
{
    struct listed listed = {0};
    int error = list_tasks(&listed);
    if (error == 0)
        error = write_named(&listed, symbols, sink);
    list_free(&listed);
    return error;
}
