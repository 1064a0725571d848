/* SPDX-License-Identifier: MIT */
/*
 * The runtime: the capability table, and the only singleton of rthooks.
 *
 * Purpose: the table below is the whole system in one place. This file starts it (from rth_start,
 * or before main when `rthooks run` chose this process), stops it, starts it again in an adopted
 * child, and answers the interposer.
 * Threads: start and stop run on one host thread at a time (runtime_lock); the interposer's calls
 * come from any host thread. Fork: a child is inert until core/fork.c adopts it here.
 * Failure: whatever fails is reported in the status; the host always runs on.
 * Cost: some 400 us before main, one thread; two more once it has run for 100 ms, and one parked
 * where there is a memory limit.
 */
#include "rthooks/rthooks.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "admin/admin.h"
#include "core/arena.h"
#include "core/call.h"
#include "core/capability.h"
#include "core/collect.h"
#include "core/enable.h"
#include "core/env.h"
#include "core/family.h"
#include "core/fork.h"
#include "core/identity.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "episode/episode.h"
#include "health/health.h"
#include "interpose/abi.h"
#include "limits/limits.h"
#include "limits/reclaim.h"
#include "metrics/metrics.h"
#include "metrics/process.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/rawsys.h"
#include "processes/processes.h"
#include "record/loader.h"
#include "profile/capture.h"
#include "profile/contention/contention.h"
#include "profile/contention/recorder.h"
#include "profile/cpu/cpu.h"
#include "profile/custom/custom.h"
#include "profile/heap/heap.h"
#include "profile/heap/sampler.h"
#include "profile/index.h"
#include "profile/mmap/mmap.h"
#include "profile/mmap/recorder.h"
#include "profile/threads/created.h"
#include "profile/tasks/tasks.h"
#include "profile/threads/dump.h"
#include "profile/wall/wall.h"
#include "thread/context.h"
#include "thread/credentials.h"
#include "thread/host_signals.h"
#include "thread/loops.h"
#include "runtime/runtime.h"
#include "thread/registry.h"
#include "thread/sigmux.h"
#include "thread/threads.h"

/* Every row may need earlier rows only. admin comes last: it serves what stands above it. */
static const struct rth_capability *const capability_table[] = {
    &rth__runtime_capability,      /* /version, status, config; identity */
    &rth__log_capability,          /* what rthooks says of itself */
    &rth__fork_capability,         /* which children become processes of ours */
    &rth__threads_capability,      /* thread list, thread counts */
    &rth__labels_capability,       /* label sets, the context of threads */
    &rth__loops_capability,        /* how long event loops kept events waiting */
    &rth__process_capability,      /* process_* series */
    &rth__metrics_capability,      /* /metrics, own cost */
    &rth__health_capability,       /* /livez, /readyz, /startupz */
    &rth__capture_capability,      /* modules, unwinder, stacks, our signal */
    &rth__profile_capability,      /* /debug/pprof/ index, cmdline, symbol */
    &rth__cpu_capability,          /* CPU profiles */
    &rth__threadcreate_capability, /* where threads were created */
    &rth__thread_dump_capability,  /* stacks of all threads */
    &rth__wall_capability,         /* where threads are, running or not */
    &rth__heap_capability,         /* who holds the memory */
    &rth__contention_capability,   /* who waits for locks, and who holds them */
    &rth__mmap_capability,         /* who mapped it, below any allocator */
    &rth__tasks_capability,        /* units of work that the program queues */
    &rth__custom_capability,       /* profiles of the program's own; behind all other profiles */
    &rth__episode_capability,      /* evidence in files, when something happens */
    &rth__limits_capability,       /* memory and CPU that the platform lets it have */
    &rth__processes_capability,    /* /debug/processes */
    &rth__admin_capability,        /* the endpoint */
};
#define CAPABILITY_COUNT (sizeof(capability_table) / sizeof(capability_table[0]))

/* As rth-admin: the host starts up, and may be about to change its ids. */
#define COLLECT_DELAY_NS (100 * RTH_NS_PER_MS)

static struct rth_lock runtime_lock = RTH_LOCK_INIT(RTH_RANK_RUNTIME);
/* Protected by runtime_lock. */
static bool started;
static bool started_by_call; /* rth_start was called, by whomever it was started */
static rth_interpose_attach_fn attach;
/* Of the runtime in this process; a child's is one more than its parent's. */
static uint32_t generation;

const char *rth_version(void)
{
    return RTH_VERSION;
}

/* ---- what the interposer calls ------------------------------------------------------------- */

/* The host thread between quiesce and resume holds runtime_lock; a signal handler of the host that
 * interrupts it there must not wait for itself. 0: nobody. */
static _Atomic int quiescing_tid;

