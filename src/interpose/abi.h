/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_ABI_H
#define RTH_INTERPOSE_ABI_H

/*
 * The only header that librthooks and librthooks_interpose.so share. The interposer exports libc
 * names and knows nothing of the runtime; the runtime finds rth_interpose_attach with dlsym and
 * hands over a table of slow paths. Without an attached table every wrapper is a pass-through.
 *
 * Growing it: append members, never reorder; size says how much the other side knows; a change of
 * meaning raises RTH_INTERPOSE_ABI_VERSION.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RTH_INTERPOSE_ABI_VERSION 1u

/* Kinds of host signal handler, as signal_action reports them. */
#define RTH_SIGNAL_DEFAULT 0
#define RTH_SIGNAL_IGNORE  1
#define RTH_SIGNAL_HANDLER 2

/* What a thread in a wrapped call waits for. */
#define RTH_WAIT_CALL      0u /* something of the kernel: poll and relatives, the sleeps */
#define RTH_WAIT_MUTEX     1u
#define RTH_WAIT_RDLOCK    2u
#define RTH_WAIT_WRLOCK    3u
#define RTH_WAIT_COND      4u
#define RTH_WAIT_SEMAPHORE 5u

/* What the interposer tells of a thread; lives in memory of the runtime that is never given back. A
 * reader on another thread copies, and believes the copy if `changes` is the same afterwards. */
struct rth_blocked_frame {
    const struct rth_blocked_frame *previous; /* the wait around this one, NULL for none */
    struct rth_thread_shared *owner;
    uintptr_t leaf;       /* the function that waits */
    uintptr_t pc, sp, fp; /* of its caller: where it returns to, with which registers */
    uintptr_t object;     /* address of the mutex, rwlock, condition or semaphore; 0 for a call */
    int64_t since_ns;     /* CLOCK_MONOTONIC; 0: not taken, as for RTH_WAIT_CALL */
    uint32_t kind;        /* RTH_WAIT_* */
    uint32_t reserved;
};

/* A lock, condition or semaphore that was found busy: on the waiting thread's stack. */
struct rth_sync_wait {
    struct rth_blocked_frame frame; /* shown while the original waits */
    uintptr_t lock;                 /* what the thread holds afterwards; 0: nothing */
    uint64_t registration;          /* the runtime's; 0: it does not follow this wait */
};
/* About that often is the runtime asked about a lock that is given back, at most. */
#define RTH_SYNC_CHARGE_NS 10000
/* A lock that threads wait for is given back: on the stack of its holder. */
struct rth_sync_release {
    uintptr_t lock;
    uintptr_t leaf, pc;    /* as in the frame of a wait */
    uint32_t is_condition; /* 1: a condition's mutex: taken again before release_end could run */
    uint32_t count;        /* waits that began since somebody was charged for this lock */
    uint64_t delay_ns;     /* what was waited for it since; 0: nothing to charge */
};
/* Counters of a thread that nobody else writes. A failed allocation of less than what is left to
 * `due` stays counted. */
struct rth_thread_heap {
    uint64_t allocs, frees; /* calls that returned a block; calls that were given one */
    uint64_t bytes;         /* asked for by those allocations */
    _Atomic uint64_t due;   /* at this many bytes heap_allocated_nomalloc is called */
};
struct rth_thread_shared {
    const struct rth_blocked_frame *blocked; /* on the thread's stack; NULL: in no wrapped call */
    uint64_t changes;
    struct rth_thread_heap heap;
};

/*
 * Says of nearly every block that it is no sampled one. A word per slot of the runtime's table; a
 * sampled block sets two bits of the word its address leads to. Never given back: a thread may
 * still look at one that has been replaced, and finds there every block it can know.
 */
struct rth_heap_filter {
    uint64_t shift; /* 64 - log2 of the number of words */
    uint64_t words[];
};
static inline uint64_t rth__heap_filter_hash(uintptr_t address)
{
    return (uint64_t)address * UINT64_C(0x9e3779b97f4a7c15);
}
static inline uint64_t rth__heap_filter_mask(uint64_t hash)
{
    return UINT64_C(1) << (hash >> 26 & 63) | UINT64_C(1) << (hash >> 32 & 63);
}
static inline bool rth__heap_filter_may_hold(const struct rth_heap_filter *filter,
                                             uintptr_t address)
{
    uint64_t hash = rth__heap_filter_hash(address), mask = rth__heap_filter_mask(hash);
    return (__atomic_load_n(&filter->words[hash >> filter->shift], __ATOMIC_RELAXED) & mask) ==
           mask;
}

/* What the runtime knew of a block while it is being moved. */
struct rth_heap_sample {
    uintptr_t block;
    uint64_t count, amount, site_identity;
    uint32_t site, runtime_generation;
};

