/* SPDX-License-Identifier: MIT */
/*
 * `swap_modules FIRST SECOND MS`: prints "ready" and waits for a line. Then it loads a library,
 * uses the CPU in it for MS milliseconds and unloads it, and the same with the second one. Prints
 * where they were and waits for the end of its input.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const void *burn_in(const char *path, long ms)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        exit(3);
    }
    unsigned long (*burn)(int) = (unsigned long (*)(int))dlsym(library, "burn_in_module");
    for (long until_ms = now_ms() + ms; now_ms() < until_ms;)
        (void)burn(100000);
    (void)dlclose(library);
    return (const void *)burn;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    printf("ready\n");
    (void)fflush(stdout);
    (void)getchar();
    long ms = strtol(argv[3], NULL, 10);
    const void *first = burn_in(argv[1], ms);
    const void *second = burn_in(argv[2], ms);
    printf("swapped %p %p\n", first, second);
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