/* Where there is no endpoint, rth-collect is on its own. */
static void start_collect_alone(int64_t delay_ns)
{
    int error = rth__capability_is_running("admin") ? 0 : rth__collect_start(false, delay_ns);
    if (error != 0)
        rth_log(RTH_LOG_ERROR, "collect.failed", "error=\"%s\"", rth_strerror(error));
}

static void stop_collect_alone(void)
{
    if (!rth__capability_is_running("admin"))
        rth__collect_stop();
}

/* Our threads end, so that the host can call what the kernel or glibc refuses to them. */
static void threads_quiesce(void)
{
    rth__lock(&runtime_lock);
    quiescing_tid = rth__raw_gettid_sigsafe();
    rth__admin_quiesce();
    stop_collect_alone();
    rth__reclaim_thread_stop();
    rth__call_threads_stop();
    rth__log_thread_stop();
}

static void threads_resume(void)
{
    (void)rth__log_thread_start();
    (void)rth__call_threads_start();
    (void)rth__reclaim_thread_start();
    start_collect_alone(0);
    rth__admin_resume();
    quiescing_tid = 0;
    rth__unlock(&runtime_lock);
}

static bool ids_change_begin(void)
{
    if (quiescing_tid == rth__raw_gettid_sigsafe() || !rth__credentials_differ_sigsafe())
        return false;
    threads_quiesce();
    return true;
}

/* That the ids changed needs no message: rth-admin compares them at each tick. */
static void ids_change_end(bool paused)
{
    if (paused)
        threads_resume();
}

/* On the thread that forked, in the child. */
static void forget_thread_sigsafe(void)
{
    rth__thread_forget_self_sigsafe();
    rth__context_child_forked_sigsafe();
}

static struct rth_interpose_ops interpose_ops = {
    .struct_size = sizeof(interpose_ops),
    .version = RTH_INTERPOSE_ABI_VERSION,
    .thread_prepare = rth__thread_prepare,
    .thread_abandon = rth__thread_abandon,
    .thread_run = rth__thread_run,
    .child_calm = rth__fork_child_calm,
    .child_forked_sigsafe = rth__fork_child_forked_sigsafe,
    .ids_change_begin = ids_change_begin,
    .ids_change_end = ids_change_end,
    .threads_quiesce = threads_quiesce,
    .threads_resume = threads_resume,
    .signal_action_sigsafe = rth__host_signals_note_sigsafe,
    .signal_host_action_sigsafe = rth__sigmux_host_action_sigsafe,
    .signal_is_runtimes_sigsafe = rth__sigmux_is_ours_sigsafe,
    .heap_allocated_nomalloc = rth__heap_allocated_nomalloc,
    .heap_freed_unseen_nomalloc = rth__heap_freed_unseen_nomalloc,
    .heap_forget_nomalloc = rth__heap_forget_nomalloc,
    .heap_remember_nomalloc = rth__heap_remember_nomalloc,
    .map_mark_nomalloc = rth__map_mark_nomalloc,
    .map_is_known_nomalloc = rth__map_is_known_nomalloc,
    .map_added_nomalloc = rth__map_added_nomalloc,
    .map_removed_nomalloc = rth__map_removed_nomalloc,
    .map_moved_nomalloc = rth__map_moved_nomalloc,
    .sync_wait_begin_nomalloc = rth__sync_wait_begin_nomalloc,
    .sync_wait_end_nomalloc = rth__sync_wait_end_nomalloc,
    .sync_release_begin_nomalloc = rth__sync_release_begin_nomalloc,
    .sync_release_end_nomalloc = rth__sync_release_end_nomalloc,
};

/* Runs on the starting host thread only: dlsym takes the loader lock. */
static int attach_interposer(struct rth_interpose_info *ret_info, const char **ret_reason)
{
    if (attach == NULL)
        attach = (rth_interpose_attach_fn)dlsym(RTLD_DEFAULT, "rth_interpose_attach");
    if (attach == NULL) {
        *ret_reason = "librthooks_interpose.so is not loaded";
        return -ENOENT;
    }
    interpose_ops.enabled = &rth__enable_page()->enabled;
    interpose_ops.owner_pid = &rth__enable_page()->owner_pid;
    *ret_info = (struct rth_interpose_info){.struct_size = sizeof(*ret_info)};
    int error = attach(&interpose_ops, ret_info);
    *ret_reason = error == -EBUSY    ? "another runtime is attached"
                  : error == -EINVAL ? "librthooks_interpose.so is of another version"
                                     : NULL;
    return error;
}

/* ---- a forked child becomes a process of ours ---------------------------------------------- */

