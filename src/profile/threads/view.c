/* SPDX-License-Identifier: MIT */
#include "profile/threads/view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/demangle.h"

/* ---- making it ------------------------------------------------------------------------------- */

static size_t copy_frames(const struct rth_thread_stack *thread, enum rth_view_names names,
                          rth_frame *frames)
{
    size_t count = 0;
    unsigned stack_count = names == RTH_VIEW_NAMES_ALL ? thread->frame_count : 0;
    if (frames != NULL && stack_count != 0)
        memcpy(frames, thread->frames, stack_count * sizeof(*frames));
    count += stack_count;
    unsigned created_count = thread->created != NULL ? thread->created->frame_count : 0;
    if (frames != NULL && created_count != 0)
        memcpy(frames + count, thread->created->frames, created_count * sizeof(*frames));
    count += created_count;
    if (frames != NULL)
        frames[count] = thread->wait.leaf;
    return count + 1;
}

static int find_names(struct rth_thread_view *view, enum rth_view_names names,
                      const struct rth_profile_naming *naming)
{
    const struct rth_thread_stacks *stacks = view->stacks;
    size_t total = 0, used = 0;
    for (size_t i = 0; i < stacks->count; i++)
        total += copy_frames(&stacks->threads[i], names, NULL);
    if (!naming->symbols || total == 0)
        return 0;
    rth_frame *frames = rth__arena_alloc_nomalloc(total * sizeof(*frames));
    if (frames == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < stacks->count; i++)
        used += copy_frames(&stacks->threads[i], names, frames + used);
    view->symbols = rth__symbol_set_new(frames, used);
    rth__arena_free_nomalloc(frames, total * sizeof(*frames));
    if (view->symbols == NULL)
        return -ENOMEM;
    return rth__symbol_set_resolve(view->symbols, naming->root_fd, naming->cancelled,
                                   naming->userdata);
}

static int make_graph(struct rth_thread_view *view)
{
    const struct rth_thread_stacks *stacks = view->stacks;
    view->nodes_bytes = (stacks->count + 1) * sizeof(*view->nodes);
    view->graph_bytes = rth__wait_graph_bytes(stacks->count);
    view->nodes = rth__arena_alloc_nomalloc(view->nodes_bytes);
    view->graph_memory = rth__arena_alloc_nomalloc(view->graph_bytes);
    if (view->nodes == NULL || view->graph_memory == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct rth_thread_stack *thread = &stacks->threads[i];
        const struct rth_lock_holder *holder = &thread->wait.holder;
        bool is_known = holder->kind == RTH_HOLDER_THREAD;
        view->nodes[i] = (struct rth_wait_node){
            .tid = thread->tid,
            .holder_tid = is_known ? holder->tid : 0,
            .object = rth__thread_wait_is_lock(thread->wait.kind) ? thread->wait.object : 0,
        };
    }
    rth__wait_graph_make(view->nodes, stacks->count, view->graph_memory, &view->graph);
    return 0;
}

int rth__thread_view_make(const struct rth_thread_stacks *stacks, enum rth_view_names names,
                          const struct rth_profile_naming *naming, struct rth_thread_view *ret_view)
{
    struct rth_thread_view view = {.stacks = stacks};
    int error = make_graph(&view);
    if (error == 0)
        error = find_names(&view, names, naming);
    if (error == 0)
        *ret_view = view;
    else
        rth__thread_view_free(&view);
    return error;
}

