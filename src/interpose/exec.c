/* SPDX-License-Identifier: MIT */
/*
 * The exec family. Each call ends in one original of the same search rules, with the environment
 * that environment.c makes of the one given. The forms that take the process's own environment go
 * to their sibling with an explicit one only when something has to be added.
 */
#include "interpose/environment.h"
#include "interpose/real.h"

#include <alloca.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* One exec: path alone; file searched in PATH; fd; folder fd, path and flags. */
struct exec_call {
    enum { EXEC_PATH, EXEC_SEARCH, EXEC_FD, EXEC_AT } kind;
    int fd;
    int flags;
    const char *path;
    char *const *argv;
};

static int exec_now(void *argument, char *const envp[])
{
    const struct exec_call *call = argument;
    const struct rth__real *real = rth__real();
    switch (call->kind) {
    case EXEC_PATH:
        return real->execve(call->path, call->argv, envp);
    case EXEC_SEARCH:
        return real->execvpe(call->path, call->argv, envp);
    case EXEC_FD:
        return real->fexecve(call->fd, call->argv, envp);
    case EXEC_AT:
        if (real->execveat != NULL)
            return real->execveat(call->fd, call->path, call->argv, envp, call->flags);
        return (int)syscall(SYS_execveat, call->fd, call->path, call->argv, envp, call->flags);
    }
    __builtin_unreachable();
}

RTH__EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    struct exec_call call = {.kind = EXEC_PATH, .path = path, .argv = argv};
    return rth__environment_exec(envp, exec_now, &call);
}

RTH__EXPORT int execv(const char *path, char *const argv[])
{
    struct exec_call call = {.kind = EXEC_PATH, .path = path, .argv = argv};
    return rth__environment_exec(environ, exec_now, &call);
}

RTH__EXPORT int execvp(const char *file, char *const argv[])
{
    struct exec_call call = {.kind = EXEC_SEARCH, .path = file, .argv = argv};
    return rth__environment_exec(environ, exec_now, &call);
}

RTH__EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    struct exec_call call = {.kind = EXEC_SEARCH, .path = file, .argv = argv};
    return rth__environment_exec(envp, exec_now, &call);
}

RTH__EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    /* glibc refuses this one; with our entries added it would no longer see it. */
    if (envp == NULL)
        return rth__real()->fexecve(fd, argv, envp);
    struct exec_call call = {.kind = EXEC_FD, .fd = fd, .argv = argv};
    return rth__environment_exec(envp, exec_now, &call);
}

RTH__EXPORT int execveat(int folder_fd, const char *path, char *const argv[], char *const envp[],
                         int flags)
{
    struct exec_call call = {
        .kind = EXEC_AT, .fd = folder_fd, .flags = flags, .path = path, .argv = argv};
    return rth__environment_exec(envp, exec_now, &call);
}

/* Arguments after the first, the closing NULL included; -1 when argc would not fit an int. */
static ssize_t count_arguments(va_list arguments)
{
    ssize_t count = 1;
    while (va_arg(arguments, const char *) != NULL)
        if (++count == INT_MAX)
            return -1;
    return count;
}

/*
 * Makes argv of `first` and the variable arguments, on this stack frame; leaves E2BIG as the libc
 * does. A macro because both the array and the va_list belong to the caller's frame.
 */
#define LIST_TO_ARGV(argv, list, first)                                                            \
    char **argv;                                                                                   \
    va_list list;                                                                                  \
    do {                                                                                           \
        va_start(list, first);                                                                     \
        ssize_t count_ = count_arguments(list);                                                    \
        va_end(list);                                                                              \
        if (count_ < 0) {                                                                          \
            errno = E2BIG;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        argv = alloca(((size_t)count_ + 1) * sizeof(char *));                                      \
        argv[0] = (char *)(uintptr_t)first;                                                        \
        va_start(list, first);                                                                     \
        for (ssize_t i_ = 1; i_ <= count_; i_++)                                                   \
            argv[i_] = va_arg(list, char *);                                                       \
    } while (0)

RTH__EXPORT int execl(const char *path, const char *argument, ...)
{
    LIST_TO_ARGV(argv, list, argument);
    va_end(list);
    struct exec_call call = {.kind = EXEC_PATH, .path = path, .argv = argv};
    return rth__environment_exec(environ, exec_now, &call);
}

RTH__EXPORT int execlp(const char *file, const char *argument, ...)
{
    LIST_TO_ARGV(argv, list, argument);
    va_end(list);
    struct exec_call call = {.kind = EXEC_SEARCH, .path = file, .argv = argv};
    return rth__environment_exec(environ, exec_now, &call);
}

RTH__EXPORT int execle(const char *path, const char *argument, ...)
{
    LIST_TO_ARGV(argv, list, argument);
    char *const *envp = va_arg(list, char *const *);
    va_end(list);
    struct exec_call call = {.kind = EXEC_PATH, .path = path, .argv = argv};
    return rth__environment_exec(envp, exec_now, &call);
}
