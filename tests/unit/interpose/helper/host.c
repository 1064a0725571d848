/* SPDX-License-Identifier: MIT */
/*
 * interpose_host ACTION [PROGRAM]: prints what the interposer found and the environment that main
 * sees, then runs PROGRAM in the way ACTION names.
 */
#include "interpose/abi.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/interpose/helper/fake.h"

extern char **environ;

/* A filtered environment, as nginx hands on. */
static char *const filtered[] = {"ONLY=this", NULL};

static void print_found(const struct rth_interpose_info *info)
{
    printf("secure=%lu\n", getauxval(AT_SECURE));
    printf("autostart=%u said=%u follow=%u\n", info->autostart, info->said_start, info->follow);
    for (const char *const *entry = info->saved_environment; *entry != NULL; entry++)
        printf("saved %s\n", *entry);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("main %s\n", *entry);
    fflush(stdout);
}

static int exec_form(const char *form, const char *program)
{
    char *argv[] = {(char *)(uintptr_t)program, "one", NULL};
    if (strcmp(form, "execve") == 0)
        return execve(program, argv, environ);
    if (strcmp(form, "execve-filtered") == 0)
        return execve(program, argv, filtered);
    if (strcmp(form, "execv") == 0)
        return execv(program, argv);
    if (strcmp(form, "execvp") == 0)
        return execvp(program, argv);
    if (strcmp(form, "execvpe") == 0)
        return execvpe(program, argv, filtered);
    if (strcmp(form, "execl") == 0)
        return execl(program, program, "one", (char *)NULL);
    if (strcmp(form, "execlp") == 0)
        return execlp(program, program, "one", (char *)NULL);
    if (strcmp(form, "execle") == 0)
        return execle(program, program, "one", (char *)NULL, filtered);
    if (strcmp(form, "fexecve") == 0)
        return fexecve(open(program, O_RDONLY | O_CLOEXEC), argv, filtered);
    if (strcmp(form, "execveat") == 0)
        return execveat(AT_FDCWD, program, argv, filtered, 0);
    return -1;
}

/* 5,000 entries: more than the wrappers put on the stack. */
static int exec_large(const char *program)
{
    static char *large[5001];
    for (int i = 0; i < 5000; i++)
        large[i] = "X=y";
    char *argv[] = {(char *)(uintptr_t)program, NULL};
    return execve(program, argv, large);
}

/* A failed exec must leave the environment and the answer as they are. */
static int exec_missing(void)
{
    char *argv[] = {"/nonexistent/program", NULL};
    int result = execv(argv[0], argv);
    printf("exec=%d errno=%s preload=%s\n", result, strerrorname_np(errno),
           getenv("LD_PRELOAD") != NULL ? "there" : "none");
    return result == -1 ? 0 : 1;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int spawn_form(const char *action, const char *program)
{
    char *argv[] = {(char *)(uintptr_t)program, "one", NULL};
    pid_t pid = -1;
    if (strcmp(action, "spawn") == 0 && posix_spawn(&pid, program, NULL, NULL, argv, filtered) != 0)
        return 1;
    if (strcmp(action, "spawnp") == 0 &&
        posix_spawnp(&pid, program, NULL, NULL, argv, environ) != 0)
        return 1;
    return wait_for(pid);
}

static int child_form(const char *action, const char *program)
{
    pid_t pid;
    if (strcmp(action, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            (void)exec_form("execve-filtered", program);
            _exit(1);
        }
    } else {
        pid = fork();
        if (pid == 0)
            _exit(strcmp(action, "fork-large") == 0 ? exec_large(program)
                                                    : exec_form("execve-filtered", program));
    }
    return wait_for(pid);
}

int main(int argc, char **argv)
{
    const char *action = argc > 1 ? argv[1] : "";
    const char *program = argc > 2 ? argv[2] : "";
    /* "attached-": with a runtime, as in a process that has printed its start line. */
    bool attached = strncmp(action, "attached-", 9) == 0;
    if (attached)
        action += 9;
    struct rth_interpose_info info = {.struct_size = sizeof(info)};
    if (rth_interpose_attach(attached ? fake_runtime_new() : NULL, &info) != 0)
        return 1;
    print_found(&info);
    if (strcmp(action, "print") == 0)
        return 0;
    if (strncmp(action, "spawn", 5) == 0)
        return spawn_form(action, program);
    if (strstr(action, "fork") != NULL)
        return child_form(action, program);
    if (strcmp(action, "system") == 0)
        return (system)(program) == 0 ? 0 : 1;
    if (strcmp(action, "missing") == 0)
        return exec_missing();
    if (strcmp(action, "large") == 0)
        return exec_large(program);
    (void)exec_form(action, program);
    return 1;
}
