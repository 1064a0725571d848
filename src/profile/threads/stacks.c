/* SPDX-License-Identifier: MIT */
#include "profile/threads/stacks.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "formats/utf8.h"
#include "os/clock.h"
#include "os/dir.h"
#include "profile/threads/created.h"
#include "profile/threads/mailbox.h"
#include "profile/threads/sleeper.h"
#include "thread/context.h"
#include "thread/registry.h"

/* A sleeper that moves while it is read is tried again, then treated as running. */
#define SLEEPER_TRIES 3
#define LOOK_AGAIN_NS (2 * RTH_NS_PER_MS)
#define AT_ONCE_NS    1
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
    thread->wait = found->wait;
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
    if (error == 0) {
        thread->label_set = rth__context_label_set_of(&scratch->memory, thread->tid);
        keep_frames(stacks, thread, scratch->frames, &found);
    }
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
    if (error == 0)
        thread->deadline_ns = rth__clock_monotonic_ns_sigsafe() + RTH_STACKS_ANSWER_NS;
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
    thread->label_set = rth__context_label_set_of(&scratch->memory, thread->tid);
    bool interrupt = error == -EACCES && (stacks->flags & RTH_STACKS_INTERRUPT) != 0;
    if (error != -EAGAIN && !interrupt)
        give_up(thread, why_not_read(error));
    else if ((stacks->flags & RTH_STACKS_QUIET) != 0)
        give_up(thread, "it runs");
    else if (thread->mailbox == NULL)
        ask(stacks, thread, root_fd, interrupt);
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

/* ---- the list of threads -------------------------------------------------------------------- */

/* One more entry; -ENOMEM when there is no room for it. */
static int list_add(struct rth_thread_stacks *stacks, int tid)
{
    if (stacks->listed == stacks->capacity) {
        size_t capacity = stacks->capacity != 0 ? stacks->capacity * 2 : 64;
        struct rth_thread_stack *threads =
            rth__arena_alloc_nomalloc(capacity * sizeof(*stacks->threads));
        if (threads == NULL)
            return -ENOMEM;
        if (stacks->listed != 0)
            memcpy(threads, stacks->threads, stacks->listed * sizeof(*threads));
        rth__arena_free_nomalloc(stacks->threads, stacks->capacity * sizeof(*threads));
        stacks->threads = threads;
        stacks->capacity = capacity;
    }
    stacks->threads[stacks->listed++] = (struct rth_thread_stack){.tid = tid};
    return 0;
}

/* The kernel may list a thread twice when another one ends meanwhile: the first stays. */
static int list_make_unique(struct rth_thread_stacks *stacks)
{
    size_t slots = 64, kept = 0;
    while (slots < stacks->listed * 2)
        slots *= 2;
    int *seen = rth__arena_alloc_nomalloc(slots * sizeof(*seen));
    if (seen == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < stacks->listed; i++) {
        int tid = stacks->threads[i].tid;
        size_t slot = (size_t)tid & (slots - 1); /* tids are numbers in a row, mostly */
        while (seen[slot] != 0 && seen[slot] != tid)
            slot = (slot + 1) & (slots - 1);
        if (seen[slot] == 0)
            stacks->threads[kept++].tid = tid;
        seen[slot] = tid;
    }
    stacks->listed = kept;
    rth__arena_free_nomalloc(seen, slots * sizeof(*seen));
    return 0;
}

/* In one go, as it takes a microsecond for each: what is listed later would miss more of them. */
static int list_read(struct rth_thread_stacks *stacks, int root_fd)
{
    struct rth_dir dir;
    int error = rth__dir_open(&dir, root_fd, "proc/self/task");
    if (error != 0)
        return error;
    int tid, dir_error;
    while (error == 0 && (tid = rth__dir_next_number(&dir, &dir_error)) != 0)
        if ((stacks->flags & RTH_STACKS_OWN) != 0 || !rth__service_thread_has(tid))
            error = list_add(stacks, tid);
    rth__dir_close(&dir);
    return error != 0 ? error : list_make_unique(stacks);
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

int rth__thread_stacks_begin(struct rth_thread_stacks *stacks, int root_fd, uint32_t flags)
{
    *stacks = (struct rth_thread_stacks){.flags = flags};
    (void)rth__unwind_refresh(root_fd);
    stacks->asked_max = timers_to_take(root_fd);
    stacks->taken_unix_ns = rth__clock_realtime_ns_sigsafe();
    int error = list_read(stacks, root_fd);
    if (error == 0)
        error = rth__created_sites_copy(&stacks->sites);
    if (error != 0)
        rth__thread_stacks_free(stacks);
    return error;
}

/* ---- in parts ------------------------------------------------------------------------------- */

static int64_t age_s(const struct rth_proc_stat *stat)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    int64_t age = now.tv_sec - (int64_t)(stat->starttime_ticks / (uint64_t)sysconf(_SC_CLK_TCK));
    return age > 0 ? age : 0;
}

/* A thread that is just beginning is not known yet: it is asked for again at the end. */
static void find_birth(const struct rth_thread_stacks *stacks, struct rth_thread_stack *thread)
{
    struct rth_thread_info info;
    if (thread->creator_tid != 0 || !rth__thread_find(thread->tid, &info))
        return;
    thread->creator_tid = info.creator_tid;
    thread->created = rth__created_site_of(&stacks->sites, &info);
}

