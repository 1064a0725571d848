/* SPDX-License-Identifier: MIT */
/*
 * Threads of ours inside the host.
 *
 * Purpose: create, name, count and end them in one place, with the properties the host relies on:
 * its signals are never delivered to them, its setuid reaches them, its fork does not copy them.
 * Threads: start and join run on host threads (or on rth-admin for rth-work); the accounting is
 * lock-free. Failure: a negative errno, the capability says so. Cost: 512 KiB of address space
 * each, of which a few pages are touched.
 */
#include "core/service_thread.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "os/clock.h"
#include "os/futex.h"
#include "os/rawsys.h"
#include "os/sigmask.h"

/* The host's static thread-local storage comes off the stack, so a host with much of it gets the
 * larger one. */
#define STACK_BYTES       ((size_t)512 * 1024)
#define STACK_LARGE_BYTES ((size_t)8 * 1024 * 1024)
#define GUARD_BYTES       ((size_t)4096)
#define PAGE_BYTES        ((size_t)4096)

/* Threads alive now; a slot is claimed by the thread itself before main runs. */
static struct rth_service_thread *_Atomic alive[RTH_SERVICE_THREAD_MAX];
/* CPU time of those that ended. */
static _Atomic uint64_t ended_cpu_ns;
static __thread bool self_is_service __attribute__((tls_model("initial-exec")));
static __thread bool creating __attribute__((tls_model("initial-exec")));

bool rth__service_thread_is_self(void)
{
    return self_is_service;
}

bool rth__service_thread_is_creating(void)
{
    return creating;
}

