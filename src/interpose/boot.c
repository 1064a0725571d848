/* SPDX-License-Identifier: MIT */
/*
 * librthooks_interpose.so, the leaf that stands between the host and libc.
 *
 * Purpose. It exports the libc names that the runtime has to see and forwards each one to the next
 * definition of the same name (real.c). It knows nothing of the runtime but abi.h: librthooks
 * hands over a table of slow paths through rth_interpose_attach (ops.c). Until then, and for ever
 * when no runtime comes, each wrapper is a pass-through: one load and one branch.
 *
 * Before main. `rthooks run` speaks to us through the environment. The constructor below decides
 * whether this process is the one meant, copies our entries and takes them out (environment.c), so
 * that the program and its children see a clean environment; the exec wrappers put them back when
 * the same pid execs (exec.c, spawn.c). Constructors of several objects run in no agreed order:
 * attach does the same work if it comes first, and wrappers called even earlier resolve their
 * originals alone.
 *
 * Threads. We have none. Boot runs before main, or under the loader lock. Afterwards everything
 * here is read-only but the ops pointer (release/acquire) and the loader generation (relaxed).
 *
 * Locks. None of ours, and no op is called with one of libc's held by us.
 *
 * Children. Wrappers read *ops->enabled before anything else: zero means a forked child with
 * copied memory, where the only thing we do is to offer calm points (calm.c). A vfork child shares
 * memory and reads the parent's value; wrappers whose effect belongs to one process compare the
 * raw pid as well. vfork itself cannot be wrapped: it returns twice on one stack frame.
 *
 * Failure. Anything that does not work out leaves the call, or the environment, as it was.
 *
 * Cost. Some two hundred symbol look-ups before main; one load per call without a runtime, two with
 * one; a system call more on exec, spawn, set*id and sigaction, which are rare.
 */
#include "interpose/boot.h"

#include "interpose/entry.h"
#include "interpose/environment.h"
#include "interpose/real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "os/rawsys.h"

static struct rth__boot boot;
static bool boot_begun; /* boot runs once, in one thread: before main or under the loader lock */

/* "PID:STARTTIME" of this process. STARTTIME is field 22 of /proc/self/stat, which exec keeps. */
static bool read_identity(char *ret_text, size_t text_size)
{
    char stat[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, stat, sizeof(stat) - 1);
    (void)close(fd);
    if (length <= 0)
        return false;
    stat[length] = '\0';
    /* The name is in parentheses and may hold anything; what follows the last one are numbers,
     * beginning with field 3. */
    char *field = strrchr(stat, ')');
    for (int number = 2; field != NULL && number < 22; number++)
        field = strchr(field + 1, ' ');
    if (field == NULL)
        return false;
    size_t digits = strspn(field + 1, "0123456789");
    if (digits == 0)
        return false;
    int written = snprintf(ret_text, text_size, "%d:%.*s", (int)rth__raw_getpid_sigsafe(),
                           (int)digits, field + 1);
    return written > 0 && (size_t)written < text_size;
}

/* --match EXE: the whole path when it has a '/', else the file name alone. */
static bool executable_matches(const char *match)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    if (strchr(match, '/') != NULL)
        return strcmp(path, match) == 0;
    const char *slash = strrchr(path, '/');
    return strcmp(slash != NULL ? slash + 1 : path, match) == 0;
}

static void decide(void)
{
    const char *meant = rth__environment_get(RTH_ENV_AUTOSTART);
    char identity[64];
    if (meant == NULL || !read_identity(identity, sizeof(identity)))
        return;
    const char *match = rth__environment_get(RTH_ENV_RUN_MATCH);
    const char *follow = rth__environment_get(RTH_ENV_RUN_FOLLOW);
    const char *said = rth__environment_get(RTH_ENV_RUN_SAID);
    bool follows = follow != NULL && strcmp(follow, "1") == 0;
    bool any = follows || match != NULL;
    if (!any && strcmp(meant, identity) != 0)
        return;
    bool starts = match == NULL || executable_matches(match);
    if (!rth__environment_save(any ? "any" : identity))
        return;

    boot.autostart = starts;
    boot.follow = follows;
    boot.said_start = said != NULL && strcmp(said, identity) == 0;
    (void)snprintf(boot.said, sizeof(boot.said), "%s=%s", RTH_ENV_RUN_SAID, identity);
    boot.hand_on = starts && !follows ? RTH__HAND_ON_SAME_PID : RTH__HAND_ON_ALL;
    /* Where descendants are meant too, they may also be started by what we do not wrap (system,
     * popen): there the environment stays as it is. */
    if (boot.hand_on == RTH__HAND_ON_SAME_PID)
        rth__environment_take_out();
}

const struct rth__boot *rth__interpose_boot(void)
{
    if (__atomic_exchange_n(&boot_begun, true, __ATOMIC_ACQ_REL))
        return &boot;
    int saved_errno = errno;
    (void)rth__real();
    (void)rth__alloc_resolve();
    rth__entries_resolve();
    boot.pid = rth__raw_getpid_sigsafe();
    /* A privileged program must not be steered by its caller's environment. */
    if (getauxval(AT_SECURE) == 0)
        decide();
    errno = saved_errno;
    return &boot;
}

const struct rth__boot *rth__boot_result(void)
{
    return &boot;
}

__attribute__((constructor)) static void before_main(void)
{
    (void)rth__interpose_boot();
}