/* Takes the thread over from the list; one that has ended since then leaves no gap. */
static void look_first(struct rth_thread_stacks *stacks, int tid, int root_fd,
                       struct rth_sleeper_scratch *scratch)
{
    struct rth_proc_stat stat;
    if (rth__proc_stat_read(root_fd, 0, tid, &stat) != 0 || stat.state == 'Z')
        return;
    struct rth_thread_stack *thread = &stacks->threads[stacks->count++];
    *thread = (struct rth_thread_stack){.tid = tid, .state = stat.state, .age_s = age_s(&stat)};
    copy_name(thread->name, sizeof(thread->name), stat.comm);
    if (rth__service_thread_has(tid)) {
        give_up(thread, "it is a thread of rthooks");
        return;
    }
    find_birth(stacks, thread);
    look(stacks, thread, root_fd, scratch);
}

/* True when its answer is there. */
static bool take_answer(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread)
{
    if (thread->mailbox == NULL)
        return false;
    struct rth_mailbox_answer answer = rth__mailbox_answer(thread->mailbox);
    struct rth_sleeper_stack found = {.count = answer.count, .end = answer.end};
    thread->label_set = answer.label_set;
    if (found.count != 0)
        keep_frames(stacks, thread, answer.frames, &found);
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
    if (!thread->waiting)
        return;
    /* Whoever could not be asked yet waits no longer for that than the others for their answer. */
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (thread->deadline_ns == 0)
        thread->deadline_ns = now_ns + RTH_STACKS_ANSWER_NS;
    if (now_ns < thread->deadline_ns)
        return;
    thread->waiting = false; /* what it is missing for has been noted */
    stop_asking(stacks, thread);
}

static void finish(struct rth_thread_stacks *stacks, struct rth_thread_stack *thread, int root_fd,
                   struct rth_sleeper_scratch *scratch)
{
    rth__thread_wait_confirm(&scratch->memory, &thread->wait);
    find_birth(stacks, thread);
    bool with_wchan = (stacks->flags & RTH_STACKS_WCHAN) != 0;
    if (!thread->answered || (with_wchan && sleeps(thread->state)))
        (void)rth__proc_wchan_read(root_fd, 0, thread->tid, thread->wchan, sizeof(thread->wchan));
}

/* One thread of the phase in hand; false at its end. */
static bool do_next(struct rth_thread_stacks *stacks, int root_fd,
                    struct rth_sleeper_scratch *scratch)
{
    size_t limit = stacks->phase == RTH_STACKS_LOOKING ? stacks->listed : stacks->count;
    if (stacks->phase == RTH_STACKS_COLLECTING)
        while (stacks->next < limit && !stacks->threads[stacks->next].waiting)
            stacks->next++;
    if (stacks->next >= limit)
        return false;
    struct rth_thread_stack *thread = &stacks->threads[stacks->next++];
    if (stacks->phase == RTH_STACKS_LOOKING)
        look_first(stacks, thread->tid, root_fd, scratch);
    else if (stacks->phase == RTH_STACKS_FINISHING)
        finish(stacks, thread, root_fd, scratch);
    else
        look_again(stacks, thread, root_fd, scratch);
    return true;
}

static size_t pending_count(const struct rth_thread_stacks *stacks)
{
    size_t pending = 0;
    for (size_t i = 0; i < stacks->count; i++)
        pending += stacks->threads[i].waiting;
    return pending;
}

/* At the end of a phase: how long to wait before the next. */
static int64_t next_phase(struct rth_thread_stacks *stacks)
{
    stacks->next = 0;
    if (stacks->phase == RTH_STACKS_FINISHING) {
        stacks->phase = RTH_STACKS_COMPLETE;
        return 0;
    }
    bool waiting = pending_count(stacks) > 0;
    stacks->phase = waiting ? RTH_STACKS_COLLECTING : RTH_STACKS_FINISHING;
    return waiting ? LOOK_AGAIN_NS : 0;
}

int64_t rth__thread_stacks_step(struct rth_thread_stacks *stacks, int root_fd)
{
    struct rth_sleeper_scratch *scratch = scratch_new(root_fd);
    if (scratch == NULL)
        return -ENOMEM;
    int64_t limit_ns = rth__clock_monotonic_ns_sigsafe() + RTH_STACKS_STEP_NS, wait_ns = 0;
    unsigned done = 0;
    while (wait_ns == 0 && stacks->phase != RTH_STACKS_COMPLETE) {
        if (!do_next(stacks, root_fd, scratch))
            wait_ns = next_phase(stacks);
        else if (++done == RTH_STACKS_STEP_THREADS || rth__clock_monotonic_ns_sigsafe() >= limit_ns)
            wait_ns = AT_ONCE_NS;
    }
    scratch_free(scratch);
    return wait_ns;
}

void rth__thread_stacks_free(struct rth_thread_stacks *stacks)
{
    for (size_t i = 0; i < stacks->count; i++) {
        struct rth_thread_stack *thread = &stacks->threads[i];
        rth__mailbox_close(thread->mailbox);
        rth__arena_free_nomalloc(thread->frames, thread->frame_count * sizeof(*thread->frames));
    }
    rth__arena_free_nomalloc(stacks->threads, stacks->capacity * sizeof(*stacks->threads));
    rth__sites_copy_free(&stacks->sites);
    *stacks = (struct rth_thread_stacks){0};
}
