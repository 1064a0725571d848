/* SPDX-License-Identifier: MIT */
#include "profile/threads/stacks.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/utf8.h"
#include "os/clock.h"
#include "os/dir.h"
#include "profile/threads/mailbox.h"
#include "profile/threads/sleeper.h"

/* A sleeper that moves while it is read is tried again, then treated as running. */
#define SLEEPER_TRIES 3
#define NO_CPU_TIME   "it got no CPU time before the deadline"

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
                        const rth_frame *frames, const struct rth_sleeper_stack *found)
{
    thread->waiting = false;
    thread->frames = rth__arena_alloc_nomalloc(found->count * sizeof(*frames));
    if (thread->frames == NULL) {
        thread->missing = "no memory for its stack";
        return;
    }
    memcpy(thread->frames, frames, found->count * sizeof(*frames));
    thread->frame_count = found->count;
    thread->end = found->end;
    thread->fp_searched = found->fp_searched;
    thread->answered = true;
    thread->missing = NULL;
    stacks->answered++;
}

/* 0 when that settled it; -EAGAIN when it runs; another errno as the sleeper's. */
static int read_sleeper(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                        int root_fd, struct rth_sleeper_scratch *scratch)
{
    struct rth_sleeper_stack found;
    int error = -EAGAIN;
    for (int i = 0; i < SLEEPER_TRIES && error == -EAGAIN; i++)
        error = rth__sleeper_unwind(root_fd, thread->tid, scratch, &found);
    if (error == 0)
        keep_frames(stacks, thread, scratch->frames, &found);
    return error;
}

static const char *why_not_asked(int error)
{
    switch (error) {
    case -EPERM:
        return "it blocks the signal that asks";
    case -EBUSY:
        return "the host uses every signal that could ask";
    case -EAGAIN:
        return "no timer is left to ask it: RLIMIT_SIGPENDING";
    case -ENOBUFS:
    case -ENOMEM:
        return "no memory for its answer";
    default:
        return "it has ended";
    }
}

static const char *why_not_read(int error)
{
    switch (error) {
    case -EACCES:
        return "the kernel does not show where it sleeps; interrupt=1 asks it";
    case -ESRCH:
        return "it has ended";
    case -EFAULT:
        return "its stack cannot be read";
    default:
        return "/proc cannot be read";
    }
}

static void give_up(struct rth_thread_stack *thread, const char *why)
{
    thread->waiting = false;
    thread->missing = why;
}

/* Asks, or leaves it for later: what it lacks may be there then. */
static void ask(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread, int root_fd,
                bool interrupt)
{
    int error = -EAGAIN;
    if (stacks->asked_count < stacks->asked_max)
        error = rth__mailbox_ask(root_fd, thread->tid, interrupt, &thread->mailbox);
    thread->waiting = error != -ESRCH && error != -EBUSY;
    thread->interrupted = interrupt && error == 0;
    thread->missing = error == 0 ? NO_CPU_TIME : why_not_asked(error);
    stacks->asked_count += error == 0;
}

static void stop_asking(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread)
{
    if (thread->mailbox == NULL)
        return;
    rth__mailbox_close(thread->mailbox);
    thread->mailbox = NULL;
    stacks->asked_count--;
}

/* Its state is known. Reads it, or sees to it that it is asked. */
static void look(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread, int root_fd,
                 struct rth_sleeper_scratch *scratch)
{
    int error = sleeps(thread->state) ? read_sleeper(stacks, thread, root_fd, scratch) : -EAGAIN;
    if (error == 0)
        return;
    bool interrupt = error == -EACCES && stacks->interrupt;
    if (error != -EAGAIN && !interrupt)
        give_up(thread, why_not_read(error));
    else if (thread->mailbox == NULL)
        ask(stacks, thread, root_fd, interrupt);
}

static bool is_ours(int tid, const int *ours, int our_count)
{
    for (int i = 0; i < our_count; i++)
        if (ours[i] == tid)
            return true;
    return false;
}

