/* SPDX-License-Identifier: MIT */
/*
 * Callbacks of the application.
 *
 * Purpose: whoever notices something (rth-collect, rth-work) only marks who wants to hear of it.
 * Threads: two, from the first registration on, in the host's descriptor table: the second one
 * takes a job only while the first is late with one. pthread_create allocates, so it is made while
 * there is no need of it. In an adopted child there is the first alone.
 * Locks: start_lock is held while threads are made, which allocates; list_lock guards the list and
 * is never held while anything waits or allocates. No job runs under either.
 * Failure: a job that does not come back keeps its thread; that is logged once for each job.
 * Cost: asleep without jobs to do.
 */
#include "core/call.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#include "core/enable.h"
#include "core/family.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/futex.h"
#include "rthooks/log.h"

#define CALL_THREADS   2
#define LATE_NS        (1 * RTH_NS_PER_S)
#define DRAIN_LIMIT_NS (5 * RTH_NS_PER_S)
#define JOIN_LIMIT_NS  (1 * RTH_NS_PER_S)
#define DRAIN_CHECK_NS (5 * RTH_NS_PER_MS)

static struct rth_lock start_lock = RTH_LOCK_INIT(RTH_RANK_CALL);
static struct rth_lock list_lock = RTH_LOCK_INIT(RTH_RANK_CALL_LIST);
/* Protected by list_lock, but for the threads themselves: start_lock. */
static struct rth_call_job *jobs;
static struct call_thread {
    struct rth_service_thread thread;
    struct rth_call_job *current;
    int64_t since_ns; /* of current */
} threads[CALL_THREADS];

static _Atomic uint32_t signal_word; /* futex word: bumped whenever there may be something to do */
static _Atomic uint32_t stopping;
static _Atomic uint64_t late_count;
static __thread struct rth_call_job *current_here __attribute__((tls_model("initial-exec")));

static void wake(void)
{
    atomic_fetch_add_explicit(&signal_word, 1, memory_order_release);
    rth__futex_wake_sigsafe(&signal_word, INT_MAX);
}

static bool has_wanted_locked(void)
{
    for (const struct rth_call_job *job = jobs; job != NULL; job = job->next)
        if (job->wanted && !job->running)
            return true;
    return false;
}

/* When the thread may take a job: now, at a later time, or (negative) not before it is woken. */
static int64_t may_take_at_locked(const struct call_thread *self)
{
    int64_t at_ns = 0;
    for (const struct call_thread *other = threads; other < self; other++) {
        if (other->current == NULL)
            return -1;
        if (other->since_ns + LATE_NS > at_ns)
            at_ns = other->since_ns + LATE_NS;
    }
    return at_ns;
}

/* The next job, marked as running; else NULL and until when to wait. */
static struct rth_call_job *take(struct call_thread *self, int64_t *ret_wait_until_ns)
{
    RTH__LOCK_SCOPE(&list_lock);
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    int64_t at_ns = may_take_at_locked(self);
    *ret_wait_until_ns = has_wanted_locked() ? at_ns : -1;
    if (at_ns < 0 || at_ns > now_ns)
        return NULL;
    *ret_wait_until_ns = -1;
    for (struct rth_call_job *job = jobs; job != NULL; job = job->next) {
        if (!job->wanted || job->running)
            continue;
        job->wanted = false;
        job->running = true;
        self->current = job;
        self->since_ns = now_ns;
        return job;
    }
    return NULL;
}

static void give_back(struct call_thread *self, struct rth_call_job *job)
{
    {
        RTH__LOCK_SCOPE(&list_lock);
        job->running = false;
        self->current = NULL;
    }
    wake(); /* who waits to remove it, and the other thread if it is wanted again */
}

/* The second thread took over: the first one's job is late. */
static void note_late(const struct call_thread *self)
{
    RTH__LOCK_SCOPE(&list_lock);
    for (const struct call_thread *other = threads; other < self; other++) {
        if (other->current == NULL || other->current->was_late)
            continue;
        other->current->was_late = true;
        atomic_fetch_add_explicit(&late_count, 1, memory_order_relaxed);
        rth_log(RTH_LOG_WARN, "call.late", "thread=rth-call waited_s=1");
    }
}

