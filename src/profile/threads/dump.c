/* SPDX-License-Identifier: MIT */
/*
 * The thread dump: where every thread of the host is, without stopping it.
 *
 * Purpose: /debug/pprof/threads and, under the name that tools know, /debug/pprof/goroutine; as
 * profile.proto, as grouped text (debug=1) and as one block per thread (debug=2).
 * Threads: rth-work reads sleepers in place; running threads answer on their own CPU time. Nobody
 * waits for us. Failure: a thread that cannot be read is listed with the kernel function it waits
 * in and the reason; how many answered is always said. Cost: 20 us per sleeper on rth-work, 5 us
 * on each running thread. docs/internals/thread-dump.md has the guarantees.
 */
#include "profile/threads/dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/text.h"
#include "profile/threads/blocks.h"
#include "profile/threads/difference.h"
#include "profile/threads/list.h"
#include "profile/threads/mailbox.h"
#include "profile/threads/stacks.h"
#include "profile/threads/view.h"

#define OWN_LABELS        10
#define MISSING_NAMED_MAX 16u

struct dump {
    struct rth_named_request request;
    bool interrupt;
    bool is_goroutine; /* asked under Go's name */
    bool has_base;     /* seconds=: the first of two is complete */
    bool collecting;   /* else: between the two */
    struct rth_thread_stacks base, stacks;
};
_Static_assert(sizeof(struct dump) <= RTH_CALL_STATE_BYTES, "a dump fits into its call");

static struct dump *dump_of(struct rth_call *call)
{
    return (struct dump *)(void *)call->state;
}

static void cancel(struct rth_call *call)
{
    struct dump *dump = dump_of(call);
    rth__thread_stacks_free(&dump->stacks);
    rth__thread_stacks_free(&dump->base);
}

/* ---- taking it ----------------------------------------------------------------------------- */

static int go_on(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct dump *dump = dump_of(call);
    int64_t wait_ns = rth__thread_stacks_step(&dump->stacks, rth__root_fd());
    if (wait_ns < 0) {
        cancel(call);
        return rth__call_fail(call, 503, "failed to collect profile: errno %d", (int)-wait_ns);
    }
    if (wait_ns == 0 && dump->request.seconds != 0 && !dump->has_base) {
        dump->base = dump->stacks;
        dump->stacks = (struct rth_thread_stacks){0};
        dump->has_base = true;
        dump->collecting = false;
        wait_ns = dump->request.seconds * RTH_NS_PER_S;
    }
    *ret_wait_ns = wait_ns;
    return 0;
}

static int start(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct dump *dump = dump_of(call);
    uint32_t flags = (dump->interrupt ? RTH_STACKS_INTERRUPT : 0) |
                     (dump->request.debug == 2 ? RTH_STACKS_WCHAN : 0);
    int error = rth__thread_stacks_begin(&dump->stacks, rth__root_fd(), flags);
    if (error != 0) {
        cancel(call);
        return rth__call_fail(call, 503, "failed to collect profile: errno %d", -error);
    }
    dump->collecting = true;
    return go_on(call, ret_wait_ns);
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct dump *dump = dump_of(call);
    dump->is_goroutine = strcmp(call->artefact->name, "goroutine") == 0;
    int error = rth__named_request_read(
        call, dump->is_goroutine ? "goroutine-delta" : "threads-delta", &dump->request);
    if (error != 0)
        return error;
    int64_t interrupt = 0;
    (void)rth__params_int64(&call->params, "interrupt", &interrupt);
    dump->interrupt = interrupt > 0;
    return start(call, ret_wait_ns);
}

static int step(struct rth_call *call, int64_t *ret_wait_ns)
{
    return dump_of(call)->collecting ? go_on(call, ret_wait_ns) : start(call, ret_wait_ns);
}

/* ---- as rows ------------------------------------------------------------------------------- */

struct row_memory {
    struct rth_profile_row row;
    char wait[RTH_VIEW_NAME_BYTES], held_by[RTH_VIEW_NAME_BYTES], created_by[RTH_VIEW_NAME_BYTES];
    char object[24];
    struct rth_pprof_label labels[OWN_LABELS + RTH_LABELS_MAX];
};

/* What a row says of its thread besides the program's labels. */
enum own_labels {
    OWN_NONE,    /* text groups stacks: threads that differ in name alone belong together there */
    OWN_CREATED, /* of a difference: its threads are stacks, not persons, but for their origin */
    OWN_ALL,
};

static const int64_t plus_one = 1;
static const int64_t minus_one = -1;

static void add_text(struct row_memory *memory, size_t *count, const char *key, const char *text)
{
    if (text[0] != '\0')
        memory->labels[(*count)++] = (struct rth_pprof_label){.key = key, .text = text};
}

static void add_number(struct row_memory *memory, size_t *count, const char *key, int64_t number,
                       const char *unit)
{
    memory->labels[(*count)++] =
        (struct rth_pprof_label){.key = key, .number = number, .unit = unit};
}