/* A name is any bytes; here it is one line of UTF-8, with '?' for the rest. */
static void copy_name(char *ret_name, size_t size, const char *comm)
{
    size_t length = strnlen(comm, size - 1);
    memcpy(ret_name, comm, length);
    ret_name[length] = '\0';
    for (size_t i = 0; i < length;) {
        unsigned char byte = (unsigned char)ret_name[i];
        size_t bytes = rth__utf8_length((const unsigned char *)ret_name + i, length - i);
        if (bytes == 0 || byte < ' ' || byte == 0x7f) {
            ret_name[i] = '?';
            bytes = 1;
        }
        i += bytes;
    }
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
    copy_name(thread->name, sizeof(thread->name), stat->comm);
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
            look(stacks, &stacks->threads[stacks->count - 1], root_fd, scratch);
    }
    rth__dir_close(&dir);
    return error;
}

static size_t pending_count(const struct rth_thread_stacks *stacks)
{
    size_t pending = 0;
    for (size_t i = 0; i < stacks->count; i++)
        pending += stacks->threads[i].waiting;
    return pending;
}

/* Timers count against the same limit as the signals that the host queues. */
static uint64_t timers_to_take(int root_fd)
{
    struct rth_proc_status status;
    if (rth__proc_status_read(root_fd, 0, 0, &status) != 0 ||
        status.sig_queued_limit <= status.sig_queued)
        return 0;
    return (status.sig_queued_limit - status.sig_queued) / 2;
}

int rth__thread_stacks_begin(struct rth_thread_stacks *stacks, int root_fd, bool interrupt,
                             size_t *ret_pending)
{
    *stacks = (struct rth_thread_stacks){.interrupt = interrupt};
    struct rth_sleeper_scratch *scratch = scratch_new(root_fd);
    if (scratch == NULL)
        return -ENOMEM;
    (void)rth__unwind_refresh(root_fd);
    stacks->asked_max = timers_to_take(root_fd);
    stacks->taken_unix_ns = rth__clock_realtime_ns_sigsafe();
    int error = look_at_all(stacks, root_fd, scratch);
    scratch_free(scratch);
    if (error != 0)
        rth__thread_stacks_free(stacks);
    else
        *ret_pending = pending_count(stacks);
    return error;
}

/* True when its answer is there. */
static bool take_answer(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread)
{
    const rth_frame *frames;
    struct rth_sleeper_stack found = {0};
    if (thread->mailbox == NULL)
        return false;
    found.count = rth__mailbox_answer(thread->mailbox, &frames, &found.end);
    if (found.count != 0)
        keep_frames(stacks, thread, frames, &found);
    return found.count != 0;
}

static void look_again(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread,
                       int root_fd, struct rth_sleeper_scratch *scratch)
{
    struct rth_proc_stat stat;
    if (take_answer(stacks, thread)) {
        stop_asking(stacks, thread);
    } else if (rth__proc_stat_read(root_fd, 0, thread->tid, &stat) != 0) {
        give_up(thread, why_not_read(-ESRCH));
        stop_asking(stacks, thread);
    } else if (!thread->interrupted) {
        thread->state = stat.state;
        look(stacks, thread, root_fd, scratch);
        if (!thread->waiting)
            stop_asking(stacks, thread);
    }
}

size_t rth__thread_stacks_collect(struct rth_thread_stacks *stacks, int root_fd)
{
    struct rth_sleeper_scratch *scratch = scratch_new(root_fd);
    if (scratch == NULL)
        return pending_count(stacks);
    for (size_t i = 0; i < stacks->count; i++)
        if (stacks->threads[i].waiting)
            look_again(stacks, &stacks->threads[i], root_fd, scratch);
    scratch_free(scratch);
    return pending_count(stacks);
}

void rth__thread_stacks_finish(struct rth_thread_stacks *stacks, int root_fd, bool with_wchan)
{
    for (size_t i = 0; i < stacks->count; i++) {
        struct rth_thread_stack *thread = &stacks->threads[i];
        thread->waiting = false;
        stop_asking(stacks, thread);
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