static void call_main(void *userdata)
{
    struct call_thread *self = userdata;
    while (!atomic_load_explicit(&stopping, memory_order_acquire)) {
        uint32_t seen = atomic_load_explicit(&signal_word, memory_order_acquire);
        int64_t wait_until_ns;
        struct rth_call_job *job = take(self, &wait_until_ns);
        if (job == NULL) {
            (void)rth__futex_wait_sigsafe(&signal_word, seen, wait_until_ns);
            continue;
        }
        note_late(self);
        wake(); /* the other thread keeps an eye on this one */
        current_here = job;
        job->run(job);
        current_here = NULL;
        give_back(self, job);
    }
}

static int start_locked(void)
{
    atomic_store_explicit(&stopping, 0, memory_order_release);
    size_t count = rth__family_is_first() ? CALL_THREADS : 1;
    for (size_t i = 0; i < count; i++) {
        /* One that runs, or that a job kept from ending, goes on. */
        if (rth__service_thread_join(&threads[i].thread, rth__clock_monotonic_ns_sigsafe()) != 0)
            continue;
        threads[i].thread.name = i == 0 ? "rth-call" : "rth-call-spare";
        threads[i].thread.main = call_main;
        threads[i].thread.userdata = &threads[i];
        int error = rth__service_thread_start(&threads[i].thread);
        if (error != 0 && i == 0)
            return error;
    }
    return 0;
}

static bool has_jobs(void)
{
    RTH__LOCK_SCOPE(&list_lock);
    return jobs != NULL;
}

int rth__call_threads_start(void)
{
    RTH__LOCK_SCOPE(&start_lock);
    return has_jobs() ? start_locked() : 0;
}

void rth__call_threads_stop(void)
{
    RTH__LOCK_SCOPE(&start_lock);
    atomic_store_explicit(&stopping, 1, memory_order_release);
    wake();
    for (size_t i = 0; i < CALL_THREADS; i++)
        if (threads[i].thread.started)
            (void)rth__service_thread_join(&threads[i].thread,
                                           rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS);
}

int rth__call_add(struct rth_call_job *job)
{
    {
        RTH__LOCK_SCOPE(&start_lock);
        int error = rth__enabled() ? start_locked() : 0; /* else at rth_start */
        if (error != 0)
            return error;
    }
    RTH__LOCK_SCOPE(&list_lock);
    job->wanted = job->running = job->was_late = false;
    job->next = jobs;
    jobs = job;
    return 0;
}

/* True when it does not run. */
static bool unlink_job(struct rth_call_job *job)
{
    RTH__LOCK_SCOPE(&list_lock);
    for (struct rth_call_job **link = &jobs; *link != NULL; link = &(*link)->next)
        if (*link == job) {
            *link = job->next;
            break;
        }
    job->wanted = false;
    return !job->running;
}

bool rth__call_remove(struct rth_call_job *job)
{
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + DRAIN_LIMIT_NS;
    while (!unlink_job(job)) {
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        if (current_here == job || now_ns >= deadline_ns)
            return false;
        uint32_t seen = atomic_load_explicit(&signal_word, memory_order_acquire);
        (void)rth__futex_wait_sigsafe(&signal_word, seen, now_ns + DRAIN_CHECK_NS);
    }
    return true;
}

void rth__call_want(struct rth_call_job *job)
{
    {
        RTH__LOCK_SCOPE(&list_lock);
        job->wanted = true;
    }
    wake();
}

void rth__call_want_all(void)
{
    {
        RTH__LOCK_SCOPE(&list_lock);
        if (jobs == NULL)
            return;
        for (struct rth_call_job *job = jobs; job != NULL; job = job->next)
            job->wanted = true;
    }
    wake();
}

uint64_t rth__call_late_count(void)
{
    return atomic_load_explicit(&late_count, memory_order_relaxed);
}

void rth__call_child_reset(void)
{
    rth__lock_reset(&start_lock);
    rth__lock_reset(&list_lock);
    for (size_t i = 0; i < CALL_THREADS; i++) {
        rth__service_thread_child_reset(&threads[i].thread);
        threads[i].current = NULL;
    }
    for (struct rth_call_job *job = jobs; job != NULL; job = job->next)
        job->wanted = job->running = false;
    stopping = 0;
    current_here = NULL;
}