/* Slow paths, installed by the runtime. All are called on host threads with no lock of ours held,
 * keep errno, and may be called from several threads at once. None may be NULL. */
struct rth_interpose_ops {
    size_t struct_size;
    uint32_t version;
    uint32_t reserved; /* 0 */

    /* One word on a WIPEONFORK page: not zero while this process is live. Zero in every child with
     * copied memory, so wrappers read it before anything else. A child that shares memory (vfork)
     * reads the parent's: exec and spawn wrappers also compare the raw pid with *owner_pid. */
    const volatile uint32_t *enabled;
    const volatile pid_t *owner_pid;

    /* pthread_create. prepare: returns a handle to pass as the new thread's argument, or NULL to
     * create the thread unseen. abandon: creation failed. run: on the new thread; attaches it,
     * calls start(argument), returns its value. */
    void *(*thread_prepare)(void *(*start)(void *), void *argument);
    void (*thread_abandon)(void *handle);
    void *(*thread_run)(void *handle);

    /* In a child with copied memory (*enabled == 0), at a calm point (a blocking call or
     * pthread_create; never inside malloc or a signal handler). Returns nanoseconds until the
     * child may be adopted; 0 when it was adopted by this very call or has been adopted meanwhile;
     * negative when it never will be. A blocking wrapper waits at most that long for its event,
     * calls again, and then does the rest of the caller's wait. */
    int64_t (*child_calm)(void);
    /* In the child, right after fork returned there. Signal-safe, only notes the time. */
    void (*child_forked_sigsafe)(void);

    /* Around a set*id call. begin returns true when it ended our threads, because their
     * capabilities are not the caller's and glibc aborts a process whose threads answer
     * differently; end gets that back. */
    bool (*ids_change_begin)(void);
    void (*ids_change_end)(bool paused);
    /* unshare(CLONE_NEWUSER…), setns: our threads end before it and come back after it. */
    void (*threads_quiesce)(void);
    void (*threads_resume)(void);
    /* sigaction, signal and relatives succeeded. kind: RTH_SIGNAL_*. */
    void (*signal_action_sigsafe)(int signal_number, int kind);
    /* sigaction for a signal whose handler is the runtime's: the host's view of it is kept and
     * answered there. Returns 1 when the signal is not such a one, and the caller passes through;
     * else what sigaction would. Also called in children of any kind. */
    int (*signal_host_action_sigsafe)(int signal_number, const struct sigaction *action,
                                      struct sigaction *ret_before);
    /* Whether a signal taken from a queue by sigwait and relatives was sent by the runtime: the
     * host must not see it. Signal-safe. */
    bool (*signal_is_runtimes_sigsafe)(const siginfo_t *info);

    /* The heap. Called from allocation functions: no malloc, and nothing that might call it. heap:
     * the calling thread's; NULL for a thread without a block, whose every call comes here.
     * allocated: heap->due is reached, or there is none; the block is counted already, unless heap
     * is NULL. freed_unseen: a thread without a block frees, and nothing has counted it.
     * forget: the filter said that the block may be sampled; it is about to be freed or moved.
     * Returns true when it was, with what was known of it, for remember when the call failed. */
    void (*heap_allocated_nomalloc)(struct rth_thread_heap *heap, const void *block,
                                    size_t size_bytes);
    void (*heap_freed_unseen_nomalloc)(void);
    bool (*heap_forget_nomalloc)(const void *block, struct rth_heap_sample *ret_sample);
    void (*heap_remember_nomalloc)(const struct rth_heap_sample *sample);

    /* Mappings. Called around mmap, munmap, mremap and sbrk, from allocators under their own locks
     * and from signal handlers: no malloc, and no lock that anybody holds while he calls it.
     * mark: taken before memory goes; what is told later is newer than it. removed: what is older
     * than the mark is gone there; another thread may have been given the place meanwhile.
     * is_known: whether mremap is about to change memory that was told of.
     * added: anonymous memory, or (is_anonymous false) other that has taken the place.
     * moved: removed (when before_bytes is not 0) and added (when known) in one. caller: where the
     * wrapper returns to. */
    uint64_t (*map_mark_nomalloc)(void);
    bool (*map_is_known_nomalloc)(uintptr_t address);
    void (*map_added_nomalloc)(uintptr_t address, size_t length, bool is_anonymous,
                               uintptr_t caller);
    void (*map_removed_nomalloc)(uint64_t mark, uintptr_t address, size_t length);
    void (*map_moved_nomalloc)(uint64_t mark, bool known, uintptr_t before, size_t before_bytes,
                               uintptr_t after, size_t after_bytes, uintptr_t caller);

