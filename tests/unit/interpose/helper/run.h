/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_INTERPOSE_RUN_H
#define RTH_TESTS_INTERPOSE_RUN_H

/* Runs a program with exactly the given environment, where @SELF@ stands for the PID:STARTTIME
 * that the program will have, and keeps what it printed. */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_MAX_ENTRIES 32

struct run {
    int status;           /* exit status, or -1 */
    char identity[64];    /* PID:STARTTIME */
    char output[1 << 18]; /* standard output, with a '\n' in front of the first line as well */
};

static inline bool run_identity(pid_t pid, char *ret_text, size_t size)
{
    char path[64];
    char stat[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, stat, sizeof(stat) - 1) : -1;
    (void)close(fd);
    if (length <= 0)
        return false;
    stat[length] = '\0';
    char *rest = strrchr(stat, ')') + 2;
    unsigned long long start_ticks = 0;
    if (sscanf(rest,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &start_ticks) != 1)
        return false;
    (void)snprintf(ret_text, size, "%d:%llu", (int)pid, start_ticks);
    return true;
}

static inline void run_child(const char *const argv[], const char *const envp[])
{
    char identity[64];
    char *list[RUN_MAX_ENTRIES + 1];
    int count = 0;
    if (!run_identity(getpid(), identity, sizeof(identity)))
        _exit(126);
    for (; envp[count] != NULL && count < RUN_MAX_ENTRIES; count++) {
        const char *mark = strstr(envp[count], "@SELF@");
        size_t size = strlen(envp[count]) + sizeof(identity);
        list[count] = malloc(size);
        if (mark != NULL)
            (void)snprintf(list[count], size, "%.*s%s%s", (int)(mark - envp[count]), envp[count],
                           identity, mark + 6);
        else
            (void)snprintf(list[count], size, "%s", envp[count]);
    }
    list[count] = NULL;
    (void)execve(argv[0], (char *const *)(const void *)argv, list);
    _exit(126);
}

static inline void run_program(struct run *run, const char *const argv[], const char *const envp[])
{
    int out[2];
    memset(run, 0, sizeof(*run));
    run->status = -1;
    if (pipe2(out, O_CLOEXEC) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(null_fd, STDERR_FILENO); /* ld.so warns of preloads that are not there */
        run_child(argv, envp);
    }
    (void)close(out[1]);
    (void)run_identity(pid, run->identity, sizeof(run->identity));
    size_t filled = 1;
    run->output[0] = '\n';
    ssize_t length;
    while (filled < sizeof(run->output) - 1 &&
           (length = read(out[0], run->output + filled, sizeof(run->output) - 1 - filled)) > 0)
        filled += (size_t)length;
    (void)close(out[0]);
    int status;
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        run->status = WEXITSTATUS(status);
}

/* Was this whole line printed? @SELF@ stands as above. */
static inline bool run_printed(const struct run *run, const char *line)
{
    char whole[4096];
    const char *mark = strstr(line, "@SELF@");
    if (mark != NULL)
        (void)snprintf(whole, sizeof(whole), "\n%.*s%s%s\n", (int)(mark - line), line,
                       run->identity, mark + 6);
    else
        (void)snprintf(whole, sizeof(whole), "\n%s\n", line);
    return strstr(run->output, whole) != NULL;
}

/* Lines that begin with this. */
static inline int run_count(const struct run *run, const char *prefix)
{
    char start[256];
    int count = 0;
    (void)snprintf(start, sizeof(start), "\n%s", prefix);
    for (const char *at = strstr(run->output, start); at != NULL; at = strstr(at + 1, start))
        count++;
    return count;
}

#endif /* RTH_TESTS_INTERPOSE_RUN_H */
