/* SPDX-License-Identifier: MIT */
/*
 * A parent that holds blocks and a child that frees some, holds its own and lives on. Prints
 * "child PID" and "ready". At a line on standard input the child, by then a process of its own for
 * rthooks, allocates again and prints "again"; both end with the next one.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITE(name)                                                                                 \
    __attribute__((noinline)) void name(void **blocks, size_t count, size_t bytes);                \
    void name(void **blocks, size_t count, size_t bytes)                                           \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            blocks[i] = malloc(bytes);                                                             \
            __asm__ volatile("" : "+r"(blocks[i]));                                                \
        }                                                                                          \
    }
SITE(site_of_parent)
SITE(site_of_young_child)
SITE(site_of_child)

static void *parents[100], *young[30], *childs[40];

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(3);
}

static void free_some(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
}

/* Waits in poll, as servers do: there the child becomes a process of its own. */
static void wait_for_line(void)
{
    char c = 0;
    while (c != '\n') {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&input, 1, 20) == 1 && read(STDIN_FILENO, &c, 1) <= 0)
            return;
    }
}

static void be_the_child(void)
{
    char line[64];
    free_some(parents, 50);
    site_of_young_child(young, 30, 128);
    free_some(young, 10);
    parents[60] = realloc(parents[60], 100000);
    (void)snprintf(line, sizeof(line), "child %d\nready\n", (int)getpid());
    say(line);
    wait_for_line();
    site_of_child(childs, 40, 256);
    free_some(childs, 15);
    free_some(young + 10, 10); /* of before: nobody knew them */
    free_some(parents + 50, 10);
    childs[20] = realloc(childs[20], 1000);
    say("again\n");
    wait_for_line();
    _exit(childs[20] != NULL && parents[60] != NULL ? 0 : 1);
}

int main(void)
{
    int status = -1;
    site_of_parent(parents, 100, 64);
    pid_t pid = fork();
    if (pid == 0)
        be_the_child();
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}
