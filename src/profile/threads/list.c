/* SPDX-License-Identifier: MIT */
#include "profile/threads/list.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/service_thread.h"
#include "formats/json.h"
#include "profile/labels.h"
#include "profile/named.h"
#include "profile/threads/view.h"

#define CONTENDED_SHOWN 1000u

struct list_call {
    struct rth_thread_stacks stacks;
    bool with_stacks; /* of all, and not only of those who hold what others wait for */
    bool symbols;
};
_Static_assert(sizeof(struct list_call) <= RTH_CALL_STATE_BYTES, "it fits into its call");

struct listing {
    struct rth_json json;
    struct rth_thread_view view;
    int root_fd;
    bool with_stacks;
    double ticks_per_s;
    double now_since_boot_s;
};

static struct list_call *list_of(struct rth_call *call)
{
    return (struct list_call *)(void *)call->state;
}

void rth__thread_list_cancel(struct rth_call *call)
{
    rth__thread_stacks_free(&list_of(call)->stacks);
}

/* ---- one thread ------------------------------------------------------------------------------ */

static void write_times(struct listing *listing, int tid, const struct rth_proc_stat *stat)
{
    struct rth_json *json = &listing->json;
    double user_s = (double)stat->utime_ticks / listing->ticks_per_s;
    double system_s = (double)stat->stime_ticks / listing->ticks_per_s;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    rth__json_member_double(json, "age_seconds",
                            listing->now_since_boot_s -
                                (double)stat->starttime_ticks / listing->ticks_per_s);
    /* The thread's clock is exact; the split is in ticks of the kernel. */
    rth__json_member_double(json, "cpu_seconds",
                            cpu_ns >= 0 ? (double)cpu_ns / 1e9 : user_s + system_s);
    rth__json_member_double(json, "user_seconds", user_s);
    rth__json_member_double(json, "system_seconds", system_s);
    rth__json_member_int(json, "processor", stat->processor);
}

static void write_names(struct listing *listing, const char *key, const rth_frame *frames,
                        unsigned count)
{
    char name[RTH_VIEW_NAME_BYTES];
    rth__json_key(&listing->json, key);
    rth__json_array_begin(&listing->json);
    for (unsigned i = 0; i < count; i++)
        rth__json_string(&listing->json, rth__thread_view_name(&listing->view, frames[i], name));
    rth__json_array_end(&listing->json);
}

static void write_origin(struct listing *listing, const struct rth_thread_stack *thread)
{
    struct rth_json *json = &listing->json;
    rth__json_member_string(json, "origin",
                            rth__service_thread_has(thread->tid) ? "rthooks"
                            : thread->creator_tid != 0           ? "pthread_create"
                                                                 : "host");
    if (thread->creator_tid != 0)
        rth__json_member_int(json, "creator_tid", thread->creator_tid);
    const struct rth_site_row *created = thread->created;
    if (created == NULL)
        return;
    unsigned place = rth__thread_view_place(created->frames, created->frame_count);
    write_names(listing, "created_by", created->frames + place, created->frame_count - place);
}

static void write_labels(struct listing *listing, const struct rth_thread_stack *thread)
{
    struct rth_json *json = &listing->json;
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    unsigned count = rth__profile_labels_read(thread->label_set, labels);
    if (count == 0)
        return;
    rth__json_key(json, "labels");
    rth__json_object_begin(json);
    for (unsigned i = 0; i < count; i++)
        rth__json_member_string(json, labels[i].key, labels[i].text);
    rth__json_object_end(json);
}

static void write_wait(struct listing *listing, size_t index)
{
    struct rth_json *json = &listing->json;
    const struct rth_thread_stack *thread = &listing->view.stacks->threads[index];
    const struct rth_thread_wait *wait = &thread->wait;
    char text[RTH_VIEW_NAME_BYTES];
    if (wait->kind == RTH_THREAD_WAIT_UNKNOWN)
        return;
    rth__json_key(json, "wait");
    rth__json_object_begin(json);
    rth__json_member_string(json, "for", rth__thread_view_reason(&listing->view, thread, text));
    if (wait->object != 0) {
        (void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)wait->object);
        rth__json_member_string(json, "object", text);
    }
    if (wait->lasted_ns >= 0)
        rth__json_member_double(json, "seconds", (double)wait->lasted_ns / 1e9);
    if (wait->holder.kind == RTH_HOLDER_THREAD)
        rth__json_member_int(json, "holder_tid", wait->holder.tid);
    if (rth__thread_view_held_by(&listing->view, index, text)[0] != '\0')
        rth__json_member_string(json, "held_by", text);
    rth__json_object_end(json);
}

static void write_place(struct listing *listing, const struct rth_thread_stack *thread)
{
    char name[RTH_VIEW_NAME_BYTES];
    if (!thread->answered || thread->frame_count == 0)
        return;
    rth_frame frame = thread->frames[rth__thread_view_place(thread->frames, thread->frame_count)];
    rth__json_member_string(&listing->json, "at",
                            rth__thread_view_name(&listing->view, frame, name));
}

static bool holds_something(const struct rth_wait_graph *graph, size_t index)
{
    for (size_t i = 0; i < graph->object_count && i < CONTENDED_SHOWN; i++)
        if (graph->objects[i].holder == index)
            return true;
    return false;
}

