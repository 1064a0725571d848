/* SPDX-License-Identifier: MIT */
/*
 * posix_spawn and posix_spawnp. A spawned child is another pid: it gets our entries only where
 * descendants are meant (--follow, before --match). system and popen spawn inside libc with the
 * environment of the process, which is why it is left alone in these cases.
 */
#include "interpose/environment.h"
#include "interpose/real.h"

struct spawn_call {
    __typeof__(posix_spawn) *original;
    pid_t *ret_pid;
    const char *path;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
    char *const *argv;
};

static int spawn_now(void *argument, char *const envp[])
{
    const struct spawn_call *call = argument;
    return call->original(call->ret_pid, call->path, call->actions, call->attributes, call->argv,
                          envp);
}

RTH__EXPORT int posix_spawn(pid_t *ret_pid, const char *path,
                            const posix_spawn_file_actions_t *actions,
                            const posix_spawnattr_t *attributes, char *const argv[],
                            char *const envp[])
{
    struct spawn_call call = {rth__real()->posix_spawn, ret_pid, path, actions, attributes, argv};
    return rth__environment_spawn(envp, spawn_now, &call);
}

RTH__EXPORT int posix_spawnp(pid_t *ret_pid, const char *file,
                             const posix_spawn_file_actions_t *actions,
                             const posix_spawnattr_t *attributes, char *const argv[],
                             char *const envp[])
{
    struct spawn_call call = {rth__real()->posix_spawnp, ret_pid, file, actions, attributes, argv};
    return rth__environment_spawn(envp, spawn_now, &call);
}
