/* SPDX-License-Identifier: MIT */
#include "profile/threads/blocks.h"

#include "profile/labels.h"
#include "profile/text.h"
#include "profile/threads/view.h"

#define HOLDER_FRAMES   4u /* of where a holder is */
#define CONTENDED_SHOWN 32u
#define NS_PER_MINUTE   (60 * RTH_NS_PER_S)

struct blocks {
    struct rth_thread_view view;
    struct rth_sink *sink;
    bool is_goroutine;
};

static void write_labels(struct rth_sink *sink, const struct rth_thread_stack *thread)
{
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    unsigned count = rth__profile_labels_read(thread->label_set, labels);
    if (count == 0)
        return;
    (void)rth__sink_puts(sink, " labels:");
    rth__profile_text_labels(sink, labels, count);
}

static void write_head(const struct blocks *blocks, const struct rth_thread_stack *thread)
{
    struct rth_sink *sink = blocks->sink;
    const char *state = rth__proc_state_name(thread->state);
    const char *separator = thread->wchan[0] != '\0' ? ", " : "";
    if (!blocks->is_goroutine) {
        (void)rth__sink_printf(sink, "thread %d \"%s\" [%s%s%s, %lld s old", thread->tid,
                               thread->name, state, separator, thread->wchan,
                               (long long)thread->age_s);
    } else {
        (void)rth__sink_printf(sink, "goroutine %d [%s", thread->tid, state);
        /* As Go has it: how long it waits, from a minute on. */
        if (thread->wait.lasted_ns >= NS_PER_MINUTE)
            (void)rth__sink_printf(sink, ", %lld minutes",
                                   (long long)(thread->wait.lasted_ns / NS_PER_MINUTE));
        (void)rth__sink_printf(sink, "%s%s, %s", separator, thread->wchan, thread->name);
    }
    write_labels(sink, thread);
    (void)rth__sink_puts(sink, "]:\n");
}

/* " at load < transfer < worker": where the program is, and who called that. */
static void write_place(const struct blocks *blocks, const struct rth_thread_stack *thread,
                        unsigned frames_max)
{
    char name[RTH_VIEW_NAME_BYTES];
    if (!thread->answered)
        return;
    unsigned first = rth__thread_view_place(thread->frames, thread->frame_count);
    for (unsigned i = first; i < thread->frame_count && i - first < frames_max; i++) {
        if (i > first && rth__thread_view_is_below(thread->frames[i]))
            return;
        (void)rth__sink_printf(blocks->sink, "%s%s", i == first ? " at " : " < ",
                               rth__thread_view_name(&blocks->view, thread->frames[i], name));
    }
}

static void write_wait(const struct blocks *blocks, size_t index)
{
    const struct rth_thread_view *view = &blocks->view;
    char wait[RTH_VIEW_WAIT_BYTES];
    if (rth__thread_view_wait(view, index, wait)[0] == '\0')
        return;
    (void)rth__sink_printf(blocks->sink, "\t(waits for %s)\n", wait);
    if (rth__thread_view_holder(view, index) != RTH_VIEW_HOLDER_LISTED)
        return;
    const struct rth_thread_stack *holder = &view->stacks->threads[view->graph.holder[index]];
    if (!holder->answered)
        return;
    (void)rth__sink_printf(blocks->sink, "\t(%d is", holder->tid);
    write_place(blocks, holder, HOLDER_FRAMES);
    (void)rth__sink_puts(blocks->sink, ")\n");
}

static const char *path_of(rth_frame frame)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    return module != NULL ? module->path : "?";
}

static void write_stack(const struct blocks *blocks, const struct rth_thread_stack *thread)
{
    struct rth_sink *sink = blocks->sink;
    for (unsigned i = 0; i < thread->frame_count; i++) {
        rth__profile_text_name(sink, blocks->view.symbols, thread->frames[i]);
        (void)rth__sink_printf(sink, "\n\t%.512s\n", path_of(thread->frames[i]));
    }
    if (!thread->answered)
        (void)rth__sink_printf(sink, "\t(no stack: %s)\n", thread->missing);
    else if (thread->fp_searched)
        (void)rth__sink_puts(sink, "\t(frame pointer searched on the stack)\n");
    else if (thread->end != RTH_UNWIND_ROOT)
        (void)rth__sink_printf(sink, "\t(incomplete: %s)\n", rth__unwind_end_name(thread->end));
}