static void register_alive(struct rth_service_thread *thread)
{
    for (size_t i = 0; i < RTH_SERVICE_THREAD_MAX; i++) {
        struct rth_service_thread *expected = NULL;
        if (atomic_compare_exchange_strong_explicit(&alive[i], &expected, thread,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return;
    }
}

static void unregister_alive(const struct rth_service_thread *thread)
{
    for (size_t i = 0; i < RTH_SERVICE_THREAD_MAX; i++)
        if (alive[i] == thread)
            alive[i] = NULL;
}

static void *thread_entry(void *argument)
{
    struct rth_service_thread *thread = argument;
    self_is_service = true;
    (void)prctl(PR_SET_NAME, thread->name);
    /* Numbers in our answers must not follow the host's setlocale. The C locale is static in
     * glibc: no allocation, no lock, and the setting is this thread's alone. */
    (void)uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
    int tid = rth__raw_gettid_sigsafe();
    thread->tid = tid;
    register_alive(thread);
    thread->main(thread->userdata);
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    if (cpu_ns > 0)
        ended_cpu_ns += (uint64_t)cpu_ns;
    unregister_alive(thread);
    thread->tid = 0;
    atomic_store_explicit(&thread->exited, 1, memory_order_release);
    rth__futex_wake_sigsafe(&thread->exited, INT_MAX);
    return NULL;
}

/* Our own stack, so that its size and place are known without asking libc, which would allocate.
 * Not MADV_DONTFORK: glibc walks the thread descriptors at its top in a forked child. */
static void *map_stack(size_t stack_bytes)
{
    char *stack = rth__raw_map_sigsafe(stack_bytes, MAP_PRIVATE | MAP_STACK | MAP_NORESERVE);
    if (stack == NULL)
        return NULL;
    (void)mprotect(stack, GUARD_BYTES, PROT_NONE);
    return stack;
}

static int create(struct rth_service_thread *thread)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    error = pthread_attr_setstack(&attributes, thread->stack, thread->stack_bytes);
    if (error == 0) {
        creating = true; /* the interposer must not take it for a thread of the host */
        error = pthread_create(&thread->handle, &attributes, thread_entry, thread);
        creating = false;
    }
    (void)pthread_attr_destroy(&attributes);
    return -error;
}

static int create_with_stack(struct rth_service_thread *thread, size_t stack_bytes)
{
    thread->stack = map_stack(stack_bytes);
    if (thread->stack == NULL)
        return -ENOMEM;
    thread->stack_bytes = stack_bytes;
    int error = create(thread);
    if (error != 0) {
        rth__raw_unmap_sigsafe(thread->stack, stack_bytes);
        thread->stack = NULL;
    }
    return error;
}

int rth__service_thread_start(struct rth_service_thread *thread)
{
    thread->exited = 0;
    thread->tid = 0;
    /* The new thread inherits the mask. Fault signals stay open: blocked, they would kill. */
    sigset_t blocked, before;
    rth__sigmask_all_but_faults_sigsafe(&blocked);
    (void)pthread_sigmask(SIG_SETMASK, &blocked, &before);
#ifdef __SANITIZE_THREAD__
    int error = -EINVAL; /* its own storage alone is larger than the small stack */
#else
    int error = create_with_stack(thread, STACK_BYTES);
#endif
    if (error == -EINVAL)
        error = create_with_stack(thread, STACK_LARGE_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->started = error == 0;
    return error;
}

int rth__service_thread_join(struct rth_service_thread *thread, int64_t deadline_ns)
{
    if (!thread->started)
        return 0;
    while (!atomic_load_explicit(&thread->exited, memory_order_acquire))
        if (rth__futex_wait_sigsafe(&thread->exited, 0, deadline_ns) == -ETIMEDOUT)
            return -ETIMEDOUT;
    (void)pthread_join(thread->handle, NULL);
    rth__raw_unmap_sigsafe(thread->stack, thread->stack_bytes);
    thread->stack = NULL;
    thread->started = false;
    return 0;
}

void rth__service_thread_child_reset(struct rth_service_thread *thread)
{
    /* The stack stays mapped: glibc's list of threads may still name its descriptor. */
    thread->started = false;
    thread->tid = 0;
    thread->exited = 0;
    thread->stack = NULL;
}

void rth__service_threads_child_reset(void)
{
    memset(alive, 0, sizeof(alive));
    ended_cpu_ns = 0;
    self_is_service = false;
    creating = false;
}

int rth__service_thread_tids(int *ret_tids, int capacity)
{
    int count = 0;
    for (size_t i = 0; i < RTH_SERVICE_THREAD_MAX && count < capacity; i++) {
        struct rth_service_thread *thread = alive[i];
        int tid = thread != NULL ? thread->tid : 0;
        if (tid != 0)
            ret_tids[count++] = tid;
    }
    return count;
}

bool rth__service_thread_has(int tid)
{
    for (size_t i = 0; i < RTH_SERVICE_THREAD_MAX; i++) {
        const struct rth_service_thread *thread = alive[i];
        if (thread != NULL && thread->tid == tid)
            return true;
    }
    return false;
}

uint64_t rth__service_thread_cpu_ns(void)
{
    uint64_t total_ns = ended_cpu_ns;
    int tids[RTH_SERVICE_THREAD_MAX];
    int count = rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX);
    for (int i = 0; i < count; i++) {
        int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(tids[i]);
        if (cpu_ns > 0)
            total_ns += (uint64_t)cpu_ns;
    }
    return total_ns;
}

/* Resident bytes of a mapping, a piece at a time. */
static uint64_t resident_bytes_of(char *start, size_t size_bytes)
{
    uint64_t resident_bytes = 0;
    unsigned char pages[128];
    for (size_t at = 0; at < size_bytes; at += sizeof(pages) * PAGE_BYTES) {
        size_t left = size_bytes - at;
        size_t piece = left < sizeof(pages) * PAGE_BYTES ? left : sizeof(pages) * PAGE_BYTES;
        if (mincore(start + at, piece, pages) != 0)
            return resident_bytes;
        for (size_t page = 0; page < piece / PAGE_BYTES; page++)
            resident_bytes += (pages[page] & 1u) != 0 ? PAGE_BYTES : 0;
    }
    return resident_bytes;
}

uint64_t rth__service_thread_stack_bytes(void)
{
    uint64_t resident_bytes = 0;
    for (size_t i = 0; i < RTH_SERVICE_THREAD_MAX; i++) {
        const struct rth_service_thread *thread = alive[i];
        if (thread != NULL && thread->stack != NULL)
            resident_bytes += resident_bytes_of(thread->stack, thread->stack_bytes);
    }
    return resident_bytes;
}
