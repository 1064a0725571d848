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

/* What the interposer tells of a thread; lives in memory of the runtime that is never given back. A
 * reader on another thread copies, and believes the copy if `changes` is the same afterwards. */
struct rth_blocked_frame {
    const struct rth_blocked_frame *previous; /* the wait around this one, NULL for none */
    struct rth_thread_shared *owner;
    uintptr_t leaf;       /* the function that waits */
    uintptr_t pc, sp, fp; /* of its caller: where it returns to, with which registers */
};
struct rth_thread_shared {
    const struct rth_blocked_frame *blocked; /* on the thread's stack; NULL: in no wrapped call */
    uint64_t changes;
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