/* Called by core/fork.c on a host thread of the child, with RTH_RANK_FORK held. */
static int adopt_child(void)
{
    rth__lock_reset(&runtime_lock);
    quiescing_tid = 0;
    rth__arena_child_reset();
    rth__service_threads_child_reset();
    rth__work_child_reset();
    rth__collect_child_reset();
    rth__call_child_reset();
    rth__log_child_reset();
    rth__capabilities_child_reset();
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    int error = root_fd < 0 ? root_fd : rth__identity_child_reset(root_fd);
    if (error != 0)
        return error;
    const struct rth_identity *identity = rth__identity();
    error = rth__family_join(identity->pid, identity->starttime_ticks, geteuid());
    if (error != 0)
        rth_log(RTH_LOG_WARN, "family.full", "pid=%d slots=%d", identity->pid, RTH_FAMILY_SLOTS);
    struct rth_runtime_facts facts = *rth__runtime_facts();
    facts.adopted_child = true;
    rth__runtime_facts_set(&facts);
    rth__enable_on(identity->pid, ++generation);
    rth__capabilities_start();
    (void)rth__log_thread_start();
    (void)rth__call_threads_start();
    return 0;
}

/* ---- start and stop ------------------------------------------------------------------------ */

/* Accepts older and newer callers: see RTH_OPTS_INIT. */
static int copy_opts(const struct rth_opts *given, struct rth_opts *ret_opts)
{
    *ret_opts = (struct rth_opts)RTH_OPTS_INIT;
    if (given == NULL)
        return 0;
    if (given->struct_size < sizeof(given->struct_size))
        return -EINVAL;
    for (size_t i = sizeof(*ret_opts); i < given->struct_size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return -E2BIG; /* asks for something this build does not know */
    size_t known = given->struct_size < sizeof(*ret_opts) ? given->struct_size : sizeof(*ret_opts);
    memcpy(ret_opts, given, known);
    return 0;
}

/* What of the host is seen, for the budget line. */
static const char *hooks_of(bool interposed)
{
    static const char *const names[] = {"cpu", "heap", "mmap", "contention", "threads"};
    static char hooks[64];
    size_t length = 0;
    hooks[0] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (rth__capability_is_running(names[i]) && (interposed || i == 0))
            length += (size_t)snprintf(hooks + length, sizeof(hooks) - length, "%s%s",
                                       length > 0 ? "," : "", names[i]);
    if (interposed)
        (void)snprintf(hooks + length, sizeof(hooks) - length, "%sfork", length > 0 ? "," : "");
    return hooks;
}

/* One line on standard error, before main, so that it cannot meet another line of the program. */
static void say_start(void)
{
    const struct rth_option_value *admin = rth__admin_option();
    char extra[256];
    char line[4096];
    (void)snprintf(extra, sizeof(extra), " pid=%d rthooks=%s admin=%.100s%s\n",
                   rth__identity()->pid, rth_version(), admin->text,
                   rth__admin_port_is_free() ? "" : " (taken: unix socket alone)");
    int length = rth__limits_line(extra, line, sizeof(line));
    if (length > 0)
        (void)rth__write_full(STDERR_FILENO, line, (size_t)length);
}

static int read_settings(const struct rth_opts *opts, const char *const *saved, bool automatic)
{
    char message[512];
    int error = rth__env_read(opts, (const char *const *)environ, saved, message, sizeof(message));
    rth__log_configure();
    if (error == 0)
        return 0;
    rth_log(RTH_LOG_ERROR, "env.malformed", "%s", message);
    /* Nobody would read the error of an automatic start: the capability stays off instead. */
    return automatic ? 0 : error;
}

static int start_everything(const struct rth_opts *opts, const struct rth_interpose_info *info,
                            struct rth_runtime_facts *facts)
{
    int error = read_settings(opts, info->saved_environment, facts->autostarted);
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    if (error == 0)
        error = root_fd < 0 ? root_fd : rth__identity_init(root_fd, (const char *const *)environ);
    const struct rth_identity *identity = rth__identity();
    if (error == 0)
        error = rth__family_init(identity->pid, identity->starttime_ticks, geteuid());
    if (error == 0)
        error = rth__fork_init(adopt_child, forget_thread_sigsafe, facts->interposed);
    if (error != 0)
        return error;
    rth__runtime_facts_set(facts);
    rth__thread_registry_start(info->thread_shared_set);
    rth__loader_watch(info->loader_generation);
    rth__heap_attach(facts->interposed ? info : NULL);
    rth__contention_attach(facts->interposed ? info : NULL);
    rth__reclaim_attach(!facts->interposed                       ? NULL
                        : info->first_malloc == info->own_malloc ? info->real_malloc
                                                                 : info->first_malloc);
    rth__enable_on(identity->pid, ++generation);
    rth__capabilities_start();
    rth__limits_hooks_set(hooks_of(facts->interposed));
    (void)rth__call_threads_start();
    start_collect_alone(COLLECT_DELAY_NS);
    return 0;
}

/* automatic: from the constructor, only when the interposer says that this process is meant. */
static int start_locked(const struct rth_opts *opts, bool automatic)
{
    rth__capability_table_set(capability_table, CAPABILITY_COUNT);
    int error = rth__enable_init();
    if (error != 0)
        return error;
    struct rth_interpose_info info = {0};
    struct rth_runtime_facts facts = {0};
    error = attach_interposer(&info, &facts.interposer_reason);
    if (error == -EBUSY)
        return -EBUSY;
    facts.interposed = error == 0;
    rth__sigmux_init(info.real_sigaction);
    facts.autostarted = facts.interposed && info.autostart != 0;
    if (automatic && !facts.autostarted) {
        if (facts.interposed)
            (void)attach(NULL, NULL);
        return 0;
    }
    error = start_everything(opts, &info, &facts);
    if (error != 0) {
        if (facts.interposed)
            (void)attach(NULL, NULL);
        return error;
    }
    started = true;
    if (automatic && info.said_start == 0)
        say_start();
    return 0;
}

static bool is_switched_off(void)
{
    const char *off = rth__env_get((const char *const *)environ, "RTHOOKS");
    return off != NULL && strcmp(off, "off") == 0;
}

int rth_start(const struct rth_opts *opts)
{
    struct rth_opts copy;
    int error = copy_opts(opts, &copy);
    if (error != 0)
        return error;
    if (is_switched_off())
        return -ECANCELED;
    RTH__LOCK_SCOPE(&runtime_lock);
    if (started && started_by_call)
        return -EALREADY;
    if (!started)
        error = start_locked(&copy, false);
    started_by_call = error == 0;
    return error;
}

int rth_stop(void)
{
    RTH__LOCK_SCOPE(&runtime_lock);
    if (!started || !rth__enabled())
        return -EALREADY;
    rth__fork_stop();
    stop_collect_alone();
    rth__capabilities_stop();
    rth__call_threads_stop();
    rth__log_thread_stop();
    if (attach != NULL)
        (void)attach(NULL, NULL);
    rth__enable_off();
    rth__family_leave(0);
    started = false;
    started_by_call = false;
    int tids[RTH_SERVICE_THREAD_MAX];
    return rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX) > 0 ? -ETIMEDOUT : 0;
}

