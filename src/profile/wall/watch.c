/* SPDX-License-Identifier: MIT */
/*
 * How a thread's time off the CPU is told: what passed on the clock since it was told last, less
 * what its CPU clock says it used. So the sum over a thread's stacks is its life, whatever was seen
 * of it; looking only decides which stack the time goes to:
 *
 *   - A thread whose CPU clock stands still has not left its sleep, and its stack, read once, is
 *     good for all of it. Threads in a wrapped call show even that without a system call.
 *   - One that has moved and sleeps again gets the time on the new stack, as a sampler that comes
 * by at that moment would say.
 *   - One that runs, or waits for a CPU to run on, gets it on the last stack it was seen with: so
 *     the wait in a run queue goes to the last sleep before it, and of a thread that never slept to
 *     the last stack of the CPU sampler.
 *
 * Looks are few: the longer a sleep has lasted, the later it is looked at again, and each tick has
 * a budget. What a tick finds no time for, the next one tells.
 */
#include "profile/wall/watch.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "interpose/abi.h"
#include "os/clock.h"
#include "os/dir.h"
#include "profile/cpu/sampler.h"
#include "profile/threads/sleeper.h"
#include "profile/wall/threads.h"
#include "thread/context.h"
#include "thread/registry.h"

/* For looks and stacks: 0.4 % of a CPU, and less the more threads there are, which cost something
 * each. In time that passes, as a stack costs 15 us here and 50 there. */
#define BUDGET_NS_PER_S_MAX (4 * RTH_NS_PER_MS)
#define BUDGET_NS_PER_S_MIN (2 * RTH_NS_PER_MS)
#define THREAD_NS_PER_S     (2 * RTH_NS_PER_US)
#define SETTLE_NS           (20 * RTH_NS_PER_MS) /* one part of a settle */
#define SLEEPER_TRIES       2
#define DUE_NS_MAX          (2 * RTH_NS_PER_S)
/* Of a thread that tells where it waits: its clock is asked all the same, as a signal handler may
 * run in the wait. */
#define TOLD_DUE_NS    (5 * RTH_NS_PER_S)
#define GLANCE_NS_MAX  (200 * RTH_NS_PER_MS)
#define SCAN_NS_MIN    (50 * RTH_NS_PER_MS)
#define SCAN_NS_MAX    (4 * RTH_NS_PER_S)
#define SCAN_THREAD_NS RTH_NS_PER_MS /* a thread costs a microsecond: 0.1 % of a CPU */
#define CAPTURES_MAX   RTH_CPU_CAPTURES_MAX

struct rth_counted rth__wall_counted = {.name = "wall"};

/* All rth-work's. */
static int capture_hz[CAPTURES_MAX];
static int capture_count;
static struct rth_wall_counts counts;
static struct rth_sleeper_scratch *scratch;
static int64_t began_ns, ticked_ns, scanned_ns;
static uint64_t created_at_scan;
static uint32_t scan_mark;
/* The thread that is looked at next, by number, since it may be gone by then; 0: the first. */
static int turn_tid, settle_tid;

void rth__wall_counts_read(struct rth_wall_counts *ret_counts)
{
    *ret_counts = counts;
}

uint32_t rth__wall_watched(void)
{
    return rth__wall_thread_count();
}

/* ---- telling ------------------------------------------------------------------------------- */

static void tell(const rth_frame *frames, unsigned frame_count, uint32_t label_set, int64_t ns)
{
    if (ns <= 0)
        return;
    uint64_t values[RTH_COUNTED_VALUES] = {1, (uint64_t)ns};
    counts.without_ns += frame_count == 0 ? (uint64_t)ns : 0;
    rth__counted_add_sigsafe(&rth__wall_counted, frames, frame_count, label_set, values);
}

static void tell_own(struct rth_wall_thread *thread, int64_t ns)
{
    tell(thread->frames, thread->frame_count, thread->label_set, ns + thread->debt_ns);
    thread->debt_ns = 0;
}