static void add_wait(struct row_memory *memory, size_t *count, const struct rth_thread_view *view,
                     size_t index)
{
    const struct rth_thread_stack *thread = &view->stacks->threads[index];
    const struct rth_thread_wait *wait = &thread->wait;
    add_text(memory, count, "wait", rth__thread_view_reason(view, thread, memory->wait));
    if (wait->object != 0)
        (void)snprintf(memory->object, sizeof(memory->object), "0x%llx",
                       (unsigned long long)wait->object);
    add_text(memory, count, "object", memory->object);
    if (wait->lasted_ns > 0)
        add_number(memory, count, "wait_ns", wait->lasted_ns, "nanoseconds");
    if (wait->holder.kind == RTH_HOLDER_THREAD)
        add_number(memory, count, "holder", wait->holder.tid, NULL);
    add_text(memory, count, "held_by", rth__thread_view_held_by(view, index, memory->held_by));
}

static void add_created(struct row_memory *memory, size_t *count,
                        const struct rth_thread_view *view, size_t index)
{
    const struct rth_site_row *created = view->stacks->threads[index].created;
    if (created == NULL)
        return;
    rth_frame frame =
        created->frames[rth__thread_view_place(created->frames, created->frame_count)];
    add_text(memory, count, "created_by", rth__thread_view_name(view, frame, memory->created_by));
}

/* The thread's own, then the program's, where the keys differ: one value per key and sample. */
static size_t make_labels(struct row_memory *memory, const struct rth_thread_view *view,
                          size_t index, enum own_labels own)
{
    const struct rth_thread_stack *thread = &view->stacks->threads[index];
    size_t count = 0;
    if (own == OWN_ALL) {
        add_text(memory, &count, "thread", thread->name);
        add_text(memory, &count, "state", rth__proc_state_name(thread->state));
        add_number(memory, &count, "tid", thread->tid, NULL);
        add_wait(memory, &count, view, index);
        if (thread->creator_tid != 0)
            add_number(memory, &count, "creator", thread->creator_tid, NULL);
    }
    if (own != OWN_NONE)
        add_created(memory, &count, view, index);
    size_t own_count = count;
    struct rth_pprof_label program[RTH_LABELS_MAX];
    unsigned program_count = rth__profile_labels_read(thread->label_set, program);
    for (unsigned i = 0; i < program_count; i++) {
        bool is_taken = false;
        for (size_t k = 0; k < own_count; k++)
            is_taken = is_taken || strcmp(memory->labels[k].key, program[i].key) == 0;
        if (!is_taken)
            memory->labels[count++] = program[i];
    }
    return count;
}

static size_t add_rows(const struct rth_thread_view *view, const int64_t *value,
                       enum own_labels own, struct row_memory *memory, struct rth_profile_row *rows,
                       size_t count)
{
    for (size_t i = 0; i < view->stacks->count; i++) {
        const struct rth_thread_stack *thread = &view->stacks->threads[i];
        if (!thread->answered)
            continue;
        struct row_memory *mine = &memory[count];
        size_t label_count = make_labels(mine, view, i, own);
        rows[count++] = (struct rth_profile_row){
            .frames = thread->frames,
            .frame_count = thread->frame_count,
            .values = value,
            .labels = mine->labels,
            .label_count = label_count,
        };
    }
    return count;
}

static void write_missing(struct rth_comments *comments, const struct rth_thread_stacks *stacks)
{
    size_t named = 0, unnamed = 0;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        if (thread->missing == NULL)
            continue;
        if (named++ < MISSING_NAMED_MAX)
            rth__comments_add(comments, "missing: thread %d \"%s\" (%s in %s): %s", thread->tid,
                              thread->name, rth__proc_state_name(thread->state),
                              thread->wchan[0] != '\0' ? thread->wchan : "?", thread->missing);
        else
            unnamed++;
    }
    if (unnamed > 0)
        rth__comments_add(comments, "missing: %zu more threads; debug=2 names them all", unnamed);
}

static void write_comments(struct rth_comments *comments, const struct dump *dump, size_t answered)
{
    const struct rth_thread_stacks *stacks = &dump->stacks;
    size_t incomplete = 0, searched = 0;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        incomplete += thread->frame_count != 0 && thread->end != RTH_UNWIND_ROOT;
        searched += thread->fp_searched;
    }
    rth__comments_init(comments);
    rth__comments_add(comments, "%zu of %zu threads answered; %zu stacks are incomplete", answered,
                      stacks->count, incomplete);
    if (searched > 0)
        rth__comments_add(comments, "stacks whose frame pointer was searched: %zu", searched);
    write_missing(comments, stacks);
    rth__profile_labels_comment(comments);
}

static int write_rows(const struct dump *dump, const struct rth_profile_rows *rows,
                      const struct rth_comments *comments, struct rth_sink *sink)
{
    const char *name = dump->is_goroutine ? "goroutine" : "threads";
    struct rth_profile_naming naming = rth__named_naming(dump->request.symbols, sink);
    if (dump->request.debug != 0)
        return rth__profile_text_counts(name, rows, &naming, comments->lines, comments->count,
                                        sink);
    struct rth_profile_value_type type = {name, "count"};
    struct rth_profile_description description = {
        .sample_types = &type,
        .sample_type_count = 1,
        .period_type = type,
        .period = 1,
        .time_ns = dump->stacks.taken_unix_ns,
        .duration_ns = dump->has_base ? dump->stacks.taken_unix_ns - dump->base.taken_unix_ns : 0,
        .comments = comments->lines,
        .comment_count = comments->count,
    };
    return rth__profile_encode(&description, rows, &naming, sink);
}

