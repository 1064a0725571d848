/* SPDX-License-Identifier: MIT */
/* A preload behind the interposer: its constructor runs first. */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int maps(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return 0;
    pages[8191] = 1;
    pages = mremap(pages, 8192, 4096, 0);
    return pages != MAP_FAILED && munmap(pages, 4096) == 0 && munmap(pages + 1, 1) == -1 &&
           errno == EINVAL && sbrk(4096) != (void *)-1 && sbrk(-4096) != (void *)-1;
}

__attribute__((constructor)) static void call_wrapped_functions(void)
{
    int mapped = maps(); /* resolves nothing */
    /* dlopen before the rest: its jump then has to resolve by itself. */
    void *self = dlopen(NULL, RTLD_NOW);
    const char *autostart = getenv("RTHOOKS_AUTOSTART");
    errno = 0;
    int bad = kill(getpid(), 0) == 0 ? sigaction(-1, NULL, NULL) : 0;
    int bad_errno = errno;
    int polled = poll(NULL, 0, 0);
    char line[160];
    int length =
        snprintf(line, sizeof(line), "early dlopen=%d sigaction=%d errno=%d poll=%d mmap=%d %s\n",
                 self != NULL, bad, bad_errno == EINVAL, polled, mapped,
                 autostart != NULL ? "before boot" : "after boot");
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        abort();
}