/* Nothing will be known of where it was: it never slept when it was looked at. */
static void tell_debt(struct rth_wall_thread *thread)
{
    uint32_t label_set = RTH_LABEL_SET_NONE;
    unsigned count = rth__cpu_sampler_last_stack(thread->tid, scratch->frames, &label_set);
    tell(scratch->frames, count, label_set, thread->debt_ns);
    thread->debt_ns = 0;
}

static void keep_stack(struct rth_wall_thread *thread, unsigned count)
{
    thread->frame_count = rth__wall_thread_frames(thread, count) ? count : 0;
    if (thread->frame_count != 0)
        memcpy(thread->frames, scratch->frames, count * sizeof(*thread->frames));
    thread->label_set = rth__context_label_set_of(&scratch->memory, thread->tid);
    thread->has_stack = true;
    counts.stacks++;
}

/* True when it sleeps, and the stack is that of its sleep. */
static bool read_stack(struct rth_wall_thread *thread, int root_fd)
{
    struct rth_sleeper_stack found;
    int error = -EAGAIN;
    for (int i = 0; i < SLEEPER_TRIES && error == -EAGAIN; i++)
        error = rth__sleeper_unwind(root_fd, thread->tid, scratch, &found);
    if (error == -EAGAIN || error == -ESRCH)
        return false;
    if (error == 0) {
        keep_stack(thread, found.count);
    } else {
        counts.unreadable++;
        thread->frame_count = 0;
        thread->label_set = rth__context_label_set_of(&scratch->memory, thread->tid);
        thread->has_stack = true;
    }
    return true;
}

/* When it was last there, and a moment later was not: it ended halfway between. */
static void tell_end(struct rth_wall_thread *thread, int64_t now_ns)
{
    int64_t seen_ns = thread->alive_ns > thread->told_ns ? thread->alive_ns : thread->told_ns;
    if (thread->asleep)
        tell_own(thread, seen_ns + (now_ns - seen_ns) / 2 - thread->told_ns);
    else if (thread->has_stack)
        tell_own(thread, 0);
    else
        tell_debt(thread);
    rth__wall_thread_free(thread);
}

/* *thread is gone (NULL) when it has ended. */
static void look(struct rth_wall_thread **thread_place, int root_fd)
{
    struct rth_wall_thread *thread = *thread_place;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(thread->tid);
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    counts.looks++;
    if (cpu_ns < thread->cpu_ns) { /* gone, or its number was given to another thread */
        tell_end(thread, now_ns);
        *thread_place = NULL;
        return;
    }
    int64_t passed_ns = now_ns - thread->told_ns, used_ns = cpu_ns - thread->cpu_ns;
    int64_t off_ns = passed_ns > used_ns ? passed_ns - used_ns : 0;
    bool same_sleep = thread->asleep && used_ns == 0;
    if (!same_sleep) {
        thread->slept_ns = 0;
        thread->asleep = read_stack(thread, root_fd);
    }
    if (thread->has_stack)
        tell_own(thread, off_ns);
    else
        thread->debt_ns += off_ns;
    if (!thread->asleep)
        counts.late_ns += (uint64_t)off_ns;
    thread->slept_ns += same_sleep ? passed_ns : 0;
    thread->told_ns = thread->alive_ns = now_ns;
    thread->cpu_ns = cpu_ns;
    thread->moved = false;
    thread->glance_ns = 0;
    int64_t later_ns = thread->slept_ns / 4;
    if (thread->asleep && thread->blocked != NULL)
        later_ns = TOLD_DUE_NS;
    else if (later_ns > DUE_NS_MAX)
        later_ns = DUE_NS_MAX;
    thread->due_ns = now_ns + later_ns;
}

/* Two loads: whether what it tells of its wrapped calls has changed. What they read may be another
 * thread's by now; then it has changed. Long sleeps are glanced at less often. */