int rth_status_read(struct rth_status *ret_status)
{
    if (ret_status == NULL || ret_status->struct_size < sizeof(ret_status->struct_size))
        return -EINVAL;
    struct rth_status status = {.struct_size = ret_status->struct_size};
    if (rth__enabled()) {
        struct rth_admin_addresses addresses;
        rth__admin_addresses(&addresses);
        status.running = 1;
        status.autostarted = rth__runtime_facts()->autostarted;
        status.interposed = rth__runtime_facts()->interposed;
        status.admin_port = addresses.tcp_port;
        for (size_t i = 0; i < rth__capability_count(); i++) {
            int state = rth__capability_runtime_at(i)->state;
            status.capabilities_running += state == RTH_CAPABILITY_RUNNING;
            status.capabilities_off += state == RTH_CAPABILITY_OFF;
            status.capabilities_absent += state == RTH_CAPABILITY_ABSENT;
            status.capabilities_failed += state == RTH_CAPABILITY_FAILED;
        }
    }
    size_t known =
        ret_status->struct_size < sizeof(status) ? ret_status->struct_size : sizeof(status);
    memcpy(ret_status, &status, known);
    return 0;
}

int rth_child_reset(void)
{
    if (rth__raw_getpid_sigsafe() == rth__identity()->pid)
        return -EALREADY;
    rth__enable_off();
    rth__fork_child_forked_sigsafe();
    return 0;
}

/* ---- before and after main ----------------------------------------------------------------- */

__attribute__((constructor)) static void before_main(void)
{
    rth__capability_table_set(capability_table, CAPABILITY_COUNT);
    if (getauxval(AT_SECURE) != 0)
        return; /* somebody else's environment must not open an endpoint in a privileged program */
    if (is_switched_off())
        return;
    int saved_errno = errno;
    RTH__LOCK_SCOPE(&runtime_lock);
    if (!started)
        (void)start_locked(NULL, true);
    errno = saved_errno;
}

__attribute__((destructor)) static void after_main(void)
{
    /* A forked child runs this too: only the process that owns the runtime may clean up. */
    if (rth__enable_page()->enabled == 0 ||
        rth__enable_page()->owner_pid != rth__raw_getpid_sigsafe())
        return;
    rth__admin_unlink_at_exit();
    rth__episode_note_end();
    int64_t cpu_ns = rth__clock_process_cpu_ns_sigsafe(0);
    rth__family_leave(cpu_ns > 0 ? (uint64_t)cpu_ns : 0);
}