static void write_thread(struct listing *listing, size_t index)
{
    struct rth_json *json = &listing->json;
    const struct rth_thread_stack *thread = &listing->view.stacks->threads[index];
    struct rth_proc_stat stat;
    if (rth__proc_stat_read(listing->root_fd, 0, thread->tid, &stat) != 0)
        return;
    rth__json_object_begin(json);
    rth__json_member_int(json, "tid", thread->tid);
    rth__json_member_string(json, "name", stat.comm);
    rth__json_member_string(json, "state", rth__proc_state_name(thread->state));
    rth__json_member_string(json, "wchan", thread->wchan);
    write_times(listing, thread->tid, &stat);
    write_origin(listing, thread);
    write_labels(listing, thread);
    write_wait(listing, index);
    write_place(listing, thread);
    if (thread->answered &&
        (listing->with_stacks || thread->wait.holder.kind != RTH_HOLDER_UNKNOWN ||
         holds_something(&listing->view.graph, index)))
        write_names(listing, "stack", thread->frames, thread->frame_count);
    rth__json_object_end(json);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void write_deadlocks(struct listing *listing)
{
    struct rth_json *json = &listing->json;
    const struct rth_wait_graph *graph = &listing->view.graph;
    rth__json_key(json, "deadlocks");
    rth__json_array_begin(json);
    for (uint32_t cycle = 1; cycle <= graph->cycle_count; cycle++) {
        uint32_t first = rth__wait_graph_cycle_first(graph, cycle), at = first;
        rth__json_array_begin(json);
        do {
            rth__json_int(json, graph->nodes[at].tid);
            at = graph->holder[at];
        } while (at != first);
        rth__json_array_end(json);
    }
    rth__json_array_end(json);
}

static void write_contended(struct listing *listing)
{
    struct rth_json *json = &listing->json;
    const struct rth_wait_graph *graph = &listing->view.graph;
    char text[24];
    rth__json_key(json, "contended");
    rth__json_array_begin(json);
    for (size_t i = 0; i < graph->object_count && i < CONTENDED_SHOWN; i++) {
        const struct rth_wait_object *object = &graph->objects[i];
        const struct rth_thread_stack *waiter = &listing->view.stacks->threads[object->first];
        rth__json_object_begin(json);
        (void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)waiter->wait.object);
        rth__json_member_string(json, "kind",
                                waiter->wait.kind == RTH_THREAD_WAIT_MUTEX ? "mutex" : "rwlock");
        rth__json_member_string(json, "object", text);
        rth__json_member_uint(json, "waiters", object->waiters);
        if (object->holder != RTH_WAIT_NOBODY)
            rth__json_member_int(json, "holder_tid", graph->nodes[object->holder].tid);
        rth__json_object_end(json);
    }
    rth__json_array_end(json);
}

static double since_boot_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void write_document(struct listing *listing, const struct rth_proc_stat *process,
                           struct rth_sink *sink)
{
    struct rth_json *json = &listing->json;
    rth__json_init(json, sink);
    rth__json_object_begin(json);
    rth__json_key(json, "process");
    rth__json_object_begin(json);
    rth__json_member_int(json, "pid", process->pid);
    rth__json_member_string(json, "name", process->comm);
    rth__json_object_end(json);
    rth__json_key(json, "threads");
    rth__json_array_begin(json);
    for (size_t i = 0; i < listing->view.stacks->count && !rth__sink_cancelled(sink); i++)
        write_thread(listing, i);
    rth__json_array_end(json);
    write_deadlocks(listing);
    write_contended(listing);
    rth__json_object_end(json);
    rth__json_finish(json);
}

int rth__thread_list_write(struct rth_call *call, struct rth_sink *sink)
{
    struct list_call *list = list_of(call);
    struct listing listing = {
        .root_fd = rth__root_fd(),
        .with_stacks = list->with_stacks,
        .ticks_per_s = (double)sysconf(_SC_CLK_TCK),
        .now_since_boot_s = since_boot_s(),
    };
    struct rth_proc_stat process;
    struct rth_profile_naming naming = rth__named_naming(list->symbols, sink);
    int error = rth__proc_stat_read(listing.root_fd, 0, 0, &process);
    if (error == 0)
        error = rth__thread_view_make(&list->stacks, RTH_VIEW_NAMES_ALL, &naming, &listing.view);
    if (error == 0) {
        write_document(&listing, &process, sink);
        error = sink->error;
        rth__thread_view_free(&listing.view);
    } else {
        (void)rth__call_fail(call, 503, "cannot list the threads: errno %d", -error);
    }
    rth__thread_list_cancel(call);
    return error;
}

int rth__thread_list_step(struct rth_call *call, int64_t *ret_wait_ns)
{
    int64_t wait_ns = rth__thread_stacks_step(&list_of(call)->stacks, rth__root_fd());
    if (wait_ns < 0) {
        rth__thread_list_cancel(call);
        return rth__call_fail(call, 503, "cannot list the threads: errno %d", (int)-wait_ns);
    }
    *ret_wait_ns = wait_ns;
    return 0;
}

int rth__thread_list_begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    struct list_call *list = list_of(call);
    int64_t with_stacks = 0;
    char symbols[16] = "";
    (void)rth__params_int64(&call->params, "stacks", &with_stacks);
    (void)rth__params_get(&call->params, "symbols", symbols, sizeof(symbols));
    list->with_stacks = with_stacks > 0;
    list->symbols = strcmp(symbols, "none") != 0;
    int error = rth__thread_stacks_begin(&list->stacks, rth__root_fd(),
                                         RTH_STACKS_QUIET | RTH_STACKS_OWN | RTH_STACKS_WCHAN);
    if (error != 0)
        return rth__call_fail(call, 503, "cannot list the threads: errno %d", -error);
    return rth__thread_list_step(call, ret_wait_ns);
}