static void glance(struct rth_wall_thread *thread, int64_t now_ns)
{
    if (thread->shared == NULL || thread->moved)
        return;
    uint64_t changes = __atomic_load_n(&thread->shared->changes, __ATOMIC_RELAXED);
    const void *blocked = __atomic_load_n(&thread->shared->blocked, __ATOMIC_RELAXED);
    if (changes != thread->changes || blocked != thread->blocked) {
        thread->changes = changes;
        thread->blocked = blocked;
        thread->moved = true;
    } else if (blocked != NULL && thread->asleep) {
        int64_t slept_ns = thread->slept_ns + now_ns - thread->told_ns;
        int64_t later_ns = slept_ns / 8;
        thread->alive_ns = now_ns;
        thread->glance_ns = now_ns + (later_ns < GLANCE_NS_MAX ? later_ns : GLANCE_NS_MAX);
    }
}

/* ---- threads come and go ------------------------------------------------------------------- */

/* A thread that began since the last scan is told from its begin on; another one from now on. */
static void meet(int tid, int64_t now_ns)
{
    struct rth_wall_thread *thread = rth__wall_thread_new(tid);
    if (thread == NULL) {
        counts.threads_refused++;
        return;
    }
    counts.threads_seen++;
    thread->mark = scan_mark;
    thread->alive_ns = now_ns;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    thread->shared = rth__thread_shared_of(tid);
    struct rth_thread_info info;
    bool is_known = rth__thread_find(tid, &info);
    int64_t began = is_known ? info.created_ns : scanned_ns + (now_ns - scanned_ns) / 2;
    if (scanned_ns != 0 && began >= began_ns) {
        thread->told_ns = began < now_ns ? began : now_ns;
    } else {
        thread->told_ns = now_ns;
        thread->cpu_ns = cpu_ns > 0 ? cpu_ns : 0;
    }
    glance(thread, now_ns);
}

static void scan(int root_fd)
{
    struct rth_dir dir;
    if (rth__dir_open(&dir, root_fd, "proc/self/task") != 0)
        return;
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    created_at_scan = rth__thread_created_count();
    scan_mark++;
    int tid, error = 0;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0) {
        struct rth_wall_thread *thread = rth__wall_thread_find(tid);
        if (thread != NULL)
            thread->mark = scan_mark;
        else if (!rth__service_thread_has(tid))
            meet(tid, now_ns);
    }
    rth__dir_close(&dir);
    for (struct rth_wall_thread *thread = rth__wall_thread_next(NULL), *next;
         thread != NULL && error == 0; thread = next) {
        next = rth__wall_thread_next(thread);
        if (thread->mark != scan_mark)
            tell_end(thread, now_ns);
    }
    scanned_ns = now_ns;
}

/* New threads are told of by their creation, mostly; others are found a little later. */
static bool scan_is_due(int64_t now_ns)
{
    uint64_t created = rth__thread_created_count();
    int64_t period_ns = SCAN_THREAD_NS * rth__wall_thread_count();
    if (period_ns < SCAN_NS_MIN)
        period_ns = SCAN_NS_MIN;
    if (period_ns > SCAN_NS_MAX || (created != 0 && created == created_at_scan))
        period_ns = SCAN_NS_MAX;
    return now_ns - scanned_ns >= period_ns;
}

/* ---- ticks --------------------------------------------------------------------------------- */

static int highest_hz(void)
{
    int hz = 1;
    for (int i = 0; i < capture_count; i++)
        hz = capture_hz[i] > hz ? capture_hz[i] : hz;
    return hz;
}

static int64_t budget_ns_per_s(void)
{
    int64_t budget_ns = BUDGET_NS_PER_S_MAX - THREAD_NS_PER_S * rth__wall_thread_count();
    return budget_ns > BUDGET_NS_PER_S_MIN ? budget_ns : BUDGET_NS_PER_S_MIN;
}

static struct rth_wall_thread *from(int tid)
{
    struct rth_wall_thread *thread = tid != 0 ? rth__wall_thread_find(tid) : NULL;
    return thread != NULL ? thread : rth__wall_thread_next(NULL);
}

