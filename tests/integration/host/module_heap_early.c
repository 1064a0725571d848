/* SPDX-License-Identifier: MIT */
/*
 * A preload that allocates before anybody is ready for it: in the code selector (IFUNC resolver)
 * of one of its functions, which the loader runs while it relocates, and in its constructor. The
 * blocks are kept, and moved and freed at the end of the program.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By their addresses in this object, which are known by then. */
static void *(*volatile first_malloc)(size_t) = malloc;
static void *(*volatile first_calloc)(size_t, size_t) = calloc;
static void *(*volatile first_realloc)(void *, size_t) = realloc;
static int (*volatile first_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile first_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void (*volatile first_free)(void *) = free;

#define SELECTED 5
static void *selected[SELECTED], *constructed[2];
static int wrong;

static int answer(void)
{
    return 42;
}

static int (*select_answer(void))(void)
{
    selected[0] = first_malloc(100);
    selected[1] = first_calloc(10, 10);
    selected[2] = first_realloc(NULL, 100);
    if (first_posix_memalign(&selected[3], 64, 100) != 0)
        wrong = 1;
    selected[4] = first_aligned_alloc(64, 128);
    for (unsigned i = 0; i < SELECTED; i++) {
        if (selected[i] == NULL)
            wrong = 2;
        else
            __builtin_memset(selected[i], (int)i, 100);
    }
    first_free(first_malloc(50));
    return answer;
}

static int selected_answer(void) __attribute__((ifunc("select_answer")));
static int (*volatile chosen)(void) = selected_answer;

__attribute__((constructor)) static void begin(void)
{
    constructed[0] = malloc(70);
    constructed[1] = dlsym(RTLD_DEFAULT, "no_such_name_anywhere");
    if (constructed[0] == NULL || constructed[1] != NULL || dlerror() == NULL)
        wrong = 3;
    constructed[1] = strdup("kept");
}

__attribute__((destructor)) static void end(void)
{
    for (unsigned i = 0; i < SELECTED && wrong == 0; i++) {
        selected[i] = realloc(selected[i], 5000);
        for (unsigned at = 0; at < 100; at++)
            if (((unsigned char *)selected[i])[at] != i)
                wrong = 4;
        free(selected[i]);
    }
    free(constructed[0]);
    free(constructed[1]);
    if (chosen() != 42)
        wrong = 5;
    static const char good[] = "early: fine\n", bad[] = "early: wrong 0\n";
    char text[sizeof(bad)];
    memcpy(text, bad, sizeof(bad));
    text[sizeof(bad) - 3] = (char)('0' + wrong);
    if (write(1, wrong != 0 ? text : good, wrong != 0 ? sizeof(bad) - 1 : sizeof(good) - 1) < 0)
        _exit(9);
}
