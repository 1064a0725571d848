/* SPDX-License-Identifier: MIT */
/* Leaves in the way the argument says: "return N", "exit N", "_exit N", "quick N", "raise N" or
 * by a fault: "segv", "fpe", "ill", "bus", "trap", "abort", "overflow". */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile int zero, hundred = 100;
static volatile char *volatile nowhere;

static int deeper(volatile int depth)
{
    volatile char frame[4096];
    frame[0] = (char)depth;
    return deeper(depth + 1) + frame[0];
}

static void bus_error(void)
{
    char name[] = "bus-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page[0] = 1;
}

int main(int argc, char **argv)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    const char *how = argc > 1 ? argv[1] : "return";
    int number = argc > 2 ? atoi(argv[2]) : 0;
    printf("leaving: %s %d\n", how, number);
    fflush(stdout);
    if (strcmp(how, "return") == 0)
        return number;
    if (strcmp(how, "exit") == 0)
        exit(number);
    if (strcmp(how, "_exit") == 0)
        _exit(number);
    if (strcmp(how, "quick") == 0)
        quick_exit(number);
    if (strcmp(how, "raise") == 0) {
        signal(number, SIG_DFL);
        raise(number);
        return 1;
    }
    if (strcmp(how, "segv") == 0)
        *nowhere = 1;
    if (strcmp(how, "fpe") == 0)
        return hundred / zero;
    if (strcmp(how, "ill") == 0 || strcmp(how, "trap") == 0)
        __builtin_trap();
    if (strcmp(how, "bus") == 0)
        bus_error();
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "overflow") == 0)
        return deeper(0);
    return 99;
}