/* One at least. */
static void look_in_turn(int root_fd, int64_t now_ns, int64_t limit_ns)
{
    struct rth_wall_thread *thread = from(turn_tid);
    bool in_time = true;
    for (uint32_t left = rth__wall_thread_count(); left > 0 && in_time; left--) {
        if (thread == NULL && (thread = rth__wall_thread_next(NULL)) == NULL)
            break;
        struct rth_wall_thread *next = rth__wall_thread_next(thread);
        if (thread->moved || now_ns >= thread->due_ns) {
            look(&thread, root_fd);
            in_time = rth__clock_monotonic_ns_sigsafe() < limit_ns;
        }
        thread = next;
    }
    turn_tid = thread != NULL ? thread->tid : 0;
}

void rth__wall_watch_look(int root_fd)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    int hz = highest_hz();
    /* Steps of several captures come close together: one tick is enough for them. */
    if (now_ns - ticked_ns < RTH_NS_PER_S / hz * 3 / 4)
        return;
    ticked_ns = now_ns;
    if (scan_is_due(now_ns))
        scan(root_fd);
    for (struct rth_wall_thread *thread = rth__wall_thread_next(NULL); thread != NULL;
         thread = rth__wall_thread_next(thread))
        if (now_ns >= thread->glance_ns)
            glance(thread, now_ns);
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe();
    look_in_turn(root_fd, now_ns, begun_ns + budget_ns_per_s() / hz);
}

bool rth__wall_watch_settle(int root_fd)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe(), limit_ns = now_ns + SETTLE_NS;
    if (settle_tid == 0)
        scan(root_fd);
    struct rth_wall_thread *thread = from(settle_tid);
    for (; thread != NULL && now_ns < limit_ns; now_ns = rth__clock_monotonic_ns_sigsafe()) {
        struct rth_wall_thread *next = rth__wall_thread_next(thread);
        glance(thread, now_ns);
        look(&thread, root_fd);
        if (thread != NULL && !thread->has_stack)
            tell_debt(thread);
        thread = next;
    }
    settle_tid = thread != NULL ? thread->tid : 0;
    return settle_tid == 0;
}

/* ---- captures ------------------------------------------------------------------------------ */

static void forget(void)
{
    for (struct rth_wall_thread *thread = rth__wall_thread_next(NULL), *next; thread != NULL;
         thread = next) {
        next = rth__wall_thread_next(thread);
        rth__wall_thread_free(thread);
    }
    rth__image_reader_close(&scratch->memory);
    rth__arena_free_nomalloc(scratch, sizeof(*scratch));
    scratch = NULL;
    turn_tid = settle_tid = 0;
    scanned_ns = ticked_ns = 0;
}

int rth__wall_watch_begin(int root_fd, int hz)
{
    if (capture_count == CAPTURES_MAX)
        return -EBUSY;
    int error = rth__counted_init(&rth__wall_counted);
    if (error != 0)
        return error;
    if (capture_count == 0) {
        scratch = rth__arena_alloc_nomalloc(sizeof(*scratch));
        if (scratch == NULL)
            return -ENOMEM;
        scratch->memory.root_fd = root_fd;
        began_ns = rth__clock_monotonic_ns_sigsafe();
        scan(root_fd);
    }
    capture_hz[capture_count++] = hz;
    return 0;
}

void rth__wall_watch_end(int hz)
{
    for (int i = 0; i < capture_count; i++) {
        if (capture_hz[i] != hz)
            continue;
        capture_hz[i] = capture_hz[--capture_count];
        break;
    }
    if (capture_count == 0 && scratch != NULL)
        forget();
}

void rth__wall_watch_child_reset(void)
{
    capture_count = 0;
    counts = (struct rth_wall_counts){0};
    scratch = NULL;
    turn_tid = settle_tid = 0;
    scanned_ns = ticked_ns = 0;
    rth__wall_threads_child_reset();
}
