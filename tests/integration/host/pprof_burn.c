/* SPDX-License-Identifier: MIT */
/*
 * Burns CPU time until its standard input ends, with a little sleep now and then.
 * `pprof_burn plain`: in burn_leaf below burn_outer below main.
 * `pprof_burn fork`: the same, beside a child that burns in burn_child; prints "child PID".
 * `pprof_burn module LIBRARY`: in burn_in_module of the library instead; at the input "close" it
 * unloads the library, prints "closed" and burns in its own functions from then on.
 * `pprof_burn split`: in burn_split too, whose page it makes writable, so that its code lies in
 * several mappings.
 * Prints "ready" once it burns.
 */
#pragma GCC optimize("O1", "no-optimize-sibling-calls")
#include <dlfcn.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS     4000000
#define PAGE_BYTES 4096

volatile uint64_t burn_sink;

__attribute__((noinline)) uint64_t burn_leaf(int rounds);
__attribute__((noinline)) uint64_t burn_outer(int rounds);
/* At the start of a page. */
__attribute__((noinline, aligned(PAGE_BYTES))) uint64_t burn_split(int rounds);
__attribute__((noinline)) void burn_child(void);

uint64_t burn_leaf(int rounds)
{
    for (int i = 0; i < rounds; i++)
        burn_sink = burn_sink * 6364136223846793005u + 1442695040888963407u;
    return burn_sink;
}

uint64_t burn_outer(int rounds)
{
    return burn_leaf(rounds) + 1;
}

uint64_t burn_split(int rounds)
{
    for (int i = 0; i < rounds; i++)
        burn_sink = burn_sink * 6364136223846793005u + 1442695040888963407u;
    return burn_outer(rounds) + 1;
}

void burn_child(void)
{
    pid_t parent = getppid();
    while (getppid() == parent) {
        burn_sink += burn_outer(ROUNDS);
        /* Where a hooked child is adopted: in a call that blocks. */
        (void)poll(NULL, 0, 1);
    }
    _exit(0);
}

/* Reads what there is of standard input: 0 for its end. */
static int command_read(char *line, size_t size)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    line[0] = '\0';
    if (poll(&input, 1, 1) <= 0)
        return 1;
    ssize_t length = read(0, line, size - 1);
    if (length <= 0)
        return 0;
    line[length] = '\0';
    return 1;
}

static uint64_t (*function_of(void *library))(int)
{
    uint64_t (*function)(int) = NULL;
    if (library != NULL)
        *(void **)&function = dlsym(library, "burn_in_module");
    return function;
}

int main(int argc, char **argv)
{
    void *library = NULL;
    char line[64];
    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "fork") == 0) {
        pid_t child = fork();
        if (child == 0)
            burn_child();
        printf("child %d\n", (int)child);
    } else if (strcmp(argv[1], "module") == 0) {
        library = argc > 2 ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) : NULL;
        if (library == NULL)
            return 1;
    }
    uint64_t (*burn)(int) = function_of(library);
    if (strcmp(argv[1], "split") == 0) {
        burn = burn_split;
        if (mprotect((void *)(uintptr_t)burn, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
            return 1;
    }
    puts("ready");
    fflush(stdout);
    while (command_read(line, sizeof(line))) {
        burn_sink += burn != NULL ? burn(ROUNDS) : burn_outer(ROUNDS);
        if (library != NULL && strcmp(line, "close\n") == 0) {
            burn = NULL;
            (void)dlclose(library);
            library = NULL;
            puts("closed");
            fflush(stdout);
        }
    }
    return 0;
}
