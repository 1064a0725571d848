/* SPDX-License-Identifier: MIT */
#include "profile/threads/stacks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/dir.h"
#include "profile/threads/mailbox.h"
#include "profile/threads/sleeper.h"

/* A sleeper that moves while it is read is tried again, then treated as running. */
#define SLEEPER_TRIES 3

static struct rth_sleeper_scratch *scratch_new(int root_fd)
{
    struct rth_sleeper_scratch *scratch = rth__arena_alloc_nomalloc(sizeof(*scratch));
    if (scratch != NULL)
        scratch->memory.root_fd = root_fd;
    return scratch;
}

static void scratch_free(struct rth_sleeper_scratch *scratch)
{
    if (scratch == NULL)
        return;
    rth__image_reader_close(&scratch->memory);
    rth__arena_free_nomalloc(scratch, sizeof(*scratch));
}

static bool sleeps(char state)
{
    return state == 'S' || state == 'D' || state == 'T' || state == 't' || state == 'I';
}

static void keep_frames(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                        const rth_frame *frames, unsigned count, enum rth_unwind_end end)
{
    thread->frames = rth__arena_alloc_nomalloc(count * sizeof(*frames));
    if (thread->frames == NULL) {
        thread->missing = "no memory for its stack";
        return;
    }
    memcpy(thread->frames, frames, count * sizeof(*frames));
    thread->frame_count = count;
    thread->end = end;
    thread->answered = true;
    thread->missing = NULL;
    stacks->answered++;
}

/* 0 when its stack was read; -EAGAIN when it does not sleep; another errno as the sleeper's. */
static int read_sleeper(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                        int root_fd, struct rth_sleeper_scratch *scratch)
{
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
    enum rth_unwind_end end;
    int count = -EAGAIN;
    for (int i = 0; i < SLEEPER_TRIES && count == -EAGAIN; i++)
        count =
            rth__sleeper_unwind(root_fd, thread->tid, scratch, frames, RTH_UNWIND_FRAMES_MAX, &end);
    if (count <= 0)
        return count;
    keep_frames(stacks, thread, frames, (unsigned)count, end);
    return 0;
}

static void ask(struct rth_thread_stack *thread, bool interrupt)
{
    thread->mailbox = rth__mailbox_ask(thread->tid, interrupt);
    if (thread->mailbox == NULL)
        thread->missing = "it could not be asked: no timer or signal left, or it has ended";
}

static void first_look(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                       int root_fd, struct rth_sleeper_scratch *scratch)
{
    if (!sleeps(thread->state)) {
        ask(thread, false);
        return;
    }
    int error = read_sleeper(stacks, thread, root_fd, scratch);
    if (error == 0 || thread->missing != NULL)
        return;
    if (error == -EAGAIN) {
        ask(thread, false);
    } else if (stacks->interrupt) {
        ask(thread, true);
    } else {
        thread->missing = error == -EACCES
                              ? "the kernel does not show where it sleeps; interrupt=1 asks it"
                              : "it has ended";
    }
}

static bool is_ours(int tid, const int *ours, int our_count)
{
    for (int i = 0; i < our_count; i++)
        if (ours[i] == tid)
            return true;
    return false;
}

/* One more entry; -ENOMEM when there is no room for it. */
static int add_thread(struct rth_thread_stacks *stacks, const struct rth_proc_stat *stat, int tid)
{
    if (stacks->count == stacks->capacity) {
        size_t capacity = stacks->capacity != 0 ? stacks->capacity * 2 : 64;
        struct rth_thread_stack *threads =
            rth__arena_alloc_nomalloc(capacity * sizeof(*stacks->threads));
        if (threads == NULL)
            return -ENOMEM;
        if (stacks->count != 0)
            memcpy(threads, stacks->threads, stacks->count * sizeof(*threads));
        rth__arena_free_nomalloc(stacks->threads, stacks->capacity * sizeof(*threads));
        stacks->threads = threads;
        stacks->capacity = capacity;
    }
    struct rth_thread_stack *thread = &stacks->threads[stacks->count++];
    *thread = (struct rth_thread_stack){.tid = tid, .state = stat->state};
    (void)snprintf(thread->name, sizeof(thread->name), "%s", stat->comm);
    return 0;
}

