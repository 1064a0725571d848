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
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "profile/comments.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/text.h"
#include "profile/threads/difference.h"
#include "profile/threads/mailbox.h"
#include "profile/threads/stacks.h"

#define OWN_LABELS        2 /* thread, state */
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
    int error = rth__thread_stacks_begin(&dump->stacks, rth__root_fd(), dump->interrupt,
                                         dump->request.debug == 2);
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

/* ---- one block per thread ------------------------------------------------------------------ */

static void write_stack(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                        const struct rth_thread_stack *thread)
{
    for (unsigned i = 0; i < thread->frame_count; i++) {
        rth_frame frame = thread->frames[i];
        const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
        rth__profile_text_name(sink, symbols, frame);
        (void)rth__sink_printf(sink, "\n\t%.512s\n", module != NULL ? module->path : "?");
    }
    if (!thread->answered)
        (void)rth__sink_printf(sink, "\t(no stack: %s)\n", thread->missing);
    else if (thread->fp_searched)
        (void)rth__sink_puts(sink, "\t(frame pointer searched on the stack)\n");
    else if (thread->end != RTH_UNWIND_ROOT)
        (void)rth__sink_printf(sink, "\t(incomplete: %s)\n", rth__unwind_end_name(thread->end));
}

static void write_labels(struct rth_sink *sink, const struct rth_thread_stack *thread)
{
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    unsigned count = rth__profile_labels_read(thread->label_set, labels);
    if (count == 0)
        return;
    (void)rth__sink_puts(sink, " labels:");
    rth__profile_text_labels(sink, labels, count);
}

static int write_blocks(const struct dump *dump, const struct rth_symbol_set *symbols,
                        struct rth_sink *sink)
{
    const struct rth_thread_stacks *stacks = &dump->stacks;
    for (size_t i = 0; i < stacks->count && !rth__sink_cancelled(sink); i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        const char *state = rth__proc_state_name(thread->state);
        const char *separator = thread->wchan[0] != '\0' ? ", " : "";
        if (dump->is_goroutine)
            (void)rth__sink_printf(sink, "goroutine %d [%s%s%s, %s", thread->tid, state, separator,
                                   thread->wchan, thread->name);
        else
            (void)rth__sink_printf(sink, "thread %d \"%s\" [%s%s%s, %lld s old", thread->tid,
                                   thread->name, state, separator, thread->wchan,
                                   (long long)thread->age_s);
        write_labels(sink, thread);
        (void)rth__sink_puts(sink, "]:\n");
        write_stack(sink, symbols, thread);
        (void)rth__sink_puts(sink, "\n");
    }
    (void)rth__sink_printf(sink, "# %zu of %zu threads answered\n", stacks->answered,
                           stacks->count);
    return sink->error;
}

static int write_threads(const struct dump *dump, struct rth_sink *sink)
{
    const struct rth_thread_stacks *stacks = &dump->stacks;
    size_t total = 0;
    for (size_t i = 0; i < stacks->count; i++)
        total += stacks->threads[i].frame_count;
    size_t frames_bytes = (total + 1) * sizeof(rth_frame);
    rth_frame *frames = rth__arena_alloc_nomalloc(frames_bytes);
    if (frames == NULL)
        return -ENOMEM;
    size_t used = 0;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        if (thread->frame_count != 0)
            memcpy(frames + used, thread->frames, thread->frame_count * sizeof(*frames));
        used += thread->frame_count;
    }
    struct rth_profile_naming naming = rth__named_naming(dump->request.symbols, sink);
    struct rth_symbol_set *symbols = naming.symbols ? rth__symbol_set_new(frames, total) : NULL;
    int error = 0;
    if (symbols != NULL)
        error = rth__symbol_set_resolve(symbols, naming.root_fd, naming.cancelled, naming.userdata);
    if (error == 0)
        error = write_blocks(dump, symbols, sink);
    rth__symbol_set_free(symbols);
    rth__arena_free_nomalloc(frames, frames_bytes);
    return error;
}

/* ---- as rows ------------------------------------------------------------------------------- */

struct row_memory {
    struct rth_profile_row row;
    struct rth_pprof_label labels[OWN_LABELS + RTH_LABELS_MAX];
};

static const int64_t plus_one = 1;
static const int64_t minus_one = -1;

/* The thread's own, then the program's, where the keys differ: one value per key and sample. */
static size_t labels_of(const struct rth_thread_stack *thread, bool with_own,
                        struct rth_pprof_label ret_labels[OWN_LABELS + RTH_LABELS_MAX])
{
    const struct rth_pprof_label own[OWN_LABELS] = {
        {.key = "thread", .text = thread->name},
        {.key = "state", .text = rth__proc_state_name(thread->state)},
    };
    struct rth_pprof_label program[RTH_LABELS_MAX];
    size_t count = 0;
    for (size_t i = 0; with_own && i < OWN_LABELS; i++)
        ret_labels[count++] = own[i];
    unsigned program_count = rth__profile_labels_read(thread->label_set, program);
    for (unsigned i = 0; i < program_count; i++) {
        bool is_taken = false;
        for (size_t k = 0; with_own && k < OWN_LABELS; k++)
            is_taken = is_taken || strcmp(own[k].key, program[i].key) == 0;
        if (!is_taken)
            ret_labels[count++] = program[i];
    }
    return count;
}

static size_t add_rows(const struct rth_thread_stacks *stacks, const int64_t *value, bool with_own,
                       struct row_memory *memory, struct rth_profile_row *rows, size_t count)
{
    for (size_t i = 0; i < stacks->count; i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        if (!thread->answered)
            continue;
        struct row_memory *mine = &memory[count];
        size_t label_count = labels_of(thread, with_own, mine->labels);
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

static int write_profile(struct dump *dump, struct rth_sink *sink)
{
    size_t answered = dump->stacks.answered;
    int error = dump->has_base ? rth__thread_stacks_cancel_out(&dump->stacks, &dump->base) : 0;
    if (error != 0)
        return error;
    size_t room = dump->stacks.count + dump->base.count + 1;
    size_t memory_bytes = room * sizeof(struct row_memory);
    size_t rows_bytes = room * sizeof(struct rth_profile_row);
    struct row_memory *memory = rth__arena_alloc_nomalloc(memory_bytes);
    struct rth_profile_row *rows = rth__arena_alloc_nomalloc(rows_bytes);
    struct rth_comments *comments = rth__arena_alloc_nomalloc(sizeof(*comments));
    error = memory == NULL || rows == NULL || comments == NULL ? -ENOMEM : 0;
    if (error == 0) {
        /* Text groups stacks: threads that differ in name or state alone belong together there. */
        bool with_own = !dump->has_base && dump->request.debug == 0;
        size_t count = add_rows(&dump->stacks, &plus_one, with_own, memory, rows, 0);
        count = add_rows(&dump->base, &minus_one, with_own, memory, rows, count);
        write_comments(comments, dump, answered);
        error = write_rows(dump, &(struct rth_profile_rows){rows, count}, comments, sink);
    }
    rth__arena_free_nomalloc(comments, sizeof(*comments));
    rth__arena_free_nomalloc(rows, rows_bytes);
    rth__arena_free_nomalloc(memory, memory_bytes);
    return error;
}

static int write_dump(struct rth_call *call, struct rth_sink *sink)
{
    struct dump *dump = dump_of(call);
    int error = dump->request.debug == 2 ? write_threads(dump, sink) : write_profile(dump, sink);
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
};

const struct rth_capability rth__thread_dump_capability = {
    .name = "stacks",
    .needs = needs,
    .child_reset = rth__mailboxes_child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
};