    /* Contention. Called from functions of locks of any kind, also in allocators and signal
     * handlers: no malloc, and no lock of ours is held while a lock operation of the host runs.
     * wait_begin: it is busy, and the caller will wait for it now; fills registration, which is not
     * 0 when releases of this lock shall come here meanwhile. wait_end: that is over; with
     * has_lock the caller holds wait->lock. release_begin: before a lock is given back for which
     * threads may wait; fills count and delay_ns. release_end: after it, but not for a condition's.
     * wait_end and release_end return true while something of this thread waits to be recorded
     * until it holds a certain lock no more: then its next releases come here, whoever waits. */
    void (*sync_wait_begin_nomalloc)(struct rth_sync_wait *wait);
    bool (*sync_wait_end_nomalloc)(struct rth_sync_wait *wait, bool has_lock);
    void (*sync_release_begin_nomalloc)(struct rth_sync_release *release);
    bool (*sync_release_end_nomalloc)(const struct rth_sync_release *release);
};

/* What the interposer found out before main. */
struct rth_interpose_info {
    size_t struct_size;
    uint32_t version;
    uint32_t autostart;  /* 1: `rthooks run` chose this process; start by yourself */
    uint32_t said_start; /* 1: an earlier image of this pid has printed the start line */
    uint32_t follow;     /* 1: --follow */
    /* Bumped at each dlopen, dlmopen and dlclose, before it runs. */
    const volatile uint64_t *loader_generation;
    /* The entries taken out of the environment, "KEY=VALUE", NULL-terminated: settings that
     * `rthooks run` made by its options (RTHOOKS_RUN_SET) are found only here. */
    const char *const *saved_environment;
    /* The original, for what the runtime does on its own account. */
    int (*real_sigaction)(int signal_number, const struct sigaction *action,
                          struct sigaction *ret_before);
    /* Where the calling thread's wrappers shall tell where it waits; NULL: nowhere. */
    void (*thread_shared_set)(struct rth_thread_shared *shared);
    /* Where the runtime publishes the filter of sampled blocks. */
    const struct rth_heap_filter **heap_filter;
    /* The allocator's functions as the interposer forwards to them, to tell whose they are; the
     * malloc that the program's calls reach first, and the interposer's own. They are the same too
     * when the first one goes on to ours. */
    const void *real_malloc, *real_free;
    const void *first_malloc, *own_malloc;
    /* The code of the allocation wrappers: frames in it, and what they call, are not the site. */
    uintptr_t heap_code_start, heap_code_limit;
    /* The lock function that the program's calls reach first, and the interposer's own. */
    const void *first_mutex_lock, *own_mutex_lock;
};

/*
 * Exported by the interposer, looked up with dlsym(RTLD_DEFAULT, "rth_interpose_attach").
 * ops: stays valid for ever; NULL detaches (wrappers pass through again; calls already inside
 * an op finish there). ret_info: struct_size set by the caller.
 * Returns 0; -EBUSY when another runtime is attached; -EINVAL for a version or size this
 * interposer does not know.
 */
typedef int (*rth_interpose_attach_fn)(const struct rth_interpose_ops *ops,
                                       struct rth_interpose_info *ret_info);

/*
 * The environment between `rthooks run` and the interposer. All of it is taken out before main
 * and put back by the exec wrappers (see src/interpose/exec.c):
 *   LD_PRELOAD            our two entries, found by file name
 *   RTHOOKS_AUTOSTART     PID:STARTTIME of the one process meant; under --follow and before
 *                         --match has matched "any"
 *   RTHOOKS_RUN_MATCH     --match EXE: a path (contains '/') or a file name
 *   RTHOOKS_RUN_FOLLOW    "1": --follow
 *   RTHOOKS_RUN_SET       names of RTHOOKS_* variables set by options of run, separated by
 *                         commas: they are ours to remove and restore; others are the user's
 *   RTHOOKS_RUN_SAID      PID:STARTTIME of the process whose start line was printed; another
 *                         process that inherited it has not printed its own
 */
#define RTH_ENV_AUTOSTART  "RTHOOKS_AUTOSTART"
#define RTH_ENV_RUN_MATCH  "RTHOOKS_RUN_MATCH"
#define RTH_ENV_RUN_FOLLOW "RTHOOKS_RUN_FOLLOW"
#define RTH_ENV_RUN_SET    "RTHOOKS_RUN_SET"
#define RTH_ENV_RUN_SAID   "RTHOOKS_RUN_SAID"
#define RTH_LIB_INTERPOSE  "librthooks_interpose.so"
#define RTH_LIB_RUNTIME    "librthooks.so"

#endif /* RTH_INTERPOSE_ABI_H */