static void write_birth(const struct blocks *blocks, const struct rth_thread_stack *thread)
{
    char name[RTH_VIEW_NAME_BYTES];
    if (thread->created == NULL)
        return;
    const struct rth_site_row *created = thread->created;
    rth_frame frame =
        created->frames[rth__thread_view_place(created->frames, created->frame_count)];
    (void)rth__sink_printf(blocks->sink, "created by %s in %s %d\n\t%.512s\n",
                           rth__thread_view_name(&blocks->view, frame, name),
                           blocks->is_goroutine ? "goroutine" : "thread", thread->creator_tid,
                           path_of(frame));
}

/* ---- behind the threads ---------------------------------------------------------------------- */

static void write_deadlocks(const struct blocks *blocks)
{
    const struct rth_thread_view *view = &blocks->view;
    const struct rth_wait_graph *graph = &view->graph;
    char wait[RTH_VIEW_WAIT_BYTES];
    for (uint32_t cycle = 1; cycle <= graph->cycle_count; cycle++) {
        uint32_t first = rth__wait_graph_cycle_first(graph, cycle), at = first;
        size_t length = rth__wait_graph_cycle_length(graph, first);
        (void)rth__sink_printf(blocks->sink, "# deadlock: %zu thread%s\n", length,
                               length == 1 ? "" : "s");
        do {
            const struct rth_thread_stack *thread = &view->stacks->threads[at];
            (void)rth__sink_printf(blocks->sink, "#   %d \"%s\" waits for %s", thread->tid,
                                   thread->name, rth__thread_view_wait(view, at, wait));
            write_place(blocks, thread, 1);
            (void)rth__sink_puts(blocks->sink, "\n");
            at = graph->holder[at];
        } while (at != first);
        (void)rth__sink_puts(blocks->sink, "\n");
    }
}

static void write_contended(const struct blocks *blocks)
{
    const struct rth_thread_view *view = &blocks->view;
    const struct rth_wait_graph *graph = &view->graph;
    if (graph->object_count == 0)
        return;
    (void)rth__sink_printf(blocks->sink, "# contended: %zu lock%s\n", graph->object_count,
                           graph->object_count == 1 ? "" : "s");
    for (size_t i = 0; i < graph->object_count && i < CONTENDED_SHOWN; i++) {
        const struct rth_wait_object *object = &graph->objects[i];
        const struct rth_thread_stack *waiter = &view->stacks->threads[object->first];
        const char *reason = rth__thread_wait_reason(waiter->wait.kind);
        (void)rth__sink_printf(blocks->sink, "#   %u thread%s for %s 0x%llx", object->waiters,
                               object->waiters == 1 ? " waits" : "s wait",
                               waiter->wait.kind == RTH_THREAD_WAIT_MUTEX ? reason : "rwlock",
                               (unsigned long long)waiter->wait.object);
        if (object->holder != RTH_WAIT_NOBODY) {
            const struct rth_thread_stack *holder = &view->stacks->threads[object->holder];
            (void)rth__sink_printf(blocks->sink, " held by %d \"%s\"", holder->tid, holder->name);
            write_place(blocks, holder, HOLDER_FRAMES);
        }
        (void)rth__sink_puts(blocks->sink, "\n");
    }
    if (graph->object_count > CONTENDED_SHOWN)
        (void)rth__sink_printf(blocks->sink, "#   and %zu more\n",
                               graph->object_count - CONTENDED_SHOWN);
    (void)rth__sink_puts(blocks->sink, "\n");
}

int rth__thread_blocks_write(const struct rth_thread_stacks *stacks, bool is_goroutine,
                             const struct rth_profile_naming *naming, struct rth_sink *sink)
{
    struct blocks blocks = {.sink = sink, .is_goroutine = is_goroutine};
    int error = rth__thread_view_make(stacks, RTH_VIEW_NAMES_ALL, naming, &blocks.view);
    if (error != 0)
        return error;
    for (size_t i = 0; i < stacks->count && !rth__sink_cancelled(sink); i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        write_head(&blocks, thread);
        write_wait(&blocks, i);
        write_stack(&blocks, thread);
        write_birth(&blocks, thread);
        (void)rth__sink_puts(sink, "\n");
    }
    write_deadlocks(&blocks);
    write_contended(&blocks);
    (void)rth__sink_printf(sink, "# %zu of %zu threads answered\n", stacks->answered,
                           stacks->count);
    rth__thread_view_free(&blocks.view);
    return sink->error;
}