void rth__thread_view_free(struct rth_thread_view *view)
{
    rth__symbol_set_free(view->symbols);
    rth__arena_free_nomalloc(view->graph_memory, view->graph_bytes);
    rth__arena_free_nomalloc(view->nodes, view->nodes_bytes);
    *view = (struct rth_thread_view){0};
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

bool rth__thread_view_is_below(rth_frame frame)
{
    static const char *const prefixes[] = {
        "libc.so", "libc-",     "libpthread", "ld-linux",
        "ld-musl", "libstdc++", "libc++",     "librthooks",
    };
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    if (module == NULL)
        return false;
    const char *name = base_name(module->path);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

unsigned rth__thread_view_place(const rth_frame *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!rth__thread_view_is_below(frames[i]))
            return i;
    return 0;
}

static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

const char *rth__thread_view_name(const struct rth_thread_view *view, rth_frame frame,
                                  char ret_name[RTH_VIEW_NAME_BYTES])
{
    char demangled[RTH_DEMANGLED_BYTES];
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    struct rth_symbol symbol = {.name = NULL};
    if (view->symbols != NULL)
        symbol = rth__symbol_find(view->symbols, frame);
    if (symbol.name != NULL) {
        bool is_plain = rth__demangle(symbol.name, demangled, sizeof(demangled)) < 0;
        const char *name = is_plain ? symbol.name : demangled;
        size_t length = strnlen(name, RTH_VIEW_NAME_BYTES - 1);
        memcpy(ret_name, name, length);
        ret_name[length] = '\0';
    } else if (module != NULL) {
        (void)snprintf(ret_name, RTH_VIEW_NAME_BYTES, "%.100s+0x%llx", base_name(module->path),
                       (unsigned long long)rth__frame_vaddr(frame));
    } else {
        (void)snprintf(ret_name, RTH_VIEW_NAME_BYTES, "0x%llx",
                       (unsigned long long)rth__frame_address(frame));
    }
    make_printable(ret_name);
    return ret_name;
}

const char *rth__thread_view_reason(const struct rth_thread_view *view,
                                    const struct rth_thread_stack *thread,
                                    char ret_reason[RTH_VIEW_NAME_BYTES])
{
    const struct rth_thread_wait *wait = &thread->wait;
    const char *reason = rth__thread_wait_reason(wait->kind);
    if (wait->kind == RTH_THREAD_WAIT_CALL) {
        /* libc has its functions under several names: __poll is the one its own code calls. */
        size_t underscores = strspn(rth__thread_view_name(view, wait->leaf, ret_reason), "_");
        memmove(ret_reason, ret_reason + underscores, strlen(ret_reason + underscores) + 1);
        return ret_reason;
    }
    (void)snprintf(ret_reason, RTH_VIEW_NAME_BYTES, "%s", reason != NULL ? reason : "");
    return ret_reason;
}

/* ---- who holds it ---------------------------------------------------------------------------- */

enum rth_view_holder rth__thread_view_holder(const struct rth_thread_view *view, size_t index)
{
    const struct rth_lock_holder *holder = &view->stacks->threads[index].wait.holder;
    struct rth_proc_stat stat;
    if (holder->kind == RTH_HOLDER_UNKNOWN)
        return RTH_VIEW_HOLDER_UNKNOWN;
    if (holder->kind == RTH_HOLDER_READERS)
        return RTH_VIEW_HOLDER_READERS;
    if (view->graph.holder[index] != RTH_WAIT_NOBODY)
        return RTH_VIEW_HOLDER_LISTED;
    if (rth__proc_stat_read(rth__root_fd(), 0, holder->tid, &stat) == 0)
        return RTH_VIEW_HOLDER_NEW;
    return holder->may_be_shared ? RTH_VIEW_HOLDER_FOREIGN : RTH_VIEW_HOLDER_ENDED;
}

const char *rth__thread_view_held_by(const struct rth_thread_view *view, size_t index,
                                     char ret_holder[RTH_VIEW_NAME_BYTES])
{
    const struct rth_lock_holder *holder = &view->stacks->threads[index].wait.holder;
    ret_holder[0] = '\0';
    switch (rth__thread_view_holder(view, index)) {
    case RTH_VIEW_HOLDER_LISTED:
        (void)snprintf(ret_holder, RTH_VIEW_NAME_BYTES, "%d \"%.63s\"", holder->tid,
                       view->stacks->threads[view->graph.holder[index]].name);
        break;
    case RTH_VIEW_HOLDER_ENDED:
        (void)snprintf(ret_holder, RTH_VIEW_NAME_BYTES, "%d, which has ended", holder->tid);
        break;
    case RTH_VIEW_HOLDER_NEW:
        (void)snprintf(ret_holder, RTH_VIEW_NAME_BYTES, "%d", holder->tid);
        break;
    case RTH_VIEW_HOLDER_FOREIGN:
        (void)snprintf(ret_holder, RTH_VIEW_NAME_BYTES, "%d, which is no thread of this process",
                       holder->tid);
        break;
    case RTH_VIEW_HOLDER_READERS:
        (void)snprintf(ret_holder, RTH_VIEW_NAME_BYTES, "%u reader%s", holder->readers,
                       holder->readers == 1 ? "" : "s");
        break;
    default:
        break;
    }
    return ret_holder;
}

const char *rth__thread_view_wait(const struct rth_thread_view *view, size_t index,
                                  char ret_wait[RTH_VIEW_WAIT_BYTES])
{
    const struct rth_thread_stack *thread = &view->stacks->threads[index];
    char part[RTH_VIEW_NAME_BYTES];
    int used =
        snprintf(ret_wait, RTH_VIEW_WAIT_BYTES, "%s", rth__thread_view_reason(view, thread, part));
    if (used == 0)
        return ret_wait;
    /* Whatever the parts are, they fit. */
    if (thread->wait.object != 0)
        used += snprintf(ret_wait + used, RTH_VIEW_WAIT_BYTES - (size_t)used, " 0x%llx",
                         (unsigned long long)thread->wait.object);
    if (rth__thread_view_held_by(view, index, part)[0] != '\0')
        used += snprintf(ret_wait + used, RTH_VIEW_WAIT_BYTES - (size_t)used, " held by %s", part);
    int64_t tenths = thread->wait.lasted_ns / (100 * RTH_NS_PER_MS);
    if (thread->wait.lasted_ns >= 0 && tenths < 100)
        (void)snprintf(ret_wait + used, RTH_VIEW_WAIT_BYTES - (size_t)used, " since %d.%d s",
                       (int)tenths / 10, (int)tenths % 10);
    else if (thread->wait.lasted_ns >= 0)
        (void)snprintf(ret_wait + used, RTH_VIEW_WAIT_BYTES - (size_t)used, " since %lld s",
                       (long long)tenths / 10);
    return ret_wait;
}