static int write_views(const struct dump *dump, const struct rth_thread_view *now,
                       const struct rth_thread_view *base, size_t answered, struct rth_sink *sink)
{
    size_t room = dump->stacks.count + dump->base.count + 1;
    size_t memory_bytes = room * sizeof(struct row_memory);
    size_t rows_bytes = room * sizeof(struct rth_profile_row);
    struct row_memory *memory = rth__arena_alloc_nomalloc(memory_bytes);
    struct rth_profile_row *rows = rth__arena_alloc_nomalloc(rows_bytes);
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    int error = memory == NULL || rows == NULL || comments == NULL ? -ENOMEM : 0;
    if (error == 0) {
        enum own_labels own = dump->has_base             ? OWN_CREATED
                              : dump->request.debug == 0 ? OWN_ALL
                                                         : OWN_NONE;
        size_t count = add_rows(now, &plus_one, own, memory, rows, 0);
        if (base != NULL)
            count = add_rows(base, &minus_one, own, memory, rows, count);
        write_comments(comments, dump, answered);
        error = write_rows(dump, &(struct rth_profile_rows){rows, count}, comments, sink);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    rth__arena_free_nomalloc(rows, rows_bytes);
    rth__arena_free_nomalloc(memory, memory_bytes);
    return error;
}

static int write_profile(struct dump *dump, struct rth_sink *sink)
{
    size_t answered = dump->stacks.answered;
    int error = dump->has_base ? rth__thread_stacks_cancel_out(&dump->stacks, &dump->base) : 0;
    if (error != 0)
        return error;
    struct rth_profile_naming naming = rth__named_naming(dump->request.symbols, sink);
    struct rth_thread_view now, base;
    error = rth__thread_view_make(&dump->stacks, RTH_VIEW_NAMES_BIRTHS, &naming, &now);
    if (error != 0)
        return error;
    if (dump->has_base)
        error = rth__thread_view_make(&dump->base, RTH_VIEW_NAMES_BIRTHS, &naming, &base);
    if (error == 0) {
        error = write_views(dump, &now, dump->has_base ? &base : NULL, answered, sink);
        if (dump->has_base)
            rth__thread_view_free(&base);
    }
    rth__thread_view_free(&now);
    return error;
}

static int write_dump(struct rth_call *call, struct rth_sink *sink)
{
    struct dump *dump = dump_of(call);
    struct rth_profile_naming naming = rth__named_naming(dump->request.symbols, sink);
    int error = dump->request.debug == 2
                    ? rth__thread_blocks_write(&dump->stacks, dump->is_goroutine, &naming, sink)
                    : write_profile(dump, sink);
    cancel(call);
    return error;
}

/* ---- the row ------------------------------------------------------------------------------- */

static uint64_t count_threads(void)
{
    struct rth_proc_status status;
    int ours[RTH_SERVICE_THREAD_MAX];
    if (rth__proc_status_read(rth__root_fd(), 0, 0, &status) != 0)
        return 0;
    return (uint64_t)(status.threads - rth__service_thread_tids(ours, RTH_SERVICE_THREAD_MAX));
}

#define STACKS_FLAGS (RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID | RTH_ARTEFACT_ATTACHMENT)

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "goroutine",
        .path = "/debug/pprof/goroutine",
        .content_type = "application/octet-stream",
        .description = "Stacks of all threads, under the name that Go's tools know. Use debug=2 as "
                       "a query parameter for one block per thread.",
        .flags = STACKS_FLAGS,
        .begin = begin,
        .step = step,
        .write = write_dump,
        .cancel = cancel,
        .count = count_threads,
    },
    {
        .name = "threads",
        .path = "/debug/pprof/threads",
        .content_type = "application/octet-stream",
        .description = "Stacks of all threads. debug=2 gives one block per thread; interrupt=1 "
                       "interrupts those whose place the kernel does not show.",
        .flags = STACKS_FLAGS,
        .begin = begin,
        .step = step,
        .write = write_dump,
        .cancel = cancel,
        .count = count_threads,
    },
    {
        .name = "thread_list",
        .path = "/debug/runtime/threads",
        .content_type = "application/json",
        .description = "every thread: name, state, what it waits for and who holds that, age, CPU, "
                       "labels, origin; stacks=1 adds where it is",
        .flags = RTH_ARTEFACT_BY_PID,
        .begin = rth__thread_list_begin,
        .step = rth__thread_list_step,
        .write = rth__thread_list_write,
        .cancel = rth__thread_list_cancel,
    },
};

const struct rth_capability rth__thread_dump_capability = {
    .name = "stacks",
    .needs = needs,
    .child_reset = rth__mailboxes_child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
};