static int look_at_all(struct rth_thread_stacks *stacks, int root_fd,
                       struct rth_sleeper_scratch *scratch)
{
    int ours[RTH_SERVICE_THREAD_MAX];
    int our_count = rth__service_thread_tids(ours, RTH_SERVICE_THREAD_MAX);
    struct rth_dir dir;
    int error = rth__dir_open(&dir, root_fd, "proc/self/task");
    if (error != 0)
        return error;
    int tid, dir_error;
    while (error == 0 && (tid = rth__dir_next_number(&dir, &dir_error)) != 0) {
        struct rth_proc_stat stat;
        if (is_ours(tid, ours, our_count) || rth__proc_stat_read(root_fd, 0, tid, &stat) != 0 ||
            stat.state == 'Z')
            continue;
        error = add_thread(stacks, &stat, tid);
        if (error == 0)
            first_look(stacks, &stacks->threads[stacks->count - 1], root_fd, scratch);
    }
    rth__dir_close(&dir);
    return error;
}

static size_t pending_count(const struct rth_thread_stacks *stacks)
{
    size_t pending = 0;
    for (size_t i = 0; i < stacks->count; i++)
        pending += stacks->threads[i].mailbox != NULL;
    return pending;
}

int rth__thread_stacks_begin(struct rth_thread_stacks *stacks, int root_fd, bool interrupt,
                             size_t *ret_pending)
{
    *stacks = (struct rth_thread_stacks){.interrupt = interrupt};
    struct rth_sleeper_scratch *scratch = scratch_new(root_fd);
    if (scratch == NULL)
        return -ENOMEM;
    (void)rth__unwind_refresh(root_fd);
    stacks->taken_unix_ns = rth__clock_realtime_ns_sigsafe();
    int error = look_at_all(stacks, root_fd, scratch);
    scratch_free(scratch);
    if (error != 0)
        rth__thread_stacks_free(stacks);
    else
        *ret_pending = pending_count(stacks);
    return error;
}

static void look_again(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                       int root_fd, struct rth_sleeper_scratch *scratch)
{
    const rth_frame *frames;
    enum rth_unwind_end end;
    unsigned count = rth__mailbox_answer(thread->mailbox, &frames, &end);
    struct rth_proc_stat stat;
    if (count != 0) {
        keep_frames(stacks, thread, frames, count, end);
    } else if (rth__proc_stat_read(root_fd, 0, thread->tid, &stat) != 0) {
        thread->missing = "it has ended";
    } else if (!stacks->interrupt && sleeps(stat.state)) {
        thread->state = stat.state;
        int error = read_sleeper(stacks, thread, root_fd, scratch);
        if (error == -EAGAIN)
            return; /* it runs again */
        if (error != 0 && thread->missing == NULL)
            thread->missing = "the kernel does not show where it sleeps; interrupt=1 asks it";
    } else {
        return;
    }
    rth__mailbox_close(thread->mailbox);
    thread->mailbox = NULL;
}

size_t rth__thread_stacks_collect(struct rth_thread_stacks *stacks, int root_fd)
{
    struct rth_sleeper_scratch *scratch = scratch_new(root_fd);
    if (scratch == NULL)
        return pending_count(stacks);
    for (size_t i = 0; i < stacks->count; i++)
        if (stacks->threads[i].mailbox != NULL)
            look_again(stacks, &stacks->threads[i], root_fd, scratch);
    scratch_free(scratch);
    return pending_count(stacks);
}

void rth__thread_stacks_finish(struct rth_thread_stacks *stacks, int root_fd, bool with_wchan)
{
    for (size_t i = 0; i < stacks->count; i++) {
        struct rth_thread_stack *thread = &stacks->threads[i];
        if (thread->mailbox != NULL) {
            thread->missing = "it got no CPU time before the deadline";
            rth__mailbox_close(thread->mailbox);
            thread->mailbox = NULL;
        }
        if (!thread->answered || (with_wchan && sleeps(thread->state)))
            (void)rth__proc_wchan_read(root_fd, 0, thread->tid, thread->wchan,
                                       sizeof(thread->wchan));
    }
}

void rth__thread_stacks_free(struct rth_thread_stacks *stacks)
{
    for (size_t i = 0; i < stacks->count; i++) {
        struct rth_thread_stack *thread = &stacks->threads[i];
        rth__mailbox_close(thread->mailbox);
        rth__arena_free_nomalloc(thread->frames, thread->frame_count * sizeof(*thread->frames));
    }
    rth__arena_free_nomalloc(stacks->threads, stacks->capacity * sizeof(*stacks->threads));
    *stacks = (struct rth_thread_stacks){0};
}
